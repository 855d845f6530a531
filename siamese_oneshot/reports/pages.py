"""The pages of a report: ``index.html`` of a sweep, and a page for each run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.wandb_run import address_of
from siamese_oneshot.reports.aggregate import Report
from siamese_oneshot.reports.charts import run_charts, step_axes, sweep_charts
from siamese_oneshot.reports.html import MAX_PLOTS, embed_png, render
from siamese_oneshot.reports.read import ACCURACY, CONFIG, METRICS, DataInfo, RunRecord
from siamese_oneshot.reports.tables import (
    MAX_ROWS,
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    scores_table,
    settings_text,
)
from siamese_oneshot.reports.values import format_value, path_text, shorten
from siamese_oneshot.reports.verdict import (
    Verdict,
    next_of_sweep,
    published_tables,
    run_verdict,
    sweep_verdict,
)
from siamese_oneshot.runs.evaluation_record import FILE as EVALUATION_FILE
from siamese_oneshot.runs.job import COMPLETE, command_of, train_again
from siamese_oneshot.runs.result import FILE as RESULT
from siamese_oneshot.runs.result import command_line, resume_line
from siamese_oneshot.utils.io import atomic_write, open_regular
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import duration, folder_name, short_keys

INDEX = "index.html"
_RUNS = "runs"
_MAX_GROUPS, _MAX_SEEDS = 5, 5  # of a sweep, beside published results
_MAX_LOG = 12_000  # bytes of the end of train.log
_MAX_CONFIG = 60_000  # bytes
_PLOTS = {name: n for n, name in enumerate((  # in the order of a page
    "mistakes", "confusions", "episode_wrong", "episode", "episode_correct", "attention",
    "per_alphabet", "accuracy_vs_way", "verification_scores", "augmentations", "filters",
))}  # fmt: skip
_BEST_PLOTS = ("episode_wrong", "episode", "per_alphabet")  # of the best job, on a sweep's page
_WAY_CURVES = ("way_curve_test", "way_curve_train")  # forty scores, which have a plot


def write_pages(output: Path, report: Report, settings: Table, refresh: int = 0) -> Path:
    """Write ``index.html`` of the sweep and ``runs/<job>.html`` of each job.

    A run that was named by itself is ``index.html``, and there is no other page. With ``refresh`` a
    browser loads the pages again after so many seconds.

    Returns:
        The page to open.

    Raises:
        OSError: If the folder cannot be written to.
    """
    sweep, command = report.sweep, report.command
    single = len(sweep.runs) == 1 and sweep.folders[0].resolve() == sweep.runs[0].folder
    if single:
        (run,) = sweep.runs
        page = run_page(run, output)
        _write(output / INDEX, "run.html", **page, sweep=None, command=command, refresh=refresh)
    names = {} if single else {run.number: _page_name(run) for run in sweep.runs}
    links = [(quote(name), f"job {number}") for number, name in names.items()]
    for n, (run, name) in enumerate(zip(sweep.runs, names.values(), strict=False)):
        around = {"before": links[n - 1 : n], "after": links[n + 1 : n + 2], "index": f"../{INDEX}"}
        page = run_page(run, output / _RUNS) | around
        title = shorten(sweep.name, 40)
        path = output / _RUNS / name
        _write(path, "run.html", **page, sweep=title, command=command, refresh=refresh)
    if not single:
        paths = {str(number): f"{_RUNS}/{quote(name)}" for number, name in names.items()}
        page = sweep_page(report, settings)
        path = output / INDEX
        _write(path, "sweep.html", **page, links=paths, command=command, refresh=refresh)
    return output / INDEX


def _page_name(run: RunRecord) -> str:
    """The name of the run's folder, after its number, which makes it unique."""
    name = run.folder.name
    number, _, _ = name.partition("_")
    return f"{folder_name([name if number == str(run.number) else f'{run.number}_{name}'])}.html"


def _write(path: Path, template: str, **content: Any) -> None:
    page = render(template, **content)
    with atomic_write(path) as file:
        file.write(page)


class RunResults(NamedTuple):
    """What a run and its evaluation have scored, in words and in tables."""

    verdict: Verdict
    tables: list[Table]
    published: list[tuple[Table, list[int]]]


