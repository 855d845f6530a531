"""The tables of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.aggregate import Group, Importance, Mean, Report
from siamese_oneshot.reports.read import DataInfo, RunRecord, Sweep, numbers_of
from siamese_oneshot.runs.job import rounded
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import short_keys, shorten

_MAX_ERROR = 160  # characters; jobs.csv has all
_MAX_TERMINAL = 12  # rows
MAX_ROWS = 1000  # of a page, which has to load


def jobs_table(sweep: Sweep) -> Table:
    """A row for each job, the best validation score first; columns that say nothing are left out.

    Of very many jobs those with the best scores are shown.
    """
    ranked = sorted(sweep.runs, key=lambda run: -(run.val_accuracy or -1.0))
    runs = ranked[:MAX_ROWS]
    names = short_keys(sweep.keys)
    titles = {name: s.name for run in sweep.runs for name, s in run.of_split("test").items()}
    columns = {">job": [str(run.number) for run in runs]}
    columns[">validation %"] = [_validation_text(run) for run in runs]
    for key in sweep.keys:
        texts = [run.settings[key] for run in runs if key in run.settings]
        heading = (">" if numbers_of(texts) is not None else "") + shorten(names[key], 40)
        columns[heading] = [shorten(rounded(run.settings.get(key, "-")), 60) for run in runs]
    columns[">seed"] = ["-" if run.seed is None else str(run.seed) for run in runs]
    for name, title in titles.items():
        scores = [run.scores.get(name) for run in runs]
        texts = [score.percent if score is not None else "-" for score in scores]
        columns[f">{shorten(title, 60)} %"] = texts
    long = any((run.seconds or 0) >= 600 for run in runs)
    unit, size = ("min", 60) if long else ("s", 1)
    times = ["-" if run.seconds is None else f"{run.seconds / size:.1f}" for run in runs]
    columns[f">training, {unit}"] = times
    if len({run.data for run in sweep.runs if run.data is not None}) > 1:
        columns["experiment and data"] = [data_text(run.data) for run in runs]
    if any(run.status != "finished" for run in runs):
        columns["status"] = [run.status for run in runs]
    if any(run.error for run in runs):
        columns["error"] = [shorten(" ".join(run.error.split()), _MAX_ERROR) for run in runs]
    table = Table(f"Jobs, highest validation score first ({sweep.summary()})", [*columns])
    table.rows = [*zip(*columns.values(), strict=True)]
    sizes = {s.n for run in runs for s in run.scores.values() if s.value == run.val_accuracy}
    table.note = "In brackets: 95% intervals"
    table.note += f", for validation of {min(sizes):,} episodes." if len(sizes) == 1 else "."
    table.note += " The time of a training depends on what else the machine did."
    if "status" in columns:
        table.note += " For a job that did not finish: its best validation score."
    if len(sweep.runs) > MAX_ROWS:
        table.note += f" The best {MAX_ROWS:,} of {len(sweep.runs):,} jobs; jobs.csv has all."
    return table


def _validation_text(run: RunRecord) -> str:
    validation = run.of_split("validation").values()
    own = next((score for score in validation if score.value == run.val_accuracy), None)
    return percent(run.val_accuracy) if own is None else own.percent


def settings_table(report: Report) -> Table:
    """A row for each combination of settings, best validation score first."""
    sweep, groups = report.sweep, report.groups
    tested = [run.of_split("test") for group in groups for run in group.runs]
    scores = {name: score.name for own in tested for name, score in own.items()}
    data = [_distinct_data(group, groups) for group in groups]
    several = len(set(data)) > 1
    title = "Settings by validation score: mean ± 95% interval over seeds"
    if groups and not several:
        title += f" ({data_text(groups[0].data)})"
    headings = ["settings", ">validation %", ">seeds", "jobs"]
    headings += [f">{name} %" for name in scores.values()]
    table = Table(title, [*(["data"] if several else []), *headings])
    for group, text in zip(groups, data, strict=True):
        row = [text] if several else []
        row.append(settings_text(group.settings, sweep.keys) if sweep.keys else "(none)")
        row += [mean_text(group.val_accuracy), str(len(group.runs))]
        row.append(", ".join(str(run.number) for run in group.runs))
        for name in scores:
            mean = group.score(name)
            fewer = mean is not None and mean.n < len(group.runs)
            row.append(mean_text(mean) + (f" ({mean.n} seeds)" if mean and fewer else ""))
        table.add(*row)
    rest = len(sweep.runs) - len(sweep.finished())
    if rest:
        jobs = "1 job that" if rest == 1 else f"{rest} jobs that"
        table.note = f"Not counted: {jobs} did not finish training."
    return table


def _distinct_data(group: Group, groups: Sequence[Group]) -> str:
    """The data of a group, with digests where the words are the same as another group's."""
    text = data_text(group.data)
    alike = [other for other in groups if data_text(other.data) == text]
    if group.data is not None and len({g.data.digest for g in alike if g.data is not None}) > 1:
        text += f", images {group.data.digest[:8]}"
    for name, digest in group.digests().items():
        if any(other.digests().get(name, digest) != digest for other in alike):
            text += f", {name} list {digest[:8]}"
    return text


