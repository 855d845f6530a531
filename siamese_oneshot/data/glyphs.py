"""Generated alphabets: characters of smooth strokes, each drawer with a hand of their own.

What tests without Omniglot use, and what the default experiment goes on with where Omniglot cannot
be had. An alphabet has a style: how many strokes, how curved, with loops or dots, and a small stock
of strokes that its characters share. A drawer has a hand: slant, size, place, roundness, overshoot
and pen, the same in all that they draw of an alphabet, give or take a slip in each drawing. Ink,
width of line, size and the spread of these over drawers are near those of Omniglot.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot import setting
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.strokes import POINTS, STOCK, bent, ink, lines, normal, stock, uniform
from siamese_oneshot.errors import UserError

MOST_ALPHABETS, MOST_CHARACTERS = 999, 99  # what the names' digits hold, so that names sort

_STROKES = 5  # of a character, at most


def draw_alphabets(
    alphabets: int = 50,
    characters: tuple[int, int] = (20, 40),
    drawers: int = 20,
    size: int = 105,
    seed: int = 0,
) -> Drawings:
    """Invent alphabets and have them drawn.

    Alphabet k depends on the seed and k alone (given the other arguments), not on how many are
    asked for.

    Args:
        alphabets: how many, 1 … 999.
        characters: the smallest and largest number of characters of an alphabet, 1 … 99.
        drawers: who each draw every character once.
        size: pixels along a side, at least 8.
        seed: of everything; 0 or more.

    Returns:
        The drawings, one-bit (0 or 255), ``source="glyphs"``.

    Raises:
        UserError: numbers that make no alphabet, with the setting at fault.
    """
    _check(alphabets, characters, drawers, size, seed)
    pixels, counts = [], []
    for number in range(alphabets):
        state = np.random.SeedSequence([seed, number]).generate_state(1)
        chance = torch.Generator().manual_seed(int(state[0]))
        count = int(torch.randint(characters[0], characters[1] + 1, (), generator=chance))
        points, roundness = _invent(count, chance)
        pixels.append(_write(points, roundness, drawers, size, chance))
        counts.append(count)
    names = tuple(f"Generated_{number + 1:03d}" for number in range(alphabets))
    classes = sum(counts)
    return Drawings(
        pixels=torch.cat(pixels),
        classes=torch.repeat_interleave(torch.arange(classes), drawers),
        drawers=torch.arange(drawers).repeat(classes),
        class_names=tuple(
            f"{name}/character{k + 1:02d}"
            for name, count in zip(names, counts, strict=True)
            for k in range(count)
        ),
        alphabet_names=names,
        class_alphabets=torch.repeat_interleave(torch.arange(alphabets), torch.tensor(counts)),
        source="glyphs",
    )


def _check(alphabets: int, characters: tuple[int, int], drawers: int, size: int, seed: int) -> None:
    """Refuse what cannot be drawn."""
    where = "data.glyphs"
    setting.whole(f"{where}.alphabets", alphabets, 1, MOST_ALPHABETS)
    low, high = setting.wholes(f"{where}.characters", characters, 1, MOST_CHARACTERS, 2)
    if low > high:
        raise UserError(f"{where}.characters={characters}: the smaller number comes first")
    setting.whole(f"{where}.drawers", drawers, 1)
    setting.whole(f"{where}.size", size, 8)
    setting.whole(f"{where}.seed", seed, 0)


def _invent(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """The characters of one alphabet.

    Returns:
        Control points ``(count, strokes, POINTS, 2)`` in about -1 … 1, NaN where a character has no
        such stroke; and the roundness ``(count, strokes)`` of each.
    """
    shapes, softness, dot = stock(chance)
    many = 3 * count // 2 + 16
    usual = 1.5 + 1.5 * uniform(chance)
    loose = 0.06 * uniform(chance)  # a stroke that touches no other
    wanted = (usual + 0.8 * normal(chance, many)).round().clamp(1, _STROKES)
    drawn = torch.arange(_STROKES) < wanted[:, None]

    # Which strokes of the stock meet, and which are too alike to stand in one character.
    dense = lines(shapes, softness, 24)
    apart = torch.cdist(dense.flatten(0, 1), dense.flatten(0, 1)).view(STOCK, 24, STOCK, 24)
    touch = (apart.amin((1, 3)) < 0.12).double()
    strays = apart.amin(3).amax(1)  # how far a stroke gets from another
    cover = torch.minimum(strays, strays.T) < 0.4
    length = dense.diff(dim=1).norm(dim=-1).sum(1)

    weight = (length * ~dot).expand(many, -1)  # begin with a long stroke
    pick = torch.multinomial(weight, 1, generator=chance)
    for _ in range(_STROKES - 1):
        met = touch[pick].amax(1)
        weight = torch.where(dot, 0.5, met + loose) + 1e-9
        weight = weight.masked_fill(cover[pick].any(1), 1e-12)
        weight = weight.scatter(1, pick, 0.0)
        pick = torch.cat([pick, torch.multinomial(weight, 1, generator=chance)], 1)

    points = bent(shapes[pick].flatten(1, 2), 0.07, 1.0, chance).view(many, _STROKES, POINTS, 2)
    roundness = softness[pick]
    points = points.masked_fill(~drawn[..., None, None], math.nan)
    # Far apart, but of few candidates: an alphabet whose characters differ as much as they can is
    # too easy to read.
    chosen = _far_apart(_sketch(points, roundness), count)
    return points[chosen], roundness[chosen]


def _sketch(points: Tensor, roundness: Tensor) -> Tensor:
    """Each character as a blurred 12 × 12 picture, flat: what it looks like from afar."""
    picture = ink(0.8 * lines(points, roundness, 24).flatten(1, 2), 24, 1)
    return F.avg_pool2d(picture[:, None].double(), 4, 2, 1).flatten(1)


def _far_apart(looks: Tensor, count: int) -> list[int]:
    """Rows of ``looks`` each as far as can be from those before it, so that no two are alike."""
    chosen = [0]
    nearest = (looks - looks[0]).square().sum(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (looks - looks[chosen[-1]]).square().sum(1))
    return chosen


def _write(
    strokes: Tensor, roundness: Tensor, drawers: int, size: int, chance: torch.Generator
) -> Tensor:
    """All characters by all drawers: uint8 ``(characters * drawers, size, size)``."""
    count = len(strokes)

    def hand(always: float, slip: float, *shape: int) -> Tensor:
        """A trait of each drawer and how it slips in each drawing: ``(count, drawers, …)``."""
        own = always * normal(chance, 1, drawers, *shape)
        return own + slip * normal(chance, count, drawers, *shape)

    points = strokes[:, None] + 0.05 * normal(chance, count, drawers, *strokes.shape[1:])
    points = points + 0.06 * normal(chance, count, drawers, _STROKES, 1, 2)
    over = 0.04 + hand(0.06, 0.08, _STROKES, 1)
    points[..., 0, :] += over * (points[..., 0, :] - points[..., 1, :])
    points[..., -1, :] += over * (points[..., -1, :] - points[..., -2, :])
    softer = (roundness[:, None] + hand(0.3, 0.15, 1)).clamp(0, 1)
    line = lines(points, softer, max(size, 32)).flatten(2, 3)  # (count, drawers, points, 2)
    line = bent(line.flatten(0, 1), 0.085, 0.8, chance)  # how a drawing comes out this time
    line = bent(line, 0.004, 5.0, chance).view(count, drawers, -1, 2)  # and a trembling hand

    angle, slant = hand(0.05, 0.05), hand(0.1, 0.06)
    scale = 0.49 * torch.exp(0.1 * normal(chance) + hand(0.09, 0.07, 1) + hand(0.06, 0.05, 2))
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, -sin + slant * cos], -1)
    down = torch.stack([sin, cos + slant * sin], -1)
    matrix = torch.stack([across, down], -2) * scale[..., None, :]
    line = line @ matrix.mT
    line = _placed(line, hand(0.06, 0.08, 2))

    # Omniglot's lines are 5 pixels wide.
    pens = (size / 105 * (5 + 0.4 * normal(chance, drawers))).round().clamp(min=1)
    out = torch.empty((count, drawers, size, size), dtype=torch.bool)
    for pen in pens.unique():
        who = pens == pen
        part = ink(line[:, who].flatten(0, 1), size, int(pen))
        out[:, who] = part.unflatten(0, (count, -1))
    return out.flatten(0, 1).to(torch.uint8) * 255


def _placed(line: Tensor, place: Tensor) -> Tensor:
    """Drawings ``(…, points, 2)`` moved by ``place``, and then as needed to stay on the paper."""
    line = line + place[..., None, :]
    low = line.nan_to_num(math.inf).amin(-2, keepdim=True)
    high = line.nan_to_num(-math.inf).amax(-2, keepdim=True)
    half = (high - low) / 2
    room = 0.92  # of 1, for the pen has a width
    shrink = (room / half.amax(-1, keepdim=True)).clamp(max=1)
    middle = (low + high) / 2
    limit = room - half * shrink
    return (line - middle) * shrink + middle.clamp(-limit, limit)
