"""Means over seeds, and the importance of settings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from siamese_oneshot.evaluation.significance import below, mean_interval
from siamese_oneshot.reports.read import DataInfo, RunRecord, Sweep, numbers_of, spans_decades

MIN_JOBS = 10  # to rank settings, and at least twice as many as there are settings
# The quantile that PED-ANOVA compares with all jobs. In simulated sweeps of 8 to 40 jobs the better
# half ranked the setting that mattered first more often than the better tenth or fANOVA.
_BETTER = 0.5


@dataclass(frozen=True)
class Mean:
    """A mean over ``n`` seeds, 0 … 1, and half its 95% interval by Student's t; None for one."""

    value: float
    margin: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """The mean of at least one value."""
        if len(values) == 1:
            return cls(values[0], None, 1)
        mean, low, _ = mean_interval(values)
        return cls(mean, mean - low, len(values))


@dataclass
class Group:
    """Finished runs that differ only in the seed: same settings, data and lists of episodes."""

    settings: dict[str, str]
    data: DataInfo | None
    runs: list[RunRecord] = field(default_factory=list)

    @property
    def val_accuracy(self) -> Mean:
        """Mean of the best validation scores."""
        return Mean.of(self.val_scores)

    @property
    def val_scores(self) -> list[float]:
        """The best validation score of each run."""
        return [run.val_accuracy for run in self.runs if run.val_accuracy is not None]

    @property
    def best(self) -> RunRecord:
        """The run with the highest validation score."""
        return max(self.runs, key=lambda run: run.val_accuracy or 0.0)

    def score(self, name: str) -> Mean | None:
        """Mean of a score over the runs that have it; None if none has."""
        values = [run.scores[name].value for run in self.runs if name in run.scores]
        return Mean.of(values) if values else None

    def digests(self) -> dict[str, str]:
        """The digest of each score's list of episodes."""
        return {name: score.digest for run in self.runs for name, score in run.scores.items()}

    def accepts(self, run: RunRecord) -> bool:
        """Whether a run has the same settings, data and lists of episodes."""
        digests = self.digests()
        lists = all(digests.get(name, s.digest) == s.digest for name, s in run.scores.items())
        return self.settings == run.settings and self.data == run.data and lists


def group_runs(sweep: Sweep) -> tuple[list[Group], list[tuple[str, str]]]:
    """Group the finished runs by settings, best validation score first.

    A seed that was run twice counts once, so that the interval is not too narrow: the run with test
    scores counts, if there is one.

    Returns:
        The groups, and the runs that are not counted, each with the reason.
    """
    groups: list[Group] = []
    repeated: list[tuple[str, str]] = []
    for run in sweep.finished():
        group = next((group for group in groups if group.accepts(run)), None)
        if group is None:
            group = Group(run.settings, run.data)
            groups.append(group)
        same = [r for r in group.runs if run.seed is not None and r.seed == run.seed]
        if not same:
            group.runs.append(run)
            continue
        (first,) = same
        better = bool(run.of_split("test")) and not first.of_split("test")
        kept, dropped = (run, first) if better else (first, run)
        group.runs[group.runs.index(first)] = kept
        why = f"same settings and seed {run.seed} as job {kept.number}: counted once in the means"
        repeated.append((dropped.label, why))
    return sorted(groups, key=lambda group: -group.val_accuracy.value), repeated


def certainty(groups: Sequence[Group]) -> str:
    """Whether the seeds tell the best settings from the others; empty if there are no others."""
    if len(groups) < 2:
        return ""
    if groups[0].val_accuracy.margin is None:
        return "The best settings have one seed: their lead may be chance."
    scores = [group.val_scores for group in groups]
    above, others = sum(below(scores[0], scores[1:])), len(groups) - 1
    if above == others:
        return "The interval of the best settings is above those of all other settings."
    return (
        f"The interval of the best settings overlaps those of {others - above} of {others} other "
        "settings, so the order is uncertain."
    )


@dataclass
class Importance:
    """The share of each setting, most first, and why some or all are not ranked."""

    shares: dict[str, float] = field(default_factory=dict)
    why: str = ""


class Report:
    """What is reported: runs, groups of seeds, importance of settings, and what was left out."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.groups, repeated = group_runs(sweep)
        self.left_out = [*sweep.left_out, *repeated]
        self.importance = importance_of(sweep)


def importance_of(sweep: Sweep) -> Importance:
    """Rank the settings by PED-ANOVA (Watanabe, Bansal, Hutter 2023) over the finished jobs.

    A setting is important if its values among the better half of the jobs are distributed
    differently from those among all jobs. Settings that some jobs lack are not ranked.
    """
    runs = sweep.finished()
    if len({run.data for run in runs}) > 1:
        return Importance(why="not ranked, because the jobs differ in experiment, data or split")
    everywhere = [key for key in sweep.keys if all(key in run.settings for run in runs)]
    keys = [k for k in everywhere if len({run.settings[k] for run in runs}) > 1]
    if not keys:
        return Importance(why="not ranked, because no setting differs between finished jobs")
    needed = max(MIN_JOBS, 2 * len(keys))
    if len(runs) < needed:
        why = f"too few jobs to rank settings: {len(runs)} finished, {needed} needed"
        return Importance(why=why)
    shares = _ped_anova(runs, keys)
    if not shares:
        return Importance(why="not ranked, because the better half of the jobs does not stand out")
    lacking = [key for key in sweep.keys if key not in everywhere]
    why = f"not ranked, because some jobs lack them: {', '.join(lacking)}" if lacking else ""
    return Importance(dict(sorted(shares.items(), key=lambda item: -item[1])), why)


def _ped_anova(runs: Sequence[RunRecord], keys: Sequence[str]) -> dict[str, float]:
    """The share of each setting; empty if the jobs do not tell."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    spaces: dict[str, BaseDistribution] = {}
    columns: dict[str, list[Any]] = {}
    for key in keys:
        texts = [run.settings[key] for run in runs]
        if (values := numbers_of(texts)) is not None:
            columns[key] = values
            spaces[key] = FloatDistribution(min(values), max(values), log=spans_decades(values))
        else:
            columns[key] = texts
            spaces[key] = CategoricalDistribution(sorted(set(texts)))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for n, run in enumerate(runs):
        params = {key: column[n] for key, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(
            params=params, distributions=spaces, value=run.val_accuracy))  # fmt: skip
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BETTER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tied scores
        importances = evaluator.evaluate(study)
    total = sum(importances.values())
    return {key: float(value / total) for key, value in importances.items()} if total > 0 else {}
