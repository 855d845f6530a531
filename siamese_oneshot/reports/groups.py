"""Jobs of the same settings as one: means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from siamese_oneshot.evaluation.significance import mean_interval
from siamese_oneshot.reports.job import Data, Job, LeftOut, Sweep
from siamese_oneshot.reports.value import Value, identity


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: 0 … 1.
        margin: half the 95% interval by Student's t; None with one seed.
        count: of how many seeds.
    """

    value: float
    margin: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], None, 1)
        mean, low, _ = mean_interval(values)
        return cls(mean, mean - low, len(values))


@dataclass
class Group:
    """Finished jobs that differ in nothing but the seed.

    Attributes:
        settings: of all of them.
        data: what they learned from.
        jobs: at least one.
    """

    settings: dict[str, Value]
    data: Data | None
    jobs: list[Job] = field(default_factory=list)

    @property
    def validation(self) -> Mean:
        """The mean best validation score."""
        return Mean.of([job.validation for job in self.jobs if job.validation is not None])

    def score(self, name: str) -> Mean | None:
        """The mean of a score over those jobs that have it; None where none has."""
        values = [job.scores[name].value for job in self.jobs if name in job.scores]
        return Mean.of(values) if values else None

    def digests(self) -> dict[str, str]:
        """The trial list of each score."""
        return {name: score.digest for job in self.jobs for name, score in job.scores.items()}

    def takes(self, job: Job) -> bool:
        """Whether a job's figures are of the same settings, data and trial lists."""
        mine = self.digests()
        return (
            _identities(self.settings) == _identities(job.settings)
            and self.data == job.data
            and all(mine.get(name, one.digest) == one.digest for name, one in job.scores.items())
        )


def _identities(settings: dict[str, Value]) -> dict[str, tuple[bool, Value]]:
    return {key: identity(value) for key, value in settings.items()}


def group_jobs(sweep: Sweep) -> tuple[list[Group], list[LeftOut]]:
    """The finished jobs by settings, best validation first.

    A seed that was run twice counts once, lest the interval be too narrow: the run that has opened
    its test lists, if one has.

    Returns:
        Groups, and the jobs that were run before.
    """
    groups: list[Group] = []
    repeated: list[LeftOut] = []
    for job in sweep.finished():
        group = next((one for one in groups if one.takes(job)), None)
        if group is None:
            group = Group(job.settings, job.data)
            groups.append(group)
        twin = next(
            (one for one in group.jobs if job.seed is not None and one.seed == job.seed), None
        )
        if twin is None:
            group.jobs.append(job)
        else:
            kept, other = (job, twin) if _tested(job) and not _tested(twin) else (twin, job)
            group.jobs[group.jobs.index(twin)] = kept
            why = f"its settings and seed {job.seed} are those of job {kept.number}: counted once"
            repeated.append(LeftOut(other.place, f"{why} in the means over seeds"))
    return sorted(groups, key=lambda one: -one.validation.value), repeated


def _tested(job: Job) -> bool:
    return any(name.startswith("test/") for name in job.scores)


def shared_scores(groups: Sequence[Group]) -> dict[str, str]:
    """The test scores that all groups with any have: name and title, in their order."""
    tested = [
        {name: score.name for job in group.jobs for name, score in job.scores.items()}
        for group in groups
    ]
    own = [{name: one[name] for name in one if name.startswith("test/")} for one in tested]
    own = [one for one in own if one]
    if not own:
        return {}
    return {name: title for name, title in own[0].items() if all(name in one for one in own)}
