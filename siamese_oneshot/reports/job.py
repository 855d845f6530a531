"""One job of a sweep: what its folder tells, however little that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.value import Value

STATUSES = ("finished", "pruned", "failed", "interrupted", "unfinished")


@dataclass(frozen=True)
class Data:
    """What a job learned from; jobs that differ in it are never averaged.

    Attributes:
        experiment: its name.
        source, digest, split: the images and how they were divided.
        trained_on: in words; empty where an older job does not tell it.
    """

    experiment: str
    source: str
    digest: str
    split: str
    trained_on: str = field(default="", compare=False)


@dataclass
class Job:
    """One job.

    Attributes:
        folder: where it lies.
        place: the folder as it is shown: below the sweep's.
        number: of the job in its sweep, from 0; where none is known, its place in the list.
        status: one of ``STATUSES``: unfinished is one without a result that can be read.
        settings: by dotted key, those that are set by any job's command line.
        seed: of weights and batches; None where it is not known.
        data: None where there is no result.
        validation: the best validation score, 0 … 1; of an unfinished job the best so far.
        scores: by ``split/key``.
        seconds: of training; None where it is not known.
        steps: of training.
        attempts: how often it was started, where that is known.
        error: what a failed job died of; empty where it did not.
    """

    folder: Path
    place: str
    number: int
    status: str
    settings: dict[str, Value] = field(default_factory=dict)
    seed: int | None = None
    data: Data | None = None
    validation: float | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    seconds: float | None = None
    steps: int | None = None
    attempts: int | None = None
    error: str = ""

    @property
    def counts(self) -> bool:
        """Whether its validation score can be compared: it was trained to the end."""
        return self.status == "finished" and self.validation is not None


@dataclass(frozen=True)
class LeftOut:
    """Something that is not in the report's figures, and why."""

    what: str
    why: str


@dataclass
class Sweep:
    """All jobs of a report.

    Attributes:
        folders: as they were named.
        jobs: in order.
        keys: the settings that make the difference, less the seed.
        left_out: what could not be used.
    """

    folders: list[Path]
    jobs: list[Job]
    keys: list[str]
    left_out: list[LeftOut]

    def finished(self) -> list[Job]:
        """The jobs that can be compared."""
        return [job for job in self.jobs if job.counts]

    def statuses(self) -> dict[str, int]:
        """How many jobs there are of each status that occurs."""
        found = [job.status for job in self.jobs]
        return {status: found.count(status) for status in (*STATUSES, *found) if status in found}

    def described(self) -> str:
        """``12 jobs: 9 finished, 3 pruned``."""
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses().items())
        return f"{len(self.jobs)} job{'' if len(self.jobs) == 1 else 's'}: {counts}"
