"""Finds Omniglot on this machine or downloads it, verifies and decodes it once, then caches it.

All 32,460 images of 1,623 characters in 50 alphabets by 20 drawers each, and Lake's runs. Whatever
zip or folder they come from, the pixels are compared with pinned digests. A valid cache therefore
needs no source files.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from siamese_oneshot.data import cache
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.omniglot.archive import (
    Archive,
    OmniglotFaulty,
    decode_runs,
    decode_set,
    holds_runs,
)
from siamese_oneshot.data.omniglot.edition import DUPLICATE_CLASSES, OFFICIAL, SIDE
from siamese_oneshot.utils.errors import ArgumentError, UserError
from siamese_oneshot.utils.io import atomic_write

EDITION = OFFICIAL  # what is verified; tests replace it by a small one
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
class LoadedData:
    """A loaded data source.

    Attributes:
        dataset: The images.
        runs: Of Omniglot: Lake's one-shot task, 20 runs of 20 queries against 20 supports, one of
            each class, as 400 episodes (Lake et al., Science 2015; the paper's section 4.3). All
            images are of the evaluation set. None of other sources.
        warnings: What a reader of results must know, one sentence each.
    """

    dataset: CharacterDataset
    runs: Episodes | None
    warnings: tuple[str, ...] = ()


def load_omniglot(
    root: str | Path | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
) -> LoadedData:
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
    search = Search(root, home, download)
    place, *_ = search.places.values()
    if root is not None and not all(candidates(place, part) for part in PARTS[:2]):
        message = (
            f"{_missing(place, PARTS)} ({place})\nPut images_background, images_evaluation and "
            f"all_runs there, as zips or unpacked ({REPOSITORY}/tree/master/python), or leave it "
            "out to search for Omniglot and download it."
        )
        raise ArgumentError("root", str(root), message=message)
    digests = [EDITION.background.digest, EDITION.evaluation.digest, EDITION.runs_digest]
    metadata = {"data": "omniglot", "digests": digests}
    path = home / f"omniglot-v{cache.FORMAT}.bits"
    arrays = cache.load_or_build(path, metadata, search.decode)
    packed = np.concatenate([arrays["background"], arrays["evaluation"]])
    characters = {**EDITION.background.characters, **EDITION.evaluation.characters}
    pixels = cache.unpack(packed, SIDE)
    dataset = CharacterDataset.from_grid(pixels, characters, EDITION.background.drawers, "omniglot")
    dataset = replace(dataset, duplicate_classes=DUPLICATE_CLASSES)
    queries, supports, answers = torch.tensor(arrays["runs"])
    each_query = supports.repeat_interleave(supports.shape[1], 0)[..., None]  # (400, way, shot)
    return LoadedData(dataset, Episodes(queries.flatten(), each_query, answers.flatten()))


def search_places(
    root: str | Path | None, root_variable: str, data_set: str, home: Path
) -> dict[str, Path]:
    """Folders to search, in order, by their names in messages: ``root`` alone or, if None, several.

    These are the folder in the environment variable ``root_variable`` and those named ``data_set``
    in ./data, ../shared and the cache's folder ``home``.
    """
    if root is not None:
        return {"root": Path(root).expanduser().absolute()}
    places = {}
    if named := os.environ.get(root_variable):
        places[f"${root_variable}"] = Path(named).expanduser().absolute()
    for relative in (f"./data/{data_set}", f"../shared/{data_set}"):
        places[relative] = Path(os.path.abspath(relative))
    return {**places, "the user cache": home / data_set}


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


def _missing(folder: Path, parts: Sequence[str]) -> str:
    """What a folder lacks, for a message; empty if it has something for every part."""
    if not os.path.isdir(folder):
        return "it is not a folder" if os.path.exists(folder) else "no such folder"
    lacking = [part for part in parts if not candidates(folder, part)]
    return "it has no " + ", ".join(f"{part}.zip or {part}/" for part in lacking) if lacking else ""


@dataclass
class Search:
    """One search for Omniglot's files: decodes the first valid file of each part.

    The images must come from ``root``, if it is given. Downloads go to ``omniglot`` in ``home``.
    """

    root: str | Path | None
    home: Path
    may_download: bool = False
    parts: Sequence[str] = PARTS

    def __post_init__(self) -> None:
        """List the places to search."""
        self.places = search_places(self.root, ROOT_VARIABLE, "omniglot", self.home)
        self.downloads, self.faults = self.home / "omniglot", list[str]()

    def decode(self) -> dict[str, cache.Array]:
        """The three arrays of the cache: both image sets and the runs."""
        for name, path in self.places.items():
            if name == f"${ROOT_VARIABLE}" and (lacking := _missing(path, PARTS)):
                log.warning("%s=%s: %s; trying the next location", name, path, lacking)
        background = self.part(PARTS[0], lambda a: decode_set(a, EDITION.background))
        evaluation = self.part(PARTS[1], lambda a: decode_set(a, EDITION.evaluation))
        runs = self.part(PARTS[2], lambda a: decode_runs(a, evaluation, EDITION))
        return {"background": background, "evaluation": evaluation, "runs": runs}

    def part(self, part: str, decode: Callable[[Archive], T]) -> T:
        """What ``decode`` makes of the first valid file of a part.

        Raises:
            OmniglotUnavailable, OmniglotFaulty: Without one; the message lists every place.
        """
        folders = [*self.places.values()]
        if self.root and part == "all_runs":  # only the images must be the root's
            folders.append(self.downloads)
        for folder in folders:
            for path in candidates(folder, part):
                try:
                    return _decoded(path, decode)
                except OmniglotFaulty as fault:
                    log.warning("%s is not used: %s", path, fault)
                    self.faults.append(f"{path}: {fault}")
        if part not in URLS:
            raise self._error(part, "it is not downloaded")
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
        own = [path for path in self.places.values() if path != self.downloads]
        anything = any(candidates(path, name) for path in own for name in self.parts)
        kind = OmniglotFaulty if anything else OmniglotUnavailable
        lines = [f"Omniglot is not available: no usable {part}.zip or {part}/. Searched in"]
        if not self.root and not os.environ.get(ROOT_VARIABLE):
            lines.append(f"  ${ROOT_VARIABLE}: not set")
        for name, path in self.places.items():
            lines.append(f"  {name} ({path}): {_missing(path, self.parts) or 'see below'}")
        lines += [f"  not usable: {fault}" for fault in self.faults]
        where = f"{REPOSITORY}/tree/master/python"
        if PARTS[2] in self.parts:
            where += "; all_runs.zip is in its folder one-shot-classification"
        others = "(data=synthetic, SyntheticDataModule)"
        if part not in URLS:
            others = "that need no strokes (style=splines)"
        zips = ", ".join(f"{name}.zip" for name in self.parts)
        lines += [
            f"  {download_status}",
            f"What to do: put {zips} (from {where}) into ./data/omniglot, or give their folder as "
            f"root or in {ROOT_VARIABLE}, or use generated alphabets {others}.",
        ]
        return kind("\n".join(lines))


def _decoded(path: Path, decode: Callable[[Archive], T]) -> T:
    log.info("decoding %s", path)
    with Archive(path) as archive:
        return decode(archive)


def download(part: str, folder: Path) -> Path:
    """Download one official zip into a folder.

    Raises:
        DownloadFailed: On any failure; no file is left behind.
    """
    url, path = URLS[part], folder / f"{part}.zip"
    log.info("downloading %s to %s", url, path)
    try:
        with open_https(url) as answer, atomic_write(path) as handle:
            _receive(answer, handle, part)
    except (DownloadFailed, OSError, http.client.HTTPException) as fault:
        raise DownloadFailed(f"{url}: {str(fault) or type(fault).__name__}") from fault
    return path


def open_https(url: str) -> Any:
    """Open an address for reading; it, and those that it redirects to, must be https."""
    opener = urllib.request.OpenerDirector()
    for handler in (  # all but those of other schemes
        urllib.request.ProxyHandler, urllib.request.HTTPSHandler, urllib.request.UnknownHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener.open(url, timeout=SILENCE_SECONDS)


def _receive(answer: Any, handle: Any, part: str) -> None:
    length = answer.headers.get("Content-Length")
    expected = int(length) if length and length.isdigit() else None
    digest = hashlib.md5(usedforsecurity=False)
    size, deadline = 0, time.monotonic() + TOTAL_SECONDS
    shown: Any = {"unit": "B", "unit_scale": True, "desc": f"{part}.zip", "leave": False}
    with tqdm(total=expected, disable=None, **shown) as bar:  # None: no bar without a terminal
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
        received = f"({size} bytes received; perhaps a proxy's page)"
        raise DownloadFailed(f"its MD5 is {digest.hexdigest()}, not {MD5[part]} {received}")
