"""Images of how a training goes, by its validation: what the network confuses and how surely."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.evaluator import EpisodeResults
from siamese_oneshot.utils import check

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


class ValidationPlots(Callback):
    """Draws validation as it stands after every so many epochs and at the end.

    PNGs go to ``<folder>/step_000270/`` and, with a table of the worst mistakes, to W&B. Nothing of
    the test lists is looked at.

    Args:
        folder: for the images.
        every_n_epochs: epochs between two albums.
        mistakes: rows of the table.
    """

    def __init__(self, folder: str, every_n_epochs: int = 6, mistakes: int = 24) -> None:
        self.folder, self.every = (
            Path(folder),
            check.integer("every_n_epochs", every_n_epochs, 1),
        )
        self.mistakes = check.integer("mistakes", mistakes, 0)
        self._drawn = 0  # the step of the last album

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What was trained before, where a run goes on, is not drawn again."""
        self._drawn = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw where it is time."""
        if not trainer.sanity_checking and (trainer.current_epoch + 1) % self.every == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw how it ended."""
        if trainer.global_step > self._drawn:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.is_global_zero or module.eval_results is None:
            return
        self._drawn = trainer.global_step
        place = self.folder / f"step_{trainer.global_step:06d}"
        data = trainer.datamodule  # type: ignore[attr-defined]
        loggers = [one for one in trainer.loggers if isinstance(one, WandbLogger)]
        try:
            from siamese_oneshot.plots.figures import save_figures, validation_figures

            augmentation = getattr(data.sampler, "augmentation", None)
            figures = validation_figures(
                data.dataset, module.eval_results, module.network, augmentation, data.split.train
            )
            for name, path in save_figures(figures, place).items():
                for logger in loggers:
                    logger.log_image(f"plots/{name}", [str(path)], step=self._drawn)
            rows = mistakes_table(data.dataset, module.eval_results.results[0], self.mistakes)
            for logger in loggers:
                _log_table(logger, rows, self._drawn)
        except (ValueError, RuntimeError, OSError) as problem:  # an image is not worth a training
            log.warning("the images at step %d could not be made: %s", self._drawn, problem)


def mistakes_table(
    dataset: CharacterDataset, results: EpisodeResults, count: int
) -> list[tuple[Any, ...]]:
    """The worst mistakes, furthest ahead first.

    Returns:
        Of each the images of query, right and chosen support (uint8, black on white), the classes
        of the two, and what they scored.
    """
    from siamese_oneshot.plots.episodes import worst_mistakes

    episodes = results.task.episodes
    rows = []
    for index in worst_mistakes(results, count):
        answer, pick = int(episodes.answers[index]), int(results.picks[index])
        places = [int(episodes.supports[index, way, 0]) for way in (answer, pick)]
        names = [dataset.class_names[int(dataset.classes[place])] for place in places]
        scores = [float(results.scores[index, way]) for way in (answer, pick)]
        shown = [int(episodes.queries[index]), *places]
        images = [255 - dataset.pixels[one].numpy() for one in shown]
        rows.append((*images, *names, *scores))
    return rows


def _log_table(logger: WandbLogger, rows: list[tuple[Any, ...]], step: int) -> None:
    import wandb

    columns = ["query", "right", "chosen", "right is", "chosen is", "right scored", "chosen scored"]
    cells = [[*(wandb.Image(one) for one in row[:3]), *row[3:]] for row in rows]
    logger.log_table("mistakes", columns=columns, data=cells, step=step)
