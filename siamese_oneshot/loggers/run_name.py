"""What a run is called on W&B, and with which others it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_oneshot.sweeps.job import Job
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.run_info import of_training
from siamese_oneshot.utils.text import bare_key, short_keys

_LONGEST = 96  # characters of a name; W&B cuts its own at 128
_UNTOLD = ("experiment", "name")  # the name begins with it


@dataclass(frozen=True)
class RunName:
    """How a run appears.

    Attributes:
        name: for reading: ``paper · lr 1e-3 · seed 2``.
        group: the sweep's; None for a single run.
        place: the folder that the runs of a group share on the disk.
    """

    name: str
    group: str | None
    place: Path

    @classmethod
    def of(cls, folder: Path, experiment: str, seed: int, overrides: Sequence[str]) -> RunName:
        """The label of the training in a folder.

        Args:
            folder: of the run; a job of a sweep has ``job.json`` in it.
            experiment, seed: of the configuration.
            overrides: of the command line, for a run that is no job of a sweep.
        """
        try:
            job = Job.read(folder)
        except UserError:
            job = None
        if job is None:
            told = [one for one in of_training(overrides) if bare_key(one) not in _UNTOLD]
            return cls(name_of(experiment, _values(told), seed), None, folder)
        swept = {key: value for key, value in _values(job.overrides).items() if key in job.swept}
        name = name_of(experiment, swept, seed, job.number)
        return cls(name, folder.parent.name, folder.parent)


def name_of(
    experiment: str, settings: Mapping[str, str], seed: int, number: int | None = None
) -> str:
    """A name that reads.

    Args:
        experiment: its name.
        settings: what sets the run apart, by dotted key; shortened where they are many.
        seed: of the run.
        number: of the job, told where settings had to be left out.
    """
    kept = {key: value for key, value in settings.items() if key != "seed"}
    short = short_keys([*kept])
    parts = [f"{short[key]} {rounded(value)}" for key, value in kept.items()]
    start = [experiment]
    left_out = False
    while parts and len(" · ".join([*start, *parts, f"seed {seed}"])) > _LONGEST:
        parts.pop()
        if not left_out and number is not None:
            start.append(f"job {number}")
        left_out = True
    return " · ".join([*start, *parts, *(["…"] if left_out else []), f"seed {seed}"])


def tags_of(experiment: str, source: str, split: str, more: Sequence[str]) -> list[str]:
    """What to filter runs by: experiment, data and split, then the user's own."""
    tags = dict.fromkeys([experiment, source, split, *more])
    return [tag[:64] for tag in tags if tag]  # W&B refuses longer ones


def rounded(value: str) -> str:
    """A number to four figures, a small one as ``1e-3``; other values as they were written."""
    try:
        number = float(value)
    except ValueError:
        return value
    if 0 < abs(number) < 0.01:  # Hydra hands 1e-3 on as 0.001
        mnist, _, power = f"{number:.3e}".partition("e")
        return f"{mnist.rstrip('0').rstrip('.')}e{int(power)}"
    return value if len(value) < 8 else f"{number:.4g}"


def _values(overrides: Sequence[str]) -> dict[str, str]:
    pairs = (one.lstrip("+~").partition("=") for one in overrides)
    return {key: value.strip("'\"") for key, sign, value in pairs if sign}
