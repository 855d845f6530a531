"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Write ``path`` under a temporary name beside it and move it into place at the end.

    Whoever reads ``path`` meanwhile sees the old file or the new one, never a half. If the block
    raises (Ctrl-C too), ``path`` stays as it was and the temporary file is removed. After a power
    cut, too, there is the one or the other: the file and its folder are synced.

    Args:
        path: the file; its folder is made.
        keep: in the same folder: there the old file stays.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(passing, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        if keep is not None and path.exists():
            _keep(path, keep)
        os.replace(passing, path)
        _sync_folder(path.parent)
    finally:
        passing.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Where a checkpoint's predecessor is kept: ``last.previous.ckpt`` of ``last.ckpt``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def check_sums(path: Path) -> None:
    """Look at every byte of a checkpoint, which PyTorch itself does not when it loads one.

    Raises:
        zipfile.BadZipFile: no zip, or a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} does not match")


def remove_strays(folder: Path) -> None:
    """Remove what a killed process has left of ``whole_file``; only where no other one writes."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def _keep(path: Path, keep: Path) -> None:
    """A second name for the file, in the place of what has had that name; never neither."""
    second = keep.with_name(f".{keep.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        os.replace(path, keep)
        return
    os.replace(second, keep)


def _sync_folder(folder: Path) -> None:
    """Let a renaming outlive a power cut, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
