"""Weights rounded to travel: 8 bits a number of the large matrices, 16 of all others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

ROUNDED = "16 bits, fully connected layers to 8"
_LARGE = 100_000  # numbers of a matrix
_STEP = ".step"  # what a row's whole numbers are to be multiplied by


def rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make weights small.

    Args:
        weights: floating point, and whole numbers that are left as they are.

    Returns:
        The same by name; large matrices as int8 beside the step of each row, ``name.step``. No
        number is off by more than half a step: 1/254 of the largest in its row.
    """
    found = {}
    for name, value in weights.items():
        if value.ndim == 2 and value.numel() >= _LARGE:
            step = value.float().abs().amax(1).clamp(min=1e-12) / 127
            found[name] = (value.float() / step[:, None]).round().to(torch.int8)
            found[name + _STEP] = step
        else:
            found[name] = value.half() if value.is_floating_point() else value
    return {name: value.contiguous() for name, value in found.items()}


def restored(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``rounded`` made, as float32 under the old names."""
    found = {}
    for name, value in weights.items():
        step = weights.get(name + _STEP)
        if step is not None:
            found[name] = value.float() * step[:, None]
        elif not name.endswith(_STEP):
            found[name] = value.float() if value.is_floating_point() else value
    return found
