"""All jobs of some folders, with what tells them apart."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.reports.differences import differing
from siamese_oneshot.reports.files import Files, usable
from siamese_oneshot.reports.folders import find_jobs
from siamese_oneshot.reports.job import Data, Job, LeftOut, Sweep
from siamese_oneshot.reports.value import printable
from siamese_oneshot.sweeps.job import COMPLETE
from siamese_oneshot.utils.errors import UserError


def read_sweep(folders: Sequence[Path]) -> Sweep:
    """Read every job below some folders; nothing in them is changed.

    What is damaged or missing is left out and told in ``Sweep.left_out``.

    Args:
        folders: of sweeps, of runs, or of folders of these.

    Raises:
        UserError: a folder that does not exist, or no job at all.
    """
    places, left_out = find_jobs(folders)
    if not places:
        names = ", ".join(map(str, folders))
        raise UserError(
            f"there is no job in {names}: name a sweep's folder, as in outputs/default/<time>_sweep"
        )
    files = [Files.read(folder) for _, folder in places]
    keys = differing(files)
    parents = {root.parent if root == folder else root for root, folder in places}
    base = Path(os.path.commonpath(parents))
    jobs = []
    for (_, folder), one in zip(places, files, strict=True):
        job = _job(one, printable(folder.relative_to(base)), keys)
        jobs.append(job)
        left_out += [LeftOut(job.place, complaint) for complaint in one.complaints]
    _number(jobs)
    return Sweep(list(folders), jobs, keys, left_out)


def _job(files: Files, place: str, keys: Sequence[str]) -> Job:
    result, told = files.result, files.job
    number = told.get("number")
    if number is None:
        leading = re.match(r"\d+(?=_|$)", files.folder.name)  # as Hydra names a sweep's jobs
        number = int(leading.group()) if leading else -1
    job = Job(files.folder, place, number, "unfinished", attempts=told.get("attempts"))
    for key in keys:
        has, value = files.value(key)
        if has:
            job.settings[key] = value
    has, seed = files.value("seed")
    job.seed = seed if has and isinstance(seed, int) else None
    complete = result is not None and result.status in COMPLETE and usable(result.val_accuracy)
    if not complete:  # else it failed, and has gone on by itself since
        job.error = (told.get("error") or "").strip()
    if result is None:
        job.error = job.error or files.damaged
        if told.get("error"):  # it died before it could write a result
            job.status = "failed"
    else:
        job.status, job.seed = result.status, result.seed
        job.data = Data(
            result.experiment,
            result.data_source,
            result.data_digest,
            result.data_split,
            result.trained_on,
        )
        job.seconds, job.steps = result.train_seconds, result.steps
        for score in result.scores:
            if usable(score.value):
                job.scores[f"{score.split}/{score.key or score.name}"] = score
            else:
                files.complaints.append(f"{score.name} is {score.value}, which is no share")
        if usable(result.val_accuracy):
            job.validation = result.val_accuracy
        elif result.val_accuracy is not None:
            files.complaints.append(f"its validation score is {result.val_accuracy}, no share")
        if job.validation is None and job.status == "finished":  # a sweep calls that failed, too
            job.status = "failed"
            job.error = job.error or "it ended without a validation score that is a number"
            files.complaints.append("it has no validation score that is a number")
    if job.validation is None:
        job.validation = files.best_so_far()
    if result is None and job.validation is None and not told:
        files.complaints.append("it has neither a result nor a validation score yet")
    return job


def _number(jobs: list[Job]) -> None:
    """Let every job have a number of its own: the sweep's, else its place in the list."""
    counts = Counter(job.number for job in jobs)
    if max(counts.values()) > 1 or min(counts) < 0:
        for number, job in enumerate(jobs):
            job.number = number
    jobs.sort(key=lambda job: job.number)
