"""Strokes: pen paths of straight parts, arcs and corners; their distortion and rasterization."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

MAX_PARTS = 3  # of a stroke


def uniform(rng: torch.Generator, *shape: int) -> Tensor:
    """Uniform from 0 to 1, in float64 so that rounding cannot move a pixel between machines."""
    return torch.rand(shape, generator=rng, dtype=torch.float64)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal, float64."""
    return torch.randn(shape, generator=rng, dtype=torch.float64)


@dataclass(frozen=True)
class Strokes:
    """Strokes by their motion. float64 of any shape ``(…)``, the same for all attributes.

    Attributes:
        heading: ``(…)``: initial direction in radians, from x (right) to y (down).
        length: ``(…, MAX_PARTS)``: of each part, 1 is half an image; 0 for an absent part.
        turn: ``(…, MAX_PARTS)``: angle by which the direction turns evenly along each part.
        corner: ``(…, MAX_PARTS)``: angle by which it turns before each part.
        roundness: ``(…)``: 0 … 1: how much corners are rounded.
    """

    heading: Tensor
    length: Tensor
    turn: Tensor
    corner: Tensor
    roundness: Tensor

    def __getitem__(self, index: Tensor | tuple[slice | None, ...]) -> Strokes:
        """Index all attributes alike, before the dimension of the parts."""
        return Strokes(*(getattr(self, field.name)[index] for field in fields(self)))

    def paths(self, samples: int) -> Tensor:
        """The lines from the origin: ``(…, samples, 2)``, points evenly spaced along each."""
        ends = self.length.cumsum(-1)[..., None, :]  # (…, 1, MAX_PARTS)
        total = ends[..., -1:].clamp(min=1e-9)
        starts = ends - self.length[..., None, :]
        # The direction half-way between two points is that of the step between them.
        step = (torch.arange(samples - 1, dtype=torch.float64) + 0.5) / (samples - 1)
        along = step[:, None] * total  # (…, samples - 1, 1)
        inside = ((along - starts) / (ends - starts).clamp(min=1e-9)).clamp(0, 1)
        # A corner is spread over this much of the line before and after it.
        spread = 0.02 * total + 0.25 * self.roundness[..., None, None] * total
        turned = ((along - starts) / spread + 0.5).clamp(0, 1)
        angle = self.heading[..., None] + (
            inside * self.turn[..., None, :] + turned * self.corner[..., None, :]
        ).sum(-1)
        steps = torch.stack([angle.cos(), angle.sin()], -1) * (total / (samples - 1))
        return torch.cat([torch.zeros_like(steps[..., :1, :]), steps.cumsum(-2)], -2)


def smooth_displacement(
    points: Tensor, amplitude: float, frequency: float, rng: torch.Generator
) -> Tensor:
    """Displace points by a smooth random field, so that strokes that meet still meet.

    Args:
        points: ``(n, m, 2)``; each of the n has a field of its own, a sum of three waves.
        amplitude: Standard deviation of each wave's displacement, 1 is half an image.
        frequency: Number of waves across an image, roughly.
        rng: Source of randomness.

    Returns:
        ``(n, m, 2)``.
    """
    n = len(points)
    for _ in range(3):
        wave = frequency * 2.0 * normal(rng, n, 2, 1)
        phase = 2 * math.pi * uniform(rng, n, 1, 1)
        push = amplitude * normal(rng, n, 1, 2)
        points = points + push * torch.sin(points @ wave + phase)
    return points


def rasterize(points: Tensor, size: int, pen: int) -> Tensor:
    """Pixels under a round pen at each point.

    Args:
        points: ``(n, m, 2)``: x to the right and y down, -1 … 1 from edge to edge. NaN and points
            outside are not drawn.
        size: Pixels along a side.
        pen: Diameter of the pen in pixels.

    Returns:
        bool ``(n, size, size)``.
    """
    side, reach = size + pen, pen // 2
    inside = ((points >= -1) & (points < 1)).all(-1)
    # The center of an odd pen falls on a pixel, that of an even one on a corner of four.
    pixel = (points + 1) * (size / 2) + (0.5 if pen % 2 == 0 else 0.0)
    position = pixel.nan_to_num().clamp(0, size).long()
    index = (position[..., 1] * side + position[..., 0]).masked_fill_(~inside, side * side)
    dots = torch.zeros((len(points), side * side + 1), dtype=torch.bool)
    dots = dots.scatter_(1, index, True)[:, :-1].flatten()
    # Each pixel of the pen, counted from its top left corner, is a shift of the flat array. The
    # last pen - 1 columns and rows of an image have no dot, so nothing spills into the next image.
    drawn = torch.zeros_like(dots)
    for y in range(pen):
        for x in range(pen):
            if math.hypot(y - (pen - 1) / 2, x - (pen - 1) / 2) <= pen / 2:
                shift = y * side + x
                drawn[shift:] |= dots[: len(dots) - shift]
    return drawn.view(-1, side, side)[:, reach : reach + size, reach : reach + size]
