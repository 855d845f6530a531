"""Images of how a training goes, by its validation: what the network confuses and how surely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.evaluation.intervals import wilson
from siamese_oneshot.evaluation.metrics import accuracy_by_way
from siamese_oneshot.evaluation.results import EpisodeResults, EvalResults
from siamese_oneshot.evaluation.scores import alphabet_scores
from siamese_oneshot.utils import check

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
            from siamese_oneshot.plots import save  # here: matplotlib takes a second

            for name, draw in _images(module, data):
                place.mkdir(parents=True, exist_ok=True)
                save(draw(), place / f"{name}.png")
                for logger in loggers:
                    logger.log_image(
                        f"images/{name}", [str(place / f"{name}.png")], step=self._drawn
                    )
            rows = mistakes_table(data.dataset, module.eval_results.results[0], self.mistakes)
            for logger in loggers:
                _log_table(logger, rows, self._drawn)
        except (ValueError, RuntimeError, OSError) as problem:  # an image is not worth a training
            log.warning("the images at step %d could not be made: %s", self._drawn, problem)


def _images(module: Any, data: Any) -> Iterator[tuple[str, Callable[[], Figure]]]:
    from siamese_oneshot import plots

    dataset: CharacterDataset = data.dataset
    eval_results: EvalResults = module.eval_results
    results = eval_results.results[0]
    yield "trial", lambda: plots.draw_episode(dataset, results, results.n // 2)
    yield "mistakes", lambda: plots.draw_mistakes(dataset, results)
    yield "confusions", lambda: plots.draw_confusions(dataset, results)
    scores = alphabet_scores(results, dataset, "validation")
    rows = [(one.name, one.value, one.low, one.high) for one in scores]
    yield "alphabets", lambda: plots.draw_alphabets(rows, results.task.episodes.way)
    yield "ways", lambda: plots.draw_ways({"validation": ways_curve(results)})
    verification = eval_results.verification
    same = data.validation.pairs.same
    yield (
        "pairs",
        lambda: plots.draw_pair_scores(verification.logits, same, verification.threshold),
    )
    first = next(
        (one for one in module.network.modules() if isinstance(one, torch.nn.Conv2d)), None
    )
    if first is not None:
        weight = first.weight.detach().float().cpu()
        yield "filters", lambda: plots.draw_filters(weight)
    augmentation = getattr(data.sampler, "augmentation", None)
    if augmentation is not None:
        some = data.parts.train[:: max(1, len(data.parts.train) // 6)][:6]
        plain = dataset.pixels[some][:, None].float() / 255
        yield (
            "distortions",
            lambda: plots.draw_augmentations(plain, augmentation, generator_for(0)),
        )


def ways_curve(results: EpisodeResults) -> list[tuple[int, float, float, float]]:
    """(ways, accuracy, low, high) at 2 ways and more, worked out from episodes with the most."""
    shares = accuracy_by_way(results.scores, results.task.episodes.answers).tolist()
    episodes = results.n
    return [
        (way, share, *wilson(round(share * episodes), episodes))
        for way, share in enumerate(shares, start=1)
        if way > 1
    ]


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
