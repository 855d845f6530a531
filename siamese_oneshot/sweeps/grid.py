"""Every combination of some values: what ``-m`` does."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from siamese_oneshot.sweeps.choosing import blind_split
from siamese_oneshot.sweeps.driver import SweepDriver
from siamese_oneshot.sweeps.job import Job, Outcome, jobs_in
from siamese_oneshot.sweeps.search_space import LIST_WANTED
from siamese_oneshot.utils.text import bare_key

log = logging.getLogger(__name__)


class GridSweeper(SweepDriver):
    """Runs the product of all lists; failed jobs are tried again when the command is repeated."""

    def drive(self, overrides: list[Override]) -> None:
        """Run every combination."""
        jobs = combinations(overrides)
        assert self.hydra_context is not None
        assert self.config is not None
        self.validate_batch_is_legal([job.overrides for job in jobs])
        split = blind_split(
            self.hydra_context.config_loader.load_sweep_config(self.config, jobs[0].overrides)
        )
        if split is not None:
            log.warning(
                "data.split=%s trains on its validation alphabets: choose nothing by these jobs' "
                "validation scores",
                split,
            )
        take_places(jobs, [job for job, _, _ in jobs_in(self.folder)])
        self.left = sum(not Outcome.of(self.place(job)).complete for job in jobs)
        log.info("%d of %d jobs are to be run", self.left, len(jobs))
        step = self.at_once(len(jobs))
        if step > 1 and self.parallel is None:
            step = len(jobs)  # the launcher has a queue: nobody waits for the slowest of a few
        for start in range(0, len(jobs), step):
            self.launch(jobs[start : start + step])


def combinations(overrides: list[Override]) -> list[Job]:
    """The jobs of a grid, the last list varying fastest.

    Args:
        overrides: some with several values; of those with one key the last counts.

    Raises:
        HydraException: an interval, which has no list of values.
    """
    lists: dict[str, list[str]] = {}
    swept = []
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lists[key] = [str(override.input_line)]
        elif getattr(override.value(), "shuffle", False):
            raise HydraException(
                f"{override.input_line}: a shuffled list is another one each time, so that the "
                "sweep could not go on where it stopped; leave the shuffling out"
            )
        elif override.is_discrete_sweep():
            lists[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            swept.append(bare_key(f"{key}="))
        else:
            raise HydraException(f"{override.input_line}: {LIST_WANTED}")
    products = itertools.product(*lists.values())
    return [Job(number, list(line), swept) for number, line in enumerate(products)]


def take_places(jobs: Sequence[Job], before: Sequence[Job]) -> None:
    """Give each job the folder in which it was begun earlier, and the others numbers of their own.

    A list such as ``glob(*)`` may have grown since, and what stands in it may have another order.

    Args:
        jobs: of the sweep as it is now; their numbers are changed.
        before: those that have a folder.
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
        found = same.pop(0)
        job.number, job.swept = found.number, found.swept
        if found.error is None:  # a failed one has all attempts again
            job.attempts = found.attempts
