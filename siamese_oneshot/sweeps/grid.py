"""Every combination of some values: what ``-m`` runs."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from siamese_oneshot.sweeps.driver import NEEDS_LIST, SweepDriver, split_that_trains_on_validation
from siamese_oneshot.sweeps.job import Job, JobProgress, jobs_in
from siamese_oneshot.utils.text import bare_key

log = logging.getLogger(__name__)


class GridSweeper(SweepDriver):
    """Runs the product of all lists; the same command again retries the jobs that failed."""

    def drive(self, overrides: list[Override]) -> None:
        """Run every combination."""
        jobs = combinations(overrides)
        self.validate_batch_is_legal([job.overrides for job in jobs])
        split = split_that_trains_on_validation(self.composed(jobs[0].overrides))
        if split is not None:
            log.warning(
                "data.split=%s trains on its validation alphabets: do not choose by the validation "
                "scores of these jobs",
                split,
            )
        assign_numbers(jobs, [job for job, _, _ in jobs_in(self.folder)])
        self.left = sum(not JobProgress.of(self.folder_of(job)).complete for job in jobs)
        log.info("%d of %d jobs left to run", self.left, len(jobs))
        step = self.at_once(len(jobs))
        if step > 1 and self.parallel is None:
            step = len(jobs)  # the launcher has a queue: no job waits for the slowest of a few
        for start in range(0, len(jobs), step):
            self.launch(jobs[start : start + step])
        scores = {job.number: JobProgress.of(self.folder_of(job)).validation or 0.0 for job in jobs}
        best = max(jobs, key=lambda job: scores[job.number])
        if split is None and len(jobs) > 1 and scores[best.number] > 0.0:
            self.log_winner(len(jobs), best.number, scores[best.number], best.overrides)


def combinations(overrides: list[Override]) -> list[Job]:
    """Return the jobs of a grid, the last list varying fastest.

    Args:
        overrides: Some have several values; of those with the same key the last one counts.

    Raises:
        HydraException: An interval, which has no list of values, or a shuffled list.
    """
    lists: dict[str, list[str]] = {}
    swept = []
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lists[key] = [str(override.input_line)]
        elif getattr(override.value(), "shuffle", False):
            raise HydraException(
                f"{override.input_line}: a shuffled list has another order each time, so the sweep "
                "could not be continued; remove the shuffling"
            )
        elif override.is_discrete_sweep():
            lists[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            swept.append(bare_key(f"{key}="))
        else:
            raise HydraException(f"{override.input_line}: {NEEDS_LIST}")
    products = itertools.product(*lists.values())
    return [Job(number, list(line), swept) for number, line in enumerate(products)]


def assign_numbers(jobs: Sequence[Job], before: Sequence[Job]) -> None:
    """Give each job the number that it had in an earlier start, and new jobs numbers of their own.

    A list such as ``glob(*)`` may have grown since then, and its values may be ordered otherwise.

    Args:
        jobs: Jobs of the sweep; their numbers are changed.
        before: Jobs that have a folder.
    """
    known: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for job in before:
        known[tuple(sorted(job.overrides))].append(job)
    taken = {job.number for job in before}
    free = (number for number in itertools.count() if number not in taken)
    for job in jobs:
        same = known[tuple(sorted(job.overrides))]
        if not same:
            job.number = next(free)
            continue
        earlier = same.pop(0)
        job.number, job.swept = earlier.number, earlier.swept
        if earlier.error is None:  # a failed job has all attempts again
            job.attempts = earlier.attempts
