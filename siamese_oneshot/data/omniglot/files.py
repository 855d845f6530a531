"""Where the Omniglot files are looked for, and how one is read without unpacking it."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

import platformdirs

from siamese_oneshot.utils.errors import UserError

PARTS = ("images_background", "images_evaluation", "all_runs")
ROOT_VARIABLE = "OMNIGLOT_ROOT"
CACHE_VARIABLE = "SIAMESE_ONESHOT_CACHE"
MAX_ZIP_BYTES = 256 * 2**20  # the largest official zip has 9.5 MB
MAX_MEMBER_BYTES = 64 * 2**10  # the largest official member has 980 bytes
# beside the files themselves: torchvision's folder, and those of a clone of the official repository
_SUBFOLDERS = ("", "omniglot-py", "python", "python/one-shot-classification")

# what zipfile and its decompressors raise on damage, on encryption and on unknown methods
_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError,
    IndexError,
)  # fmt: skip


class OmniglotUnavailable(UserError):
    """Omniglot is nowhere, and could not be downloaded; names every place looked in."""


class OmniglotFaulty(UserError):
    """Omniglot files are there, but do not hold what they must; or the given root has none."""


@dataclass(frozen=True)
class Place:
    """A folder to look in, and what a message calls it."""

    path: Path
    called: str


def cache_home(cache_dir: str | Path | None = None) -> Path:
    """The folder of the cache: ``cache_dir``, else ``$SIAMESE_ONESHOT_CACHE``, else the user's."""
    named = cache_dir or os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("siamese_oneshot", appauthor=False))


def places(home: Path) -> list[Place]:
    """Every folder that is looked in where no root is given, first the nearest to the user's will.

    Args:
        home: the cache's folder; downloads are put in ``omniglot`` below it.
    """
    found = []
    if named := os.environ.get(ROOT_VARIABLE):
        found.append(Place(Path(named).expanduser().absolute(), f"${ROOT_VARIABLE}"))
    for relative in ("data/omniglot", "../shared/omniglot"):
        shown = relative if relative.startswith(".") else f"./{relative}"
        found.append(Place(Path(os.path.abspath(relative)), shown))
    return [*found, Place(home / "omniglot", "the user cache")]


def candidates(place: Path, part: str) -> list[Path]:
    """The zips and folders below ``place`` that may hold ``part``, the likeliest first."""
    found = []
    for subfolder in _SUBFOLDERS:
        base = place / subfolder
        found += [path for path in (base / f"{part}.zip",) if os.path.isfile(path)]
        found += [path for path in (base / part,) if os.path.isdir(path)]
        if part == "all_runs" and _holds_runs(base):
            found.append(base)
    return found


def missing(place: Path) -> str:
    """What ``place`` lacks, for a message; empty where it has something for every part."""
    if not os.path.isdir(place):
        return "no such folder" if not os.path.exists(place) else "it is not a folder"
    lacking = [part for part in PARTS if not candidates(place, part)]
    return "it has no " + ", ".join(f"{part}.zip or {part}/" for part in lacking) if lacking else ""


class Members:
    """The files in a zip or below a folder, read into memory by their names.

    Nothing is unpacked to disk, so no name in a zip can reach outside a folder.

    Attributes:
        names: sorted, with ``/`` between the parts; hidden files and ``__MACOSX`` left out.

    Raises:
        OmniglotFaulty: it cannot be read as a zip.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and list it."""
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                # a folder that itself has run01 … may also have 32,000 images beside them
                below = path.glob("run[0-9][0-9]/**/*") if _holds_runs(path) else path.rglob("*")
                names = [file.relative_to(path).as_posix() for file in below if file.is_file()]
            elif path.stat().st_size > MAX_ZIP_BYTES:
                raise OmniglotFaulty(f"it is larger than {MAX_ZIP_BYTES} bytes")
            else:
                self._zip = zipfile.ZipFile(path)
                names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        except zipfile.BadZipFile as fault:
            raise OmniglotFaulty(f"it is no zip: {fault}{_looks_like(path)}") from fault
        except (OSError, ValueError, NotImplementedError, IndexError) as fault:
            # an IndexError is a member without a name
            raise OmniglotFaulty(f"it cannot be read: {fault}") from fault
        named = [name for name in names if PurePosixPath(name).parts]
        self.names = sorted(name for name in named if not _hidden(name))

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            OmniglotFaulty: it is damaged, or larger than any file of Omniglot.
        """
        try:
            if self._zip is None:
                with open(self.path / name, "rb") as handle:
                    data = handle.read(MAX_MEMBER_BYTES + 1)
            else:
                with self._zip.open(name) as member:  # the size it states may be a lie, so read on
                    data = member.read(MAX_MEMBER_BYTES + 1)
        except _UNREADABLE as fault:
            raise OmniglotFaulty(f"{name} cannot be read: {fault}") from fault
        if len(data) > MAX_MEMBER_BYTES:
            raise OmniglotFaulty(f"{name} is larger than {MAX_MEMBER_BYTES} bytes")
        return data

    def __enter__(self) -> Members:
        """Nothing more to open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()


def _holds_runs(path: Path) -> bool:
    return os.path.isdir(path / "run01")


def _hidden(name: str) -> bool:
    return any(piece.startswith((".", "__MACOSX")) for piece in PurePosixPath(name).parts)


def _looks_like(path: Path) -> str:
    with open(path, "rb") as handle:
        start = handle.read(64).lstrip().lower()
    return " (a web page saved in its place)" if start.startswith((b"<!doctype", b"<html")) else ""
