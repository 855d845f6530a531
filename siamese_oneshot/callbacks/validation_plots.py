"""Plots of the validation during training: what the network confuses, and with which scores."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.evaluator import EpisodeResults
from siamese_oneshot.utils import check

log = logging.getLogger(__name__)

_COLUMNS = [  # of the table of mistakes; images are uint8, black on white
    "query", "correct", "predicted", "correct class", "predicted class", "correct score",
    "predicted score",
]  # fmt: skip
_MISTAKES = 24  # rows of it


class ValidationPlots(Callback):
    """Plots the last validation after every few epochs and at the end of training.

    The plots go to ``<folder>/step_000270/*.png`` and to W&B as ``plots/<name>``, with a table of
    the worst mistakes. Test data are never read. Data modules other than `OneShotDataModule` are
    not plotted.

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
            rows = mistakes_table(data.dataset, results.results[0], _MISTAKES)
            for logger in loggers:
                for name, path in saved.items():
                    logger.log_image(f"plots/{name}", [str(path)], step=step)
                _log_table(logger, rows, step)
        except (ValueError, RuntimeError, OSError) as problem:  # training is worth more
            log.warning("the plots at step %d cannot be made: %s", step, problem)


def mistakes_table(
    dataset: CharacterDataset, results: EpisodeResults, count: int
) -> list[tuple[Any, ...]]:
    """The worst mistakes, sorted by how far the wrong support is ahead; a row has `_COLUMNS`."""
    from siamese_oneshot.plots.episode_plots import worst_mistakes

    episodes = results.task.episodes
    rows = []
    for index in worst_mistakes(results, count):
        ways = int(episodes.answers[index]), int(results.picks[index])
        supports = [int(episodes.supports[index, way, 0]) for way in ways]
        shown = [int(episodes.queries[index]), *supports]
        images = [255 - dataset.pixels[image].numpy() for image in shown]
        classes = [dataset.class_names[int(dataset.classes[support])] for support in supports]
        rows.append((*images, *classes, *[float(results.scores[index, way]) for way in ways]))
    return rows


def _log_table(logger: WandbLogger, rows: list[tuple[Any, ...]], step: int) -> None:
    import wandb

    cells = [[*(wandb.Image(image) for image in row[:3]), *row[3:]] for row in rows]
    logger.log_table("mistakes", columns=_COLUMNS, data=cells, step=step)
