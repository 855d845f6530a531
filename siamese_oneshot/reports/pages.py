"""One report: read the runs, write tables and pages, print a summary."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.wandb_run import address_of
from siamese_oneshot.reports.aggregate import Report
from siamese_oneshot.reports.charts import run_charts, step_axes, sweep_charts
from siamese_oneshot.reports.html import MAX_PLOTS, embed_png, write_page
from siamese_oneshot.reports.read import (
    ACCURACY,
    CONFIG,
    METRICS,
    DataInfo,
    RunRecord,
    Sweep,
    number_of,
    read_sweep,
)
from siamese_oneshot.reports.tables import (
    MAX_ROWS,
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    scores_table,
    settings_table,
    settings_text,
)
from siamese_oneshot.reports.verdict import (
    Verdict,
    chosen,
    next_of_sweep,
    published_tables,
    run_verdict,
    sweep_verdict,
)
from siamese_oneshot.runs.evaluation_record import FILE as EVALUATION_FILE
from siamese_oneshot.runs.job import COMPLETE, train_again
from siamese_oneshot.runs.result import FILE as RESULT
from siamese_oneshot.runs.result import command_line, result_text, resume_line
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, open_regular
from siamese_oneshot.utils.tables import Table, text_of, write_markdown
from siamese_oneshot.utils.text import (
    duration,
    near,
    path_text,
    short_keys,
    shorten,
    spreadsheet_cell,
)

INDEX = "index.html"
_RUNS = "runs"
_MAX_GROUPS, _MAX_SEEDS = 5, 5  # of a sweep, beside published results
_MAX_LOG = 12_000  # bytes of the end of train.log
_MAX_CONFIG = 60_000  # bytes
_PLOTS = {name: n for n, name in enumerate((  # in the order of a page
    "mistakes", "confusions", "episode_wrong", "episode", "episode_correct", "attention",
    "per_alphabet", "accuracy_vs_way", "verification_scores", "augmentations", "filters",
))}  # fmt: skip
_WAY_CURVES = ("way_curve_test", "way_curve_train")  # forty scores, which have a plot


def make_report(
    folders: Sequence[Path], output: Path | None = None, *, command: str = "", refresh: int = 0
) -> Path:
    """Report on all runs below some folders, in which nothing is changed.

    Args:
        folders: Of sweeps or runs.
        output: Folder of the report, which is returned; None: ``report`` in the first folder.
        command: The command line; the report shows it.
        refresh: Seconds until a browser loads the pages again; 0 for never.

    Raises:
        UserError: If there is no run, or the output folder cannot be written to.
    """
    report = Report(read_sweep(folders))
    sweep, importance = report.sweep, report.importance
    output = folders[0] / "report" if output is None else output
    settings, rest = settings_table(report), left_out_table(report.left_out)
    parts: list[Table | str | None]
    run, result = sweep.runs[0], sweep.runs[0].result
    if len(sweep.runs) > 1 or result is None:
        why = f"Importance of the settings: {importance.why}." if importance.why else None
        parts = [sweep_verdict(report.groups).text]
        parts += [settings, importance_table(importance), why] if report.groups else []
        written = parts
    else:
        verdict, tables, published = run_results(run)
        parts = [verdict.text, result_text(result, run.folder)]
        written = [verdict.text, verdict.about, *tables, *(table for table, _ in published)]
        written += [f"Note: {warning}" for warning in result.warnings]
    written = [*written, jobs_table(sweep), rest, f"Charts: {INDEX}", f"Command: {command}"]
    try:
        title = f"Report on {sweep.name}: {sweep.summary()}"
        write_markdown(output / "report.md", title, filter(None, written))
        write_csv(output / "jobs.csv", sweep)
        page = write_pages(output, report, settings, command=command, refresh=refresh)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {output} ({error.strerror}): name another folder "
            "with --output"
        ) from error
    shown = [sweep.summary(), *parts, rest, f"to look at: {near(page)}, in a browser"]
    print(text_of(*(first_rows(p) if isinstance(p, Table) else p for p in shown if p is not None)))
    return output


def write_csv(path: Path, sweep: Sweep) -> None:
    """Write a row for each job; unknown is empty, a setting of ``null`` is that word."""
    rows = [_csv_row(run) for run in sweep.runs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_csv_cell, columns))
    writer.writerows([_csv_cell(row.get(name, "")) for name in columns] for row in rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "replace"))


def _csv_row(run: RunRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"number": run.number, "folder": run.label, "status": run.status}
    row |= {"seed": run.seed, "val_accuracy": run.val_accuracy}
    if run.data is not None:
        row |= {"experiment": run.data.experiment, "data": run.data.source, "split": run.data.split}
    for name, score in run.scores.items():
        row |= {name: score.value, f"{name}_n": score.n}
        row |= {f"{name}_ci_low": score.low, f"{name}_ci_high": score.high}
    row |= {"train_seconds": run.seconds, "error": run.error}
    return {name: value for name, value in row.items() if value is not None} | run.settings


def _csv_cell(value: Any) -> str:
    return str(value) if number_of(value) is not None else spreadsheet_cell(str(value))


def write_pages(output: Path, report: Report, settings: Table, **shared: Any) -> Path:
    """Write ``index.html`` of the sweep and ``runs/<number>.html`` of each job.

    A run that was named by itself is ``index.html``, and there is no other page. All pages have the
    entries of ``shared``. The page to open is returned.
    """
    sweep, index = report.sweep, output / INDEX
    if len(sweep.runs) == 1 and sweep.folders[0].resolve() == sweep.runs[0].folder:
        write_page(index, "run.html", **run_page(sweep.runs[0], output), sweep=None, **shared)
        return index
    links = [(f"{run.number}.html", f"job {run.number}") for run in sweep.runs]
    around: dict[str, Any] = {"index": f"../{INDEX}", "sweep": shorten(sweep.name, 40)}
    for n, run in enumerate(sweep.runs):
        around |= {"before": links[n - 1 : n], "after": links[n + 1 : n + 2]}
        path = output / _RUNS / links[n][0]
        write_page(path, "run.html", **run_page(run, path.parent), **around, **shared)
    paths = {str(run.number): f"{_RUNS}/{run.number}.html" for run in sweep.runs}
    write_page(index, "sweep.html", **sweep_page(report, settings), links=paths, **shared)
    return index


def run_results(run: RunRecord) -> tuple[Verdict, list[Table], list[tuple[Table, list[int]]]]:
    """The scores of a run, with those of its evaluation where there is one.

    Returns:
        The verdict, the tables, and what `published_tables` makes of them.
    """
    scores = list(run.scores.values())
    tables = [scores_table("Scores at the end of training", scores)]
    by_data: list[tuple[DataInfo | None, list[Score]]] = [(run.data, scores)]
    if (evaluation := run.evaluation()) is not None:
        data, model = evaluation
        listed = [score for score in model.scores if score.series not in _WAY_CURVES]
        title = f"Scores of the evaluation, on {data.source} (split {data.split})"
        tables.append(scores_table(title, listed))
        tested = [score for score in model.scores if score.split == "test"]
        if data == run.data:  # they replace the run's own scores of the same lists
            latest = {(score.split, score.key): score for score in [*scores, *tested]}
            by_data = [(data, list(latest.values()))]
        else:
            by_data.append((data, tested))
    verdicts = [run_verdict(own, data) for data, own in by_data]
    verdict = next((one for one in verdicts if one.tone != "none"), verdicts[0])
    published = published_tables([("this run", *own) for own in by_data])
    return verdict, [table for table in tables if table.rows], published


def run_page(run: RunRecord, output: Path) -> dict[str, Any]:
    """What the template of a run's page takes; ``output`` is the folder of the page."""
    verdict, tables, published = run_results(run)
    plots = _plot_groups(run)  # before the problems, to which it adds
    result = run.result
    return {
        "title": f"{_experiment([run])}: {path_text(Path(run.folder.name))}",
        "run": run,
        "result": result,
        "folder": path_text(run.folder),
        "duration": result and duration(result.train_seconds),
        "verdict": verdict,
        "plots": plots,
        "length": _length(run),
        "notes": dict.fromkeys(result.warnings if result else []),
        "problems": dict.fromkeys(run.problems),
        "next": _next_command(run, run.evaluation() is not None),
        "tables": tables,
        "published": published,
        "charts": run_charts(run),
        "axes": step_axes([run]),
        "files": _files(run, output),
        "wandb": address_of(run.folder),
        "overrides": Table(
            "Settings of the command line", ["setting", "value"],
            [(key, shorten(text, 160)) for key, text in run.overrides.items()],
        ),
        "again": "" if run.job is None else train_again(run.job.overrides),
        "config": _text(run.folder / CONFIG, _MAX_CONFIG),
        "log": _text(run.folder / "train.log", _MAX_LOG, end=True),
    }  # fmt: skip


