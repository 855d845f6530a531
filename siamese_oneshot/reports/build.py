"""One report: read the runs, write tables and pages, print a summary, log it to W&B."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamese_oneshot.loggers.run_name import tags_of
from siamese_oneshot.loggers.wandb_run import WandbRun
from siamese_oneshot.reports.aggregate import Group, Importance, group_runs, importance_of
from siamese_oneshot.reports.pages import write_pages
from siamese_oneshot.reports.read import Sweep, read_sweep
from siamese_oneshot.reports.tables import (
    first_rows,
    importance_table,
    job_columns,
    jobs_table,
    left_out_table,
    settings_table,
    write_csv,
    write_json,
    write_markdown,
)
from siamese_oneshot.reports.values import format_value
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.tables import Table, wide_console

log = logging.getLogger(__name__)


def make_report(
    folders: Sequence[Path],
    output: Path | None = None,
    *,
    command: str = "",
    wandb: str = "auto",
    project: str = "siamese_oneshot",
    entity: str | None = None,
) -> Path:
    """Report on all runs below some folders, in which nothing is changed.

    Args:
        folders: of sweeps or runs.
        output: folder of the report; None: ``report`` in the first folder.
        command: the command line; the report shows it.
        wandb, project, entity: mode, project and owner of the W&B run.

    Returns:
        The output folder.

    Raises:
        UserError: If there is no run, or the output folder cannot be written to.
    """
    sweep = read_sweep(folders)
    output = folders[0] / "report" if output is None else output
    groups, repeated = group_runs(sweep)
    left_out = [*sweep.left_out, *repeated]
    importance = importance_of(sweep)
    settings = settings_table(sweep, groups)
    ranking = importance_table(importance)
    rest = left_out_table(left_out)
    parts: list[Table | str] = [settings] if groups else ["No job has finished yet."]
    parts += [] if ranking is None else [ranking]
    parts += [f"Importance of the settings: {importance.why}."] if importance.why else []
    end = [] if rest is None else [rest]
    try:
        title = f"Report on {sweep.name}: {sweep.summary()}"
        write_markdown(output / "report.md", title, [*parts, jobs_table(sweep), *end], command)
        write_csv(output / "jobs.csv", sweep)
        write_json(output / "report.json", sweep, groups, importance, left_out, command)
        page = write_pages(output, sweep, groups, importance, left_out, settings, command)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {output} ({error.strerror}): name another folder "
            "with --output"
        ) from error
    console = wide_console()
    for part in [sweep.summary(), *parts, *end, f"Report: {output}; open {page} in a browser"]:
        if isinstance(part, Table):
            console.print(first_rows(part).rich())
        else:
            console.print(part, markup=False, soft_wrap=True)
    _log_to_wandb(output, sweep, groups, importance, settings, page, mode=wandb, project=project,
                  entity=entity)  # fmt: skip
    return output


def _log_to_wandb(
    folder: Path,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    settings: Table,
    page: Path,
    **options: Any,
) -> None:
    """Log the report as the sweep's summary run; a failure of W&B is only a warning.

    W&B's files go to the report's folder, so that a second report updates the same run.
    """
    config = {"folders": [str(folder) for folder in sweep.folders], "settings": sweep.keys}
    datas = [run.data for run in sweep.runs if run.data is not None]
    tags = [tag for data in datas for tag in tags_of(data.experiment, data.source, data.split)]
    try:
        with WandbRun(**options).open(
            folder,
            config,
            group=sweep.name,
            name=f"report {sweep.name}",
            tags=[*dict.fromkeys(tags)],
            job_type="report",
        ) as logger:
            if logger is None:
                return
            headings, rows = job_columns(sweep)
            cells = [  # a column of settings may mix kinds, which W&B refuses
                [format_value(v) if n in sweep.keys and v is not None else v
                 for n, v in zip(headings, row, strict=True)]
                for row in rows
            ]  # fmt: skip
            logger.log_table("jobs", columns=headings, data=cells)
            names = [heading.removeprefix(">") for heading in settings.headings]
            logger.log_table("settings", columns=names, data=[list(row) for row in settings.rows])
            import wandb

            logger.experiment.log({"report": wandb.Html(page.read_text(encoding="utf-8"))})
            logger.experiment.summary.update(summary_of(sweep, groups, importance))
    except Exception as error:
        log.warning("the report is not on W&B: %s", error)


def summary_of(sweep: Sweep, groups: Sequence[Group], importance: Importance) -> dict[str, Any]:
    """The numbers that stand for the sweep in W&B."""
    numbers: dict[str, Any] = {"jobs/all": len(sweep.runs)}
    numbers |= {f"jobs/{status}": count for status, count in sweep.statuses().items()}
    scores = [run.val_accuracy for run in sweep.finished() if run.val_accuracy is not None]
    if groups:
        numbers["best/val_accuracy"] = max(scores)
        numbers["best/val_accuracy_mean"] = groups[0].val_accuracy.value
        settings = groups[0].settings.items()
        numbers |= {f"best/{key}": format_value(value) for key, value in settings}
    numbers |= {f"importance/{key}": share for key, share in importance.shares.items()}
    return numbers
