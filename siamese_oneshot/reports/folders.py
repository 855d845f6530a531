"""Where the jobs lie below the folders that a user names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from siamese_oneshot.reports.job import LeftOut
from siamese_oneshot.reports.value import printable
from siamese_oneshot.runs.result import FILE as RESULT
from siamese_oneshot.sweeps.job import FILE as JOB
from siamese_oneshot.utils.errors import UserError

CONFIG = ".hydra/config.yaml"
_MARKS = (JOB, RESULT, CONFIG, ".hydra/overrides.yaml", "csv")
_NO_JOBS = ("report.json", "evaluation.json")  # lie in what was made of jobs


def find_jobs(folders: Sequence[Path]) -> tuple[list[tuple[Path, Path]], list[LeftOut]]:
    """Folders that hold a job, each once, and those that should but do not.

    Links are not followed: a job that is linked beside itself would count twice.

    Returns:
        (named folder, job's folder) in order of names, numbers by size; and what was left out.

    Raises:
        UserError: a folder that does not exist.
    """
    found: dict[Path, Path] = {}
    empty: list[LeftOut] = []
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f"{folder} is no folder: name a sweep's folder or those of its jobs")
        root = folder.resolve()
        jobs = list(_jobs_below(root, empty))
        if not jobs:
            empty.append(LeftOut(printable(folder), "there is no job in it"))
        for job in jobs:
            found.setdefault(job, root)
    return [(root, job) for job, root in found.items()], list(dict.fromkeys(empty))


def _jobs_below(folder: Path, empty: list[LeftOut]) -> Iterator[Path]:
    if any(os.path.exists(folder / mark) for mark in _MARKS):
        yield folder
        return
    barren = []
    some = False
    for child in _folders_in(folder, empty):
        within: list[LeftOut] = []
        jobs = list(_jobs_below(child, within))
        if jobs:
            some = True
            empty += within
            yield from jobs
        elif not any(os.path.exists(child / one) for one in _NO_JOBS):
            barren.append(child)
    if some:  # elsewhere the parent is named, as a whole
        empty += [LeftOut(printable(one), f"it has none of {', '.join(_MARKS)}") for one in barren]


def _folders_in(folder: Path, unreadable: list[LeftOut]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError as problem:
        unreadable.append(LeftOut(printable(folder), f"it cannot be read: {problem.strerror}"))
        return []
    kept = [name for name in names if not name.startswith(".") and name != "wandb"]
    return [folder / name for name in sorted(kept, key=natural)]


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by: ``10_x`` after ``9_x``."""
    words = re.split(r"(\d+)", name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
