"""Which device, precision and memory layout: chosen for the machine, and said aloud."""

from __future__ import annotations

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
