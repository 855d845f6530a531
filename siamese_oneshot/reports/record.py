"""A report as files: Markdown for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from siamese_oneshot.reports.groups import Group, Mean
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, LeftOut, Sweep
from siamese_oneshot.reports.value import Value
from siamese_oneshot.utils.io import whole_file
from siamese_oneshot.utils.tables import Table

VERSION = 1
_CAPTIONS = {
    "history": "Validation score by job",
    "importance": "Importance of the settings",
    "parallel_coordinates": "Finished jobs by setting",
}


def write_markdown(
    path: Path, title: str, parts: Sequence[Table | str], images: Mapping[str, Path], command: str
) -> None:
    """Tables and lines under a title, the images linked from beside the file."""
    texts = [f"# {title}\n"]
    texts += [part.markdown() if isinstance(part, Table) else f"{part}\n" for part in parts]
    for name, image in images.items():
        texts.append(f"![{_CAPTIONS[name]}]({image.name})\n")
    fence = "```" if "```" not in command else "````"
    texts.append(f"Made with\n\n{fence}\n{command}\n{fence}\n")
    with whole_file(path) as file:
        file.write("\n".join(texts).encode("utf-8", "replace"))


def job_rows(sweep: Sweep) -> tuple[list[str], list[list[Value]]]:
    """Headings and a row for each job, a column for each setting and score; None is unknown."""
    scores = list(dict.fromkeys(name for job in sweep.jobs for name in job.scores))
    headings = ["number", "folder", "status", "seed", "experiment", "data", "split", "validation"]
    told = [f"{name}{end}" for name in scores for end in ("", "_low", "_high", "_trials")]
    headings += [*told, "seconds", "steps", "attempts", *sweep.keys, "error"]
    rows = []
    for job in sweep.jobs:
        data = job.data
        known: list[Value] = [None] * 3
        if data is not None:
            known = [data.experiment, data.source, data.split]
        row = [job.number, job.place, job.status, job.seed, *known, job.validation]
        for name in scores:
            one = job.scores.get(name)
            row += [None] * 4 if one is None else [one.value, one.low, one.high, one.n]
        row += [job.seconds, job.steps, job.attempts]
        row += [job.settings.get(key) for key in sweep.keys]
        rows.append([*row, job.error or None])
    return headings, rows


def write_csv(path: Path, sweep: Sweep) -> None:
    """A row a job; what is not known is empty, a setting of ``null`` is that word."""
    headings, rows = job_rows(sweep)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headings)
    for job, row in zip(sweep.jobs, rows, strict=True):
        settings = range(len(row) - 1 - len(sweep.keys), len(row) - 1)
        nulls = {
            column
            for column, key in zip(settings, sweep.keys, strict=True)
            if key in job.settings and job.settings[key] is None
        }
        writer.writerow(["null" if n in nulls else _cell(value) for n, value in enumerate(row)])
    with whole_file(path) as file:
        file.write(text.getvalue().encode("utf-8", "replace"))


def _cell(value: Value) -> Value:
    """As a spreadsheet shows it, where it would run what begins like a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def content_of(
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    command: str,
) -> dict[str, Any]:
    """The whole report in plain values."""
    return {
        "version": VERSION,
        "command": command,
        "folders": [str(folder) for folder in sweep.folders],
        "statuses": sweep.statuses(),
        "keys": sweep.keys,
        "settings": [_group(group) for group in groups],
        "jobs": [_job(job) for job in sweep.jobs],
        "importance": [asdict(share) for share in importance.shares],
        "importance_note": importance.why,
        "left_out": [asdict(one) for one in left_out],
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content_of``'s answer, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace") + b"\n")


def _group(group: Group) -> dict[str, Any]:
    names = dict.fromkeys(name for job in group.jobs for name in job.scores)
    return {
        "settings": group.settings,
        "data": None if group.data is None else asdict(group.data),
        "jobs": [job.number for job in group.jobs],
        "seeds": [job.seed for job in group.jobs],
        "validation": asdict(group.validation),
        "scores": {name: _mean(group.score(name)) for name in names},
    }


def _mean(mean: Mean | None) -> dict[str, Any] | None:
    return None if mean is None else asdict(mean)


def _job(job: Job) -> dict[str, Any]:
    return {
        "number": job.number,
        "folder": job.place,
        "status": job.status,
        "settings": job.settings,
        "seed": job.seed,
        "data": None if job.data is None else asdict(job.data),
        "validation": job.validation,
        "scores": {name: _score(score) for name, score in job.scores.items()},
        "seconds": job.seconds,
        "steps": job.steps,
        "attempts": job.attempts,
        "error": job.error,
    }


def _score(score: Any) -> dict[str, Any]:
    names = ("name", "value", "low", "high", "n", "digest")
    return {name: getattr(score, name) for name in names}
