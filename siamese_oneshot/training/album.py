"""Pictures of how a training goes, by its validation: what the network confuses and how surely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from siamese_oneshot.data.batches import generator_for
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.examine import Answered, Findings
from siamese_oneshot.evaluation.interval import wilson
from siamese_oneshot.evaluation.metrics import accuracy_by_way
from siamese_oneshot.setting import whole
from siamese_oneshot.tracking.score import alphabet_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


class Album(Callback):
    """Draws validation as it stands after every so many epochs and at the end.

    PNGs go to ``<folder>/step_000270/`` and, with a table of the worst mistakes, to W&B. Nothing of
    the test lists is looked at.

    Args:
        folder: for the pictures.
        every: epochs between two albums.
        mistakes: rows of the table.
    """

    def __init__(self, folder: str, every: int = 6, mistakes: int = 24) -> None:
        self.folder, self.every = Path(folder), whole("callbacks.album.every", every, 1)
        self.mistakes = whole("callbacks.album.mistakes", mistakes, 0)
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
        if not trainer.is_global_zero or module.findings is None:
            return
        self._drawn = trainer.global_step
        place = self.folder / f"step_{trainer.global_step:06d}"
        data = trainer.datamodule  # type: ignore[attr-defined]
        loggers = [one for one in trainer.loggers if isinstance(one, WandbLogger)]
        try:
            from siamese_oneshot.pictures import save  # here: matplotlib takes a second

            for name, draw in _pictures(module, data):
                place.mkdir(parents=True, exist_ok=True)
                save(draw(), place / f"{name}.png")
                for logger in loggers:
                    logger.log_image(
                        f"pictures/{name}", [str(place / f"{name}.png")], step=self._drawn
                    )
            rows = mistakes_table(data.drawings, module.findings.answered[0], self.mistakes)
            for logger in loggers:
                _log_table(logger, rows, self._drawn)
        except (ValueError, RuntimeError, OSError) as problem:  # a picture is not worth a training
            log.warning("the pictures at step %d could not be made: %s", self._drawn, problem)


def _pictures(module: Any, data: Any) -> Iterator[tuple[str, Callable[[], Figure]]]:
    from siamese_oneshot import pictures

    drawings: Drawings = data.drawings
    findings: Findings = module.findings
    answered = findings.answered[0]
    yield "trial", lambda: pictures.draw_trial(drawings, answered, answered.trials // 2)
    yield "mistakes", lambda: pictures.draw_mistakes(drawings, answered)
    yield "confusions", lambda: pictures.draw_confusions(drawings, answered)
    scores = alphabet_scores(answered, drawings, "validation")
    rows = [(one.name, one.value, one.low, one.high) for one in scores]
    yield "alphabets", lambda: pictures.draw_alphabets(rows, answered.question.trials.way)
    yield "ways", lambda: pictures.draw_ways({"validation": ways_curve(answered)})
    verified = findings.verified
    same = data.validation.pairs.same
    yield "pairs", lambda: pictures.draw_pair_scores(verified.logits, same, verified.threshold)
    first = next(
        (one for one in module.network.modules() if isinstance(one, torch.nn.Conv2d)), None
    )
    if first is not None:
        weight = first.weight.detach().float().cpu()
        yield "filters", lambda: pictures.draw_filters(weight)
    distortion = getattr(data.batches, "distortion", None)
    if distortion is not None:
        some = data.parts.train[:: max(1, len(data.parts.train) // 6)][:6]
        plain = drawings.pixels[some][:, None].float() / 255
        yield "distortions", lambda: pictures.draw_distortions(plain, distortion, generator_for(0))


def ways_curve(answered: Answered) -> list[tuple[int, float, float, float]]:
    """(ways, accuracy, low, high) at 2 ways and more, worked out from trials with the most."""
    shares = accuracy_by_way(answered.scores, answered.question.trials.answers).tolist()
    trials = answered.trials
    return [
        (way, share, *wilson(round(share * trials), trials))
        for way, share in enumerate(shares, start=1)
        if way > 1
    ]


def mistakes_table(drawings: Drawings, answered: Answered, count: int) -> list[tuple[Any, ...]]:
    """The worst mistakes, furthest ahead first.

    Returns:
        Of each the pictures of query, right and chosen support (uint8, black on white), the classes
        of the two, and what they scored.
    """
    from siamese_oneshot.pictures.trials import worst_mistakes

    trials = answered.question.trials
    rows = []
    for index in worst_mistakes(answered, count):
        answer, pick = int(trials.answers[index]), int(answered.picks[index])
        places = [int(trials.supports[index, way, 0]) for way in (answer, pick)]
        names = [drawings.class_names[int(drawings.classes[place])] for place in places]
        scores = [float(answered.scores[index, way]) for way in (answer, pick)]
        shown = [int(trials.queries[index]), *places]
        pictures = [255 - drawings.pixels[one].numpy() for one in shown]
        rows.append((*pictures, *names, *scores))
    return rows


def _log_table(logger: WandbLogger, rows: list[tuple[Any, ...]], step: int) -> None:
    import wandb

    columns = ["query", "right", "chosen", "right is", "chosen is", "right scored", "chosen scored"]
    cells = [[*(wandb.Image(one) for one in row[:3]), *row[3:]] for row in rows]
    logger.log_table("mistakes", columns=columns, data=cells, step=step)
