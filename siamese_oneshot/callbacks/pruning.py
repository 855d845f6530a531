"""Reports validation scores to an Optuna trial, and stops training when the trial is pruned."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from siamese_oneshot.sweeps.search import trial_of

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

_METRIC = "val/one_shot_accuracy"  # what a search maximizes


class Pruning(Callback):
    """Reports each validation score to the trial, and stops training if the pruner decides so.

    In a run that is no trial of a search it does nothing.

    Args:
        folder: Folder of the run.
        pruner: An Optuna pruner; None only reports.
    """

    def __init__(self, folder: str, pruner: optuna.pruners.BasePruner | None = None) -> None:
        self.folder, self.pruner = Path(folder), pruner
        self.pruned = False
        self._trial: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the trial; only the first of several processes reports to it."""
        if stage == "fit" and trainer.is_global_zero:
            self._trial = trial_of(self.folder, self.pruner)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the score, and stop if the trial is pruned."""
        if trainer.sanity_checking or _METRIC not in trainer.callback_metrics:
            return
        prune = False
        if self._trial is not None:
            number, value = _number(trainer), float(trainer.callback_metrics[_METRIC])
            try:
                known = self._trial.study.get_trials(deepcopy=False)[self._trial.number]
                if number not in known.intermediate_values:  # a resumed run may repeat a validation
                    self._trial.report(value, number)
                prune = self.pruner is not None and self._trial.should_prune()
            except Exception as problem:  # every database has errors of its own
                log.warning("going on without pruning, as the study cannot be used: %s", problem)
                self._trial = None
        if trainer.strategy.broadcast(prune):
            self.pruned = trainer.should_stop = True
            log.info("pruned at step %d: other jobs were better", trainer.global_step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stay pruned if the process was killed before the result was written."""
        trainer.should_stop = trainer.should_stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        """Return whether the trial is pruned."""
        return {"pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.pruned = bool(state_dict["pruned"])


def _number(trainer: pl.Trainer) -> int:
    """Number of a validation, from 0; the epoch if each epoch has one."""
    every, batches = trainer.val_check_batch, trainer.num_training_batches
    if every is None or every >= batches:
        return trainer.current_epoch
    per_epoch = int(batches // every)
    in_epoch = min(math.ceil((trainer.fit_loop.batch_idx + 1) / every), per_epoch)
    return trainer.current_epoch * per_epoch + in_epoch - 1
