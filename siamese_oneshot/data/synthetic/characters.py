"""Characters of a generated alphabet, in the spirit of Lake, Salakhutdinov and Tenenbaum (2015).

A character is a list of strokes, a stroke is a list of parts, and each stroke touches an earlier
one. An alphabet's style makes some parts, directions and joints more likely, and its characters
share strokes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.synthetic.strokes import MAX_PARTS, Strokes, normal, rasterize, uniform

MAX_STROKES = 5  # of a character
_SHARED_STROKES = 12  # of an alphabet


@dataclass(frozen=True)
class Characters:
    """Characters as strokes and joints; attributes are ``(…, MAX_STROKES)`` unless stated.

    Attributes:
        strokes: The strokes.
        present: bool: whether the character has this stroke.
        parent: int64: the earlier stroke that each stroke is joined to.
        parent_point: 0 … 1: position of the joint on that stroke.
        own_point: 0 … 1: position of the joint on the stroke itself.
        gap: ``(…, MAX_STROKES, 2)``: distance at the joint; 0 for strokes that meet.
        scale: ``(…)``: scale that makes the character fill about -1 … 1.
        center: ``(…, 2)``: subtracted after scaling.
    """

    strokes: Strokes
    present: Tensor
    parent: Tensor
    parent_point: Tensor
    own_point: Tensor
    gap: Tensor
    scale: Tensor
    center: Tensor

    def lines(self, samples: int) -> Tensor:
        """``(…, MAX_STROKES, samples, 2)``; NaN for absent strokes."""
        paths = self.strokes.paths(samples)
        last = samples - 1
        own = _points_at(paths, (self.own_point * last).round().long())
        lines: list[Tensor] = []
        for k in range(MAX_STROKES):
            start = self.gap[..., k, :] - own[..., k, :]
            if k:
                earlier = torch.stack(lines, -3)  # (…, k, samples, 2)
                index = self.parent[..., k, None, None, None]
                index = index.expand(*earlier.shape[:-3], 1, *earlier.shape[-2:])
                parent = earlier.gather(-3, index).squeeze(-3)
                joint = (self.parent_point[..., k] * last).round().long()
                start = start + _points_at(parent, joint)
            lines.append(paths[..., k, :, :] + start[..., None, :])
        line = torch.stack(lines, -3) * self.scale[..., None, None, None]
        line = line - self.center[..., None, None, :]
        return line.masked_fill(~self.present[..., None, None], math.nan)


def _points_at(lines: Tensor, number: Tensor) -> Tensor:
    """Point ``number`` ``(…)`` of each line ``(…, samples, 2)``: ``(…, 2)``."""
    index = number[..., None, None].expand(*number.shape, 1, 2)
    return lines.gather(-2, index).squeeze(-2)


def invent_characters(count: int, rng: torch.Generator) -> Characters:
    """The characters of one alphabet, ``(count,)``, no two alike."""
    n = 3 * count // 2 + 16
    style = _Style(rng)
    shared, fresh = style.strokes(_SHARED_STROKES), style.strokes(n * MAX_STROKES)
    pick = torch.randint(_SHARED_STROKES, (n * MAX_STROKES,), generator=rng)
    new = uniform(rng, n * MAX_STROKES) < style.novelty
    strokes = Strokes(
        *(
            torch.where(new.view(-1, *[1] * (old.ndim - 1)), own, old[pick]).view(
                n, MAX_STROKES, *old.shape[1:]
            )
            for old, own in zip(vars(shared).values(), vars(fresh).values(), strict=True)
        )
    )
    characters = style.join(strokes, n)
    line = characters.lines(24).flatten(1, 2)  # (n, points, 2)
    low = line.nan_to_num(math.inf).amin(1)
    high = line.nan_to_num(-math.inf).amax(1)
    half = ((high - low) / 2).amax(1)
    # A dot is not enlarged to the size of other characters.
    scale = (torch.exp(0.2 * normal(rng, n)) / half).clamp(max=style.max_scale)
    characters = replace(characters, scale=scale, center=scale[:, None] * (low + high) / 2)
    # Characters must differ, but only 1.5 candidates each: with characters as different as
    # possible the alphabet would be too easy.
    chosen = farthest_points(thumbnails(characters), count)
    return Characters(**{name: value[chosen] for name, value in vars(characters).items()})


def thumbnails(characters: Characters) -> Tensor:
    """Each character as a blurred 12 × 12 image, flattened."""
    image = rasterize(0.8 * characters.lines(48).flatten(1, 2), 24, 1)
    return F.avg_pool2d(image[:, None].double(), 4, 2, 1).flatten(1)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices of ``count`` rows, each as far as possible from those before it."""
    chosen = [0]
    nearest = (points - points[0]).square().sum(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    return torch.tensor(chosen)


class _Style:
    """What is usual in one alphabet."""

    def __init__(self, rng: torch.Generator) -> None:
        self.rng = rng

        def weights(*means: float, spread: float = 0.8) -> Tensor:
            base = torch.tensor(means, dtype=torch.float64)
            return base * torch.exp(spread * normal(rng, len(means)))

        self.parts = weights(0.45, 0.35, 0.2)  # 1, 2, 3 of them in a stroke
        self.kinds = weights(0.56, 0.34, 0.07, 0.03)  # straight, arc, loop, dot
        self.directions = weights(*[0.125] * 8, spread=1.0)
        self.lattice = float(uniform(rng)) < 0.75  # directions, corners and arcs in eighths
        self.skew = 0.1 * normal(rng)
        self.smooth = 0.1 + 0.6 * uniform(rng)  # probability that parts follow without a corner
        self.right = 0.5 + 0.35 * normal(rng).clamp(-1, 1)  # probability of a turn to the right
        self.bow = 0.12 * uniform(rng)  # curvature of straight parts
        self.radius = 0.25 + 0.3 * uniform(rng)
        self.roundness = uniform(rng)
        self.n_strokes = 1.4 + 1.5 * uniform(rng)  # mean number in a character
        self.novelty = 0.15 + 0.75 * uniform(rng)  # probability of a stroke that is not shared
        self.apart = 0.3 * uniform(rng) ** 2  # probability that a stroke touches no other
        self.joints = weights(0.35, 0.3, 0.35)  # start, middle and end meet
        self.free = 0.5 * uniform(rng)  # probability of any other point
        self.max_scale = 1.2 + 0.8 * uniform(rng)

    def strokes(self, n: int) -> Strokes:
        """Strokes ``(n,)`` of this style."""
        rng = self.rng
        parts = 1 + torch.multinomial(self.parts, n, True, generator=rng)
        present = torch.arange(MAX_PARTS) < parts[:, None]
        kind = torch.multinomial(self.kinds, n * MAX_PARTS, True, generator=rng)
        kind = kind.view(n, MAX_PARTS)
        kind = torch.where((kind == 3) & (torch.arange(MAX_PARTS) > 0), 0, kind)
        present[:, 1:] &= kind[:, :1] != 3  # a dot is a stroke of one part
        side = torch.where(uniform(rng, n, MAX_PARTS) < self.right, 1.0, -1.0).double()

        lengths = torch.tensor([0.45, 0.8, 1.2, 1.7], dtype=torch.float64)
        pace = lengths[torch.randint(4, (n, MAX_PARTS), generator=rng)] / parts[:, None].sqrt()
        straight = pace * torch.exp(0.12 * normal(rng, n, MAX_PARTS))
        angles = torch.tensor([2, 3, 4, 4, 5, 6], dtype=torch.float64) * (math.pi / 4)
        arc = angles[torch.randint(6, (n, MAX_PARTS), generator=rng)]
        arc = arc * torch.exp((0.05 if self.lattice else 0.3) * normal(rng, n, MAX_PARTS))
        loop = 2 * math.pi * (1 + 0.08 * normal(rng, n, MAX_PARTS))
        radius = self.radius * torch.exp(0.35 * normal(rng, n, MAX_PARTS))

        bow = self.bow * normal(rng, n, MAX_PARTS)
        turn = torch.where(kind == 0, bow, side * torch.where(kind == 1, arc, loop))
        length = torch.where(kind == 0, straight, turn.abs() * radius)
        length = torch.where(kind == 2, 0.85 * length, length)
        length = torch.where(kind == 3, 0.06, length) * present
        longest = 2.6 * torch.exp(0.2 * normal(rng, n, 1))
        length = length * (longest / length.sum(1, keepdim=True)).clamp(max=1)

        eighths = 1 + torch.randint(3, (n, MAX_PARTS), generator=rng)
        sign = torch.where(uniform(rng, n, MAX_PARTS) < 0.5, 1.0, -1.0)
        sharp = eighths * (math.pi / 4) * sign
        if not self.lattice:
            sharp = sharp + 0.25 * normal(rng, n, MAX_PARTS)
        corner = torch.where(uniform(rng, n, MAX_PARTS) < self.smooth, 0.0, sharp)
        corner = corner.masked_fill(torch.arange(MAX_PARTS) == 0, 0.0)

        direction = torch.multinomial(self.directions, n, True, generator=rng) * (math.pi / 4)
        jitter = (0.06 if self.lattice else 0.4) * normal(rng, n)
        # An arc's direction is that of its chord.
        chord = 0.5 * torch.where(kind[:, 0] == 1, turn[:, 0], 0.0)
        heading = direction + self.skew + jitter - chord
        roundness = (self.roundness + 0.2 * normal(rng, n)).clamp(0, 1)
        return Strokes(heading, length, turn, corner, roundness)

    def join(self, strokes: Strokes, n: int) -> Characters:
        """Characters ``(n,)`` of strokes ``(n, MAX_STROKES)``."""
        rng = self.rng
        count = (self.n_strokes + 0.8 * normal(rng, n)).round().clamp(1, MAX_STROKES)
        earlier = torch.arange(MAX_STROKES).clamp(min=1)
        parent = (uniform(rng, n, MAX_STROKES) * earlier).long()

        def joint_points() -> Tensor:
            usual = torch.multinomial(self.joints, n * MAX_STROKES, True, generator=rng) / 2
            free = uniform(rng, n, MAX_STROKES)
            return torch.where(
                uniform(rng, n, MAX_STROKES) < self.free, free, usual.view(n, MAX_STROKES).double()
            )

        parent_point, own_point = joint_points(), joint_points()
        apart = uniform(rng, n, MAX_STROKES, 1) < self.apart
        gap = torch.where(apart, 0.7 * normal(rng, n, MAX_STROKES, 2), 0.0)
        return Characters(
            strokes,
            torch.arange(MAX_STROKES) < count[:, None],
            parent,
            parent_point,
            own_point,
            gap,
            torch.ones(n, dtype=torch.float64),
            torch.zeros(n, 2, dtype=torch.float64),
        )
