"""Read folders of images: alphabets and classes to train on, and supports and queries."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder.foreground import NormalizedImage
from siamese_oneshot.data.image_folder.image_input import (
    ImageError,
    ImageInput,
    list_errors,
    load_image,
    read_input,
    read_many,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import printable

log = logging.getLogger(__name__)

LAYOUT = """Expected, with any names and any number of images:
    root/class/image.png            one alphabet, or
    root/alphabet/class/image.png   several alphabets"""
SUPPORT_LAYOUT = """Expected, with any names:
    class/image.png   one folder per class, with one or more images, or
    class.png         one image per class, named after the class"""
_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")

OnError = Literal["skip", "stop"]


class FolderError(UserError):
    """A folder of images is missing, has another layout, or holds images that cannot be used."""


class Folder(NamedTuple):
    """The images of a folder, 105×105, and one message for each part that was skipped."""

    dataset: CharacterDataset
    skipped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """The supports or the queries in a folder.

    Attributes:
        images: Class and image, sorted by name. The class of a support is the name of its folder,
            or of its file without suffix. The class of a query is the name of its folder, or None
            in the folder of all queries.
        errors: The images and folders that cannot be used.
    """

    images: tuple[tuple[str | None, ImageInput], ...]
    errors: tuple[ImageError, ...]


def class_name(text: str) -> str:
    """A class's name in Unicode's composed form: operating systems differ in how they write é."""
    return unicodedata.normalize("NFC", text)


def load_folder(root: str | Path, on_error: OnError = "skip") -> Folder:
    """Load ``class/image`` or ``alphabet/class/image`` and normalize each image.

    The depth decides which of the two it is; ``class/image`` is one alphabet, named after the root.
    Names are sorted in Unicode's composed form. Hidden files and those of operating systems
    (``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) are ignored. Links to folders are not followed,
    but the root may be one.

    The drawers are unknown. The k-th image of a class by name counts as drawn by the k-th drawer,
    so that support and query of an episode are never the same image.

    Args:
        root: The folder.
        on_error: For files that are no images, damaged or blank images, and folders without a
            usable image: ``skip`` leaves them out and lists them in a warning, ``stop`` raises.

    Raises:
        FolderError: If the folder is missing, holds no image, or holds images at different depths
            or too deep; with ``stop``, if anything cannot be used.
        ArgumentError: If ``on_error`` is unknown.
    """
    check.choice("on_error", on_error, ("skip", "stop"))
    base = Path(root).expanduser()
    if not base.is_dir():
        raise FolderError(f"{printable(base)}: {_no_folder(base)}\n{LAYOUT}")
    files, skipped = _walk(base)
    images: dict[Path, NormalizedImage] = {}
    loaded = read_many(lambda file, _: load_image(base / file), files)
    for file, image in zip(files, loaded, strict=True):
        if isinstance(image, ImageError):
            skipped.append(f"{printable(file)}: {printable(image.reason)}")
        else:
            images[file] = image
    unusable = {file.parent for file in files} - {file.parent for file in images} - {Path()}
    unusable -= {folder.parent for folder in {file.parent for file in files}}  # alphabets
    skipped += [
        f"{printable(folder)}: no image in this folder can be used" for folder in sorted(unusable)
    ]
    if not images:
        reason = f"no image can be used\n{list_errors(skipped)}" if skipped else "it has no image"
        raise FolderError(f"{printable(base)}: {reason}\n{LAYOUT}")
    if skipped and on_error == "stop":
        raise FolderError(
            f"{printable(base)}: stopped\n{list_errors(skipped)}\n"
            "Fix or remove these, or skip them with on_error=skip."
        )
    if skipped:
        log.warning("%s: skipped %d\n%s", printable(base), len(skipped), list_errors(skipped))
    return Folder(_as_dataset(base, images), tuple(skipped))


def load_supports(root: str | Path, progress: bool = False) -> LabeledImages:
    """Read ``class/image`` or, in a folder without such folders, ``class.png``.

    Args:
        root: The folder.
        progress: Show a progress bar if there are many images.

    Raises:
        FolderError: If the folder is missing, holds no usable image, or holds two files or folders
            for one class.
    """
    base = Path(root).expanduser()
    if not base.is_dir():
        raise FolderError(f"{printable(base)}: {_no_folder(base)}\n{SUPPORT_LAYOUT}")
    loose, folders = _list(base)
    errors, labeled, members = [], [], {}
    for folder in folders:
        files, nested = _list(folder)
        members[folder] = files
        labeled += [(class_name(folder.name), file) for file in files]
        errors += [
            ImageError(one, "a folder inside a class's folder is not read") for one in nested
        ]
        if not files and not nested:
            errors.append(ImageError(folder, "the folder is empty"))
    flat = not labeled
    if flat:
        labeled = [(class_name(file.stem), file) for file in loose]
    else:
        errors += [ImageError(file, "it is in no class's folder") for file in loose]
    images, unread = _read(labeled, progress)
    errors += unread
    origins: dict[str, set[Path]] = defaultdict(set)
    for name, image in images:
        assert name is not None
        assert image.path is not None
        origins[name].add(image.path if flat else image.path.parent)
    for name, paths in origins.items():
        if len(paths) > 1:
            several = " and ".join(printable(path) for path in sorted(paths))
            remedy = " or put both into a folder of that name" if flat else ""
            raise FolderError(f"{several} are both the class {printable(name)}: rename one{remedy}")
    if not flat:
        used = set().union(*origins.values())
        errors += [
            ImageError(folder, "no image in this folder can be used")
            for folder, files in members.items()
            if files and folder not in used
        ]
    return _labeled(base, images, errors, SUPPORT_LAYOUT)


def load_queries(root: str | Path, progress: bool = False) -> LabeledImages:
    """Read one image file, or all images in and below a folder.

    Args:
        root: The file or folder.
        progress: Show a progress bar if there are many images.

    Raises:
        FolderError: If it is missing or holds no usable image.
    """
    base = Path(root).expanduser()
    if not base.exists():
        raise FolderError(f"{printable(base)}: there is no such file or folder")
    labeled: list[tuple[str | None, Path]] = [(None, base)] if base.is_file() else []
    pending = [] if labeled else [base]
    errors = []
    while pending:
        folder = pending.pop()
        files, folders = _list(folder)
        for one in folders:
            if one.is_symlink():
                errors.append(ImageError(one, "a link to a folder is not followed"))
            else:
                pending.append(one)
        name = None if folder == base else class_name(folder.name)
        labeled += [(name, file) for file in files]
        if not files and not folders:
            errors.append(ImageError(folder, "the folder is empty"))
    images, unread = _read(sorted(labeled, key=lambda one: one[1]), progress)
    return _labeled(base, images, errors + unread)


def check_errors(errors: Sequence[ImageError], on_error: str) -> None:
    """Raise if some images cannot be used and ``on_error`` is ``stop``.

    Raises:
        FolderError: Lists the errors.
        ArgumentError: If ``on_error`` is neither ``skip`` nor ``stop``.
    """
    check.choice("on_error", on_error, ("skip", "stop"))
    if errors and on_error == "stop":
        raise FolderError(
            f"stopped, as {len(errors)} cannot be used:\n{list_errors(errors)}\n"
            "Fix or remove these, or skip them with on_error=skip."
        )


def _no_folder(path: Path) -> str:
    return "it is a file, not a folder" if path.exists() else "there is no such folder"


def _is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or made by an operating system."""
    return name.startswith(".") or name.lower() in _IGNORED


