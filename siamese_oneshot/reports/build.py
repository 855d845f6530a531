"""One report: read the runs, write tables and pages, print a summary, log it to W&B."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from siamese_oneshot.loggers.wandb_run import WandbRun
from siamese_oneshot.reports.aggregate import Group, Report
from siamese_oneshot.reports.pages import run_results, write_pages
from siamese_oneshot.reports.read import RunRecord, Sweep, read_sweep
from siamese_oneshot.reports.tables import (
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    settings_table,
)
from siamese_oneshot.reports.values import Value, format_value
from siamese_oneshot.reports.verdict import sweep_verdict
from siamese_oneshot.runs.result import result_text
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.tables import Table, markdown_text, text_of
from siamese_oneshot.utils.text import near, printable

log = logging.getLogger(__name__)

VERSION = 2  # of report.json
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins so


def make_report(
    folders: Sequence[Path],
    output: Path | None = None,
    *,
    command: str = "",
    refresh: int = 0,
    wandb: str = "auto",
    project: str = "siamese_oneshot",
    entity: str | None = None,
) -> Path:
    """Report on all runs below some folders, in which nothing is changed.

    Args:
        folders: of sweeps or runs.
        output: folder of the report; None: ``report`` in the first folder.
        command: the command line; the report shows it.
        refresh: seconds until a browser loads the pages again; 0 for never.
        wandb, project, entity: mode, project and owner of the W&B run.

    Returns:
        The output folder.

    Raises:
        UserError: If there is no run, or the output folder cannot be written to.
    """
    report = Report(read_sweep(folders), command)
    sweep, importance = report.sweep, report.importance
    output = folders[0] / "report" if output is None else output
    settings, rest = settings_table(report), left_out_table(report.left_out)
    parts: list[Table | str | None]
    run, result = sweep.runs[0], sweep.runs[0].result
    if len(sweep.runs) > 1 or result is None:
        parts = [sweep_verdict(report.groups).text, settings if report.groups else None]
        parts.append(importance_table(importance))
        why = f"Importance of the settings: {importance.why}." if importance.why else None
        parts.append(why if report.groups else None)
        written = parts
    else:
        own = run_results(run)
        parts = [own.verdict.text, result_text(result, run.folder)]
        written = [own.verdict.text, own.verdict.about or None, *own.tables]
        written += [table for table, _ in own.published]
        written += [f"Note: {warning}" for warning in result.warnings]
    try:
        title = f"Report on {sweep.name}: {sweep.summary()}"
        write_markdown(output / "report.md", title, [*written, jobs_table(sweep), rest], command)
        write_csv(output / "jobs.csv", sweep)
        write_json(output / "report.json", report)
        page = write_pages(output, report, settings, refresh)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {output} ({error.strerror}): name another folder "
            "with --output"
        ) from error
    shown = [sweep.summary(), *parts, rest, f"to look at: {near(page)}, in a browser"]
    print(text_of(*(first_rows(p) if isinstance(p, Table) else p for p in shown if p is not None)))
    _log_to_wandb(output, report, settings, page, mode=wandb, project=project, entity=entity)
    return output


def write_markdown(
    path: Path, title: str, parts: Sequence[Table | str | None], command: str
) -> None:
    """Write tables and lines under a title."""
    texts = [
        f"# {markdown_text(title)}\n",
        "Charts and a page for each run: [index.html](index.html)\n",
    ]
    for part in parts:
        if part is not None:
            texts.append(part.markdown() if isinstance(part, Table) else f"{markdown_text(part)}\n")
    fence = "```" if "```" not in command else "````"
    texts.append(f"Command:\n\n{fence}\n{command}\n{fence}\n")
    _write_text(path, "\n".join(texts))


def _write_text(path: Path, text: str) -> None:
    """Write UTF-8; what is not valid Unicode is replaced."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def job_rows(sweep: Sweep) -> list[dict[str, Value]]:
    """Plain values of each job, all with the same keys; None is unknown."""
    names = list(dict.fromkeys(name for run in sweep.runs for name in run.scores))
    return [_job_row(run, names, sweep.keys) for run in sweep.runs]


