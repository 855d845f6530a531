"""Checkpoints: written atomically with one predecessor, read safely, kept by validation or time."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.runs.checkpoint import UNUSABLE, load_checkpoint
from siamese_oneshot.utils import check
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, previous, set_aside
from siamese_oneshot.utils.text import first_line

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """A plugin of Lightning's trainer: `write_checkpoint` and `read_checkpoint`."""

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


def checkpoint_exists(path: Path) -> bool:
    """Whether a checkpoint or its predecessor exists."""
    return path.is_file() or previous(path).is_file()


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file, sync it and move it to ``path``.

    The checkpoint that it replaces is kept as ``previous(path)``.

    Raises:
        OSError: If it cannot be written, for instance because the disk is full. Both files are then
            unchanged.
    """
    with atomic_write(path, keep=previous(path)) as file:
        recorder = _ErrorRecorder(file)
        try:
            torch.save(checkpoint, recorder)  # type: ignore[arg-type]
        except RuntimeError as problem:  # PyTorch hides the file's own error
            raise (recorder.error or problem) from problem


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU without executing anything that it holds.

    If it is missing or damaged (all checksums are compared), its predecessor is read and, by the
    first process, moved to ``path``; the damaged file is kept as ``*.damaged.ckpt``.

    Raises:
        UserError: If neither can be read.
    """
    try:
        return load_checkpoint(path)
    except UNUSABLE as problem:
        reason = first_line(problem)
    older = previous(path)
    try:
        checkpoint = load_checkpoint(older)
    except FileNotFoundError:
        if not is_first_process():  # the first process may just have moved it to `path`
            with suppress(*UNUSABLE):
                return load_checkpoint(path)
        raise UserError(
            f"{path} cannot be read ({reason}), and there is no previous checkpoint"
        ) from None
    except UNUSABLE as problem:
        raise UserError(
            f"{path} cannot be read ({reason}), nor can the previous checkpoint "
            f"({first_line(problem)}): start again in another folder"
        ) from problem
    if is_first_process():
        log.warning("%s cannot be read (%s): loading the previous checkpoint", path, reason)
        try:  # otherwise the next write would keep the damaged file as predecessor
            if path.exists():
                set_aside(path, "damaged")
            os.replace(older, path)
        except OSError as problem:
            log.warning("%s cannot be renamed to %s: %s", older, path.name, problem)
    return checkpoint


class _ErrorRecorder:
    """A file for `torch.save` that keeps the error of a failed write."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return int(self.file.write(data))
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint for run folders that may be moved: its state holds file names.

    Args:
        dirpath: Folder of the checkpoints.
        filename: Name without suffix. If several checkpoints are kept and it holds no placeholder,
            the step is added.
        save_top_k: How many of the best checkpoints are kept; -1 keeps all.
        **options: Other arguments of ModelCheckpoint.
    """

    def __init__(
        self, dirpath: str, filename: str = "best", save_top_k: int = 1, **options: Any
    ) -> None:
        if save_top_k not in (0, 1) and "{" not in filename:
            filename += "_{step:06d}"
        super().__init__(dirpath, filename, save_top_k=save_top_k, **options)

    def state_dict(self) -> dict[str, Any]:
        """State with file names in place of paths."""
        return self._in_folder(super().state_dict(), Path())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, unless the best checkpoint is gone: then the next one is the best."""
        assert self.dirpath is not None
        state = self._in_folder(state_dict, Path(self.dirpath))
        if not state["best_model_path"] or checkpoint_exists(Path(state["best_model_path"])):
            super().load_state_dict(state)
            self.current_score = state["current_score"]

    @staticmethod
    def _in_folder(state: dict[str, Any], folder: Path) -> dict[str, Any]:
        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        return {
            **state,
            **{name: moved(state[name]) for name in names},
            "best_k_models": {moved(path): score for path, score in state["best_k_models"].items()},
            "dirpath": str(folder) if folder != Path() else "",
        }


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt``, from which a run is resumed: after each epoch, and within long ones.

    Within an epoch, `SignalHandler` calls `save` between two steps, so that a resumed run is exact.

    Args:
        dirpath: Folder of the checkpoints.
        every_n_minutes: Longest time between two checkpoints, in minutes.
    """

    def __init__(self, dirpath: str, every_n_minutes: float = 10.0) -> None:
        self.dirpath = dirpath
        self.every_n_minutes = check.number("every_n_minutes", every_n_minutes, 0)
        self._step, self._time = 0, 0.0  # of the last checkpoint

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; the current step needs no checkpoint."""
        self._step, self._time = trainer.global_step, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is older than ``every_n_minutes``."""
        return time.monotonic() - self._time > 60 * self.every_n_minutes

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of every epoch."""
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint unless it is of this step or the run is a ``fast_dev_run``."""
        if trainer.global_step > self._step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            for logger in trainer.loggers:
                if isinstance(logger, ResumableCSVLogger):
                    logger.sync()
            trainer.save_checkpoint(Path(self.dirpath, "last.ckpt"), weights_only=False)
            self._step, self._time = trainer.global_step, time.monotonic()


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The first ModelCheckpoint of a trainer that monitors a metric."""
    callbacks = trainer.checkpoint_callbacks
    monitoring = (c for c in callbacks if isinstance(c, ModelCheckpoint) and c.monitor is not None)
    return next(monitoring, None)
