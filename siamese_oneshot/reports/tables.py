"""The tables of a report: settings over seeds, jobs, importance, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siamese_oneshot.reports.groups import Group, Mean, shared_scores
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Data, LeftOut, Sweep
from siamese_oneshot.reports.value import Value, cut, shown
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import short_keys

_ERROR = 160  # letters of an error in a table; report.json has all
_ROWS = 12  # of a table in the terminal
_VALUE = 40  # letters of a setting's value


def settings_table(sweep: Sweep, groups: Sequence[Group]) -> Table:
    """A row for each combination of settings, best validation first."""
    scores = shared_scores(groups)
    several = len({(group.data, *sorted(group.digests().items())) for group in groups}) > 1
    headings = [
        "settings",
        "jobs",
        ">seeds",
        ">validation %",
        *(f">{title} %" for title in scores.values()),
    ]
    title = "settings by validation, mean ± 95% interval over seeds"
    if groups and not several:
        title += f" ({data_text(groups[0].data)})"
    table = Table(title, [*(["data"] if several else []), *headings])
    for group in groups:
        numbers = ", ".join(str(job.number) for job in group.jobs)
        row = [settings_text(group.settings, sweep.keys), numbers, str(len(group.jobs))]
        row += [mean_text(group.validation), *(_of_seeds(group, name) for name in scores)]
        table.add(*([_told_apart(group, groups)] if several else []), *row)
    waiting = len(sweep.jobs) - len(sweep.finished())
    if waiting:
        ones = "1 job is" if waiting == 1 else f"{waiting} jobs are"
        table.note = f"{ones} not in it, for want of a finished training's score."
    return table


def _of_seeds(group: Group, name: str) -> str:
    """A score's mean, and of how many seeds where some of the group's jobs do not have it."""
    mean = group.score(name)
    if mean is None or mean.count == len(group.jobs):
        return mean_text(mean)
    return f"{mean_text(mean)} ({mean.count} of them)"


def first_rows(table: Table) -> Table:
    """As much of a long table as a terminal has room for."""
    more = len(table.rows) - _ROWS
    if more <= 0:
        return table
    notes = [f"{more} more are in report.md.", table.note]
    return Table(table.title, table.headings, table.rows[:_ROWS], " ".join(filter(None, notes)))


def jobs_table(sweep: Sweep) -> Table:
    """Every job in order, whatever came of it."""
    titles: dict[str, str] = {}
    for job in sweep.jobs:
        for name, score in job.scores.items():
            if name.startswith("test/"):
                titles.setdefault(name, score.name)
    split = len({job.data for job in sweep.jobs if job.data is not None}) > 1
    table = Table(
        f"jobs ({sweep.described()})",
        [
            ">job",
            "settings",
            ">seed",
            *(["data"] if split else []),
            "status",
            ">validation %",
            *(f">{title} % (95% interval)" for title in titles.values()),
            ">training",
            "error",
        ],
    )
    for job in sweep.jobs:
        tests = ["-" if (one := job.scores.get(name)) is None else one.percent for name in titles]
        table.add(
            str(job.number),
            settings_text(job.settings, sweep.keys),
            "-" if job.seed is None else str(job.seed),
            *([data_text(job.data)] if split else []),
            job.status,
            percent(job.validation),
            *tests,
            time_text(job.seconds),
            cut(" ".join(job.error.split()), _ERROR),
        )
    table.note = "Of a job that has not finished: the best validation score so far."
    return table


def importance_table(importance: Importance, keys: Sequence[str]) -> Table | None:
    """The settings by what they tell; None where there is nothing to rank."""
    if not importance.shares:
        return None
    table = Table(
        "importance of the settings",
        [">rank", "setting", ">share %", ">jobs"],
        note="How well a setting tells the better half of the finished jobs from all (PED-ANOVA), "
        "as a share of what all settings tell; with few jobs a hint, no more.",
    )
    for rank, one in enumerate(importance.shares, 1):
        jobs = f"{one.jobs} ({one.lacking} lack it)" if one.lacking else str(one.jobs)
        table.add(str(rank), one.key, f"{100 * one.share:.1f}", jobs)
    return table


def left_out_table(left_out: Sequence[LeftOut]) -> Table | None:
    """What could not be used; None where there is nothing."""
    if not left_out:
        return None
    table = Table("left out", ["what", "why"])
    for one in left_out:
        table.add(one.what, cut(" ".join(one.why.split()), 2 * _ERROR))
    return table


def settings_text(settings: Mapping[str, Value], keys: Sequence[str]) -> str:
    """``lr=0.002, units=512``; what a job lacks is not mentioned."""
    names = short_keys(keys)
    told = [f"{names[key]}={cut(shown(settings[key]), _VALUE)}" for key in keys if key in settings]
    return ", ".join(told) or "-"


def data_text(data: Data | None) -> str:
    """``default, omniglot, split lake``."""
    return "-" if data is None else f"{data.experiment}, {data.source}, split {data.split}"


def _told_apart(group: Group, groups: Sequence[Group]) -> str:
    """The data of a group, with its digests where the words are those of another group's."""
    text = data_text(group.data)
    alike = [one for one in groups if data_text(one.data) == text]
    digests = {one.data.digest for one in alike if one.data is not None}
    if len(digests) > 1 and group.data is not None:
        text += f", images {group.data.digest[:8]}"
    mine = group.digests()
    for name, digest in mine.items():
        if any(one.digests().get(name, digest) != digest for one in alike):
            text += f", {name} list {digest[:8]}"
    return text


def mean_text(mean: Mean | None) -> str:
    """``96.75 ± 0.62``, in %; a lone seed has no interval."""
    if mean is None:
        return "-"
    return f"{100 * mean.value:.2f} ± " + (
        "-" if mean.margin is None else f"{100 * mean.margin:.2f}"
    )


def percent(share: float | None) -> str:
    """A share in %; ``-`` where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"


def time_text(seconds: float | None) -> str:
    """``41 s``, ``9 min 5 s`` or ``2 h 5 min``."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
