"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import stat
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from siamese_oneshot.utils.errors import OtherVersion, UserError

MAX_JSON = 2**26  # bytes
MAX_YAML = 2**20  # bytes


@contextmanager
def open_regular(path: Path, limit: int, inside: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file of someone else: no pipe or device, which never end, and of a bounded size.

    Args:
        path: The file.
        limit: Largest size in bytes; a sparse file has any size on a small disk.
        inside: A folder that the file must lie in once links are followed.

    Raises:
        OSError: If it cannot be opened, or is not such a file.
    """
    if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
        raise OSError("it is a link that leads out of the folder")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise OSError("it is not a regular file")
        if info.st_size > limit:
            raise OSError(f"it has {info.st_size:,} bytes; at most {limit:,} are read")
        yield file


def read_yaml(path: Path, inside: Path | None = None) -> Any:
    """The plain content of a YAML file of someone else, opened as `open_regular` does.

    Raises:
        OSError, ValueError, yaml.YAMLError, RecursionError: It cannot be read.
    """
    import yaml  # late: it is slow

    with open_regular(path, MAX_YAML, inside) as file:
        text = file.read().decode("utf-8")
    if "&" in text and any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text)):
        # Hydra writes none; they can expand without end, and refer to themselves.
        raise yaml.YAMLError("it holds aliases")
    return yaml.safe_load(text)


@contextmanager
def json_content(path: Path, version: int, missing: str, damaged: str) -> Iterator[dict[str, Any]]:
    """Read a JSON file of a version; its entry ``version`` is taken off.

    Raises:
        UserError: With what to do where the file is ``missing`` or ``damaged``, which includes
            errors of the block, or that it is of another version.
    """
    try:
        with open_regular(path, MAX_JSON, path.parent) as file:
            content = json.load(file)
        found = content.pop("version")
        if found != version:
            raise OtherVersion(f"{path} has version {found}; this package reads {version}")
        yield content
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {missing}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise UserError(f"{path} is damaged ({problem}): {damaged}") from problem


def write_json(path: Path, content: dict[str, Any], keep: Path | None = None) -> Path:
    """Write plain values, without NaN and infinity, as `atomic_write` does; returns the path."""
    with atomic_write(path, keep) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")
    return path


@contextmanager
def atomic_write(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Write to a temporary file beside ``path`` and rename it at the end of the block.

    A reader of ``path`` sees either the old content or the new one. If the block raises (Ctrl-C,
    too), ``path`` stays as it was and the temporary file is removed. File and folder are synced, so
    this also holds after a power failure.

    Args:
        path: The file; its folder is created.
        keep: Where the old file is kept, in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        if keep is not None and path.exists():
            _keep(path, keep)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as problem:
        if problem.errno is not None and problem.filename is None:  # of a write
            problem.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def new_folder(path: Path) -> Path:
    """Create the folder, with a number if another process created it in the same second."""
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def check_writable(folder: Path) -> None:
    """Raise an OSError before the work, and not after it, if no file can be written to a folder.

    If it does not exist yet, the nearest folder above it is tried.
    """
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=".", suffix=".tmp") as file:
            file.write(b".")
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(folder)) from problem


def set_aside(path: Path, word: str) -> Path | None:
    """Rename ``x.csv`` to ``x.<word>.csv``, or ``x.<word>2.csv``, …; None if it cannot be."""
    try:
        return path.rename(_free_name(path, word))
    except OSError:
        return None


def _free_name(path: Path, word: str) -> Path:
    numbers = itertools.chain([""], itertools.count(2))
    names = (path.with_name(f"{path.stem}.{word}{n}{path.suffix}") for n in numbers)
    return next(name for name in names if not name.exists())


def keep_copy(path: Path, word: str) -> Path | None:
    """Keep what a file holds now as ``x.<word>.csv``, …; None if there is no such file."""
    if not path.is_file():
        return None
    copy = _free_name(path, word)
    copy_file(path, copy)
    return copy


def copy_file(source: Path, path: Path) -> None:
    """Copy a file completely or not at all."""
    with open(source, "rb") as old, atomic_write(path) as new:
        shutil.copyfileobj(old, new)


def previous(path: Path) -> Path:
    """The path of a file's predecessor: ``last.previous.ckpt`` for ``last.ckpt``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def check_sums(path: Path) -> None:
    """Verify the checksums of a checkpoint, which PyTorch does not do when it loads one.

    Raises:
        zipfile.BadZipFile: The file is no zip archive, is damaged, or is compressed, as no
            checkpoint of PyTorch is.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("it is compressed, as no checkpoint of PyTorch is")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} does not match")


def remove_temporary_files(folder: Path, below: bool = True) -> None:
    """Remove temporary files in a folder, and ``below`` it, that a killed process left.

    No other process may be writing.
    """
    for path in folder.rglob(".*.tmp") if below else folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def _keep(path: Path, keep: Path) -> None:
    """Link the file as ``keep``, replacing what is there; ``path`` or ``keep`` always exists."""
    link = keep.with_name(f".{keep.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        os.replace(path, keep)
        return
    try:
        os.replace(link, keep)
    finally:
        link.unlink(missing_ok=True)  # still there if both names were the same file already


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, on systems where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