def _length(run: RunRecord) -> str:
    """``560 steps, 2 min 37 s``; of a run that is not complete ``60 of 560 steps``."""
    steps = max((curve.steps[-1] for curve in run.curves.values()), default=0)
    steps = steps if run.result is None else run.result.steps
    text = f"{steps:,} step{'' if steps == 1 else 's'}"
    asked = number_of(run.value("trainer.max_steps")) or 0
    if run.status not in COMPLETE and asked > steps:
        text = f"{steps:,} of the {asked:,.0f} steps"
    if run.seconds is not None:
        text += f", {duration(run.seconds)} with validation"
    return text if steps else ""


def _next_command(run: RunRecord, evaluated: bool) -> tuple[str, str]:
    """What to do next with a run, and the command; both are empty if there is nothing."""
    folder = path_text(run.folder)
    if run.status not in COMPLETE:
        return "To continue this run", resume_line(Path(folder))
    if not evaluated:
        what = "To evaluate it on every list of validation and test, with figures"
        return what, command_line("evaluate", folder)
    return "", ""


def _files(run: RunRecord, output: Path) -> list[tuple[str, str]]:
    """Names and relative addresses of the files of a run that a reader may want."""
    kept = run.result.checkpoint if run.result is not None else None
    names = [kept, METRICS, RESULT, f"evaluation/{EVALUATION_FILE}", "evaluation/evaluation.md"]
    names += ["train.log", CONFIG]
    found = [name for name in names if name and (run.folder / name).is_file()]
    # Nothing that a damaged result.json names outside the run's folder.
    own = [name for name in found if (run.folder / name).resolve().is_relative_to(run.folder)]
    start = output.resolve()
    return [(name, quote(os.fsencode(os.path.relpath(run.folder / name, start)))) for name in own]


