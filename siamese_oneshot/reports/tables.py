"""The tables of a report, and its Markdown, CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.aggregate import Group, Importance, Mean, shared_scores
from siamese_oneshot.reports.read import DataInfo, LeftOut, Sweep
from siamese_oneshot.reports.values import Value, format_value, is_numeric, shorten
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import short_keys

VERSION = 2  # of report.json
_MAX_ERROR = 160  # characters; report.json has all
_MAX_TERMINAL = 12  # rows
MAX_ROWS = 1000  # of a page, which has to load
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins so


def jobs_table(sweep: Sweep) -> Table:
    """A row for each job in order; of very many jobs those with the best validation scores."""
    runs = sweep.runs
    if len(runs) > MAX_ROWS:
        best = sorted(runs, key=lambda run: -(run.val_accuracy or -1.0))[:MAX_ROWS]
        runs = sorted(best, key=lambda run: run.number)
    names = short_keys(sweep.keys)
    titles = {name: s.name for run in sweep.runs for name, s in run.of_split("test").items()}
    several_data = len({run.data for run in sweep.runs if run.data is not None}) > 1
    headings = [">job", "status", ">validation %"]
    headings += [f">{shorten(titles[name], 40)} %" for name in titles]
    for key in sweep.keys:
        numeric = is_numeric(run.settings[key] for run in runs if key in run.settings)
        headings.append((">" if numeric else "") + shorten(names[key], 40))
    headings += [">seed", *(["data"] if several_data else []), ">training, min", "error"]
    table = Table(f"Jobs ({sweep.summary()})", headings)
    table.note = "For an unfinished job: the best validation score so far."
    if len(sweep.runs) > MAX_ROWS:
        table.note += f" The best {MAX_ROWS:,} of {len(sweep.runs):,} jobs; jobs.csv has all."
    for run in runs:
        validation = run.of_split("validation").values()
        own = next((score for score in validation if score.value == run.val_accuracy), None)
        row = [str(run.number), run.status, _with_interval(run.val_accuracy, own)]
        for name in titles:
            score = run.scores.get(name)
            row.append(_with_interval(None if score is None else score.value, score))
        for key in sweep.keys:
            known = key in run.settings
            row.append(shorten(format_value(run.settings[key]), 60) if known else "-")
        row.append("-" if run.seed is None else str(run.seed))
        row += [data_text(run.data)] if several_data else []
        row.append("-" if run.seconds is None else f"{run.seconds / 60:.1f}")
        table.add(*row, shorten(" ".join(run.error.split()), _MAX_ERROR))
    return table


def _with_interval(value: float | None, score: Score | None) -> str:
    if value is None or score is None:
        return percent(value)
    return f"{percent(value)} ({100 * score.low:.1f}-{100 * score.high:.1f}, n={score.n:,})"


def settings_table(sweep: Sweep, groups: Sequence[Group]) -> Table:
    """A row for each combination of settings, best validation score first."""
    scores = shared_scores(groups)
    data = [_distinct_data(group, groups) for group in groups]
    several = len(set(data)) > 1
    title = "Settings by validation score: mean ± 95% interval over seeds"
    if groups and not several:
        title += f" ({data_text(groups[0].data)})"
    headings = ["settings", "job", ">seeds", ">validation %"]
    headings += [f">{name} %" for name in scores.values()]
    table = Table(title, [*(["data"] if several else []), *headings])
    for group, text in zip(groups, data, strict=True):
        row = [text] if several else []
        row.append(settings_text(group.settings, sweep.keys) if sweep.keys else "(none)")
        row += [", ".join(str(run.number) for run in group.runs), str(len(group.runs))]
        row.append(mean_text(group.val_accuracy))
        for name in scores:
            mean = group.score(name)
            fewer = mean is not None and mean.n < len(group.runs)
            row.append(mean_text(mean) + (f" ({mean.n} seeds)" if mean and fewer else ""))
        table.add(*row)
    rest = len(sweep.runs) - len(sweep.finished())
    if rest:
        table.note = (
            f"Not counted: {rest} job{'' if rest == 1 else 's'} that did not finish training."
        )
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
        "PED-ANOVA: how differently a setting is distributed among the better half of the finished "
        "jobs and among all, as a share of the sum over settings."
    )
    for rank, (key, share) in enumerate(importance.shares.items(), 1):
        table.add(str(rank), key, f"{100 * share:.1f}")
    return table


def left_out_table(left_out: Sequence[LeftOut]) -> Table | None:
    """What could not be used; None if there is nothing."""
    if not left_out:
        return None
    table = Table("Left out", ["what", "why"])
    for item in left_out:
        table.add(item.what, shorten(" ".join(item.why.split()), 2 * _MAX_ERROR))
    return table


def scores_table(title: str, scores: Sequence[Score]) -> Table:
    """Scores of a run with intervals, sizes and protocols."""
    headings = ["set", "score", ">%", ">95% interval", ">n", ">AUROC", ">EER %", "protocol"]
    table = Table(title, headings)
    for score in scores:
        interval = f"{100 * score.low:.1f}-{100 * score.high:.1f}"
        auroc = "-" if score.auroc is None else f"{score.auroc:.4f}"
        numbers = [percent(score.value), interval, f"{score.n:,}", auroc, percent(score.eer)]
        table.add(score.split, shorten(score.name, 80), *numbers, score.protocol)
    return table


def first_rows(table: Table, limit: int = _MAX_TERMINAL) -> Table:
    """The first rows of a long table."""
    more = len(table.rows) - limit
    if more <= 0:
        return table
    note = " ".join(filter(None, [f"{more:,} more rows are in report.md.", table.note]))
    return Table(table.title, table.headings, table.rows[:limit], note)


def settings_text(settings: Mapping[str, Value], keys: Sequence[str]) -> str:
    """``lr=0.002, units=512``; settings that a job lacks are left out."""
    names = short_keys(keys)
    known = [key for key in keys if key in settings]
    parts = [f"{names[key]}={shorten(format_value(settings[key]), 40)}" for key in known]
    return ", ".join(parts) or "-"


def data_text(data: DataInfo | None) -> str:
    """``default, omniglot, split lake``."""
    return "-" if data is None else f"{data.experiment}, {data.source}, split {data.split}"


def mean_text(mean: Mean | None) -> str:
    """``96.75 ± 0.62`` in %; a single seed has no interval."""
    if mean is None:
        return "-"
    margin = "" if mean.margin is None else f" ± {100 * mean.margin:.2f}"
    return f"{100 * mean.value:.2f}{margin}"


def percent(share: float | None) -> str:
    """A share in %, or ``-``."""
    return "-" if share is None else f"{100 * share:.2f}"


def time_text(seconds: float | None) -> str:
    """``41 s``, ``9 min 5 s`` or ``2 h 5 min``."""
    if seconds is None:
        return "-"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


def write_markdown(path: Path, title: str, parts: Sequence[Table | str], command: str) -> None:
    """Write tables and lines under a title."""
    texts = [f"# {title}\n", "Charts and a page for each run: [index.html](index.html)\n"]
    texts += [part.markdown() if isinstance(part, Table) else f"{part}\n" for part in parts]
    fence = "```" if "```" not in command else "````"
    texts.append(f"Command:\n\n{fence}\n{command}\n{fence}\n")
    write_text(path, "\n".join(texts))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, rounded or not at all; what is not valid Unicode is replaced."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def job_columns(sweep: Sweep) -> tuple[list[str], list[list[Value]]]:
    """Headings and a row of plain values for each job; None is unknown."""
    names = list(dict.fromkeys(name for run in sweep.runs for name in run.scores))
    headings = ["number", "folder", "status", "seed", "experiment", "data", "split", "val_accuracy"]
    headings += [f"{name}{end}" for name in names for end in ("", "_ci_low", "_ci_high", "_n")]
    headings += ["train_seconds", "steps", "attempts", *sweep.keys, "error"]
    rows = []
    for run in sweep.runs:
        data = run.data
        row: list[Value] = [run.number, run.label, run.status, run.seed]
        row += [None] * 3 if data is None else [data.experiment, data.source, data.split]
        row.append(run.val_accuracy)
        for name in names:
            s = run.scores.get(name)
            row += [None] * 4 if s is None else [s.value, s.low, s.high, s.n]
        row += [run.seconds, None if run.result is None else run.result.steps]
        row.append(None if run.job is None else run.job.attempts)
        row += [run.settings.get(key) for key in sweep.keys]
        rows.append([*row, run.error or None])
    return headings, rows


def write_csv(path: Path, sweep: Sweep) -> None:
    """Write a row for each job; unknown is empty, a setting of ``null`` is that word."""
    headings, rows = job_columns(sweep)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headings)
    for run, row in zip(sweep.runs, rows, strict=True):
        null = {key for key in sweep.keys if key in run.settings and run.settings[key] is None}
        pairs = zip(headings, row, strict=True)
        writer.writerow(["null" if name in null else _csv_cell(value) for name, value in pairs])
    write_text(path, text.getvalue())


def _csv_cell(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_json(
    path: Path,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    command: str,
) -> None:
    """Write the rounded report in plain values."""
    headings, rows = job_columns(sweep)
    content: dict[str, Any] = {
        "version": VERSION,
        "command": command,
        "folders": [str(folder) for folder in sweep.folders],
        "statuses": sweep.statuses(),
        "keys": sweep.keys,
        "settings": [_group_content(group) for group in groups],
        "jobs": [dict(zip(headings, row, strict=True)) for row in rows],
        "importance": importance.shares,
        "importance_note": importance.why,
        "left_out": [asdict(item) for item in left_out],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


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
