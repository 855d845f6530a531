"""The pages of a report as files, linked with each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from siamese_oneshot.reports.groups import Group
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, LeftOut, Sweep
from siamese_oneshot.reports.pages.metrics import Curve, read_curves
from siamese_oneshot.reports.pages.render import GENERATOR, render
from siamese_oneshot.reports.pages.run import run_page
from siamese_oneshot.reports.pages.sweep import sweep_page
from siamese_oneshot.reports.value import cut
from siamese_oneshot.utils.io import whole_file
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import folder_name

log = logging.getLogger(__name__)

INDEX = "index.html"
_RUNS = "runs"
_HEAD = 4000  # bytes of a page within which its generator is named


def write_pages(
    output: Path,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    settings: Table,
    command: str,
) -> Path:
    """Write ``index.html`` of the sweep and ``runs/<job>.html`` of each job.

    A run that was named by itself has its page as ``index.html`` and no other. Pages of an older
    report that are not of this one are removed.

    Args:
        output: the report's folder.
        sweep, groups, importance, left_out, settings: what is reported.
        command: what was typed.

    Returns:
        The page to open.

    Raises:
        OSError: the folder cannot be written to.
    """
    alone = _alone(sweep)
    names = {} if alone else _names(sweep.jobs)
    curves: dict[int, dict[str, Curve]] = {}
    for place, job in enumerate(sweep.jobs):
        curves[job.number], complaints = read_curves(job.folder)
        complaints += [one.why for one in left_out if one.what == job.place]
        page = run_page(job, curves[job.number], complaints)
        around = {
            "sweep": None if alone else (f"../{INDEX}", cut(sweep.folders[0].resolve().name, 40)),
            "before": _link(sweep.jobs[place - 1], names) if place else None,
            "after": _link(sweep.jobs[place + 1], names) if place + 1 < len(sweep.jobs) else None,
        }
        path = output / INDEX if alone else output / _RUNS / names[job.number]
        _write(path, render("run.html", page=page, charts=page.charts, command=command, **around))
    _remove_others(output / _RUNS, set(names.values()))
    if not alone:
        links = {number: f"{_RUNS}/{quote(name)}" for number, name in names.items()}
        made = sweep_page(sweep, groups, importance, left_out, settings, curves, links)
        content = render(
            "sweep.html", page=made, charts=list(made.charts.values()), command=command
        )
        _write(output / INDEX, content)
    return output / INDEX


def _alone(sweep: Sweep) -> bool:
    return len(sweep.jobs) == 1 and sweep.folders[0].resolve() == sweep.jobs[0].folder


def _names(jobs: Sequence[Job]) -> dict[int, str]:
    """A file's name for each job: its folder's, after its number, which makes it unique."""
    names = {}
    for job in jobs:
        folder = job.folder.name
        name = folder if folder.startswith(f"{job.number}_") else f"{job.number}_{folder}"
        names[job.number] = f"{folder_name([name])}.html"
    return names


def _link(job: Job, names: dict[int, str]) -> tuple[str, str]:
    return quote(names[job.number]), f"job {job.number}"


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove the pages of jobs that are no more; what is no page of ours stays."""
    for path in folder.glob("*.html"):
        if path.name in names:
            continue
        try:
            with open(path, "rb") as file:
                ours = f'content="{GENERATOR}"'.encode() in file.read(_HEAD)
            if ours:
                path.unlink()
        except OSError as problem:
            log.warning("%s cannot be removed: %s", path, problem)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
