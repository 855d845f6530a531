"""Generated alphabets: characters of smooth strokes, drawn by drawers with individual handwriting.

An alphabet has a style: the number of strokes, their curvature, loops and dots, and strokes that
its characters share. A drawer has a handwriting (slant, size, position, roundness and pen) that is
the same in all characters of an alphabet up to a small variation of each image. Foreground area,
line width, size and the variation between drawers are close to Omniglot's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siamese_oneshot.data import cache as disk_cache
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.synthetic import characters as characters_module
from siamese_oneshot.data.synthetic import strokes as strokes_module
from siamese_oneshot.data.synthetic.characters import MAX_STROKES, Characters, invent_characters
from siamese_oneshot.data.synthetic.strokes import (
    MAX_PARTS,
    Strokes,
    normal,
    rasterize,
    smooth_displacement,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

MAX_ALPHABETS, MAX_CHARACTERS = 999, 99  # the digits of the names, so that names sort
SIDE = 105  # pixels along a side, as Omniglot's
MIN_CACHED_IMAGES = 5_000  # fewer images are drawn in a few seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyntheticConfig:
    """How much is generated.

    Attributes:
        n_alphabets: Number of alphabets, 0 … 999.
        n_characters: Smallest and largest number of characters of an alphabet, 1 … 99.
        n_drawers: Drawers of an alphabet, who draw each of its characters once.
        seed: Seed of everything.
    """

    n_alphabets: int = 50
    n_characters: tuple[int, int] = (20, 40)
    n_drawers: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        check.integer("n_alphabets", self.n_alphabets, 0, MAX_ALPHABETS)
        low, high = check.integers("n_characters", self.n_characters, 1, MAX_CHARACTERS, 2)
        if low > high:
            message = "the smaller number comes first"
            raise ArgumentError("n_characters", self.n_characters, message=message)
        object.__setattr__(self, "n_characters", (low, high))
        check.integer("n_drawers", self.n_drawers, 1)
        check.seed("seed", self.seed)


def load_alphabets(
    config: SyntheticConfig, first: int = 0, cache_dir: str | Path | None = None
) -> CharacterDataset:
    """`draw_alphabets`, from the cache on disk if these alphabets have been drawn on this machine.

    Args:
        config: How much is generated.
        first: As for `draw_alphabets`.
        cache_dir: As for `load_omniglot`.
    """
    n_images = config.n_alphabets * config.n_characters[1] * config.n_drawers
    if n_images < MIN_CACHED_IMAGES:
        return draw_alphabets(config, first=first)
    numbers = [config.n_alphabets, *config.n_characters, config.n_drawers, config.seed, first]
    metadata = {"data": "synthetic", "numbers": numbers, "generator": _code_digest()}

    def build() -> dict[str, disk_cache.Array]:
        log.info("generating %d alphabets (cached for later runs)", config.n_alphabets)
        dataset = draw_alphabets(config, first=first)
        counts = torch.bincount(dataset.class_alphabets).numpy()
        return {"images": disk_cache.pack(dataset.pixels.numpy() > 0), "counts": counts}

    digest = hashlib.sha256(json.dumps(metadata).encode()).hexdigest()[:16]
    path = disk_cache.cache_home(cache_dir) / f"synthetic-v{disk_cache.FORMAT}-{digest}.bits"
    arrays = disk_cache.load_or_build(path, metadata, build)
    pixels = np.empty((len(arrays["images"]), SIDE, SIDE), np.uint8)
    disk_cache.unpack(arrays["images"], pixels)
    counts = arrays["counts"].tolist()
    return _dataset_of(torch.from_numpy(pixels), counts, config.n_drawers, first)


@cache
def _code_digest() -> str:
    """Changes with the generator's code and with PyTorch, whose random numbers it uses."""
    sources = [__file__, characters_module.__file__, strokes_module.__file__]
    parts = [torch.__version__.encode(), *(Path(name).read_bytes() for name in sources)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def draw_alphabets(config: SyntheticConfig, size: int = SIDE, first: int = 0) -> CharacterDataset:
    """Generate alphabets.

    Alphabet k depends on ``config`` and k, but not on how many alphabets are generated.

    Args:
        config: How much is generated.
        size: Pixels along a side, at least 8.
        first: Number of the first alphabet, from 0.

    Returns:
        Images with values 0 and 255, ``source="synthetic"``.

    Raises:
        ArgumentError: If there is no alphabet, or ``size`` is too small.
    """
    check.integer("n_alphabets", config.n_alphabets, 1)
    check.integer("size", size, 8)
    low, high = config.n_characters
    pixels, counts = [], []
    for number in range(first, first + config.n_alphabets):
        state = np.random.SeedSequence([config.seed, number]).generate_state(1)
        rng = torch.Generator().manual_seed(int(state[0]))
        count = int(torch.randint(low, high + 1, (), generator=rng))
        characters = invent_characters(count, rng)
        pixels.append(_draw_characters(characters, config.n_drawers, size, rng))
        counts.append(count)
    return _dataset_of(torch.cat(pixels), counts, config.n_drawers, first)


def _dataset_of(
    pixels: Tensor, counts: Sequence[int], drawers: int, first: int
) -> CharacterDataset:
    """A dataset of images that are ordered by alphabet, character and drawer.

    Args:
        pixels: uint8 ``(n, side, side)``.
        counts: Characters of each alphabet.
        drawers: Drawers of each character.
        first: Number of the first alphabet.
    """
    names = tuple(f"Generated_{first + k + 1:03d}" for k in range(len(counts)))
    return CharacterDataset(
        pixels=pixels,
        classes=torch.repeat_interleave(torch.arange(sum(counts)), drawers),
        drawers=torch.arange(drawers).repeat(sum(counts)),
        class_names=tuple(
            f"{name}/character{k + 1:02d}"
            for name, count in zip(names, counts, strict=True)
            for k in range(count)
        ),
        alphabet_names=names,
        class_alphabets=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        source="synthetic",
    )


def _draw_characters(
    characters: Characters, drawers: int, size: int, rng: torch.Generator
) -> Tensor:
    """All characters by all drawers: uint8 ``(characters * drawers, size, size)``."""
    count = len(characters.present)

    def variation(drawer: float, image: float, *shape: int) -> Tensor:
        """``(count, drawers, *shape)`` with these standard deviations over drawers and images."""
        own = drawer * normal(rng, 1, drawers, *shape)
        return own + image * normal(rng, count, drawers, *shape)

    template = characters.strokes
    each = (slice(None), None)  # a copy per drawer
    strokes = Strokes(
        template.heading[each] + variation(0.03, 0.07, MAX_STROKES),
        template.length[each] * torch.exp(variation(0.03, 0.1, MAX_STROKES, MAX_PARTS)),
        template.turn[each]
        * torch.exp(variation(0.06, 0.1, 1, 1) + variation(0, 0.08, MAX_STROKES, MAX_PARTS))
        + variation(0.02, 0.07, MAX_STROKES, MAX_PARTS),
        template.corner[each] * torch.exp(variation(0.05, 0.1, MAX_STROKES, MAX_PARTS)),
        (template.roundness[each] + variation(0.3, 0.15, 1)).clamp(0, 1),
    )
    shape = (count, drawers)
    drawn = Characters(
        strokes,
        characters.present[each].expand(*shape, MAX_STROKES),
        characters.parent[each].expand(*shape, MAX_STROKES),
        (characters.parent_point[each] + variation(0, 0.04, MAX_STROKES)).clamp(0, 1),
        (characters.own_point[each] + variation(0, 0.04, MAX_STROKES)).clamp(0, 1),
        characters.gap[each] + variation(0.02, 0.05, MAX_STROKES, 2),
        characters.scale[each].expand(shape),
        characters.center[each].expand(*shape, 2),
    )
    line = drawn.lines(max(size, 32)).flatten(2, 3)  # (count, drawers, points, 2)
    line = smooth_displacement(line.flatten(0, 1), 0.06, 0.8, rng)  # slow: the shape of an image
    line = smooth_displacement(line, 0.004, 5.0, rng).view(*shape, -1, 2)  # fast: tremor

    angle, slant = variation(0.05, 0.05), variation(0.1, 0.06)
    scale = torch.tensor([0.55, 0.61]) * torch.exp(
        0.1 * normal(rng, 2) + variation(0.08, 0.05, 1) + variation(0.05, 0.04, 2)
    )
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([cos, -sin + slant * cos], -1), torch.stack([sin, cos + slant * sin], -1)
    matrix = torch.stack(rows, -2) * scale[..., None, :]
    line = line @ matrix.mT
    line = _shifted_inside(line, torch.tensor([-0.04, -0.06]) + variation(0.06, 0.06, 2))

    # Omniglot's lines are 5 pixels wide.
    pens = (size / SIDE * (5 + 0.4 * normal(rng, drawers))).round().clamp(min=1)
    out = torch.empty((count, drawers, size, size), dtype=torch.bool)
    for pen in pens.unique():
        mine = pens == pen
        images = rasterize(line[:, mine].flatten(0, 1), size, int(pen))
        out[:, mine] = images.unflatten(0, (count, -1))
    return out.flatten(0, 1).to(torch.uint8) * 255


def _shifted_inside(line: Tensor, shift: Tensor) -> Tensor:
    """Lines ``(…, points, 2)`` shifted by ``shift``, then moved and shrunk to fit the image."""
    line = line + shift[..., None, :]
    low = line.nan_to_num(math.inf).amin(-2, keepdim=True)
    high = line.nan_to_num(-math.inf).amax(-2, keepdim=True)
    half = (high - low) / 2
    limit = 0.92  # of 1, since the pen has a width
    shrink = (limit / half.amax(-1, keepdim=True)).clamp(max=1)
    center = (low + high) / 2
    room = limit - half * shrink
    return (line - center) * shrink + center.clamp(-room, room)
