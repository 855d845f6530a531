"""All that stands on the page of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.groups import Group
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, LeftOut, Sweep
from siamese_oneshot.reports.pages.charts import Chart
from siamese_oneshot.reports.pages.metrics import Curve
from siamese_oneshot.reports.pages.sweep_charts import sweep_charts
from siamese_oneshot.reports.pages.verdict import Verdict, literature, sweep_verdict
from siamese_oneshot.reports.tables import (
    data_text,
    importance_table,
    left_out_table,
    settings_text,
    time_text,
)
from siamese_oneshot.reports.value import Value, cut, numeric, shown
from siamese_oneshot.sweeps.job import command_of
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import short_keys

_MOST_JOBS = 1000  # rows: a page has to load
_MOST_KEYS = 20  # columns of settings
_MOST_SCORES = 8  # columns of test scores
_BESIDE = 5  # settings that stand beside the published figures


@dataclass(frozen=True)
class Cell:
    """One cell of a table that can be sorted.

    Attributes:
        text: what is seen.
        order: what it is sorted by: a number, or a text where none of its column is a number.
        link: where it leads; empty where nowhere.
        right: whether it is set to the right.
    """

    text: str
    order: str
    link: str = ""
    right: bool = False


@dataclass
class SweepPage:
    """What the template takes.

    Attributes:
        name: of the sweep.
        verdict: the first line.
        counts: how many jobs there are of each status.
        charts: by key.
        settings: a row a setting, over its seeds; None where no job has finished.
        headings, rows: of the jobs.
        note: under them.
        tables: published figures.
        importance, left_out: None where there is nothing to say.
        excuse: why there is no importance, or what it lacks.
        resume: the command that goes on with the sweep; empty where it has ended.
    """

    name: str
    verdict: Verdict
    counts: str
    charts: dict[str, Chart]
    settings: Table | None
    headings: list[tuple[str, bool]] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    tables: list[Table] = field(default_factory=list)
    importance: Table | None = None
    left_out: Table | None = None
    excuse: str = ""
    resume: str = ""


def sweep_page(
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    settings: Table,
    curves: Mapping[int, Mapping[str, Curve]],
    links: Mapping[int, str],
) -> SweepPage:
    """Gather the sweep's page.

    Args:
        sweep, groups, importance, left_out, settings: as reported elsewhere.
        curves: of each job, by its number.
        links: to the page of each job, by its number.
    """
    name = sweep.folders[0].resolve().name or "/"
    page = SweepPage(
        name,
        sweep_verdict(sweep, groups),
        sweep.described(),
        {chart.key: chart for chart in sweep_charts(sweep, importance, curves)},
        _first(settings) if groups else None,
    )
    _add_jobs(page, sweep, links)
    page.tables = literature(
        [
            (f"job {job.number} ({settings_text(job.settings, sweep.keys)})", job.data,
             list(job.scores.values()))
            for group in groups[:_BESIDE]
            for job in group.jobs[:_BESIDE]
        ]
    )  # fmt: skip
    page.importance = importance_table(importance, sweep.keys)
    page.excuse = importance.why
    page.left_out = left_out_table(left_out)
    if page.left_out is not None:
        page.left_out = _first(page.left_out)
    page.resume = _resume(sweep)
    return page


def _add_jobs(page: SweepPage, sweep: Sweep, links: Mapping[int, str]) -> None:
    keys, names = sweep.keys[:_MOST_KEYS], short_keys(sweep.keys)
    titles: dict[str, str] = {}
    for job in sweep.jobs:
        for name, score in job.scores.items():
            if name.startswith("test/"):
                titles.setdefault(name, score.name)
    tests = list(titles)[:_MOST_SCORES]
    split = len({job.data for job in sweep.jobs if job.data is not None}) > 1
    shown_jobs = sweep.jobs
    if len(shown_jobs) > _MOST_JOBS:
        best = sorted(sweep.jobs, key=lambda job: -(job.validation or -1.0))[:_MOST_JOBS]
        shown_jobs = sorted(best, key=lambda job: job.number)
    figures = {
        key: numeric([job.settings[key] for job in shown_jobs if key in job.settings])
        for key in keys
    }
    page.headings = [("job", True), ("status", False), ("validation %", True)]
    page.headings += [(f"{cut(titles[name], 40)} %", True) for name in tests]
    page.headings += [(cut(names[key], 40), figures[key]) for key in keys]
    page.headings += [("seed", True), *([("data", False)] if split else []), ("training", True)]
    page.headings += [("error", False)]
    for job in shown_jobs:
        row = [
            Cell(str(job.number), str(job.number), links.get(job.number, ""), True),
            Cell(job.status, job.status),
            _share(job.validation, _validation(job)),
        ]
        row += [_share(_value(job, name), job.scores.get(name)) for name in tests]
        row += [_setting(job, key, figures[key]) for key in keys]
        row.append(_number(job.seed, "-" if job.seed is None else str(job.seed)))
        if split:
            row.append(Cell(data_text(job.data), data_text(job.data)))
        row.append(_number(job.seconds, time_text(job.seconds)))
        error = cut(" ".join(job.error.split()), 160)
        page.rows.append([*row, Cell(error, error)])
    notes = ["Of a job that has not finished: the best validation score so far."]
    if len(sweep.jobs) > _MOST_JOBS:
        notes.append(f"The best {_MOST_JOBS:,} of {len(sweep.jobs):,} jobs; jobs.csv has all.")
    if len(sweep.keys) > _MOST_KEYS:
        notes.append(f"The first {_MOST_KEYS} of {len(sweep.keys)} settings; jobs.csv has all.")
    page.note = " ".join(notes)


def _validation(job: Job) -> Score | None:
    """The score with the trials of ``Job.validation``, where it is of those."""
    for name, score in job.scores.items():
        if name.startswith("validation/") and score.value == job.validation:
            return score
    return None


def _value(job: Job, name: str) -> float | None:
    return job.scores[name].value if name in job.scores else None


def _share(value: float | None, score: Score | None) -> Cell:
    if value is None:
        return Cell("-", "", right=True)
    text = f"{100 * value:.2f}"
    if score is not None:
        text += f" ({100 * score.low:.1f}-{100 * score.high:.1f}, {score.n:,} trials)"
    return Cell(text, repr(value), right=True)


def _number(value: float | None, text: str) -> Cell:
    return Cell(text, "" if value is None else repr(value), right=True)


def _setting(job: Job, key: str, figures: bool) -> Cell:
    if key not in job.settings:
        return Cell("-", "", right=figures)
    value: Value = job.settings[key]
    text = cut(shown(value), 60)
    return Cell(text, repr(value) if figures else text, right=figures)


def _first(table: Table) -> Table:
    """As much of a table as a page can bear."""
    if len(table.rows) <= _MOST_JOBS:
        return table
    note = f"{table.note} The first {_MOST_JOBS:,} of {len(table.rows):,}; report.md has all."
    return Table(table.title, table.headings, table.rows[:_MOST_JOBS], note)


def _resume(sweep: Sweep) -> str:
    """What was typed for the sweep, which goes on where it stopped; empty where it is not known."""
    if all(job.status in ("finished", "pruned") for job in sweep.jobs):
        return ""
    return command_of(sweep.folders[0])
