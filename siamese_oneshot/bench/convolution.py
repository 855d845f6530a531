"""The paper's convolutions in float32 on a CPU: PyTorch's own against the frequency domain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from siamese_oneshot.bench.contest import Contest, Measure, compete, timed
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.model.convolution import Convolution

_PICTURES = 64  # a step's, as in the replication


def convolution(parts: Parts) -> Iterator[Contest]:
    """Pictures a second, forward and backward, of each layer but the first; processor time."""
    tower: Any = parts.network("paper").encoder
    for name, side in list(tower.sides.items())[1:]:
        layer = tower.layers[name][0]
        yield compete(
            f"{name}, {layer.kernel_size[0]}x{layer.kernel_size[1]} on {side}x{side}",
            "pictures",
            {way: _turn(layer, side, way) for way in ("direct", "fourier")},
            "direct",
            parts.rounds,
            f"forward and backward, {_PICTURES} pictures, float32, seconds of processor time (run "
            "with OMP_NUM_THREADS=1)",
        )


def _turn(layer: Convolution, side: int, way: str) -> Measure:
    margin, stride = int(layer.padding[0]), layer.stride[0]
    sizes = layer.in_channels, layer.out_channels, layer.kernel_size[0], stride, margin
    made = Convolution(*sizes, bias=True, way=way).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.rand(_PICTURES, layer.in_channels, side, side)
    pictures = pictures.contiguous(memory_format=torch.channels_last).requires_grad_()
    back = torch.randn_like(made(pictures))

    def work() -> None:
        torch.autograd.grad(made(pictures), [pictures, *made.parameters()], back)

    return timed(work, _PICTURES, time.process_time)
