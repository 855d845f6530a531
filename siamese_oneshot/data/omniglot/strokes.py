"""Reads the pen's path of the drawings of the minimal background sets.

Strokes of other alphabets were published too, those of the evaluation alphabets among them; they
are not read, since networks that have seen them are not comparable. As of images, what was read is
compared with pinned digests.
"""

from __future__ import annotations

import hashlib
import itertools
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese_oneshot.data.cache import cache_home
from siamese_oneshot.data.omniglot.archive import Archive, OmniglotFaulty, member_names
from siamese_oneshot.data.omniglot.edition import OFFICIAL, SMALL1, SMALL2, ImageSet
from siamese_oneshot.data.omniglot.loader import Search

SETS = {"strokes_background_small1": SMALL1, "strokes_background_small2": SMALL2}
# SHA-256 of all points, little-endian float32, drawing by drawing, each after its strokes' lengths.
DIGESTS = {
    "strokes_background_small1": "42c2143c82f8dbf0b84f8c51a21153367eeaa2bd601a16b210a7599405236e91",
    "strokes_background_small2": "2e110326bf54c2f6d915fdc757f97a75cd3f5585bdf66cc4ce00bc91debfa12d",
}

Stroke = NDArray[np.float32]  # (points, 3)


def load_strokes(root: str | Path | None = None) -> dict[int, list[Stroke]]:
    """Load the strokes of the drawings of eight background alphabets.

    Args:
        root: Folder with the two sets (both hold Greek and Latin), as zips or folders. None
            searches as `load_omniglot` does.

    Returns:
        For the index of a drawing in ``load_omniglot().dataset``, which tells its class and drawer,
        its strokes in the order of writing. Each is float32 ``(points, 3)``: x to the right and y
        down in pixels, where 0 is the center of the first pixel, and milliseconds since the first
        stroke's start. A few leave the canvas (docs/omniglot.md).

    Raises:
        OmniglotUnavailable: If a set is nowhere.
        OmniglotFaulty: If a set is incomplete or damaged.
    """
    search = Search(root, cache_home(), parts=tuple(SETS))
    strokes: dict[int, list[Stroke]] = {}
    for part in SETS:
        strokes |= search.part(part, partial(_decode, part=part))
    return dict(sorted(strokes.items()))


def _decode(archive: Archive, part: str) -> dict[int, list[Stroke]]:
    """The strokes of all drawings of one set, by index."""
    characters = OFFICIAL.background.characters
    firsts = itertools.accumulate(characters.values(), initial=0)
    first = dict(zip(characters, firsts, strict=False))
    expected = ImageSet({name: characters[name] for name in SETS[part]}, "")
    indices = [
        expected.drawers * first[name] + k
        for name, count in expected.characters.items()
        for k in range(expected.drawers * count)
    ]
    names = member_names(archive, expected, "txt")
    drawings = [_parse(archive.read(name), name) for name in names]
    if _digest(drawings) != DIGESTS[part]:
        raise OmniglotFaulty("all names are right, but the strokes are not those of Omniglot")
    return dict(zip(indices, drawings, strict=True))


def _digest(drawings: list[list[Stroke]]) -> str:
    digest = hashlib.sha256()
    for drawing in drawings:
        digest.update(np.array([len(stroke) for stroke in drawing], "<i8").tobytes())
        digest.update(np.concatenate(drawing).astype("<f4").tobytes())
    return digest.hexdigest()


def _parse(data: bytes, name: str) -> list[Stroke]:
    """The strokes of one file.

    It has the line ``START``, then of each stroke lines of ``x,y,milliseconds`` and ``BREAK``.
    """
    lines = data.decode("utf-8", "replace").split()
    strokes: list[Stroke] = []
    rows: list[list[float]] = []
    try:
        for line in lines[1:]:
            if line == "BREAK":
                points = np.array(rows, np.float32).reshape(-1, 3)
                strokes.append(points * np.array([1, -1, 1], np.float32))
                rows = []
            else:
                rows.append([float(value) for value in line.split(",")])
    except ValueError as fault:
        raise OmniglotFaulty(f"{name} is no file of strokes: {fault}") from fault
    intact = lines[:1] == ["START"] and not rows and strokes and all(map(len, strokes))
    if not intact or not all(np.isfinite(points).all() for points in strokes):
        raise OmniglotFaulty(f"{name} is no file of strokes, or is cut off")
    return strokes
