"""Reads and verifies Omniglot's zips or folders: the two image sets, Lake's runs and strokes.

Whatever is missing, unexpected or wrong raises `OmniglotFaulty`. Nothing is unpacked to disk, so
that no name in a zip can reach outside a folder.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import zipfile
import zlib
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_oneshot.data.omniglot.edition import SIDE, WAY, Edition, ImageSet
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import some_of

MAX_ZIP_BYTES = 256 * 2**20  # the largest official zip has 9.5 MB
MAX_MEMBER_BYTES = 64 * 2**10  # the largest official member (strokes) has 14 kB
_MAX_NAMED = 8  # faults in one message
_DRAWING = re.compile(r"\d{4}_(\d\d)\.(png|txt)")
_LABEL = re.compile(r".*item(\d\d)\.png\s+.*class(\d\d)\.png")

# Raised by zipfile and its decompressors on damage, encryption and unknown methods.
_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError,
    IndexError,
)  # fmt: skip


class OmniglotFaulty(UserError):
    """Omniglot's files are incomplete or damaged, or the given folder has none."""


class Archive(AbstractContextManager["Archive"]):
    """The files in a zip or below a folder.

    Attributes:
        names: Sorted, with ``/`` between the parts; without hidden files and ``__MACOSX``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                # A folder with run01 … itself may also hold 32,000 images beside them.
                files = path.glob("run[0-9][0-9]/**/*") if holds_runs(path) else path.rglob("*")
                names = [file.relative_to(path).as_posix() for file in files if file.is_file()]
            elif path.stat().st_size > MAX_ZIP_BYTES:
                raise OmniglotFaulty(f"it is larger than {MAX_ZIP_BYTES} bytes")
            else:
                self._zip = zipfile.ZipFile(path)
                names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        except zipfile.BadZipFile as fault:
            raise OmniglotFaulty(f"it is not a zip file: {fault}") from fault
        except (OSError, ValueError, NotImplementedError, IndexError) as fault:
            # An IndexError is a member without a name.
            raise OmniglotFaulty(f"it cannot be read: {fault}") from fault
        parts = {name: PurePosixPath(name).parts for name in names}
        self.names = sorted(
            name
            for name, pieces in parts.items()
            if pieces and not any(piece.startswith((".", "__MACOSX")) for piece in pieces)
        )

    def read(self, name: str) -> bytes:
        """The content of one file."""
        try:
            # The size in a zip's header may be wrong.
            with self._zip.open(name) if self._zip else open(self.path / name, "rb") as file:
                data = file.read(MAX_MEMBER_BYTES + 1)
        except _UNREADABLE as fault:
            raise OmniglotFaulty(f"{name} cannot be read: {fault}") from fault
        if len(data) > MAX_MEMBER_BYTES:
            raise OmniglotFaulty(f"{name} is larger than {MAX_MEMBER_BYTES} bytes")
        return data

    def __exit__(self, *_: object) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()


def holds_runs(folder: Path) -> bool:
    """Whether a folder has Lake's runs directly below it."""
    return (folder / "run01").is_dir()


def decode_image(archive: Archive, name: str) -> NDArray[np.uint8]:
    """One image, bit-packed: uint8 (1379,), 1 for foreground (black)."""
    data = archive.read(name)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                size = f"{image.width}×{image.height}"
                raise OmniglotFaulty(f"{name} has {size} pixels, not {SIDE}×{SIDE}")
            gray = np.asarray(image.convert("L"))
    except Image.DecompressionBombError as fault:
        raise OmniglotFaulty(f"{name} claims far more pixels than {SIDE}×{SIDE}") from fault
    except (OSError, SyntaxError, ValueError) as fault:
        raise OmniglotFaulty(f"{name} is not an intact PNG image ({fault})") from fault
    if not ((gray == 0) | (gray == 255)).all():
        raise OmniglotFaulty(f"{name} has gray pixels; every one must be black or white")
    return np.packbits(gray == 0)