def run_results(run: RunRecord) -> RunResults:
    """The scores of a run, with those of its evaluation where there is one."""
    scores = list(run.scores.values())
    by_data: list[tuple[DataInfo | None, list[Score]]] = [(run.data, scores)]
    evaluation = run.evaluation()
    tables = []
    if evaluation is None:
        tables.append(scores_table("Scores at the end of training", scores))
    else:
        data, model = evaluation
        tested = [score for score in model.scores if score.split == "test"]
        if data == run.data:  # the evaluation replaces the run's own scores of the same lists
            latest = {(score.split, score.key): score for score in [*scores, *tested]}
            by_data = [(data, list(latest.values()))]
            listed = [score for score in latest.values() if score.series not in _WAY_CURVES]
            tables.append(scores_table("Scores of the training and of the evaluation", listed))
        else:
            by_data.append((data, tested))
            listed = [score for score in model.scores if score.series not in _WAY_CURVES]
            title = f"Scores of the evaluation, on {data.source} (split {data.split})"
            tables.append(scores_table("Scores at the end of training", scores))
            tables.append(scores_table(title, listed))
    verdicts = [run_verdict(own, data) for data, own in by_data]
    return RunResults(
        next((one for one in verdicts if one.tone != "none"), verdicts[0]),
        [table for table in tables if table.rows],
        published_tables([("this run", *own) for own in by_data]),
    )


def run_page(run: RunRecord, output: Path) -> dict[str, Any]:
    """What the template of a run's page takes; ``output`` is the folder of the page."""
    results = run_results(run)
    plots = _plot_groups(run)  # before the problems, to which it adds
    result = run.result
    return {
        "title": f"{_experiment([run])}: {path_text(Path(run.folder.name))}",
        "run": run,
        "result": result,
        "folder": path_text(run.folder),
        "duration": result and duration(result.train_seconds),
        "verdict": results.verdict,
        "plots": plots,
        "length": _length(run),
        "notes": dict.fromkeys(result.warnings if result else []),
        "problems": dict.fromkeys(run.problems),
        "next": _next_command(run, run.evaluation() is not None),
        "tables": results.tables,
        "published": results.published,
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
    _, asked = run.value("trainer.max_steps")
    if run.status not in COMPLETE and isinstance(asked, int) and asked > steps:
        text = f"{steps:,} of the {asked:,} steps"
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
    models = [format_value(model) for known, model in (run.value("model") for run in runs) if known]
    return shorten(", ".join(dict.fromkeys([*names, *models])), 80) or "unknown experiment"


def _plot_groups(run: RunRecord) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plots of the evaluation and of the last validation that was drawn, under headings."""
    drawn = {
        int(digits): folder
        for folder in (run.folder / "plots").glob("step_*")
        if (digits := folder.name.partition("_")[2]).isdecimal() and any(folder.glob("*.png"))
    }
    folders = [("Plots of the evaluation", run.folder / "evaluation" / "plots")]
    folders += [(f"Plots of the validation at step {n:,}", drawn[n]) for n in sorted(drawn)[-1:]]
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
            if (name, plot.address) in seen:  # such as the filters, which both folders have
                continue
            seen.add((name, plot.address))
            room -= len(plot.address)
            title = path_text(Path(name)).replace("_", " ").capitalize()
            plots.append(
                {"name": name, "plot": plot, "title": title, "text": plot.caption or label}
            )
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
    best = groups[0].best if groups else None
    plots = [] if best is None else [plot for _, group in _plot_groups(best) for plot in group]
    plots = [plot for plot in plots if plot["name"] in _BEST_PLOTS][:2]
    names = short_keys(sweep.keys)
    varied = shorten(", ".join(names.values()), 60) or path_text(Path(sweep.name))
    several = any(len(group.runs) > 1 for group in groups)
    return {
        "title": f"{_experiment(sweep.runs)}: sweep of {varied}",
        "summary": sweep.summary(),
        "verdict": sweep_verdict(groups),
        "best": best,
        "plots": plots,
        "next": next_of_sweep(sweep, groups),
        "own": command_of(sweep.folders[0]),
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
