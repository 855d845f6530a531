"""How much each setting mattered: PED-ANOVA over the finished jobs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from siamese_oneshot.reports.job import Job, Sweep
from siamese_oneshot.reports.value import identity, numeric, shown, wide

FEWEST = 4  # jobs that an importance is worked out from
# What a setting is asked to tell from the rest: the better half. In simulated sweeps of 8 to 40
# jobs this put the setting that mattered first more often than the better tenth did, or fANOVA.
_BETTER = 0.5


@dataclass(frozen=True)
class Share:
    """How much a setting tells.

    Attributes:
        key: of the setting.
        share: of what all settings together tell of which jobs are the better half, 0 … 1.
        jobs: how many have the setting.
        lacking: finished jobs that do not, and are left out of it.
    """

    key: str
    share: float
    jobs: int
    lacking: int


@dataclass
class Importance:
    """The settings by how much they tell, most first.

    Attributes:
        shares: empty where there is none.
        why: why there is none, or which settings are not ranked; empty where nothing is to be said.
    """

    shares: list[Share] = field(default_factory=list)
    why: str = ""


def importance_of(sweep: Sweep) -> Importance:
    """Rank the settings by PED-ANOVA (Watanabe, Bansal, Hutter 2023) over the finished jobs.

    A setting is important where its values among the better half differ from those among all. One
    that some jobs lack is ranked among those that have it.
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
            found = _ped_anova(chosen, everywhere)
        except ImportError as problem:
            return Importance(why=f"it takes {problem.name}: pip install {problem.name}")
        if not found:
            unranked += own
        lacking = len(jobs) - len(chosen)
        shares += [Share(key, found[key], len(chosen), lacking) for key in own if key in found]
    shares.sort(key=lambda one: -one.share)
    why = ""
    if unranked:
        why = f"too few jobs tell anything of {', '.join(unranked)}"
    return Importance(shares, why)


def _ped_anova(jobs: Sequence[Job], keys: Sequence[str]) -> dict[str, float]:
    """The share of each setting that varies among these jobs; none where none tells anything."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    spaces: dict[str, BaseDistribution] = {}
    columns: dict[str, list[Any]] = {}
    for key in keys:
        values: list[Any] = [job.settings[key] for job in jobs]
        if len(set(map(identity, values))) < 2:
            continue
        if numeric(values):
            columns[key] = [float(value) for value in values]
            spaces[key] = FloatDistribution(min(values), max(values), log=wide(values))
        else:
            columns[key] = [shown(value) for value in values]
            spaces[key] = CategoricalDistribution(sorted(set(columns[key])))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for number, job in enumerate(jobs):
        assert job.validation is not None
        params = {key: column[number] for key, column in columns.items()}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=spaces, value=job.validation)
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BETTER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scores that tie; whoever calls this says so in words
        told = evaluator.evaluate(study)
    whole = sum(told.values())
    return {key: float(value / whole) for key, value in told.items()} if whole > 0 else {}
