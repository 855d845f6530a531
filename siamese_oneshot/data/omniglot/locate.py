"""Finds Omniglot's files on this machine, or downloads them over https with verified MD5."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from tqdm import tqdm

from siamese_oneshot.data.omniglot.archive import (
    Archive,
    OmniglotFaulty,
    decode_runs,
    decode_set,
    holds_runs,
)
from siamese_oneshot.data.omniglot.edition import Edition
from siamese_oneshot.utils.errors import ArgumentError, UserError
from siamese_oneshot.utils.io import atomic_write

PARTS = ("images_background", "images_evaluation", "all_runs")
ROOT_VARIABLE = "OMNIGLOT_ROOT"
# Beside the files themselves: torchvision's folder, and those of a clone of the repository.
_SUBFOLDERS = ("", "omniglot-py", "python", "python/one-shot-classification")

REPOSITORY = "https://github.com/brendenlake/omniglot"
_BASE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
URLS = {
    "images_background": f"{_BASE}/images_background.zip",
    "images_evaluation": f"{_BASE}/images_evaluation.zip",
    "all_runs": f"{_BASE}/one-shot-classification/all_runs.zip",
}
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
    "all_runs": "e8996daecdf12afeeb4a53a179f06b19",
}
MAX_BYTES = 64 * 2**20  # the largest official file has 9.5 MB
SILENCE_SECONDS = 20.0  # without a byte
TOTAL_SECONDS = 900.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class OmniglotUnavailable(UserError):
    """Omniglot is nowhere and could not be downloaded; the message lists every place searched."""


class DownloadFailed(Exception):
    """Which address failed, and why."""


@dataclass(frozen=True)
class Place:
    """A folder to search, and its name in messages."""

    path: Path
    name: str


def search_places(root_variable: str, data_set: str, home: Path) -> list[Place]:
    """Folders to search if no root is given, in order.

    Args:
        root_variable: Environment variable with a folder.
        data_set: ``omniglot`` or ``mnist``: folder below ./data, ../shared and the cache.
        home: The cache's folder.
    """
    places = []
    if named := os.environ.get(root_variable):
        places.append(Place(Path(named).expanduser().absolute(), f"${root_variable}"))
    for relative in (f"./data/{data_set}", f"../shared/{data_set}"):
        places.append(Place(Path(os.path.abspath(relative)), relative))
    return [*places, Place(home / data_set, "the user cache")]


def candidates(folder: Path, part: str) -> list[Path]:
    """Zips and folders below ``folder`` that may hold ``part``, the likeliest first."""
    found = []
    for subfolder in _SUBFOLDERS:
        base = folder / subfolder
        if os.path.isfile(base / f"{part}.zip"):
            found.append(base / f"{part}.zip")
        if os.path.isdir(base / part):
            found.append(base / part)
        if part == "all_runs" and holds_runs(base):
            found.append(base)
    return found


def missing(folder: Path) -> str:
    """What a folder lacks, for a message; empty if it has something for every part."""
    if not os.path.isdir(folder):
        return "it is not a folder" if os.path.exists(folder) else "no such folder"
    lacking = [part for part in PARTS if not candidates(folder, part)]
    return "it has no " + ", ".join(f"{part}.zip or {part}/" for part in lacking) if lacking else ""


def root_place(root: str | Path) -> Place:
    """The folder that a user gave.

    Raises:
        ArgumentError: If it lacks an image set.
    """
    place = Place(Path(root).expanduser().absolute(), "root")
    if not all(candidates(place.path, part) for part in PARTS[:2]):
        message = (
            f"{missing(place.path)} ({place.path})\nPut images_background, images_evaluation and "
            f"all_runs there, as zips or unpacked ({REPOSITORY}/tree/master/python), or leave it "
            "out to search for Omniglot and download it."
        )
        raise ArgumentError("root", str(root), message=message)
    return place


class Search:
    """One search for Omniglot's files: decodes the first valid file of each part.

    Args:
        edition: What the files must hold.
        root: The user's folder: the images must come from there. None searches.
        home: The cache's folder; downloads go to ``omniglot`` below it.
        may_download: Whether the network may be used.
    """

    def __init__(
        self, edition: Edition, root: Place | None, home: Path, may_download: bool
    ) -> None:
        self.edition = edition
        self.root = root
        self.downloads = home / "omniglot"
        self.may_download = may_download
        self.places = [root] if root else search_places(ROOT_VARIABLE, "omniglot", home)
        self.faults: list[str] = []

    def decode(self) -> dict[str, NDArray[Any]]:
        """The three arrays of the cache: both image sets and the runs.

        Raises:
            OmniglotUnavailable, OmniglotFaulty: As for `load_omniglot`.
        """
        for place in self.places:
            if place.name == f"${ROOT_VARIABLE}" and (lacking := missing(place.path)):
                log.warning("%s=%s: %s; trying the next location", place.name, place.path, lacking)
        edition = self.edition
        background = self._part("images_background", lambda a: decode_set(a, edition.background))
        evaluation = self._part("images_evaluation", lambda a: decode_set(a, edition.evaluation))
        runs = self._part(
            "all_runs",
            lambda a: decode_runs(a, evaluation, len(background), edition.runs_digest),
        )
        return {"background": background, "evaluation": evaluation, "runs": runs}

    def _part(self, part: str, decode: Callable[[Archive], T]) -> T:
        folders = [place.path for place in self.places]
        if self.root and part == "all_runs":  # only the images must be the root's
            folders.append(self.downloads)
        for folder in folders:
            for path in candidates(folder, part):
                try:
                    return _decoded(path, decode)
                except OmniglotFaulty as fault:
                    log.warning("%s is not used: %s", path, fault)
                    self.faults.append(f"{path}: {fault}")
        if not self.may_download:
            raise self._error(part, "downloading is disabled (download=false)")
        if self.root and part != "all_runs":
            raise self._error(part, "if a root is given, images come from there only")
        try:
            path = download(part, self.downloads)
        except DownloadFailed as fault:
            raise self._error(part, f"download failed: {fault}") from fault
        return _decoded(path, decode)

    def _error(self, part: str, download_status: str) -> OmniglotFaulty | OmniglotUnavailable:
        """Faulty if the user has files of any part; else unavailable."""
        own = [place.path for place in self.places if place.path != self.downloads]
        anything = any(candidates(path, name) for path in own for name in PARTS)
        kind = OmniglotFaulty if anything else OmniglotUnavailable
        names = [place.name for place in self.places]
        lines = [f"Omniglot is not available: no usable {part}.zip or {part}/. Searched in"]
        if f"${ROOT_VARIABLE}" not in names and not self.root:
            lines.append(f"  ${ROOT_VARIABLE}: not set")
        lines += [
            f"  {place.name} ({place.path}): {missing(place.path) or 'see below'}"
            for place in self.places
        ]
        lines += [f"  not usable: {fault}" for fault in self.faults]
        lines += [
            f"  {download_status}",
            "What to do: put images_background.zip, images_evaluation.zip and all_runs.zip (from "
            f"{REPOSITORY}/tree/master/python; all_runs.zip is in its folder "
            "one-shot-classification) into ./data/omniglot, or give their folder as root or in "
            f"{ROOT_VARIABLE}, or use generated alphabets (data=synthetic, SyntheticDataModule).",
        ]
        return kind("\n".join(lines))


def download(part: str, folder: Path, opener: Callable[[str], Any] | None = None) -> Path:
    """Download one official zip.

    Args:
        part: One of `PARTS`.
        folder: Folder for the zip; created if necessary.
        opener: Opens an address (`open_https` if None); its answer has ``headers`` and
            ``read(size)`` and can be closed.

    Raises:
        DownloadFailed: On any failure; no file is left behind.
    """
    url = URLS[part]
    path = folder / f"{part}.zip"
    log.info("downloading %s to %s", url, path)
    try:
        with (opener or open_https)(url) as answer, atomic_write(path) as handle:
            _receive(answer, handle, part)
    except DownloadFailed as fault:
        raise DownloadFailed(f"{url}: {fault}") from fault
    except (OSError, http.client.HTTPException) as fault:
        raise DownloadFailed(f"{url}: {fault or type(fault).__name__}") from fault
    return path


def open_https(url: str) -> Any:
    """Open an https address for reading.

    Raises:
        DownloadFailed: If the address, or one that it redirects to, is not https.
        OSError: If there is no connection, or an answer other than success.
    """
    _require_https(url)
    return urllib.request.build_opener(_HttpsOnly).open(url, timeout=SILENCE_SECONDS)


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to an unencrypted address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if not url.startswith("https://"):
        raise DownloadFailed(f"{url} is not an https address")


def _decoded(path: Path, decode: Callable[[Archive], T]) -> T:
    log.info("decoding %s", path)
    with Archive(path) as archive:
        return decode(archive)


def _receive(answer: Any, handle: Any, part: str) -> None:
    length = answer.headers.get("Content-Length")
    expected = int(length) if length and length.isdigit() else None
    digest = hashlib.md5(usedforsecurity=False)
    size, deadline = 0, time.monotonic() + TOTAL_SECONDS
    # disable=None: no bar if the output is not a terminal
    with tqdm(
        total=expected, unit="B", unit_scale=True, desc=f"{part}.zip", disable=None, leave=False
    ) as bar:
        while chunk := answer.read(2**16):
            size += len(chunk)
            if size > MAX_BYTES:
                raise DownloadFailed(f"it is larger than {MAX_BYTES} bytes, so it is not Omniglot")
            if time.monotonic() > deadline:
                raise DownloadFailed(f"not finished after {TOTAL_SECONDS:.0f} s ({size} bytes)")
            digest.update(chunk)
            handle.write(chunk)
            bar.update(len(chunk))
    if expected is not None and size < expected:
        raise DownloadFailed(f"the connection ended after {size} of {expected} bytes")
    if digest.hexdigest() != MD5[part]:
        raise DownloadFailed(
            f"its MD5 is {digest.hexdigest()}, not {MD5[part]} ({size} bytes received; perhaps a "
            "proxy's page)"
        )