def _job_row(run: RunRecord, names: Sequence[str], keys: Sequence[str]) -> dict[str, Value]:
    data = run.data
    row: dict[str, Value] = {
        "number": run.number,
        "folder": run.label,
        "status": run.status,
        "seed": run.seed,
        "experiment": None if data is None else data.experiment,
        "data": None if data is None else data.source,
        "split": None if data is None else data.split,
        "val_accuracy": run.val_accuracy,
    }
    for name in names:
        s = run.scores.get(name)
        numbers = [None] * 4 if s is None else [s.value, s.low, s.high, s.n]
        endings = ("", "_ci_low", "_ci_high", "_n")
        row |= {f"{name}{end}": number for end, number in zip(endings, numbers, strict=True)}
    row["train_seconds"] = run.seconds
    row["steps"] = None if run.result is None else run.result.steps
    row["attempts"] = None if run.job is None else run.job.attempts
    return row | {key: run.settings.get(key) for key in keys} | {"error": run.error or None}


def write_csv(path: Path, sweep: Sweep) -> None:
    """Write a row for each job; unknown is empty, a setting of ``null`` is that word."""
    rows = job_rows(sweep)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writerow({key: _csv_cell(key) for key in rows[0]})
    for run, row in zip(sweep.runs, rows, strict=True):
        nulls = {key: "null" for key, value in run.settings.items() if value is None}
        writer.writerow({key: _csv_cell(value) for key, value in (row | nulls).items()})
    _write_text(path, text.getvalue())


def _csv_cell(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)


def write_json(path: Path, report: Report) -> None:
    """Write the whole report in plain values."""
    content: dict[str, Any] = {
        "version": VERSION,
        "command": report.command,
        "folders": [str(folder) for folder in report.sweep.folders],
        "statuses": report.sweep.statuses(),
        "keys": report.sweep.keys,
        "settings": [_group_content(group) for group in report.groups],
        "jobs": job_rows(report.sweep),
        "importance": report.importance.shares,
        "importance_note": report.importance.why,
        "left_out": [asdict(item) for item in report.left_out],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    _write_text(path, f"{text}\n")


def _group_content(group: Group) -> dict[str, Any]:
    means = {name: group.score(name) for name in group.digests()}
    return {
        "settings": group.settings,
        "data": None if group.data is None else asdict(group.data),
        "jobs": [run.number for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "val_accuracy": asdict(group.val_accuracy),
        "scores": {name: asdict(mean) for name, mean in means.items() if mean is not None},
    }


def _log_to_wandb(
    folder: Path, report: Report, settings: Table, page: Path, **options: Any
) -> None:
    """Log the report as the sweep's summary run; a failure of W&B is only a warning.

    W&B's files go to the report's folder, so that a second report updates the same run.
    """
    sweep = report.sweep
    config = {"folders": [str(folder) for folder in sweep.folders], "settings": sweep.keys}
    datas = [run.data for run in sweep.runs if run.data is not None]
    tags = [tag for data in datas for tag in (data.experiment, data.source, data.split)]
    about: Any = {"group": sweep.name, "name": f"report {sweep.name}", "job_type": "report"}
    try:
        with WandbRun(**options).open(folder, config, tags=tags, **about) as run:
            if run is None:
                return
            rows = job_rows(sweep)
            cells = [  # a column of settings may mix kinds, which W&B refuses
                [format_value(v) if key in sweep.keys and v is not None else v
                 for key, v in row.items()]
                for row in rows
            ]  # fmt: skip
            run.log_table("jobs", columns=list(rows[0]), data=cells)
            names = [heading.removeprefix(">") for heading in settings.headings]
            run.log_table("settings", columns=names, data=[list(row) for row in settings.rows])
            import wandb

            run.experiment.log({"report": wandb.Html(page.read_text(encoding="utf-8"))})
            run.experiment.summary.update(summary_of(report))
    except Exception as error:
        log.warning("the report is not on W&B: %s", error)


def summary_of(report: Report) -> dict[str, Any]:
    """The numbers that stand for the sweep in W&B."""
    sweep, groups = report.sweep, report.groups
    numbers: dict[str, Any] = {"jobs/all": len(sweep.runs)}
    numbers |= {f"jobs/{status}": count for status, count in sweep.statuses().items()}
    if groups:
        numbers["best/val_accuracy"] = max(run.val_accuracy or 0.0 for run in sweep.finished())
        numbers["best/val_accuracy_mean"] = groups[0].val_accuracy.value
        settings = groups[0].settings.items()
        numbers |= {f"best/{key}": format_value(value) for key, value in settings}
    importance = report.importance.shares.items()
    return numbers | {f"importance/{key}": share for key, share in importance}
