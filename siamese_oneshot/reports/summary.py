"""The report as the sweep's summary run on W&B."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.loggers.run_name import tags_of
from siamese_oneshot.loggers.wandb_run import WandbRun
from siamese_oneshot.reports.groups import Group
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Data, Sweep
from siamese_oneshot.reports.record import job_rows
from siamese_oneshot.reports.value import shown
from siamese_oneshot.utils.tables import Table

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

log = logging.getLogger(__name__)


def log_summary(
    folder: Path,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    settings: Table,
    images: Mapping[str, Path],
    *,
    mode: str,
    project: str,
    entity: str | None = None,
) -> None:
    """Log jobs, settings, images and the best score; a failure of W&B is a warning.

    Args:
        folder: the report's; W&B's files go there too, and a second report is the same run.
        sweep, groups, importance, settings, images: what is reported.
        mode, project, entity: as of ``wandb_run``; the group is named after the sweep's folder.
    """
    name = sweep.folders[0].resolve().name
    config = {"folders": [str(one) for one in sweep.folders], "settings": sweep.keys}
    try:
        with WandbRun(project=project, entity=entity, mode=mode).open(
            folder,
            config,
            group=name,
            name=f"report {name}",
            tags=[*dict.fromkeys(tag for job in sweep.jobs for tag in _tags(job.data))],
            job_type="report",
        ) as logger:
            if logger is not None:
                _log(logger, sweep, groups, importance, settings, images)
    except Exception as problem:
        log.warning("the report is not on W&B: %s", problem)


def _tags(data: Data | None) -> list[str]:
    """Those of a job, so that a filter by one finds its report, too."""
    return [] if data is None else tags_of(data.experiment, data.source, data.split)


def _log(
    logger: WandbLogger,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    settings: Table,
    images: Mapping[str, Path],
) -> None:
    headings, rows = job_rows(sweep)
    # W&B wants one kind of value a column; figures stay figures, settings may be of any kind.
    words = set(sweep.keys)
    cells = [
        [
            shown(value) if name in words and value is not None else value
            for name, value in zip(headings, row, strict=True)
        ]
        for row in rows
    ]
    logger.log_table("jobs", columns=headings, data=cells)
    logger.log_table(
        "settings",
        columns=[heading.removeprefix(">") for heading in settings.headings],
        data=[list(row) for row in settings.rows],
    )
    for name, path in images.items():
        logger.log_image(f"images/{name}", [str(path)])
    logger.experiment.summary.update(summary_of(sweep, groups, importance))


def summary_of(sweep: Sweep, groups: Sequence[Group], importance: Importance) -> dict[str, Any]:
    """The figures that stand for the sweep."""
    figures: dict[str, Any] = {"jobs/all": len(sweep.jobs)}  # "jobs" is the table
    figures |= {f"jobs/{status}": count for status, count in sweep.statuses().items()}
    finished = [job.validation for job in sweep.finished() if job.validation is not None]
    if finished:
        figures["best/validation"] = max(finished)
    if groups:
        figures["best/validation_mean"] = groups[0].validation.value
        figures |= {f"best_val/{key}": shown(value) for key, value in groups[0].settings.items()}
    figures |= {f"importance/{one.key}": one.share for one in importance.shares}
    return figures
