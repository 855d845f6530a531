"""A person's own images: a folder a class, or a folder an alphabet with its classes inside."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder.decode import ImageError, listed, load_image
from siamese_oneshot.data.image_folder.foreground import NormalizedImage
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

log = logging.getLogger(__name__)

LAYOUT = """Expected, with any names and any number of images:
    root/class/image.png            one alphabet, or
    root/alphabet/class/image.png   several"""
_LITTER = ("__macosx", "thumbs.db", "desktop.ini")
_READERS = 4  # at once; each may hold 64 megapixels

OnError = Literal["skip", "stop"]


class FolderFaulty(UserError):
    """A folder of images that is not there, not laid out as expected, or holds bad images."""


@dataclass(frozen=True, eq=False)
class Folder:
    """What a folder holds.

    Attributes:
        images: the images, 105×105, ``source`` ``folder``.
        skipped: what was left out, one sentence each: name and reason.
    """

    dataset: CharacterDataset
    skipped: tuple[str, ...]


def load_folder(root: str | Path, on_error: OnError = "skip") -> Folder:
    """Load ``class/image`` or ``alphabet/class/image``, in Omniglot's convention.

    The depth decides which of the two it is; ``class/image`` is one alphabet, named after the
    root. Names are sorted, in Unicode's composed form. Hidden files and what systems leave behind
    (``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) are ignored; links to folders are not followed,
    but the root may be one.

    Nothing is known of who drew what. The k-th image of a class, by name, counts as drawn by the
    k-th drawer: so support and query of an episode are never the same image.

    Args:
        root: the folder.
        on_error: what files that are no images, damaged and blank images, and folders without a
            image do: ``skip`` leaves them out and names them in a warning, ``stop`` stops and
            names all.

    Returns:
        The images and what was left out.

    Raises:
        FolderFaulty: no such folder, no image in it, images at different depths or too deep;
            anything bad under ``stop``.
        UserError: an unknown ``on_error``.
    """
    check.choice("on_error", on_error, ("skip", "stop"))
    base = Path(root).expanduser()
    if not base.is_dir():
        what = "it is not a folder" if base.exists() else "there is no such folder"
        raise FolderFaulty(f"{base}: {what}\n{LAYOUT}")
    files, skipped = _listed(base)
    images: dict[Path, NormalizedImage] = {}
    for file, outcome in zip(files, _read(base, files), strict=True):
        if isinstance(outcome, NormalizedImage):
            images[file] = outcome
        else:
            skipped.append(f"{file}: {outcome.why}")
    barren = {file.parent for file in files} - {file.parent for file in images} - {Path()}
    # A folder with subfolders is an alphabet, and needs no image of its own.
    barren -= {folder.parent for folder in {file.parent for file in files}}
    skipped += [f"{folder}: no image in this folder can be used" for folder in sorted(barren)]
    if skipped and (on_error == "stop" or not images):
        start = f"{base}: no image can be used" if not images else f"{base}: stopped"
        faults = listed(skipped).rstrip()
        remedy = LAYOUT if not images else "Mend or remove these, or skip them with on_error=skip."
        raise FolderFaulty(f"{start}\n{faults}\n{remedy}")
    if not images:
        raise FolderFaulty(f"{base}: there is no image in it\n{LAYOUT}")
    if skipped:
        log.warning("%s: %d left out\n%s", base, len(skipped), listed(skipped).rstrip())
    return Folder(_gathered(base, images), tuple(skipped))


def _listed(base: Path) -> tuple[list[Path], list[str]]:
    """All files, relative to ``base`` and sorted, and what of the folders cannot be used."""
    files, skipped = [], []

    def shut(problem: OSError) -> None:
        if Path(problem.filename) == base:
            raise FolderFaulty(f"{base}: cannot be listed ({problem.strerror})") from problem
        here = Path(problem.filename).relative_to(base)
        skipped.append(f"{here}: cannot be listed ({problem.strerror})")

    for where, folders, names in os.walk(base, onerror=shut):
        here = Path(where).relative_to(base)
        folders[:] = sorted(name for name in folders if not is_litter(name))
        for name in [name for name in folders if os.path.islink(Path(where, name))]:
            skipped.append(f"{here / name}: a link to a folder, which is not followed")
        kept = sorted(name for name in names if not is_litter(name))
        if len(here.parts) > 2 and kept:
            raise FolderFaulty(f"{base}: {here / kept[0]} is nested too deep\n{LAYOUT}")
        if not kept and not folders and here.parts:
            skipped.append(f"{here}: the folder is empty")
        files += [here / name for name in kept]
    return sorted(files, key=_names), sorted(skipped)


def class_name(text: str) -> str:
    """As names of classes are compared: in Unicode's composed form, as systems write é apart."""
    return unicodedata.normalize("NFC", text)


def _names(file: Path) -> tuple[str, ...]:
    """What a path is sorted by: on Windows, paths themselves are sorted without regard to case."""
    return tuple(class_name(part) for part in file.parts)


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system."""
    return name.startswith(".") or name.lower() in _LITTER


def _read(base: Path, files: list[Path]) -> Iterable[NormalizedImage | ImageError]:
    """Each file's image or what is wrong with it, in order."""

    def outcome(file: Path) -> NormalizedImage | ImageError:
        try:
            return load_image(base / file)
        except ImageError as fault:
            return fault

    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(outcome, files))


def _gathered(base: Path, images: dict[Path, NormalizedImage]) -> CharacterDataset:
    """The images by alphabet, class and name."""
    depths: dict[int, list[Path]] = defaultdict(list)
    for file in images:
        depths[len(file.parts)].append(file)
    if 1 in depths:
        raise FolderFaulty(f"{base}: {depths[1][0]} lies in no class's folder\n{LAYOUT}")
    if len(depths) > 1:
        raise FolderFaulty(
            f"{base}: {depths[2][0]} and {depths[3][0]} lie at different depths\n{LAYOUT}"
        )
    alone = base.resolve().name or "folder"
    members: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file in sorted(images, key=_names):
        names = _names(file)
        members[names[0] if 3 in depths else class_name(alone), names[-2]].append(file)
    classes = sorted(members)
    alphabets = sorted({alphabet for alphabet, _ in classes})
    counts = [len(members[one]) for one in classes]
    order = [file for one in classes for file in members[one]]
    return CharacterDataset(
        pixels=torch.from_numpy(np.stack([images[file].ink for file in order])),
        classes=torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts)),
        drawers=torch.cat([torch.arange(count) for count in counts]),
        class_names=tuple(f"{alphabet}/{name}" for alphabet, name in classes),
        alphabet_names=tuple(alphabets),
        class_alphabets=torch.tensor([alphabets.index(alphabet) for alphabet, _ in classes]),
        source="folder",
    )
