"""The images in a folder of supports or of queries, and the class that each is filed under."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_oneshot.data.image_folder.decode import ImageError, listed
from siamese_oneshot.data.image_folder.folder import class_name, is_litter
from siamese_oneshot.data.image_folder.image_input import ImageInput, read_many
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

LAYOUT = """A folder of supports has either
    class/image.png   a folder a class, with one or more images in it, or
    class.png           one image a class, named after it"""


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """What a folder holds.

    Attributes:
        images: class and image, by name. The class of a support is its folder's name or its
            own without suffix; that of a query is the name of the folder it lies in, and None
            where that is the folder of all queries.
        faults: what cannot be used, and why.
    """

    images: tuple[tuple[str | None, ImageInput], ...]
    faults: tuple[ImageError, ...]


def load_supports(root: str | Path) -> LabeledImages:
    """Read ``class/image`` or, in a folder without such folders, ``class.png``.

    Hidden files and what systems leave behind (``Thumbs.db``) are ignored. Names are compared in
    Unicode's composed form, as systems differ in how they write é.

    Args:
        root: the folder.

    Returns:
        Every class's images; a class of which no image can be used is among the faults.

    Raises:
        UserError: no such folder, no image that can be used, or two files or folders for one
            class.
    """
    base = Path(root).expanduser()
    if not base.is_dir():
        what = "it is a file, not a folder" if base.exists() else "there is no such folder"
        raise UserError(f"{base}: {what}\n{LAYOUT}")
    loose, folders = _inside(base)
    faults, filed, homes = [], [], {}
    for folder in folders:
        files, deeper = _inside(folder)
        homes[folder] = files
        filed += [(class_name(folder.name), file) for file in files]
        faults += [ImageError(one, "a folder within a class's is not read") for one in deeper]
        if not files and not deeper:
            faults.append(ImageError(folder, "the folder is empty"))
    flat = not filed
    if flat:
        filed = [(class_name(file.stem), file) for file in loose]
    else:
        faults += [ImageError(file, "it lies in no class's folder") for file in loose]
    images, unread = _read(filed)
    faults += unread
    places: dict[str, set[Path]] = {}
    for name, given in images:
        assert given.path is not None, "it was read from a file"
        places.setdefault(name or "", set()).add(given.path if flat else given.path.parent)
    for name, several in places.items():
        if len(several) > 1:
            listed = " and ".join(str(place) for place in sorted(several))
            remedy = " or file both in a folder of that name" if flat else ""
            raise UserError(f"{listed} are both the class {name}: rename one{remedy}")
    used = set().union(*places.values()) if not flat else set()
    faults += [
        ImageError(folder, "no image in this folder can be used")
        for folder, files in homes.items()
        if files and not flat and folder not in used
    ]
    if not images:
        raise UserError(f"{base}: no image in it can be used\n{told(faults)}{LAYOUT}")
    return LabeledImages(images, tuple(faults))


def load_queries(root: str | Path) -> LabeledImages:
    """Read one image, or all that are in and below a folder.

    Raises:
        UserError: no such file or folder, or no image in it that can be used.
    """
    base = Path(root).expanduser()
    if not base.exists():
        raise UserError(f"{base}: there is no such file or folder")
    filed: list[tuple[str | None, Path]] = []
    faults = []
    if base.is_file():
        filed = [(None, base)]
    else:
        pending = [base]
        while pending:
            folder = pending.pop()
            files, folders = _inside(folder)
            pending += [one for one in folders if not one.is_symlink()]
            faults += [
                ImageError(one, "a link to a folder, which is not followed")
                for one in folders
                if one.is_symlink()
            ]
            name = None if folder == base else class_name(folder.name)
            filed += [(name, file) for file in files]
            if not files and not folders:
                faults.append(ImageError(folder, "the folder is empty"))
    images, unread = _read(sorted(filed, key=lambda one: one[1]))
    faults += unread
    if not images:
        raise UserError(f"{base}: no image in it can be used\n{told(faults)}".rstrip())
    return LabeledImages(images, tuple(faults))


def judge(faults: Sequence[ImageError], on_error: str) -> None:
    """Stop for bad images where that is asked for.

    Raises:
        UserError: there are some and ``on_error`` is ``stop``; or it is neither that nor ``skip``.
    """
    check.choice("on_error", on_error, ("skip", "stop"))
    if faults and on_error == "stop":
        raise UserError(
            f"stopped, as {len(faults)} cannot be used:\n{told(faults)}"
            "Mend or remove these, or leave them out with on_error=skip."
        )


def told(faults: Sequence[ImageError]) -> str:
    """A line for each of the first few."""
    return listed(faults)


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and the folders in a folder, sorted, less what nobody put there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as problem:
        raise UserError(f"{folder}: cannot be listed ({problem.strerror})") from problem
    kept = [folder / name for name in names if not is_litter(name)]
    return [one for one in kept if not one.is_dir()], [one for one in kept if one.is_dir()]


def _read(
    filed: Sequence[tuple[str | None, Path]],
) -> tuple[tuple[tuple[str | None, ImageInput], ...], list[ImageError]]:
    found = list(zip(filed, read_many([path for _, path in filed]), strict=True))
    images = tuple((name, one) for (name, _), one in found if isinstance(one, ImageInput))
    return images, [one for _, one in found if isinstance(one, ImageError)]
