"""Plots of the validation during training: what the network confuses, and with which scores."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.utils import check

log = logging.getLogger(__name__)


class ValidationPlots(Callback):
    """Plots the last validation after every few epochs and at the end of training.

    The plots go to ``<folder>/step_000270/*.png`` and to W&B as ``plots/<name>``. Test data are
    never read. Data modules other than `OneShotDataModule` are not plotted.

    Args:
        folder: Folder of the plots.
        every_n_epochs: Epochs between two sets of plots.
    """

    def __init__(self, folder: str, every_n_epochs: int = 6) -> None:
        self.folder = Path(folder)
        self.every_n_epochs = check.integer("every_n_epochs", every_n_epochs, 1)
        self._step = 0  # of the last plots

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A resumed run does not plot its last validation again."""
        self._step = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot if enough epochs have passed."""
        if not trainer.sanity_checking and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._plot(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot the last validation."""
        if trainer.global_step > self._step:
            self._plot(trainer, pl_module)

    def _plot(self, trainer: pl.Trainer, module: Any) -> None:
        data, results = trainer.datamodule, module.eval_results  # type: ignore[attr-defined]
        if not trainer.is_global_zero or results is None or not isinstance(data, OneShotDataModule):
            return
        from siamese_oneshot.plots.figures import save_figures, validation_figures  # slow to import

        step = self._step = trainer.global_step
        log.info("drawing plots of the validation at step %s", f"{step:,}")
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        try:
            figures = validation_figures(
                data.dataset, results, module.network, data.sampler, data.split.train,
                module.attention,
            )  # fmt: skip
            saved = save_figures(figures, self.folder / f"step_{step:06d}")
            for logger in loggers:
                for name, path in saved.items():
                    logger.log_image(f"plots/{name}", [str(path)], step=step)
        except (ValueError, RuntimeError, OSError) as problem:  # training is worth more
            log.warning("the plots at step %d cannot be made: %s", step, problem)
