"""An evaluation as a W&B run of its own: figures, tables, images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.evaluation.evaluator import Outcome
from siamese_oneshot.evaluation.literature import comparison
from siamese_oneshot.evaluation.tables import compared_models
from siamese_oneshot.loggers.run_name import tags_of
from siamese_oneshot.loggers.wandb_run import wandb_run
from siamese_oneshot.utils.tables import Table

if TYPE_CHECKING:
    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger


def log_evaluation(
    cfg: DictConfig,
    folder: Path,
    name: str,
    sweep: Path | None,
    outcomes: Sequence[Outcome],
    tables: Sequence[Table],
    images: Mapping[str, Path],
) -> None:
    """Log all that was printed and drawn.

    Args:
        cfg: of ``conf/evaluate.yaml``.
        folder: the evaluation's; a second one in it is the same W&B run.
        name: of the run, where the configuration has none.
        sweep: whose networks were evaluated; it names the group.
        outcomes, tables, images: what came out.
    """
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    with wandb_run(
        folder,
        {str(key): value for key, value in config.items()},
        project=cfg.logger.project,
        entity=cfg.logger.entity,
        group=cfg.logger.group or (None if sweep is None else sweep.resolve().name),
        name=cfg.logger.name or name[:96],
        tags=_tags(outcomes, list(cfg.logger.tags)),
        job_type=cfg.logger.job_type,
        mode=cfg.logger.mode,
        init_timeout=cfg.logger.init_timeout,
        finish_timeout=cfg.logger.finish_timeout,
    ) as logger:
        if logger is None:
            return
        logger.attempt(_log_figures, logger, outcomes)
        for table in tables:
            logger.attempt(_log_table, logger, table)
        for name, path in images.items():
            logger.attempt(logger.log_image, f"images/{name}", [str(path)])


def _tags(outcomes: Sequence[Outcome], more: Sequence[str]) -> list[str]:
    """Those of the trainings, so that a filter by one finds their evaluations, too."""
    known = [(one.model.metadata.get("experiment") or "", one) for one in outcomes]
    found = [tags_of(name, one.dataset.source, one.split, more) for name, one in known]
    return [*dict.fromkeys(tag for tags in found for tag in tags)]


def _log_figures(logger: ResilientWandbLogger, outcomes: Sequence[Outcome]) -> None:
    from siamese_oneshot.loggers.wandb_summary import interval_of, log_comparison

    for outcome in outcomes:
        own = "" if len(outcomes) == 1 else f"{outcome.model.name}/"
        figures: dict[str, float] = {}
        for score in outcome.scores:
            figures |= interval_of(f"{own}{score.split}/{score.key}", score)
        logger.log_metrics(figures)
    if all(outcome.dataset.source == "omniglot" for outcome in outcomes):
        found = comparison(compared_models(outcomes))
        log_comparison(logger, [row for rows in found.values() for row in rows])


def _log_table(logger: ResilientWandbLogger, table: Table) -> None:
    words = re.sub(r"[^a-z0-9]+", " ", table.title.partition(":")[0].lower()).split()
    headings = [heading.removeprefix(">") or " " for heading in table.headings]
    rows = [list(row) for row in table.rows]
    logger.log_table("tables/" + "_".join(words[:6]), columns=headings, data=rows)
