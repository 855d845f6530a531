"""Checkpoint files: written whole, the one before kept to fall back on, and read safely."""

from __future__ import annotations

import logging
import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import check_sums, previous, whole_file

log = logging.getLogger(__name__)

_DAMAGE = (
    OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError,
    zipfile.BadZipFile,
)  # fmt: skip


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lets Lightning use ``write_checkpoint`` and ``read_checkpoint``."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, always with ``weights_only``."""
        return read_checkpoint(Path(path))


def there_is(path: Path) -> bool:
    """Whether there is a checkpoint, or the one before it."""
    return path.is_file() or previous(path).is_file()


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint under a temporary name, sync it and move it into place.

    The one that it takes the place of stays as ``previous(path)``.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; ``path`` and
            ``previous(path)`` are then as they were.
    """
    with whole_file(path, keep=previous(path)) as file:
        kept = _Kept(file)
        try:
            torch.save(checkpoint, kept)  # type: ignore[arg-type]
        except RuntimeError as problem:  # how PyTorch passes on what a file raised
            raise (kept.problem or problem) from problem


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing that is in it is run.

    Where it is cut short or damaged (each byte is checked) or missing, the one before takes its
    place, and the log says so; of several processes the first sees to that on the disk, too, where
    the damaged one stays as ``….damaged.ckpt``.

    Raises:
        UserError: there is none that can be read.
    """
    try:
        return _load(path)
    except _DAMAGE as problem:
        reason = _line(problem)
    before = previous(path)
    try:
        found = _load(before)
    except FileNotFoundError:
        if not is_first_process():  # which may just have put the one before in its place
            with suppress(*_DAMAGE):
                return _load(path)
        raise UserError(f"{path} cannot be read ({reason}), and there is none before it") from None
    except _DAMAGE as problem:
        raise UserError(
            f"{path} cannot be read ({reason}), nor the one before it ({_line(problem)}): "
            "start anew in another folder"
        ) from problem
    if not is_first_process():
        return found
    log.warning("%s cannot be read (%s): going back to the one before it", path, reason)
    try:  # or the next writing would keep the damaged one
        if path.exists():
            os.replace(path, path.with_name(f"{path.stem}.damaged{path.suffix}"))
        os.replace(before, path)
    except OSError as problem:
        log.warning("%s cannot be put in its place: %s", before, problem)
    return found


def _load(path: Path) -> dict[str, Any]:
    check_sums(path)
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or "state_dict" not in found:
        raise ValueError("it is no checkpoint of a training")
    return found


def _line(problem: BaseException) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__


class _Kept:
    """A file that remembers what went wrong with it."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.problem: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return int(self.file.write(data))
        except OSError as problem:
            self.problem = problem
            raise

    def flush(self) -> None:
        self.file.flush()
