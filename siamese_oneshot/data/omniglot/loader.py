"""Omniglot: found or downloaded, verified, decoded once, and loaded in a fraction of a second.

All 32,460 images of 1,623 characters in 50 alphabets by 20 people each, and the official runs.
Whatever zip or folder they come from, the pixels are compared with pinned digests. So a cache that
passed once is as good as any source, and a valid one needs no source files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_oneshot.data import cache as bitcache
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot.download import REPOSITORY
from siamese_oneshot.data.omniglot.edition import (
    DRAWERS,
    OFFICIAL,
    SIDE,
)
from siamese_oneshot.data.omniglot.files import (
    PARTS,
    OmniglotFaulty,
    Place,
    cache_home,
    candidates,
    missing,
)
from siamese_oneshot.data.omniglot.official_runs import OfficialRuns
from siamese_oneshot.data.omniglot.search import Search

EDITION = OFFICIAL  # what is verified; tests put a small one here


@dataclass(frozen=True, eq=False)
class Omniglot:
    """All images, background alphabets before evaluation alphabets, and the official runs."""

    dataset: CharacterDataset
    runs: OfficialRuns


def load_omniglot(
    root: str | Path | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
) -> Omniglot:
    """Load Omniglot from its cache, from files found, or from the official repository.

    Args:
        root: the folder with images_background, images_evaluation and all_runs (zips or folders).
            Where None: ``$OMNIGLOT_ROOT``, ``./data/omniglot``, ``../shared/omniglot``, the cache.
        download: fetch what is missing; with a ``root``, all_runs.zip alone.
        cache_dir: where the cache and downloads are kept. Where None: ``$SIAMESE_ONESHOT_CACHE``,
            else the user's cache folder.

    Returns:
        32,460 images (105×105, 0 paper and 255 ink, drawers 0 … 19), by alphabet, character and
        drawer within the background and then the evaluation set; and the official runs.

    Raises:
        OmniglotUnavailable: there is nothing anywhere and no download.
        OmniglotFaulty: ``root`` lacks the images, or what was found is incomplete or damaged and
            nothing better can be had.
    """
    home = cache_home(cache_dir)
    given = None
    if root is not None:
        given = Place(Path(root).expanduser().absolute(), f"data.root={root}")
        if not all(candidates(given.path, part) for part in PARTS[:2]):
            raise OmniglotFaulty(
                f"{given.called}: {missing(given.path)} ({given.path})\n"
                "Put images_background, images_evaluation and all_runs there, as zips or unpacked "
                f"({REPOSITORY}/tree/master/python), or leave data.root out to have Omniglot "
                "looked for and downloaded."
            )
    metadata = {
        "data": "omniglot",
        "digests": [EDITION.background.digest, EDITION.evaluation.digest, EDITION.runs_digest],
    }
    path = home / f"omniglot-v{bitcache.FORMAT}.bits"
    arrays = bitcache.remember(path, metadata, Search(EDITION, given, home, download).decode)
    return _made(arrays["background"], arrays["evaluation"], arrays["runs"])


def _made(background: NDArray[Any], evaluation: NDArray[Any], runs: NDArray[Any]) -> Omniglot:
    pixels = np.empty((len(background) + len(evaluation), SIDE, SIDE), np.uint8)
    bitcache.unpack(background, pixels[: len(background)])
    bitcache.unpack(evaluation, pixels[len(background) :])
    characters = {**EDITION.background.characters, **EDITION.evaluation.characters}
    names = [f"{a}/character{i + 1:02d}" for a, count in characters.items() for i in range(count)]
    dataset = CharacterDataset(
        pixels=torch.from_numpy(pixels),
        classes=torch.arange(len(names)).repeat_interleave(DRAWERS),
        drawers=torch.arange(DRAWERS).repeat(len(names)),
        class_names=tuple(names),
        alphabet_names=tuple(characters),
        class_alphabets=torch.arange(len(characters)).repeat_interleave(
            torch.tensor(list(characters.values()))
        ),
        source="omniglot",
    )
    tests, supports, answers = torch.tensor(runs)  # a copy: the cache's arrays are read-only
    return Omniglot(dataset, OfficialRuns(tests, supports, answers))
