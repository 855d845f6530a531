"""All that stands on the page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.files import Files
from siamese_oneshot.reports.job import Data, Job
from siamese_oneshot.reports.pages import captions, images, settings
from siamese_oneshot.reports.pages.charts import Chart
from siamese_oneshot.reports.pages.evaluated import Evaluated
from siamese_oneshot.reports.pages.metrics import Curve
from siamese_oneshot.reports.pages.run_charts import run_charts
from siamese_oneshot.reports.pages.verdict import Verdict, literature, verdict
from siamese_oneshot.reports.tables import percent, time_text
from siamese_oneshot.reports.value import cut, printable
from siamese_oneshot.utils.tables import Table

_WAYS = ("way_curve_test", "way_curve_train")  # forty figures, which have an image
_LOG = 12_000  # letters of the end of train.log


@dataclass
class RunPage:
    """What the template takes, in the order of the page.

    Attributes:
        name: of the run.
        job: what the report knows of it.
        verdict: the first line.
        warnings: what a reader of the figures must know, and what is wrong with the folder.
        resume: the command that goes on with it; empty where it has ended.
        tables: scores.
    published: they beside published ones.
        charts, shelves: curves and images.
        differences, config: settings.
        facts: where and how it ran, as (what, value).
        log: the end of ``train.log``.
    """

    name: str
    job: Job
    verdict: Verdict
    warnings: list[str] = field(default_factory=list)
    resume: str = ""
    tables: list[Table] = field(default_factory=list)
    published: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    shelves: list[images.Shelf] = field(default_factory=list)
    differences: Table | None = None
    config: str = ""
    metadata: list[tuple[str, str]] = field(default_factory=list)
    log: str = ""


def run_page(job: Job, curves: Mapping[str, Curve], complaints: Sequence[str]) -> RunPage:
    """Gather a run's page from its folder; whatever is damaged is told on it.

    Args:
        job: as the report has read it.
        curves: as ``read_curves`` found them.
        complaints: what is wrong with the folder so far.
    """
    files = Files.read(job.folder)
    evaluated = Evaluated.read(job.folder)
    own = list(job.scores.values())
    told = _told(job, evaluated)
    page = RunPage(printable(Path(job.folder.name)), job, _verdict(told))
    page.warnings = _warnings(job, files, [*complaints, evaluated.complaint])
    page.resume = _resume(job)
    elsewhere = f", on {evaluated.source} (split {evaluated.split})" if len(told) > 1 else ""
    page.tables = _tables(own, evaluated.scores, elsewhere)
    page.published = literature([("this run", *one) for one in told])
    chosen_by = job.scores.get("validation/one_shot")
    page.charts = run_charts(dict(curves), chosen_by.n if chosen_by else None)
    known = captions.Known(
        curves, {one.key: one for one in evaluated.scores if one.split == "test"},
        evaluated.alphabets,
    )  # fmt: skip
    page.shelves = _shelves(job.folder, known, page.warnings)
    page.differences, page.config = settings.differences(files), settings.whole(files)
    page.metadata = _metadata(job, files)
    page.log = _tail(job.folder / "train.log")
    return page


def _warnings(job: Job, files: Files, complaints: Sequence[str]) -> list[str]:
    told = [str(one) for one in files.result.warnings] if files.result is not None else []
    if job.error:
        told.append(f"{job.status}: {job.error}")
    if job.status in ("unfinished", "interrupted"):
        told.append("This training has not ended: its figures are those of the way so far.")
    elif job.status == "pruned":
        told.append("This training was pruned: it was stopped early, as it did worse than others.")
    return list(dict.fromkeys([*told, *filter(None, complaints)]))


def _resume(job: Job) -> str:
    if job.status in ("finished", "pruned"):
        return ""
    folder = printable(job.folder)
    return shlex.join(["python", "-m", "siamese_oneshot.train", f"resume={folder}"])


def _told(job: Job, evaluated: Evaluated) -> list[tuple[Data | None, list[Score]]]:
    """The run's figures by the data that they are of: its own, and what it was asked of later."""
    own = list(job.scores.values())
    tested = [one for one in evaluated.scores if one.split == "test"]
    if job.data is not None and tested:
        asked = evaluated.asked(job.data)
        if asked != job.data:
            return [(job.data, own), (asked, tested)]
    later = {(one.split, one.key): one for one in [*own, *tested]}
    return [(job.data, list(later.values()))]


def _verdict(told: Sequence[tuple[Data | None, Sequence[Score]]]) -> Verdict:
    """The first that compares with anything."""
    found = [verdict(scores, data) for data, scores in told]
    return next((one for one in found if one.tone != "none"), found[0])


def _tables(own: Sequence[Score], evaluated: Sequence[Score], elsewhere: str) -> list[Table]:
    tables = []
    for title, scores in (
        ("scores at the end of training", own),
        (
            f"scores of the evaluation afterwards{elsewhere}",
            [one for one in evaluated if one.series not in _WAYS],
        ),
    ):
        table = Table(title, ["score", ">%", ">95% interval", ">trials", "protocol"])
        for one in scores:
            interval = f"{100 * one.low:.1f}-{100 * one.high:.1f}"
            table.add(cut(one.name, 80), percent(one.value), interval, f"{one.n:,}", one.protocol)
        if scores:
            tables.append(table)
    return tables


def _shelves(folder: Path, known: captions.Known, warnings: list[str]) -> list[images.Shelf]:
    shelves = []
    room = images.ROOM
    for heading, step, paths in images.find_images(folder):
        shelf = images.Shelf(heading, step)
        for path in paths:
            try:
                image = images.load(path, room)
            except (OSError, ValueError) as problem:
                name = printable(path.relative_to(folder))
                warnings.append(f"the image {name} is not shown: {cut(str(problem), 160)}")
                continue
            room -= len(image.data)
            image.title = captions.title_of(image.name)
            image.alt = captions.words_for(image.name, step, known)
            shelf.images.append(image)
        if shelf.images:
            shelves.append(shelf)
    return shelves


def _metadata(job: Job, files: Files) -> list[tuple[str, str]]:
    told: list[tuple[str, Any]] = [("folder", printable(job.folder)), ("status", job.status)]
    told += [("seed", job.seed), ("steps", None if job.steps is None else f"{job.steps:,}")]
    told += [("training", None if job.seconds is None else time_text(job.seconds))]
    told += [("attempts", job.attempts)]
    if job.data is not None:
        told += [("experiment", job.data.experiment), ("data", job.data.source)]
        told += [("digest of the data", job.data.digest), ("split", job.data.split)]
    result = files.result
    if result is not None:
        told += [("precision", result.precision), ("hardware", result.hardware)]
        told += [("commit", result.commit), ("Python", result.python)]
        packages = result.packages if isinstance(result.packages, dict) else {}
        told += [("packages", ", ".join(f"{name} {one}" for name, one in packages.items()))]
        told += [("checkpoint", result.checkpoint), ("command", result.command)]
    return [(name, str(value)) for name, value in told if value not in (None, "")]


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            length = file.tell()
            file.seek(max(0, length - _LOG))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return ("…" if length > _LOG else "") + text
