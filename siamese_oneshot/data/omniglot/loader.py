"""Loads Omniglot: located or downloaded, verified, decoded once, then cached.

All 32,460 images of 1,623 characters in 50 alphabets by 20 drawers each, and Lake's runs. Whatever
zip or folder they come from, the pixels are compared with pinned digests. A valid cache therefore
needs no source files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siamese_oneshot.data import cache
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot.edition import DRAWERS, DUPLICATE_CLASSES, OFFICIAL, SIDE
from siamese_oneshot.data.omniglot.locate import Search, root_place

EDITION = OFFICIAL  # what is verified; tests replace it by a small one


@dataclass(frozen=True, eq=False)
class LakeRuns:
    """Lake's one-shot task: 20 runs of 20 queries against 20 supports, one of each class.

    Lake et al., Science 2015; the paper's section 4.3 scores these 400 episodes. All images are of
    the evaluation set.

    Attributes:
        queries: int64 (20, 20): by run, the image indices of item01 … item20.
        supports: int64 (20, 20): by run, the image indices of class01 … class20.
        answers: int64 (20, 20): for each query, the column of ``supports`` with the same character.
    """

    queries: Tensor
    supports: Tensor
    answers: Tensor


@dataclass(frozen=True, eq=False)
class Omniglot:
    """All images, background alphabets before evaluation alphabets, and Lake's runs."""

    dataset: CharacterDataset
    runs: LakeRuns


def load_omniglot(
    root: str | Path | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
) -> Omniglot:
    """Load Omniglot from its cache, from files found, or from the official repository.

    Args:
        root: Folder with images_background, images_evaluation and all_runs (zips or folders). None
            searches ``$OMNIGLOT_ROOT``, ``./data/omniglot``, ``../shared/omniglot`` and the cache.
        download: Download what is missing; with a ``root`` all_runs.zip only.
        cache_dir: Folder of the cache and of downloads. None uses ``$SIAMESE_ONESHOT_CACHE`` or
            the user's cache folder.

    Returns:
        32,460 images (105×105, 0 background and 255 foreground, drawers 0 … 19), by alphabet,
        character and drawer within the background and then the evaluation set; and Lake's runs.

    Raises:
        ArgumentError: If ``root`` lacks the images.
        OmniglotUnavailable: If there is no file anywhere and no download.
        OmniglotFaulty: If the files found are incomplete or damaged, and no others are available.
    """
    home = cache.cache_home(cache_dir)
    place = None if root is None else root_place(root)
    metadata = {
        "data": "omniglot",
        "digests": [EDITION.background.digest, EDITION.evaluation.digest, EDITION.runs_digest],
    }
    search = Search(EDITION, place, home, download)
    path = home / f"omniglot-v{cache.FORMAT}.bits"
    return _unpacked(cache.load_or_build(path, metadata, search.decode))


def _unpacked(arrays: dict[str, cache.Array]) -> Omniglot:
    background, evaluation = arrays["background"], arrays["evaluation"]
    pixels = np.empty((len(background) + len(evaluation), SIDE, SIDE), np.uint8)
    cache.unpack(background, pixels[: len(background)])
    cache.unpack(evaluation, pixels[len(background) :])
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
        duplicate_classes=DUPLICATE_CLASSES,
    )
    queries, supports, answers = torch.tensor(arrays["runs"])  # a copy: the cache is read-only
    return Omniglot(dataset, LakeRuns(queries, supports, answers))
