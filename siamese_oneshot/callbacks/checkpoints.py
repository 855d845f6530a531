"""Which checkpoints are kept, best by validation and latest, and which a training goes on from."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from siamese_oneshot.callbacks.checkpoint_io import there_is
from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.module import MONITOR
from siamese_oneshot.utils import check, slurm
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import remove_strays
from siamese_oneshot.utils.text import quoted

log = logging.getLogger(__name__)


class BestCheckpoint(ModelCheckpoint):
    """Lightning's, whose memory of the best outlives that the run's folder is moved."""

    @property
    def state_key(self) -> str:
        """As Lightning's own, so that older runs can be resumed."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self) -> dict[str, Any]:
        """What is known of the best; files by their names."""
        return self._renamed(super().state_dict(), Path())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it, unless the best checkpoint is gone: then the next one is the best."""
        assert self.dirpath is not None
        state = self._renamed(state_dict, Path(self.dirpath))
        if not state["best_model_path"] or there_is(Path(state["best_model_path"])):
            super().load_state_dict(state)
            self.current_score = state["current_score"]

    @staticmethod
    def _renamed(state: dict[str, Any], folder: Path) -> dict[str, Any]:
        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        return {
            **state,
            **{name: moved(state[name]) for name in names},
            "best_k_models": {moved(path): one for path, one in state["best_k_models"].items()},
            "dirpath": str(folder) if folder != Path() else "",
        }


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt``, to resume from: after each epoch, and within long ones.

    Within an epoch ``SignalHandler`` has it made between two steps, so that a resumed run goes on
    exactly.

    Args:
        dirpath: the folder of checkpoints.
        minutes: without one after which it is time for the next.
    """

    def __init__(self, dirpath: str, every_n_minutes: float = 10.0) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.minutes = check.number("every_n_minutes", every_n_minutes, 0)
        self._step, self._time = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """There is one of this step, or nothing worth one."""
        self._step, self._time = trainer.global_step, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for one within the epoch; ``SignalHandler`` asks between two steps."""
        return time.monotonic() - self._time > 60 * self.minutes

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep every epoch's end."""
        self.keep(trainer)

    def keep(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint unless there is one of this step."""
        if trainer.global_step > self._step and not trainer.sanity_checking:
            for logger in trainer.loggers:
                if isinstance(logger, ResumableCSVLogger):
                    logger.sync()
            trainer.save_checkpoint(self.path, weights_only=False)
            self._step, self._time = trainer.global_step, time.monotonic()


def starting_point(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint that a training in a folder goes on from.

    Args:
        resume: a run's folder or a checkpoint, as ``resume=`` has it; None for a new training,
            which goes on nevertheless where Slurm runs its job again.
        folder: of the run.

    Returns:
        Its path; None to start from the beginning.
    """
    last, restarted = folder / "checkpoints" / "last.ckpt", slurm.is_restarted()
    if is_first_process():  # others would remove what it is writing
        remove_strays(last.parent)
    if resume is None and not restarted:
        return None
    if resume is not None and resume.endswith(".ckpt") and not (restarted and there_is(last)):
        last = Path(resume)
    if there_is(last):
        log.info("going on from %s", last)
        return last
    if HydraConfig.get().mode == RunMode.RUN and is_first_process():
        log.warning("%s has no checkpoint yet: starting from the beginning", folder)
    return None


def check_new(resume: str | None, folder: Path) -> None:
    """Refuse to train anew over a run; in a sweep a job that has to begin again may.

    Args:
        resume: as ``resume=`` has it.
        folder: of the run.

    Raises:
        UserError: what to do instead.
    """
    if resume is not None or slurm.is_restarted() or not is_first_process():
        return
    single = HydraConfig.get().mode == RunMode.RUN
    if single and there_is(folder / "checkpoints" / "last.ckpt"):
        raise UserError(
            f"{folder} holds a run already: go on with it by resume={quoted(folder)}, give another "
            "hydra.run.dir, or remove it"
        )


def kept_checkpoint(trainer: pl.Trainer, folder: Path) -> Path | None:
    """The checkpoint that a run keeps: the best one of its first ModelCheckpoint, else the last.

    Args:
        trainer: After its fit.
        folder: The run's folder.

    Returns:
        Its path; None where there is none.
    """
    best = _model_checkpoint(trainer)
    path = Path((best and best.best_model_path) or folder / "checkpoints" / "last.ckpt")
    return path if there_is(path) else None


def best_validation(trainer: pl.Trainer) -> float | None:
    """Validation one-shot accuracy of the kept checkpoint so far, 0 … 1; None before the first.

    Where checkpoints are chosen by another metric, or not chosen, it is the last accuracy.
    """
    best = _model_checkpoint(trainer)
    error = trainer.callback_metrics.get(MONITOR)
    if best is not None and best.monitor == MONITOR:
        error = best.best_model_score
    return None if error is None else 1.0 - float(error)


def _model_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    found = (one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
    return next((one for one in found if one.monitor is not None), None)
