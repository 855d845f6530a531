"""Strokes: a pen's path of straight parts, arcs and corners; bent as a hand does; and its ink."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

PARTS = 3  # of a stroke, at most


def uniform(rng: torch.Generator, *shape: int) -> Tensor:
    """Evenly from 0 to 1, as doubles: a sum in another order must not move ink by a pixel."""
    return torch.rand(shape, generator=rng, dtype=torch.float64)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Normally distributed with spread 1, as doubles."""
    return torch.randn(shape, generator=rng, dtype=torch.float64)


@dataclass(frozen=True)
class Strokes:
    """What the pen is told, as a person who writes a character knows it: where to, how far, round
    which bend. Doubles of any shape ``(…)``, the same for all.

    Attributes:
        heading: ``(…)``: the direction it sets out in, radians, from x (right) to y (down).
        length: ``(…, PARTS)``: of each part, 1 is half an image; 0 for a part that is not there.
        turn: ``(…, PARTS)``: radians by which the direction turns, evenly, along each part.
        corner: ``(…, PARTS)``: radians by which it turns at once before each part.
        roundness: ``(…)``: 0 … 1: how much of a corner is cut.
    """

    heading: Tensor
    length: Tensor
    turn: Tensor
    corner: Tensor
    roundness: Tensor

    def __getitem__(self, index: Tensor | tuple[slice | None, ...]) -> Strokes:
        """Some of them; every tensor is indexed alike, before its last dimension if it has more."""
        return Strokes(*(getattr(self, one.name)[index] for one in fields(self)))

    def paths(self, samples: int) -> Tensor:
        """The lines that the pen draws, each from the origin.

        Args:
            samples: points of a line, evenly along it.

        Returns:
            ``(…, samples, 2)``.
        """
        ends = self.length.cumsum(-1)[..., None, :]  # (…, 1, PARTS)
        whole = ends[..., -1:].clamp(min=1e-9)
        starts = ends - self.length[..., None, :]
        # The direction half-way between two points of the line is that of the step between them.
        step = (torch.arange(samples - 1, dtype=torch.float64) + 0.5) / (samples - 1)
        along = step[:, None] * whole  # (…, samples - 1, 1)
        inside = ((along - starts) / (ends - starts).clamp(min=1e-9)).clamp(0, 1)
        # A corner is turned within this much before and after it.
        cut = 0.02 * whole + 0.25 * self.roundness[..., None, None] * whole
        turned = ((along - starts) / cut + 0.5).clamp(0, 1)
        angle = self.heading[..., None] + (
            inside * self.turn[..., None, :] + turned * self.corner[..., None, :]
        ).sum(-1)
        way = torch.stack([angle.cos(), angle.sin()], -1) * (whole / (samples - 1))
        return torch.cat([torch.zeros_like(way[..., :1, :]), way.cumsum(-2)], -2)


def bent(points: Tensor, far: float, fast: float, rng: torch.Generator) -> Tensor:
    """Points on a sheet that is bent, so that strokes that met still meet.

    Args:
        points: ``(n, m, 2)``; each of the n has a smooth random field of its own.
        far: spread of the way that each of three waves pushes, 1 is half the image.
        fast: about how many waves there are, 1 being the slow sway of a hand.
        chance: what to draw from.

    Returns:
        ``(n, m, 2)``.
    """
    n = len(points)
    for _ in range(3):
        wave = fast * 2.0 * normal(rng, n, 2, 1)
        phase = 2 * math.pi * uniform(rng, n, 1, 1)
        push = far * normal(rng, n, 1, 2)
        points = points + push * torch.sin(points @ wave + phase)
    return points


def ink(points: Tensor, size: int, pen: int) -> Tensor:
    """Ink under a round pen that is set down on each point.

    Args:
        points: ``(n, m, 2)``, x to the right and y downwards, -1 … 1 from edge to edge. NaN is not
            drawn, nor what lies outside.
        size: pixels along a side.
        pen: its diameter, pixels.

    Returns:
        bool ``(n, size, size)``.
    """
    side, reach = size + pen, pen // 2
    inside = ((points >= -1) & (points < 1)).all(-1)
    # The middle of an odd pen falls on a pixel, that of an even one on a corner of four.
    pixel = (points + 1) * (size / 2) + (0.5 if pen % 2 == 0 else 0.0)
    place = pixel.nan_to_num().clamp(0, size).long()
    index = (place[..., 1] * side + place[..., 0]).masked_fill_(~inside, side * side)
    dots = torch.zeros((len(points), side * side + 1), dtype=torch.bool)
    dots = dots.scatter_(1, index, True)[:, :-1].flatten()
    # The pen's pixels, counted from its top left corner: a shift of the whole flat array each. The
    # last pen - 1 columns and rows of an image have no dot, so no ink spills into the next.
    wet = torch.zeros_like(dots)
    for y in range(pen):
        for x in range(pen):
            if math.hypot(y - (pen - 1) / 2, x - (pen - 1) / 2) <= pen / 2:
                shift = y * side + x
                wet[shift:] |= dots[: len(dots) - shift]
    return wet.view(-1, side, side)[:, reach : reach + size, reach : reach + size]
