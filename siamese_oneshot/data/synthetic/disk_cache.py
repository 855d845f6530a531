"""Generated alphabets that many images make are drawn once a machine, and then found again."""

from __future__ import annotations

import hashlib
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siamese_oneshot.data import cache as bitcache
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.omniglot.files import cache_home
from siamese_oneshot.data.synthetic import characters as script
from siamese_oneshot.data.synthetic import generator, strokes

WORTH_A_FILE = 5_000  # images; fewer are drawn in a few seconds

log = logging.getLogger(__name__)


def load_alphabets(
    alphabets: int,
    characters: tuple[int, int],
    drawers: int,
    seed: int,
    first: int = 0,
    where: str = "data.synthetic",
    cache_dir: str | Path | None = None,
) -> CharacterDataset:
    """What ``draw_alphabets`` draws at 105 pixels, from the cache where it was drawn before.

    Args:
        alphabets, characters, drawers, seed, first, where: as for ``draw_alphabets``.
        cache_dir: as for ``load_omniglot``.

    Raises:
        UserError: numbers that make no alphabet, with the setting at fault.
    """
    generator.check_sizes(where, alphabets, characters, drawers, seed)

    def draw() -> CharacterDataset:
        return generator.draw_alphabets(
            alphabets, characters, drawers, SIDE, seed, first=first, where=where
        )

    if alphabets * characters[1] * drawers < WORTH_A_FILE:
        return draw()
    metadata = {
        "data": "synthetic",
        "numbers": [alphabets, *characters, drawers, seed, first],
        "generator": _generator(),
    }

    def build() -> dict[str, bitcache.Array]:
        log.info("image %d alphabets by %d hands; later starts find them", alphabets, drawers)
        made = draw()
        counts = torch.bincount(made.class_alphabets)
        return {"ink": bitcache.pack(made.pixels.numpy() > 0), "counts": counts.numpy()}

    arrays = bitcache.remember(cache_home(cache_dir) / _name(metadata), metadata, build)
    pixels = np.empty((len(arrays["ink"]), SIDE, SIDE), np.uint8)
    bitcache.unpack(arrays["ink"], pixels)
    return generator.named(torch.from_numpy(pixels), arrays["counts"].tolist(), drawers, first)


def _name(metadata: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata).encode()).hexdigest()[:16]
    return f"glyphs-v{bitcache.FORMAT}-{digest}.bits"


@cache
def _generator() -> str:
    """Changes when the generator does, or PyTorch, whose random numbers and rounding it has."""
    files = [Path(str(module.__file__)).read_bytes() for module in (generator, script, strokes)]
    return hashlib.sha256(b"\0".join([torch.__version__.encode(), *files])).hexdigest()
