"""The name and group of a run for loggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese_oneshot.sweeps.job import Job
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.run_info import of_training
from siamese_oneshot.utils.text import short_keys

_MAX_LENGTH = 96  # W&B cuts names at 128 characters
_IN_EXPERIMENT = ("experiment", "name")  # the name begins with the experiment


@dataclass(frozen=True)
class RunName:
    """How a run appears.

    Attributes:
        name: Readable, such as ``paper · lr 1e-3 · seed 2``.
        group: The sweep's folder name; None for a single run.
        wandb_dir: The folder that the runs of a group share.
    """

    name: str
    group: str | None
    wandb_dir: Path

    @classmethod
    def of(cls, folder: Path, experiment: str, seed: int, overrides: Sequence[str]) -> RunName:
        """The name of the training in a folder.

        Args:
            folder: Of the run; a job of a sweep has a ``job.json`` in it.
            experiment, seed: Of the configuration.
            overrides: Of the command line, for a run that is no job of a sweep.
        """
        try:
            job = Job.read(folder)
        except UserError:
            job = None
        if job is not None:
            name = name_of(experiment, job.settings, seed, job.number)
            return cls(name, folder.parent.name, folder.parent)
        pairs = [text.lstrip("+~").partition("=") for text in of_training(overrides)]
        own = {key: value for key, sign, value in pairs if sign and key not in _IN_EXPERIMENT}
        return cls(name_of(experiment, own, seed), None, folder)


def name_of(
    experiment: str, settings: Mapping[str, str], seed: int, number: int | None = None
) -> str:
    """A readable name.

    Args:
        experiment: Its name.
        settings: What distinguishes the run, by dotted key; the last ones are left out if the name
            gets too long.
        seed: Of the run.
        number: Of the job; part of the name if settings are left out.
    """
    kept = {key: value for key, value in settings.items() if key != "seed"}
    short = short_keys([*kept])
    parts = [f"{short[key]} {rounded(value)}" for key, value in kept.items()]
    name = " · ".join([experiment, *parts, f"seed {seed}"])
    start = experiment if number is None else f"{experiment} · job {number}"
    while parts and len(name) > _MAX_LENGTH:
        parts.pop()
        name = " · ".join([start, *parts, "…", f"seed {seed}"])
    return name


def rounded(value: str) -> str:
    """A number with four significant digits, a small one as ``1e-3``; other values unquoted."""
    value = value.strip("'\"")
    try:
        number = float(value)
    except ValueError:
        return value
    if 0 < abs(number) < 0.01:  # Hydra turns 1e-3 into 0.001
        digits, _, power = f"{number:.3e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return value if len(value) < 8 else f"{number:.4g}"