def importance_table(importance: Importance) -> Table | None:
    """The settings by importance; None if they are not ranked."""
    if not importance.shares:
        return None
    table = Table("Importance of the settings", [">rank", "setting", ">share %"])
    table.note = (
        "How differently a setting is distributed among the better half of the finished jobs and "
        "among all (PED-ANOVA). The shares add up to 100% even if no setting has an effect; the "
        "seed is not ranked."
    )
    for rank, (key, share) in enumerate(importance.shares.items(), 1):
        table.add(str(rank), key, f"{100 * share:.1f}")
    return table


def left_out_table(left_out: Sequence[tuple[str, str]]) -> Table | None:
    """What could not be used; None if there is nothing."""
    rows = [(what, shorten(" ".join(why.split()), 2 * _MAX_ERROR)) for what, why in left_out]
    return Table("Left out", ["what", "why"], [*rows]) if rows else None


def scores_table(title: str, scores: Sequence[Score]) -> Table:
    """Scores of a run with intervals, sizes and protocols."""
    headings = ["set", "score", ">%", ">95% interval", ">n", ">AUROC %", ">EER %", "protocol"]
    table = Table(title, headings)
    for score in scores:
        interval = f"{100 * score.low:.1f}-{100 * score.high:.1f}"
        numbers = [percent(score.value), interval, f"{score.n:,}"]
        numbers += [percent(score.auroc), percent(score.eer)]
        table.add(score.split, shorten(score.name, 80), *numbers, score.protocol)
    if any(score.auroc is not None for score in scores):
        table.note = "AUROC and EER: area under the ROC curve and equal error rate of telling same "
        table.note += "from different pairs, at all thresholds. "
    keys = {score.key: score.comparable_with for score in scores if score.split == "test"}
    if "lake_runs" in keys and not keys.get("koch_protocol", "none"):
        table.note += (
            "Only Lake's runs compare with the paper's 20-way accuracy. The split's drawers are "
            "drawn by the paper's rule, but from other alphabets and drawers than the paper's, and "
            "like within-alphabet episodes they are harder than Lake's selection."
        )
    table.note = table.note.strip()
    return table


def first_rows(table: Table, limit: int = _MAX_TERMINAL) -> Table:
    """The first rows of a long table."""
    more = len(table.rows) - limit
    if more <= 0:
        return table
    note = " ".join(filter(None, [f"{more:,} more rows are in report.md.", table.note]))
    return Table(table.title, table.headings, table.rows[:limit], note)


def settings_text(settings: Mapping[str, str], keys: Sequence[str]) -> str:
    """``lr=0.002, units=512``; settings that a job lacks are left out."""
    names = short_keys(keys)
    known = [key for key in keys if key in settings]
    parts = [f"{names[key]}={shorten(rounded(settings[key]), 40)}" for key in known]
    return ", ".join(parts) or "-"


def data_text(data: DataInfo | None) -> str:
    """``default, omniglot, split lake``."""
    return "-" if data is None else f"{data.experiment}, {data.source}, split {data.split}"


def mean_text(mean: Mean | None, unit: str = "") -> str:
    """``96.75 ± 0.62`` in %, ``42 ± 34`` if that is all that is known; one seed has no interval."""
    if mean is None:
        return "-"
    if mean.margin is None:
        return f"{100 * mean.value:.2f}{unit}"
    digits = 2 if mean.margin < 0.01 else 1 if mean.margin < 0.1 else 0
    return f"{100 * mean.value:.{digits}f}{unit} ± {100 * mean.margin:.{digits}f}"


def percent(share: float | None) -> str:
    """A share in %, or ``-``."""
    return "-" if share is None else f"{100 * share:.2f}"
