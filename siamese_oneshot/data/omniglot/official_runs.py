"""The official one-shot task: 20 runs of 20 tests, each against 20 images, one of each class.

Lake et al., Science 2015; the paper's section 4.3 scores these 400 episodes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from siamese_oneshot.data.cache import pack
from siamese_oneshot.data.omniglot.contents import decode_image, sha256
from siamese_oneshot.data.omniglot.edition import RUNS, WAY
from siamese_oneshot.data.omniglot.files import Members, OmniglotFaulty

_LABEL = re.compile(r".*item(\d\d)\.png\s+.*class(\d\d)\.png")


@dataclass(frozen=True, eq=False)
class OfficialRuns:
    """The 20 official runs; every image in them is an image of the evaluation set.

    Attributes:
        tests: int64 (20, 20): by run, the indices of item01 … item20 in ``CharacterDataset``.
        supports: int64 (20, 20): by run, the indices of class01 … class20.
        answers: int64 (20, 20): for each test, the column of ``supports`` with the same character.
    """

    tests: Tensor
    supports: Tensor
    answers: Tensor


def decode_runs(
    members: Members, evaluation: NDArray[np.uint8], offset: int, digest: str
) -> NDArray[np.int64]:
    """Find every image of the official runs among the evaluation images, by its pixels.

    Args:
        members: the files of all_runs.zip.
        evaluation: uint8 (n, 1379), the bit-packed evaluation set.
        offset: the position of its first image in ``CharacterDataset``.
        digest: the SHA-256 of the right answer.

    Returns:
        int64 (3, 20, 20): tests, supports, answers, as in ``OfficialRuns``.

    Raises:
        OmniglotFaulty: what is missing or wrong.
    """
    indices = {row.tobytes(): place for place, row in enumerate(evaluation, offset)}
    by_ending = {"/".join(PurePosixPath(name).parts[-3:]): name for name in members.names}
    by_ending |= {"/".join(PurePosixPath(name).parts[-2:]): name for name in members.names}
    out = np.empty((3, RUNS, WAY), "<i8")

    def member(ending: str) -> str:
        if ending not in by_ending:
            raise OmniglotFaulty(f"it has no {ending}")
        return by_ending[ending]

    for run in range(RUNS):
        folder = f"run{run + 1:02d}"
        for row, kind in enumerate(("test/item", "training/class")):
            for column in range(WAY):
                name = member(f"{folder}/{kind}{column + 1:02d}.png")
                bits = pack(decode_image(members, name)[None]).tobytes()
                if bits not in indices:
                    raise OmniglotFaulty(f"{name} is no image of the evaluation set")
                out[row, run, column] = indices[bits]
        out[2, run] = _answers(members, member(f"{folder}/class_labels.txt"))
    if sha256(out) != digest:
        raise OmniglotFaulty("its images or labels are not those of the official runs")
    return out.astype(np.int64)


def _answers(members: Members, name: str) -> list[int]:
    """For item01 … item20, the number (from 0) of the class image with the same character."""
    lines = members.read(name).decode("utf-8", "replace").splitlines()
    pairs = [match.groups() for line in lines if (match := _LABEL.fullmatch(line.strip()))]
    answer = {int(item) - 1: int(label) - 1 for item, label in pairs}
    whole = list(range(WAY))
    if len(pairs) != WAY or sorted(answer) != whole or sorted(answer.values()) != whole:
        raise OmniglotFaulty(f"{name} does not pair item01 … item20 with class01 … class20")
    return [answer[item] for item in range(WAY)]
