"""A Lightning callback that tells a search how a training goes, and ends a hopeless one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from siamese_oneshot.sweeps.study import trial_of

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class Pruning(Callback):
    """Reports each validation to the trial; where the pruner says so, training ends there.

    In a run that is no trial of a search it does nothing.

    Args:
        folder: the run's.
        pruner: of Optuna; None only reports.
        monitor: the metric; higher is better.
    """

    def __init__(
        self,
        folder: str,
        pruner: optuna.pruners.BasePruner | None = None,
        monitor: str = "val/one_shot_accuracy",
    ) -> None:
        self.folder, self.pruner, self.monitor = Path(folder), pruner, monitor
        self.pruned = False
        self._trial: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the trial; only the first of several processes speaks of it."""
        if stage == "fit" and trainer.is_global_zero:
            self._trial = trial_of(self.folder, self.pruner)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, ask, and where there is no hope let the epoch be the last."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        hopeless = False
        if self._trial is not None:
            epoch, value = trainer.current_epoch, float(trainer.callback_metrics[self.monitor])
            known = self._trial.study.get_trials(deepcopy=False)[self._trial.number]
            if epoch not in known.intermediate_values:  # a resumed run comes by again
                self._trial.report(value, epoch)
            hopeless = self.pruner is not None and self._trial.should_prune()
        if trainer.strategy.broadcast(hopeless):
            self.pruned = trainer.should_stop = True
            log.info("pruned after epoch %d: others did better by then", trainer.current_epoch)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stay pruned where the process was killed before the result was written."""
        trainer.should_stop = trainer.should_stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        """Of the callback."""
        return {"pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.pruned = bool(state_dict["pruned"])
