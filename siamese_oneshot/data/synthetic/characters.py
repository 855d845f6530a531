"""An alphabet thought up: its style, the strokes it likes, and how its characters are put together.

In the spirit of Lake, Salakhutdinov, Tenenbaum (2015): characters are strokes, strokes are parts,
and a stroke begins or crosses somewhere on one that is there already. An alphabet's style says
which parts, directions and joints are usual in it, and strokes come back in several characters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.synthetic.strokes import PARTS, Strokes, ink, normal, uniform

STROKES = 5  # of a character, at most
_STOCK = 12  # strokes that come back


@dataclass(frozen=True)
class Characters:
    """Characters as programs; ``(…, STROKES)`` each, before whatever else is said.

    Attributes:
        strokes: the strokes themselves.
        drawn: bool: the character has such a stroke.
        parent: int64: the stroke that each is joined to, an earlier one.
        there: 0 … 1: where on that stroke.
        here: 0 … 1: with which place of its own.
        away: ``(…, STROKES, 2)``: how far from there; 0 for strokes that meet.
        scale: ``(…)``: by which all is to be multiplied to fill about -1 … 1.
        center: ``(…, 2)``: and what is then to be taken off.
    """

    strokes: Strokes
    drawn: Tensor
    parent: Tensor
    there: Tensor
    here: Tensor
    away: Tensor
    scale: Tensor
    center: Tensor

    def lines(self, samples: int) -> Tensor:
        """``(…, STROKES, samples, 2)``; NaN where a character has no such stroke."""
        paths = self.strokes.paths(samples)
        last = samples - 1
        mine = _at(paths, (self.here * last).round().long())
        parts: list[Tensor] = []
        for k in range(STROKES):
            start = self.away[..., k, :] - mine[..., k, :]
            if k:
                others = torch.stack(parts, -3)  # (…, k, samples, 2)
                index = self.parent[..., k, None, None, None]
                one = others.gather(-3, index.expand(*others.shape[:-3], 1, *others.shape[-2:]))
                where = (self.there[..., k] * last).round().long()
                start = start + _at(one.squeeze(-3), where)
            parts.append(paths[..., k, :, :] + start[..., None, :])
        line = torch.stack(parts, -3) * self.scale[..., None, None, None]
        line = line - self.center[..., None, None, :]
        return line.masked_fill(~self.drawn[..., None, None], math.nan)


def _at(lines: Tensor, number: Tensor) -> Tensor:
    """Point ``number`` ``(…)`` of each line ``(…, samples, 2)``; → ``(…, 2)``."""
    index = number[..., None, None].expand(*number.shape, 1, 2)
    return lines.gather(-2, index).squeeze(-2)


def invent(count: int, rng: torch.Generator) -> Characters:
    """The characters of one alphabet, ``(count,)``, no two alike."""
    many = 3 * count // 2 + 16
    style = _Style(rng)
    stock, fresh = style.strokes(_STOCK), style.strokes(many * STROKES)
    pick = torch.randint(_STOCK, (many * STROKES,), generator=rng)
    new = uniform(rng, many * STROKES) < style.novelty
    strokes = Strokes(
        *(
            torch.where(new.view(-1, *[1] * (one.ndim - 1)), other, one[pick]).view(
                many, STROKES, *one.shape[1:]
            )
            for one, other in zip(vars(stock).values(), vars(fresh).values(), strict=True)
        )
    )
    made = style.joined(strokes, many)
    line = made.lines(24).flatten(1, 2)  # (many, points, 2)
    low = line.nan_to_num(math.inf).amin(1)
    high = line.nan_to_num(-math.inf).amax(1)
    half = ((high - low) / 2).amax(1)
    # A dot is not blown up to the size of the others.
    scale = (torch.exp(0.2 * normal(rng, many)) / half).clamp(max=style.largest)
    made = replace(made, scale=scale, center=scale[:, None] * (low + high) / 2)
    # Far apart, but of few candidates: an alphabet whose characters differ as much as they can is
    # too easy to read.
    return _some(made, far_apart(sketch(made), count))


def sketch(characters: Characters) -> Tensor:
    """Each character as a blurred 12 × 12 image, flat: what it looks like from afar."""
    image = ink(0.8 * characters.lines(48).flatten(1, 2), 24, 1)
    return F.avg_pool2d(image[:, None].double(), 4, 2, 1).flatten(1)


def far_apart(looks: Tensor, count: int) -> Tensor:
    """Rows of ``looks`` each as far as can be from those before it, so that no two are alike."""
    chosen = [0]
    nearest = (looks - looks[0]).square().sum(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (looks - looks[chosen[-1]]).square().sum(1))
    return torch.tensor(chosen)


def _some(made: Characters, which: Tensor) -> Characters:
    return Characters(**{name: value[which] for name, value in vars(made).items()})


class _Style:
    """What is usual in one alphabet."""

    def __init__(self, rng: torch.Generator) -> None:
        self.rng = rng

        def odds(*usual: float, spread: float = 0.8) -> Tensor:
            base = torch.tensor(usual, dtype=torch.float64)
            return base * torch.exp(spread * normal(rng, len(usual)))

        self.parts = odds(0.45, 0.35, 0.2)  # 1, 2, 3 of them in a stroke
        self.kinds = odds(0.56, 0.34, 0.07, 0.03)  # straight, arc, loop, dot
        self.directions = odds(*[0.125] * 8, spread=1.0)
        self.lattice = float(uniform(rng)) < 0.75  # directions, corners and arcs come in eighths
        self.skew = 0.1 * normal(rng)
        self.smooth = 0.1 + 0.6 * uniform(rng)  # chance that parts follow without a corner
        self.handed = 0.5 + 0.35 * normal(rng).clamp(-1, 1)  # chance of a turn to the right
        self.straight = 0.12 * uniform(rng)  # how bent straight parts are
        self.radius = 0.25 + 0.3 * uniform(rng)
        self.round = uniform(rng)
        self.usual = 1.4 + 1.5 * uniform(rng)  # strokes in a character
        self.novelty = 0.15 + 0.75 * uniform(rng)
        self.apart = 0.3 * uniform(rng) ** 2  # chance that a stroke touches no other
        self.joints = odds(0.35, 0.3, 0.35)  # begin, middle and end meet
        self.free = 0.5 * uniform(rng)  # or any place
        self.largest = 1.2 + 0.8 * uniform(rng)

    def strokes(self, n: int) -> Strokes:
        """Strokes ``(n,)`` of this style."""
        rng = self.rng
        parts = 1 + torch.multinomial(self.parts, n, True, generator=rng)
        there = torch.arange(PARTS) < parts[:, None]
        kind = torch.multinomial(self.kinds, n * PARTS, True, generator=rng).view(n, PARTS)
        kind = torch.where((kind == 3) & (torch.arange(PARTS) > 0), 0, kind)
        there[:, 1:] &= kind[:, :1] != 3  # a dot is all there is
        right = torch.where(uniform(rng, n, PARTS) < self.handed, 1.0, -1.0).double()

        steps = torch.tensor([0.45, 0.8, 1.2, 1.7], dtype=torch.float64)
        pace = steps[torch.randint(4, (n, PARTS), generator=rng)] / parts[:, None].sqrt()
        straight = pace * torch.exp(0.12 * normal(rng, n, PARTS))
        angles = torch.tensor([2, 3, 4, 4, 5, 6], dtype=torch.float64) * (math.pi / 4)
        arc = angles[torch.randint(6, (n, PARTS), generator=rng)]
        arc = arc * torch.exp((0.05 if self.lattice else 0.3) * normal(rng, n, PARTS))
        ring = 2 * math.pi * (1 + 0.08 * normal(rng, n, PARTS))
        radius = self.radius * torch.exp(0.35 * normal(rng, n, PARTS))

        bend = self.straight * normal(rng, n, PARTS)
        turn = torch.where(kind == 0, bend, right * torch.where(kind == 1, arc, ring))
        length = torch.where(kind == 0, straight, turn.abs() * radius)
        length = torch.where(kind == 2, 0.85 * length, length)
        length = torch.where(kind == 3, 0.06, length) * there
        longest = 2.6 * torch.exp(0.2 * normal(rng, n, 1))
        length = length * (longest / length.sum(1, keepdim=True)).clamp(max=1)

        eighth = 1 + torch.randint(3, (n, PARTS), generator=rng)
        sharp = eighth * (math.pi / 4) * torch.where(uniform(rng, n, PARTS) < 0.5, 1.0, -1.0)
        if not self.lattice:
            sharp = sharp + 0.25 * normal(rng, n, PARTS)
        corner = torch.where(uniform(rng, n, PARTS) < self.smooth, 0.0, sharp)
        corner = corner.masked_fill(torch.arange(PARTS) == 0, 0.0)

        way = torch.multinomial(self.directions, n, True, generator=rng) * (math.pi / 4)
        loose = (0.06 if self.lattice else 0.4) * normal(rng, n)
        # The heading of a bow is that of its chord.
        heading = way + self.skew + loose - 0.5 * torch.where(kind[:, 0] == 1, turn[:, 0], 0.0)
        roundness = (self.round + 0.2 * normal(rng, n)).clamp(0, 1)
        return Strokes(heading, length, turn, corner, roundness)

    def joined(self, strokes: Strokes, n: int) -> Characters:
        """Characters ``(n,)`` of strokes ``(n, STROKES)``."""
        rng = self.rng
        wanted = (self.usual + 0.8 * normal(rng, n)).round().clamp(1, STROKES)
        before = torch.arange(STROKES).clamp(min=1)
        parent = (uniform(rng, n, STROKES) * before).long()

        def place() -> Tensor:
            joint = torch.multinomial(self.joints, n * STROKES, True, generator=rng) / 2
            anywhere = uniform(rng, n, STROKES)
            return torch.where(uniform(rng, n, STROKES) < self.free, anywhere,
                               joint.view(n, STROKES).double())  # fmt: skip

        there, here = place(), place()
        loose = uniform(rng, n, STROKES, 1) < self.apart
        away = torch.where(loose, 0.7 * normal(rng, n, STROKES, 2), 0.0)
        return Characters(
            strokes,
            torch.arange(STROKES) < wanted[:, None],
            parent,
            there,
            here,
            away,
            torch.ones(n, dtype=torch.float64),
            torch.zeros(n, 2, dtype=torch.float64),
        )