def decode_set(archive: Archive, expected: ImageSet) -> NDArray[np.uint8]:
    """All images of one set, verified: uint8 ``(count, 1379)``, bit-packed.

    They are sorted by alphabet, character and drawer, which are read from the end of each name
    (``Greek/character03/0396_07.png``); the folders above do not matter.
    """
    rows, faults = [], []
    for name in member_names(archive, expected):
        try:
            rows.append(decode_image(archive, name))
        except OmniglotFaulty as fault:
            faults.append(str(fault))
    if faults:
        raise OmniglotFaulty(some_of(faults, _MAX_NAMED))
    packed = np.stack(rows)
    digest = sha256(packed)
    if digest != expected.digest:
        raise OmniglotFaulty(
            "all names and sizes are right, but the pixels are not those of Omniglot: "
            f"their digest is {digest[:16]}…, not {expected.digest[:16]}…"
        )
    return packed


def member_names(archive: Archive, expected: ImageSet, suffix: str = "png") -> list[str]:
    """The names of a set's files, by alphabet, character and drawer; none else may be there."""
    found, other = defaultdict[str, list[str]](list), []
    for name in archive.names:
        pieces = PurePosixPath(name).parts
        match = _DRAWING.fullmatch(pieces[-1])
        if match and match[2] == suffix and len(pieces) >= 3:
            found[f"{pieces[-3]}/{pieces[-2]}/{match[1]}"].append(name)
        elif pieces[-1].endswith(f".{suffix}"):
            other.append(name)
    wanted = [
        f"{alphabet}/character{character:02d}/{drawer:02d}"
        for alphabet, count in expected.characters.items()
        for character in range(1, count + 1)
        for drawer in range(1, expected.drawers + 1)
    ]
    faults = {
        f"not named Alphabet/characterNN/NNNN_DD.{suffix}": other,
        "missing": [drawing for drawing in wanted if drawing not in found],
        "extra": sorted(found.keys() - {*wanted}),
        "two files for one drawing": [one for one, names in found.items() if len(names) > 1],
    }
    if any(faults.values()):
        some = {what: some_of(which, _MAX_NAMED, ", ") for what, which in faults.items() if which}
        raise OmniglotFaulty("; ".join(f"{what}: {which}" for what, which in some.items()))
    return [found[drawing][0] for drawing in wanted]


def decode_runs(
    archive: Archive, evaluation: NDArray[np.uint8], edition: Edition
) -> NDArray[np.int64]:
    """Lake's runs, int64 ``(3, 20, 20)``, which are three tables with a row for each run.

    They hold the images item01 … item20, the images class01 … class20, and for each item the column
    of the class that it shows. Each image is found by its pixels in ``evaluation``, uint8
    ``(n, 1379)``, the bit-packed set.
    """
    indices = {
        row.tobytes(): index for index, row in enumerate(evaluation, edition.background.count)
    }
    by_ending = {
        "/".join(PurePosixPath(name).parts[-depth:]): name
        for depth in (3, 2)
        for name in archive.names
    }
    out = np.empty((3, edition.runs, WAY), "<i8")

    def member(ending: str) -> str:
        if ending not in by_ending:
            raise OmniglotFaulty(f"it has no {ending}")
        return by_ending[ending]

    for run in range(edition.runs):
        folder = f"run{run + 1:02d}"
        for row, kind in enumerate(("test/item", "training/class")):
            for column in range(WAY):
                name = member(f"{folder}/{kind}{column + 1:02d}.png")
                bits = decode_image(archive, name).tobytes()
                if bits not in indices:
                    raise OmniglotFaulty(f"{name} is no image of the evaluation set")
                out[row, run, column] = indices[bits]
        out[2, run] = _answers(archive, member(f"{folder}/class_labels.txt"))
    if sha256(out) != edition.runs_digest:
        raise OmniglotFaulty("its images or labels are not those of Lake's runs")
    return out.astype(np.int64)


def sha256(array: NDArray[Any]) -> str:
    """Hexadecimal SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _answers(archive: Archive, name: str) -> list[int]:
    """For item01 … item20, the number (from 0) of the class image with the same character."""
    lines = archive.read(name).decode("utf-8", "replace").splitlines()
    pairs = [match.groups() for line in lines if (match := _LABEL.fullmatch(line.strip()))]
    answer = {int(item) - 1: int(label) - 1 for item, label in pairs}
    numbers = list(range(WAY))
    if len(pairs) != WAY or sorted(answer) != numbers or sorted(answer.values()) != numbers:
        raise OmniglotFaulty(f"{name} does not pair item01 … item20 with class01 … class20")
    return [answer[item] for item in range(WAY)]
