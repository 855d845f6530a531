"""Strokes: an alphabet's stock of them, drawn out as lines, and as ink under a round pen."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

POINTS = 5  # control points of a stroke
STOCK = 12  # strokes that an alphabet's characters are made of
# What a stroke may be, and how often before an alphabet's style has its say.
KINDS = {
    "line": 0.3,
    "bow": 0.26,
    "corner": 0.16,
    "wave": 0.07,
    "hook": 0.08,
    "loop": 0.1,
    "dot": 0.05,
}


def uniform(chance: torch.Generator, *shape: int) -> Tensor:
    """Evenly from 0 to 1, as doubles: a sum in another order must not move ink by a pixel."""
    return torch.rand(shape, generator=chance, dtype=torch.float64)


def normal(chance: torch.Generator, *shape: int) -> Tensor:
    """Normally distributed with spread 1, as doubles."""
    return torch.randn(shape, generator=chance, dtype=torch.float64)


def stock(chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The strokes that one alphabet's characters are made of.

    They run between anchors, the crossings of a crooked lattice, so that strokes meet. How often
    each kind occurs, how deep the curves are, how wide the loops and how soft the corners is the
    alphabet's style.

    Returns:
        Points ``(STOCK, POINTS, 2)`` in about -1 … 1, x to the right and y downwards; the roundness
        ``(STOCK,)`` 0 … 1; and whether a stroke is a dot, bool ``(STOCK,)``. The first is none.
    """
    usual = torch.tensor(list(KINDS.values()), dtype=torch.float64)
    liking = usual * torch.exp(0.9 * normal(chance, len(KINDS)))
    kinds = torch.multinomial(liking, STOCK, replacement=True, generator=chance)
    long = list(KINDS).index("loop")  # the kinds before it; an alphabet has four of them at least
    kinds[:4] = torch.multinomial(liking[:long], 4, replacement=True, generator=chance)

    axis = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    tall = torch.exp(0.12 * normal(chance))
    anchors = torch.cartesian_prod(axis, axis) + 0.1 * normal(chance, 9, 2)
    anchors = anchors * torch.stack([1 / tall, tall])
    first = torch.randint(9, (STOCK,), generator=chance)
    gap = torch.cdist(anchors, anchors)[first]
    second = torch.multinomial(gap**2, 1, generator=chance)[:, 0]  # far rather than near
    start, end = anchors[first][:, None], anchors[second][:, None]

    along = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None]
    circle = torch.cat([(2 * math.pi * along).cos(), (2 * math.pi * along).sin()], 1)
    right = normal(chance, STOCK, 1, 1) > 0
    depth = 0.2 + 0.4 * uniform(chance) + 0.1 * normal(chance, STOCK, 1, 1)
    aside = torch.where(right, depth, -depth) * _across(end - start)
    line = torch.lerp(start, end, along)
    knee = torch.where(right, _mixed(start, end), _mixed(end, start))
    upper, lower = torch.lerp(start, knee, 2 * along), torch.lerp(knee, end, 2 * along - 1)
    wide = (0.16 + 0.45 * uniform(chance)) * torch.exp(0.4 * normal(chance, STOCK, 1, 1))
    away = F.normalize(0.3 * normal(chance, STOCK, 1, 2) - start, dim=-1)  # towards the middle
    shapes = {
        "line": line,
        "bow": line + aside * torch.sin(math.pi * along),
        "corner": torch.where(along < 0.5, upper, lower),
        "wave": line + 0.7 * aside * torch.sin(2 * math.pi * along),
        "hook": line + (0.8 * aside - 0.35 * (end - start)) * (along > 0.8),
        "loop": start + wide * (away - circle @ torch.cat([away, _across(away)], 1)),
        "dot": torch.lerp(start, end, 0.25) + 0.03 * circle,
    }
    points = torch.stack([shapes[name] for name in KINDS])[kinds, torch.arange(STOCK)]
    roundness = 0.2 + uniform(chance) + 0.25 * normal(chance, STOCK) + 0.5 * (kinds == long)
    return points, roundness.clamp(0, 1), kinds == list(KINDS).index("dot")


def _across(way: Tensor) -> Tensor:
    """``way`` turned by a right angle."""
    return torch.stack([-way[..., 1], way[..., 0]], -1)


def _mixed(one: Tensor, other: Tensor) -> Tensor:
    """The x of one point and the y of the other."""
    return torch.stack([one[..., 0], other[..., 1]], -1)


def _bases(samples: int) -> tuple[Tensor, Tensor]:
    """How much each control point counts at each place along a stroke.

    Args:
        samples: places along the stroke.

    Returns:
        Two float64 ``(samples, POINTS)`` of weights that sum to 1 in each row: of the broken line
        through the control points, and of the Catmull-Rom spline, smooth, through the same points.
    """
    place = torch.linspace(0, POINTS - 1, samples, dtype=torch.float64)
    piece = place.floor().clamp(max=POINTS - 2)
    t, first = place - piece, piece.long()
    straight = (1 - t, t)
    smooth = (
        (-(t**3) + 2 * t**2 - t) / 2,
        (3 * t**3 - 5 * t**2 + 2) / 2,
        (-3 * t**3 + 4 * t**2 + t) / 2,
        (t**3 - t**2) / 2,
    )
    out = []
    for parts, offset in ((straight, 0), (smooth, -1)):
        weights = torch.zeros(samples, POINTS, dtype=torch.float64)
        for k, part in enumerate(parts):  # an end stands in for the neighbour it lacks
            point = (first + k + offset).clamp(0, POINTS - 1)
            weights.scatter_add_(1, point[:, None], part[:, None])
        out.append(weights)
    return out[0], out[1]


def lines(points: Tensor, roundness: Tensor, samples: int) -> Tensor:
    """Draw strokes out.

    Args:
        points: ``(…, POINTS, 2)``.
        roundness: 0 (corners) … 1 (smooth), of a shape that ``points.shape[:-2]`` takes.
        samples: points of a line.

    Returns:
        ``(…, samples, 2)``, from the first control point to the last.
    """
    straight, smooth = (basis @ points for basis in _bases(samples))
    return torch.lerp(straight, smooth, roundness[..., None, None].expand_as(smooth))


def bent(points: Tensor, far: float, fast: float, chance: torch.Generator) -> Tensor:
    """Points on a sheet that is bent, so that strokes that met still meet.

    Args:
        points: ``(n, m, 2)``; each of the n has a smooth random field of its own.
        far: spread of the way that each of three waves pushes, 1 is half the picture.
        fast: about how many waves there are, 1 being the slow sway of a hand.
        chance: what to draw from.

    Returns:
        ``(n, m, 2)``.
    """
    n = len(points)
    for _ in range(3):
        wave = fast * 2.0 * normal(chance, n, 2, 1)
        phase = 2 * math.pi * uniform(chance, n, 1, 1)
        push = far * normal(chance, n, 1, 2)
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
    # last pen - 1 columns and rows of a picture have no dot, so no ink spills into the next.
    wet = torch.zeros_like(dots)
    for y in range(pen):
        for x in range(pen):
            if math.hypot(y - (pen - 1) / 2, x - (pen - 1) / 2) <= pen / 2:
                shift = y * side + x
                wet[shift:] |= dots[: len(dots) - shift]
    return wet.view(-1, side, side)[:, reach : reach + size, reach : reach + size]
