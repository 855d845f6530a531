"""Which device, precision and memory layout: chosen for the machine, and said aloud."""

from __future__ import annotations

import ctypes
import sys

import torch

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


def choose_accelerator(accelerator: str, key: str = "trainer.accelerator") -> str:
    """``auto`` → ``gpu`` where CUDA is, else ``cpu``; other names are kept.

    Args:
        accelerator: one of ``ACCELERATORS``.
        key: of the setting, for the error.

    Raises:
        UserError: an unknown one, or one that this machine lacks.
    """
    check.choice(key, accelerator, ACCELERATORS)
    if accelerator == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "mps": torch.backends.mps.is_available()}
    if not there.get(accelerator, torch.cuda.is_available()):
        raise UserError(
            f"{key}={accelerator}: PyTorch finds none on this machine; use cpu, or auto"
        )
    return accelerator


def choose_precision(precision: str, accelerator: str, key: str = "trainer.precision") -> str:
    """``auto`` → bfloat16 where the hardware multiplies it fast, else float32.

    Args:
        precision: one of ``PRECISIONS``.
        accelerator: ``cpu``, ``gpu`` or its other name ``cuda``.
        key: of the setting, for the error.

    Raises:
        UserError: an unknown precision, or float16 on a CPU, where Lightning would take bfloat16.
    """
    check.choice(key, precision, PRECISIONS)
    if precision == "16-mixed" and accelerator == "cpu":
        raise UserError(f"{key}=16-mixed needs a GPU; on a CPU take bf16-mixed, 32-true or auto")
    if precision != "auto":
        return precision
    if accelerator in ("gpu", "cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if fast else "32-true"


def keep_freed_memory() -> bool:
    """Let glibc keep what tensors free, instead of giving it back and fetching it again each step.

    Every step of a large network on the CPU frees and allocates hundreds of megabytes. Given back
    to the system, each page has to be zeroed and mapped anew: with the paper's network that was
    nearly half of the time of a step. Results do not change.

    Returns:
        Whether it was done: on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    no_mmap = mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap, too
    no_trim = mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    return bool(no_mmap and no_trim)
