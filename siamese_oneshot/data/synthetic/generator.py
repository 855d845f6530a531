"""Generated alphabets: characters of smooth strokes, each drawer with a hand of their own.

What tests without Omniglot use, and what the default experiment goes on with where Omniglot cannot
be had. An alphabet has a style: how many strokes, how curved, with loops or dots, and a small stock
of strokes that its characters share. A drawer has a hand: slant, size, place, roundness, overshoot
and pen, the same in all that they draw of an alphabet, give or take a slip in each image. Ink,
width of line, size and the spread of these over drawers are near those of Omniglot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.synthetic.characters import STROKES, Characters, invent
from siamese_oneshot.data.synthetic.strokes import PARTS, Strokes, bent, ink, normal
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

MOST_ALPHABETS, MOST_CHARACTERS = 999, 99  # what the names' digits hold, so that names sort


def draw_alphabets(
    alphabets: int = 50,
    characters: tuple[int, int] = (20, 40),
    drawers: int = 20,
    size: int = 105,
    seed: int = 0,
    first: int = 0,
    where: str = "data.synthetic",
) -> CharacterDataset:
    """Invent alphabets and have them drawn.

    Alphabet k depends on the seed and k alone (given the other arguments), not on how many are
    asked for.

    Args:
        alphabets: how many, 1 … 999.
        characters: the smallest and largest number of characters of an alphabet, 1 … 99.
        drawers: who each draw every character once.
        size: pixels along a side, at least 8.
        seed: of everything; 0 or more.
        first: the number of the first alphabet, from 0; alphabets of other numbers are others.
        where: the settings' place in the configuration, for messages.

    Returns:
        The images, one-bit (0 or 255), ``source="synthetic"``.

    Raises:
        UserError: numbers that make no alphabet, with the setting at fault.
    """
    check_sizes(where, alphabets, characters, drawers, seed, size)
    pixels, counts = [], []
    for number in range(first, first + alphabets):
        state = np.random.SeedSequence([seed, number]).generate_state(1)
        rng = torch.Generator().manual_seed(int(state[0]))
        count = int(torch.randint(characters[0], characters[1] + 1, (), generator=rng))
        pixels.append(_write(invent(count, rng), drawers, size, rng))
        counts.append(count)
    return named(torch.cat(pixels), counts, drawers, first)


def named(pixels: Tensor, counts: Sequence[int], drawers: int, first: int = 0) -> CharacterDataset:
    """Images of generated alphabets with their names.

    Args:
        pixels: uint8 ``(n, side, side)``, by alphabet, character and drawer.
        counts: characters of each alphabet.
        drawers: of each character.
        first: the number of the first alphabet.
    """
    names = tuple(f"Generated_{first + k + 1:03d}" for k in range(len(counts)))
    classes = sum(counts)
    return CharacterDataset(
        pixels=pixels,
        classes=torch.repeat_interleave(torch.arange(classes), drawers),
        drawers=torch.arange(drawers).repeat(classes),
        class_names=tuple(
            f"{name}/character{k + 1:02d}"
            for name, count in zip(names, counts, strict=True)
            for k in range(count)
        ),
        alphabet_names=names,
        class_alphabets=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        source="synthetic",
    )


def check_sizes(
    where: str,
    alphabets: int,
    characters: tuple[int, int],
    drawers: int,
    seed: int,
    size: int = 105,
) -> None:
    """Refuse what ``draw_alphabets`` cannot draw.

    Raises:
        UserError: the setting at fault.
    """
    check.integer("alphabets", alphabets, 1, MOST_ALPHABETS)
    low, high = check.integers("characters", characters, 1, MOST_CHARACTERS, 2)
    if low > high:
        raise UserError(f"{where}.characters={characters}: the smaller number comes first")
    check.integer("drawers", drawers, 1)
    check.integer("size", size, 8)
    check.seed("seed", seed)


def _write(characters: Characters, drawers: int, size: int, rng: torch.Generator) -> Tensor:
    """All characters by all drawers: uint8 ``(characters * drawers, size, size)``."""
    count = len(characters.drawn)

    def hand(always: float, slip: float, *shape: int) -> Tensor:
        """A trait of each drawer and how it slips in each image: ``(count, drawers, …)``."""
        own = always * normal(rng, 1, drawers, *shape)
        return own + slip * normal(rng, count, drawers, *shape)

    told = characters.strokes
    each = (slice(None), None)  # a drawer's own copy
    strokes = Strokes(
        told.heading[each] + hand(0.03, 0.07, STROKES),
        told.length[each] * torch.exp(hand(0.03, 0.1, STROKES, PARTS)),
        told.turn[each] * torch.exp(hand(0.06, 0.1, 1, 1) + hand(0, 0.08, STROKES, PARTS))
        + hand(0.02, 0.07, STROKES, PARTS),
        told.corner[each] * torch.exp(hand(0.05, 0.1, STROKES, PARTS)),
        (told.roundness[each] + hand(0.3, 0.15, 1)).clamp(0, 1),
    )
    many = (count, drawers)
    written = Characters(
        strokes,
        characters.drawn[each].expand(*many, STROKES),
        characters.parent[each].expand(*many, STROKES),
        (characters.there[each] + hand(0, 0.04, STROKES)).clamp(0, 1),
        (characters.here[each] + hand(0, 0.04, STROKES)).clamp(0, 1),
        characters.away[each] + hand(0.02, 0.05, STROKES, 2),
        characters.scale[each].expand(many),
        characters.center[each].expand(*many, 2),
    )
    line = written.lines(max(size, 32)).flatten(2, 3)  # (count, drawers, points, 2)
    line = bent(line.flatten(0, 1), 0.06, 0.8, rng)  # how an image comes out this time
    line = bent(line, 0.004, 5.0, rng).view(*many, -1, 2)  # and a trembling hand

    angle, slant = hand(0.05, 0.05), hand(0.1, 0.06)
    scale = torch.tensor([0.55, 0.61]) * torch.exp(
        0.1 * normal(rng, 2) + hand(0.08, 0.05, 1) + hand(0.05, 0.04, 2)
    )
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, -sin + slant * cos], -1)
    down = torch.stack([sin, cos + slant * sin], -1)
    matrix = torch.stack([across, down], -2) * scale[..., None, :]
    line = line @ matrix.mT
    line = _placed(line, torch.tensor([-0.04, -0.06]) + hand(0.06, 0.06, 2))

    # Omniglot's lines are 5 pixels wide.
    pens = (size / 105 * (5 + 0.4 * normal(rng, drawers))).round().clamp(min=1)
    out = torch.empty((count, drawers, size, size), dtype=torch.bool)
    for pen in pens.unique():
        who = pens == pen
        part = ink(line[:, who].flatten(0, 1), size, int(pen))
        out[:, who] = part.unflatten(0, (count, -1))
    return out.flatten(0, 1).to(torch.uint8) * 255


def _placed(line: Tensor, place: Tensor) -> Tensor:
    """Images ``(…, points, 2)`` moved by ``place``, and then as needed to stay on the paper."""
    line = line + place[..., None, :]
    low = line.nan_to_num(math.inf).amin(-2, keepdim=True)
    high = line.nan_to_num(-math.inf).amax(-2, keepdim=True)
    half = (high - low) / 2
    room = 0.92  # of 1, for the pen has a width
    shrink = (room / half.amax(-1, keepdim=True)).clamp(max=1)
    middle = (low + high) / 2
    limit = room - half * shrink
    return (line - middle) * shrink + middle.clamp(-limit, limit)
