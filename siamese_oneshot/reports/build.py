"""One report: read the runs, write tables and pages, print a summary."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.reports.aggregate import Report
from siamese_oneshot.reports.pages import run_results, write_pages
from siamese_oneshot.reports.read import RunRecord, Sweep, read_sweep
from siamese_oneshot.reports.tables import (
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    settings_table,
)
from siamese_oneshot.reports.values import Value
from siamese_oneshot.reports.verdict import sweep_verdict
from siamese_oneshot.runs.result import result_text
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.tables import Table, markdown_text, text_of
from siamese_oneshot.utils.text import near, spreadsheet_cell


def make_report(
    folders: Sequence[Path],
    output: Path | None = None,
    *,
    command: str = "",
    refresh: int = 0,
) -> Path:
    """Report on all runs below some folders, in which nothing is changed.

    Args:
        folders: of sweeps or runs.
        output: folder of the report; None: ``report`` in the first folder.
        command: the command line; the report shows it.
        refresh: seconds until a browser loads the pages again; 0 for never.

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
        page = write_pages(output, report, settings, refresh)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {output} ({error.strerror}): name another folder "
            "with --output"
        ) from error
    shown = [sweep.summary(), *parts, rest, f"to look at: {near(page)}, in a browser"]
    print(text_of(*(first_rows(p) if isinstance(p, Table) else p for p in shown if p is not None)))
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
    return spreadsheet_cell(value) if isinstance(value, str) else value
