"""Generated alphabets: characters of smooth strokes, each drawer with a hand of their own.

What tests without Omniglot use, and what the default experiment goes on with where Omniglot cannot
be had. An alphabet has a style: how many strokes, how curved, which anchor points they share. A
drawer has a hand: slant, size, place, pen and unsteadiness, the same in all that they draw of an
alphabet.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.errors import UserError

_POINTS = 4  # control points of a stroke
_STROKES = 4  # at most
_SAMPLES = 96  # points along a stroke


def draw_alphabets(
    alphabets: int = 50,
    characters: tuple[int, int] = (20, 40),
    drawers: int = 20,
    size: int = 105,
    seed: int = 0,
) -> Drawings:
    """Invent alphabets and have them drawn.

    Alphabet k depends on the seed and k alone, not on how many are asked for.

    Args:
        alphabets: how many.
        characters: the smallest and largest number of characters of an alphabet.
        drawers: who each draw every character once.
        size: pixels along a side.
        seed: of everything.

    Returns:
        The drawings, one-bit (0 or 255), ``source="glyphs"``.

    Raises:
        UserError: numbers that make no alphabet.
    """
    low, high = characters
    if alphabets < 1 or drawers < 1 or not 1 <= low <= high or size < 8:
        raise UserError(
            f"data.glyphs cannot draw {alphabets} alphabets of {low} to {high} characters by "
            f"{drawers} drawers at {size} pixels: all must be at least 1, size at least 8"
        )
    pixels, counts = [], []
    for number in range(alphabets):
        state = np.random.SeedSequence([seed % 2**32, number]).generate_state(1)
        chance = torch.Generator().manual_seed(int(state[0]))
        count = int(torch.randint(low, high + 1, (), generator=chance))
        strokes = _invent(count, chance)
        pixels.append(_write(strokes, drawers, size, chance))
        counts.append(count)
    classes = sum(counts)
    names = tuple(f"Generated_{number + 1:03d}" for number in range(alphabets))
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


def _invent(count: int, chance: torch.Generator) -> Tensor:
    """Control points ``(count, strokes, points, 2)`` of an alphabet's characters, in -1 … 1.

    Strokes start and end on anchor points that the alphabet's characters share, so that characters
    of one alphabet resemble each other; a stroke that is not drawn is NaN. Of four times as many
    candidates, those farthest from the ones already taken are kept, so that no two are alike.
    """
    many = 4 * count + 8
    anchors = torch.rand(9, 2, generator=chance) * 1.7 - 0.85
    curl = float(torch.rand((), generator=chance)) * 0.7
    usual = 1.0 + 1.6 * float(torch.rand((), generator=chance))
    ends = anchors[torch.randint(len(anchors), (many, _STROKES, 2), generator=chance)]
    along = torch.linspace(0, 1, _POINTS)[:, None]
    points = ends[:, :, :1] * (1 - along) + ends[:, :, 1:] * along
    bow = torch.randn(many, _STROKES, 1, 2, generator=chance) * curl
    points = points + bow * torch.sin(math.pi * along)
    points[:, :, 1:-1] += torch.randn(many, _STROKES, _POINTS - 2, 2, generator=chance) * curl * 0.6
    wanted = (usual + torch.randn(many, generator=chance) * 0.8).round().clamp(1, _STROKES)
    drawn = torch.arange(_STROKES)[None] < wanted[:, None]
    look = _sketch(points.clamp(-0.95, 0.95), drawn)
    chosen = [0]
    nearest = (look - look[0]).square().sum(1)
    for _ in range(count - 1):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (look - look[chosen[-1]]).square().sum(1))
    points = points.clamp(-0.95, 0.95)[chosen]
    return points.masked_fill(~drawn[chosen][..., None, None], math.nan)


def _sketch(points: Tensor, drawn: Tensor) -> Tensor:
    """Each character as a blurred 12 × 12 picture, flat: what it looks like from afar."""
    masked = points.masked_fill(~drawn[..., None, None], math.nan)
    picture = _raster(_curve(masked).flatten(1, 2), 24, 1)
    return F.avg_pool2d(picture[:, None].float(), 4, 2, 1).flatten(1)


def _write(strokes: Tensor, drawers: int, size: int, chance: torch.Generator) -> Tensor:
    """All characters by all drawers: uint8 ``(characters * drawers, size, size)``."""
    count = len(strokes)

    def each(spread: float, *shape: int) -> Tensor:
        return torch.randn(drawers, *shape, generator=chance) * spread

    def slip(spread: float, *shape: int) -> Tensor:
        return torch.randn(count, drawers, *shape, generator=chance) * spread

    unsteady = 0.05 + 0.05 * torch.rand(drawers, 1, 1, 1, generator=chance)
    points = strokes[:, None] + slip(1.0, _STROKES, _POINTS, 2) * unsteady
    points = points + slip(0.06, _STROKES, 1, 2)  # a whole stroke set down beside its place
    line = _curve(points)  # (count, drawers, strokes, samples, 2)
    angle = each(0.10)[None] + slip(0.05)
    slant = each(0.15)[None] + slip(0.05)
    scale = (0.85 * torch.exp(each(0.12, 2)[None] + slip(0.06, 2))).clamp(0.45, 1.05)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    lean = torch.stack(
        [
            torch.stack([torch.ones_like(slant), slant], -1),
            torch.stack([torch.zeros_like(slant), torch.ones_like(slant)], -1),
        ],
        -2,
    )
    matrix = turn @ lean @ torch.diag_embed(scale)
    place = each(0.06, 2)[None] + slip(0.05, 2)
    line = torch.einsum("cdij,cdskj->cdski", matrix, line) + place[:, :, None, None]
    flat = line.flatten(2, 3).flatten(0, 1)
    pen = max(1, round(size * 3 / 105))
    return _raster(flat, size, pen).to(torch.uint8) * 255


def _basis() -> Tensor:
    """Weights ``(samples, points)`` of a uniform cubic B-spline whose ends are the end points."""
    pieces = _POINTS + 1  # of the points with each end taken three times
    place = torch.linspace(0, pieces - 1e-4, _SAMPLES)
    piece, t = place.floor().long(), place.frac()
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = torch.zeros(_SAMPLES, _POINTS)
    for k, part in enumerate(parts):
        point = (piece + k - 2).clamp(0, _POINTS - 1)
        weights.scatter_add_(1, point[:, None], part[:, None] / 6)
    return weights


def _curve(points: Tensor) -> Tensor:
    """A smooth line: control points ``(…, points, 2)`` → ``(…, samples, 2)``."""
    return _basis() @ points


def _raster(points: Tensor, size: int, pen: int) -> Tensor:
    """Ink under a pen along dense points ``(n, m, 2)``, NaN left out; bool ``(n, size, size)``."""
    pixel = ((points + 1) * (size / 2)).nan_to_num(-1.0).int()
    absent = points[..., 0].isnan()
    pixel.clamp_(0, size - 1)
    index = (pixel[..., 1] * size + pixel[..., 0]).masked_fill_(absent, size * size).long()
    canvas = torch.zeros((len(points), size * size + 1), dtype=torch.bool)
    canvas.scatter_(1, index, True)
    picture = canvas[:, :-1].view(-1, size, size)
    for _ in range(pen - 1):  # each round makes the pen a pixel wider
        wide = F.pad(picture, (0, 1, 0, 1))
        picture = wide[:, :-1, :-1] | wide[:, 1:, :-1] | wide[:, :-1, 1:]
    return picture
