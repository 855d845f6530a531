"""Read folders of images: alphabets and classes to train on, and supports and queries."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siamese_oneshot.data import cache, image_input
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_input import (
    MANY,
    ImageError,
    ImageInput,
    list_errors,
    read_many,
)
from siamese_oneshot.data.omniglot.edition import SIDE
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
_PART = re.compile("(train|val|valid|test|dev|eval)(ing|idation|uation)?", re.IGNORECASE)
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
    so that support and query of an episode are never the same image. An image that equals an
    earlier one after normalization is left out, as is a class with fewer than two other images.

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
    base = _folder(root, LAYOUT)
    files, errors = _walk(base, 3)
    for file in files:
        if len(file.relative_to(base).parts) > 3:
            deep = printable(file.relative_to(base))
            raise FolderError(f"{printable(base)}: {deep} is nested too deep\n{LAYOUT}")
    images, unread, notes = _cached_strokes(base, files)
    errors += unread + _unusable(files, images, base)
    errors = [ImageError(error.path.relative_to(base), error.reason) for error in errors]
    errors.sort(key=lambda error: error.path)
    _require(images, base, errors, LAYOUT)
    names = [_names(file.relative_to(base)) for file in images]
    _check_parts({parts[0] for parts in names if len(parts) == 3}, base)
    depths = {len(parts): printable("/".join(parts)) for parts in reversed(names)}
    if 1 in depths:
        raise FolderError(f"{printable(base)}: {depths[1]} is in no class's folder\n{LAYOUT}")
    if len(depths) > 1:
        several = f"{depths[2]} and {depths[3]}"
        raise FolderError(f"{printable(base)}: {several} are at different depths\n{LAYOUT}")
    errors += _without_copies(images, base)
    _require(images, base, errors, LAYOUT)
    check_errors(errors, on_error)
    skipped = [*errors, *notes]
    if skipped:
        log.warning("%s: skipped %d\n%s", printable(base), len(skipped), list_errors(skipped))
    names = [_names(file.relative_to(base)) for file in images]
    only = class_name(base.resolve().name or "folder")
    dataset = CharacterDataset.from_arrays(
        np.stack(list(images.values())),
        labels=[parts[-2] for parts in names],
        alphabets=[parts[0] if 3 in depths else only for parts in names],
        source="folder",
    )
    return Folder(dataset, tuple(map(str, skipped)))


def _without_copies(images: dict[Path, NDArray[np.uint8]], base: Path) -> list[ImageError]:
    """Remove images that equal an earlier one, and classes without two different images."""
    first: dict[bytes, Path] = {}
    errors, folders = [], {file.parent for file in images}
    for file, strokes in list(images.items()):
        other = first.setdefault(hashlib.sha256(strokes.tobytes()).digest(), file)
        if other != file:
            reason = f"it equals {printable(other.relative_to(base))} after normalization"
            errors.append(ImageError(file.relative_to(base), reason))
            del images[file]
    left = Counter(file.parent for file in images)
    few = sorted(folder for folder in folders if left[folder] < 2)
    for file in [file for file in images if file.parent in few]:
        del images[file]
    reason = "fewer than two different images are left of this class"
    return errors + [ImageError(folder.relative_to(base), reason) for folder in few]


def _check_parts(alphabets: Collection[str], base: Path) -> None:
    """Refuse train/, val/ and test/: as alphabets, test/ would train (it is the first by name)."""
    parts = [name for name in sorted(alphabets) if _PART.fullmatch(name)]
    if len(parts) > 1 and len(parts) == len(alphabets):
        raise FolderError(
            f"{printable(base)}: {', '.join(map(printable, parts))} are no alphabets, of which the "
            "first would train. Put their classes side by side, each with all its images: the "
            f"package divides them itself. (Alphabets of such names: rename one.)\n{LAYOUT}"
        )


def _cached_strokes(
    base: Path, files: Sequence[Path]
) -> tuple[dict[Path, NDArray[np.uint8]], list[ImageError], list[ImageError]]:
    """The strokes of each usable image, errors of the others, and notes on what was not read.

    They are cached until a file, this package's reading or a library of it changes.
    """
    listing = []
    for file in files:
        facts: list[int] = []  # of a link to nothing
        with contextlib.suppress(OSError):
            status = file.stat()
            facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        listing.append([os.fsencode(file.relative_to(base)).hex(), *facts])

    def build() -> dict[str, NDArray[Any]]:
        if len(files) > MANY:
            log.info("%s: reading %s images", printable(base), f"{len(files):,}")
        read, _ = _read(files)
        strokes = [image.normalized.strokes for image in read.values()]
        packed = cache.pack(np.stack(strokes) > 0) if strokes else np.zeros((0, 1), np.uint8)
        texts = [read[file].notes if file in read else None for file in files]
        return {"strokes": packed, "notes": np.frombuffer(json.dumps(texts).encode(), np.uint8)}

    arrays = cache.load_or_build(
        cache_file(base), {"files": listing, "code": _reading_code()}, build
    )
    texts = zip(files, json.loads(arrays["notes"].tobytes()), strict=True)
    notes = {file: found for file, found in texts if found is not None}
    strokes = dict(zip(notes, cache.unpack(arrays["strokes"], SIDE).numpy(), strict=True))
    # The reason may be gone, such as too little memory.
    again, errors = _read([file for file in files if file not in notes])
    notes |= {file: image.notes for file, image in again.items()}
    strokes |= {file: image.normalized.strokes for file, image in again.items()}
    images = {file: strokes[file] for file in files if file in strokes}
    unread = [ImageError(file.relative_to(base), note) for file in images for note in notes[file]]
    return images, errors, unread


def cache_file(folder: Path) -> Path:
    """Where the strokes of a folder's images are cached."""
    resolved = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return cache.cache_home() / f"folder-{resolved}.safetensors"