def _walk(base: Path) -> tuple[list[Path], list[str]]:
    """All files relative to ``base``, sorted, and one message for each folder that is skipped."""
    files, skipped = [], []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == base:
            raise FolderError(f"{printable(base)}: cannot be listed ({error.strerror})") from error
        folder = printable(Path(error.filename).relative_to(base))
        skipped.append(f"{folder}: cannot be listed ({error.strerror})")

    for path, folders, names in os.walk(base, onerror=unreadable):
        here = Path(path).relative_to(base)
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        for name in folders:
            if os.path.islink(Path(path, name)):
                skipped.append(f"{printable(here / name)}: a link to a folder is not followed")
        kept = sorted(name for name in names if not _is_ignored(name))
        if len(here.parts) > 2 and kept:
            nested = printable(here / kept[0])
            raise FolderError(f"{printable(base)}: {nested} is nested too deep\n{LAYOUT}")
        if not kept and not folders and here.parts:
            skipped.append(f"{printable(here)}: the folder is empty")
        files += [here / name for name in kept]
    return sorted(files, key=_names), sorted(skipped)


def _names(file: Path) -> tuple[str, ...]:
    """Sort key of a path; paths themselves sort without regard to case on Windows."""
    return tuple(class_name(part) for part in file.parts)


def _as_dataset(base: Path, images: Mapping[Path, NormalizedImage]) -> CharacterDataset:
    """The images sorted by alphabet, class and name."""
    depths: dict[int, Path] = {}
    for file in images:
        depths.setdefault(len(file.parts), file)
    if 1 in depths:
        name = printable(depths[1])
        raise FolderError(f"{printable(base)}: {name} is in no class's folder\n{LAYOUT}")
    if len(depths) > 1:
        several = f"{printable(depths[2])} and {printable(depths[3])}"
        raise FolderError(f"{printable(base)}: {several} are at different depths\n{LAYOUT}")
    only = class_name(base.resolve().name or "folder")
    members: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file in sorted(images, key=_names):
        names = _names(file)
        members[names[0] if 3 in depths else only, names[-2]].append(file)
    classes = sorted(members)
    alphabets = sorted({alphabet for alphabet, _ in classes})
    counts = [len(members[one]) for one in classes]
    files = [file for one in classes for file in members[one]]
    return CharacterDataset(
        pixels=torch.from_numpy(np.stack([images[file].strokes for file in files])),
        classes=torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts)),
        drawers=torch.cat([torch.arange(count) for count in counts]),
        class_names=tuple(f"{alphabet}/{name}" for alphabet, name in classes),
        alphabet_names=tuple(alphabets),
        class_alphabets=torch.tensor([alphabets.index(alphabet) for alphabet, _ in classes]),
        source="folder",
    )


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and the folders in a folder, sorted."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise FolderError(f"{printable(folder)}: cannot be listed ({error.strerror})") from error
    kept = [folder / name for name in names if not _is_ignored(name)]
    return [one for one in kept if not one.is_dir()], [one for one in kept if one.is_dir()]


def _read(
    labeled: Sequence[tuple[str | None, Path]], progress: bool
) -> tuple[list[tuple[str | None, ImageInput]], list[ImageError]]:
    read = read_many(read_input, [path for _, path in labeled], progress)
    images, errors = [], []
    for (name, _), image in zip(labeled, read, strict=True):
        if isinstance(image, ImageError):
            errors.append(image)
        else:
            images.append((name, image))
    return images, errors


def _labeled(
    base: Path,
    images: Sequence[tuple[str | None, ImageInput]],
    errors: Sequence[ImageError],
    layout: str = "",
) -> LabeledImages:
    if not images:
        lines = [f"{printable(base)}: it holds no usable image", list_errors(errors), layout]
        raise FolderError("\n".join(line for line in lines if line))
    return LabeledImages(tuple(images), tuple(errors))