def _experiment(runs: Sequence[RunRecord]) -> str:
    """Experiments and models of some runs: ``default, cross_attention``."""
    names = [run.data.experiment for run in runs if run.data is not None]
    models = dict.fromkeys(model for run in runs if (model := run.value("model")))
    if len(models) > 1:  # the title of a sweep of models says so
        models = {}
    return shorten(", ".join(dict.fromkeys([*names, *models])), 80) or "unknown experiment"


def _plot_groups(run: RunRecord) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plots of the evaluation and of the last validation that was drawn, under headings."""
    folders = [("Plots of the evaluation", run.folder / "evaluation" / "plots")]
    for last in sorted(path.parent for path in run.folder.glob("plots/step_*/*.png"))[-1:]:
        step = path_text(Path(last.name.removeprefix("step_").lstrip("0")))
        folders.append((f"Plots of the validation at step {step}", last))
    room, groups, seen = MAX_PLOTS, [], set[tuple[str, str]]()
    for heading, folder in folders:
        plots = []
        paths = {path.stem: path for path in sorted(folder.glob("*.png"))}
        for name in sorted(paths, key=lambda name: _PLOTS.get(name, len(_PLOTS))):
            label = path_text(paths[name].relative_to(run.folder))
            try:
                plot = embed_png(paths[name], room, run.folder)
            except (OSError, ValueError) as error:
                run.problems.append(f"the plot {label} is not shown: {shorten(str(error), 160)}")
                continue
            if (name, plot["address"]) in seen:  # such as the filters, which both folders have
                continue
            seen.add((name, plot["address"]))
            room -= len(plot["address"])
            title = path_text(Path(name)).replace("_", " ").capitalize()
            plots.append({**plot, "title": title, "text": plot["caption"] or label})
        if plots:
            groups.append((heading, plots))
    return groups


def _text(path: Path, limit: int, end: bool = False) -> str:
    """The first or the last bytes of a file in a run's folder; empty if it cannot be read."""
    try:
        with open_regular(path, sys.maxsize, path.parent) as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - limit) if end else 0)
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    if length <= limit:
        return text
    return f"…{text}" if end else f"{text}\n… the rest is in {path.name}\n"


def sweep_page(report: Report, settings: Table) -> dict[str, Any]:
    """What the template of a sweep's page takes."""
    sweep, groups = report.sweep, report.groups
    charts = sweep_charts(report)
    rest = left_out_table(report.left_out)
    compared = [
        (f"job {run.number} ({settings_text(run.settings, sweep.keys)})", run.data,
         list(run.scores.values()))
        for group in groups[:_MAX_GROUPS]
        for run in group.runs[:_MAX_SEEDS]
    ]  # fmt: skip
    names = short_keys(sweep.keys)
    varied = shorten(", ".join(names.values()), 60) or path_text(Path(sweep.name))
    several = any(len(group.runs) > 1 for group in groups)
    return {
        "title": f"{_experiment(sweep.runs)}: sweep of {varied}",
        "summary": sweep.summary(),
        "verdict": sweep_verdict(groups),
        "best": None if (best := chosen(groups)) is None else best.best,
        "next": next_of_sweep(sweep, groups),
        "commands": sweep.commands(sweep.runs),
        "charts": charts,
        "chart": {chart.key: chart for chart in charts},
        "axes": step_axes([run for run in sweep.runs if ACCURACY in run.curves]),
        "against": [chart for chart in charts if chart.key.startswith("against")],
        "several": several,
        "settings": first_rows(settings, MAX_ROWS) if several else None,
        "jobs": jobs_table(sweep),
        "importance": importance_table(report.importance),
        "importance_note": report.importance.why,
        "published": published_tables(compared),
        "left_out": None if rest is None else first_rows(rest, MAX_ROWS),
    }
