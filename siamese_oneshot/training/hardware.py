"""Which device, precision and memory layout: chosen for the machine, and said aloud."""

from __future__ import annotations

import ctypes
import sys

import torch

from siamese_oneshot.errors import UserError

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


def choose_accelerator(accelerator: str) -> str:
    """``auto`` → ``gpu`` where CUDA is, else ``cpu``; other names are kept."""
    if accelerator != "auto":
        return accelerator
    return "gpu" if torch.cuda.is_available() else "cpu"


def choose_precision(precision: str, accelerator: str) -> str:
    """``auto`` → bfloat16 where the hardware multiplies it fast, else float32.

    Args:
        precision: one of ``PRECISIONS``.
        accelerator: ``cpu``, ``gpu`` or its other name ``cuda``.

    Raises:
        UserError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision={precision} is unknown; there are {', '.join(PRECISIONS)}"
        )
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
