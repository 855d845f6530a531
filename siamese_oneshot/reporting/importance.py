"""How much each setting mattered: fANOVA over the finished jobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from siamese_oneshot.reporting.job import Job, Sweep
from siamese_oneshot.reporting.value import Value, identity, numeric, shown, wide

FEWEST = 4  # jobs that an importance is worked out from
_SEED = 0  # of the forest: the same jobs give the same figures


@dataclass(frozen=True)
class Share:
    """What a setting explains.

    Attributes:
        key: of the setting.
        share: of the variance of the validation score that single settings explain, 0 … 1.
        jobs: how many have the setting.
        lacking: finished jobs that do not, and are left out of it.
    """

    key: str
    share: float
    jobs: int
    lacking: int


@dataclass
class Importance:
    """The settings by what they explain, most first.

    Attributes:
        shares: empty where there is none.
        why: why there is none, or which settings are not ranked; empty where nothing is to be said.
    """

    shares: list[Share] = field(default_factory=list)
    why: str = ""


def importance_of(sweep: Sweep) -> Importance:
    """Rank the settings by fANOVA (Hutter, Hoos, Leyton-Brown 2014) over the finished jobs.

    A setting that some jobs lack is ranked among those that have it.
    """
    jobs = sweep.finished()
    if len(jobs) < FEWEST:
        word = "job has" if len(jobs) == 1 else "jobs have"
        return Importance(why=f"only {len(jobs)} {word} finished: it takes {FEWEST}")
    if len({job.data for job in jobs}) > 1:
        return Importance(why="the jobs are of different experiments, data or splits")
    varying = [
        key
        for key in sweep.keys
        if len({identity(job.settings[key]) for job in jobs if key in job.settings}) > 1
    ]
    if not varying:
        return Importance(why="no setting differs between the finished jobs")
    if len({job.validation for job in jobs}) == 1:
        return Importance(why="all finished jobs have the same validation score")
    having = {
        key: frozenset(n for n, job in enumerate(jobs) if key in job.settings) for key in varying
    }
    shares: list[Share] = []
    unranked: list[str] = []
    for members in dict.fromkeys(having.values()):
        chosen = [job for number, job in enumerate(jobs) if number in members]
        own = [key for key in varying if having[key] == members]
        if len(chosen) < FEWEST or len({job.validation for job in chosen}) == 1:
            unranked += own
            continue
        everywhere = [key for key in varying if members <= having[key]]
        try:
            found = _fanova(chosen, everywhere)
        except ImportError as problem:
            return Importance(why=f"it takes {problem.name}: pip install {problem.name}")
        lacking = len(jobs) - len(chosen)
        shares += [Share(key, found[key], len(chosen), lacking) for key in own if key in found]
        unranked += [key for key in own if key not in found]
    shares.sort(key=lambda one: -one.share)
    why = f"not ranked, as too few jobs have them: {', '.join(unranked)}" if unranked else ""
    return Importance(shares, why)


def _fanova(jobs: Sequence[Job], keys: Sequence[str]) -> dict[str, float]:
    """The share of each setting that varies among these jobs."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    spaces: dict[str, BaseDistribution] = {}
    columns: dict[str, list[float | str]] = {}
    for key in keys:
        values = [job.settings[key] for job in jobs]
        column = _column(values)
        if len(set(column)) < 2:
            continue
        columns[key] = column
        if isinstance(column[0], float):
            spaces[key] = FloatDistribution(min(column), max(column))  # type: ignore[arg-type]
        else:
            spaces[key] = CategoricalDistribution(sorted(set(map(str, column))))
    if not spaces:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", storage=None)
    for number, job in enumerate(jobs):
        assert job.validation is not None
        params = {key: column[number] for key, column in columns.items()}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=spaces, value=job.validation)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=_SEED)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _column(values: Sequence[Value]) -> list[float | str]:
    """Numbers, or words for what is chosen among.

    fANOVA weighs by the width of a range and does not heed a logarithmic distribution: a learning
    rate must come to it as its logarithm.
    """
    if not numeric(values):
        return [shown(value) for value in values]
    numbers = [float(value) for value in values]  # type: ignore[arg-type]
    if wide(numbers):
        return [math.log10(number) for number in numbers]
    return [*numbers]