@functools.cache
def _reading_code() -> str:
    """A hash of the code that turns files into strokes, and the versions of its libraries."""
    from siamese_oneshot.data import foreground

    digest = hashlib.sha256()
    for module in (foreground, image_input):
        digest.update(Path(str(module.__file__)).read_bytes())
    versions = [version(name) for name in ("pillow", "numpy", "scipy", "scikit-image")]
    return f"{digest.hexdigest()[:16]} {' '.join(versions)}"


def load_supports(root: str | Path, progress: bool = False) -> LabeledImages:
    """Read ``class/image`` or, in a folder without such folders, ``class.png``.

    Files or folders of one name, such as ``a.png`` and ``a.jpg``, hold images of one class.

    Raises:
        FolderError: If the folder is missing or holds no usable image.
    """
    base = _folder(root, SUPPORT_LAYOUT)
    files, errors = _walk(base, 1, follow_links=True)
    in_classes = [file for file in files if file.parent != base]
    if in_classes:
        loose = [file for file in files if file.parent == base]
        errors += [ImageError(file, "it is in no class's folder") for file in loose]
        files = in_classes
    images, unread = _read(files, progress)
    errors += unread + _unusable(files, images, base)
    _require(images, base, errors, SUPPORT_LAYOUT)
    labeled = tuple(
        (class_name(file.parent.name if in_classes else file.stem), image)
        for file, image in images.items()
    )
    return LabeledImages(labeled, tuple(errors))


def load_queries(root: str | Path, progress: bool = False) -> LabeledImages:
    """Read one image file, or all images in and below a folder.

    Raises:
        FolderError: If it is missing or holds no usable image.
    """
    base = Path(root).expanduser()
    if not base.exists():
        raise FolderError(f"{printable(base)}: there is no such file or folder")
    files, errors = ([base], []) if base.is_file() else _walk(base)
    images, unread = _read(files, progress)
    errors += unread
    _require(images, base, errors)
    labeled = tuple(
        (None if base in (file, file.parent) else class_name(file.parent.name), image)
        for file, image in images.items()
    )
    return LabeledImages(labeled, tuple(errors))


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


def _folder(root: str | Path, layout: str) -> Path:
    base = Path(root).expanduser()
    if not base.is_dir():
        reason = "it is a file, not a folder" if base.exists() else "there is no such folder"
        raise FolderError(f"{printable(base)}: {reason}\n{layout}")
    return base


def _walk(
    base: Path, depth: int | None = None, follow_links: bool = False
) -> tuple[list[Path], list[ImageError]]:
    """The files in and below a folder, sorted, and an error for each folder that is not read.

    ``depth`` levels of folders below it are read; links to folders are followed within a depth.
    """
    files: list[Path] = []
    errors, pending = [], [base]
    while pending:
        folder = pending.pop()
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            reason = f"it cannot be listed ({error.strerror})"
            if folder == base:
                raise FolderError(f"{printable(base)}: {reason}") from error
            errors.append(ImageError(folder, reason))
            continue
        ignored = [name for name in names if name.startswith(".") or name.lower() in _IGNORED]
        paths = [folder / name for name in names if name not in ignored]
        if not paths and folder != base:
            errors.append(ImageError(folder, "the folder is empty"))
        level = len(folder.relative_to(base).parts)
        for path in paths:
            if not path.is_dir():
                files.append(path)
            elif path.is_symlink() and not follow_links:
                errors.append(ImageError(path, "a link to a folder is not followed"))
            elif level == depth:
                errors.append(ImageError(path, "a folder inside a class's folder is not read"))
            else:
                pending.append(path)
    return sorted(files, key=_names), errors


def _names(file: Path) -> tuple[str, ...]:
    """Sort key of a path; paths themselves sort without regard to case on Windows."""
    return tuple(class_name(part) for part in file.parts)


def _read(
    files: Sequence[Path], progress: bool = False
) -> tuple[dict[Path, ImageInput], list[ImageError]]:
    """The images that can be read, and an error for each of the others."""
    images, errors = {}, []
    for file, image in zip(files, read_many(files, progress), strict=True):
        if isinstance(image, ImageError):
            errors.append(image)
        else:
            images[file] = image
    return images, errors


def _unusable(files: Collection[Path], images: Collection[Path], base: Path) -> list[ImageError]:
    """An error for each class without an image that can be used."""
    folders = {file.parent for file in files}
    unusable = folders - {file.parent for file in images} - {base}
    unusable -= {folder.parent for folder in folders}  # alphabets
    return [ImageError(one, "no image in this folder can be used") for one in sorted(unusable)]


def _require(
    images: Collection[Path], base: Path, errors: Sequence[ImageError], layout: str = ""
) -> None:
    if not images:
        lines = [f"{printable(base)}: it holds no usable image", list_errors(errors), layout]
        raise FolderError("\n".join(line for line in lines if line))
