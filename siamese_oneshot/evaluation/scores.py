"""A score: one accuracy with its protocol, its number of episodes and its 95% interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.intervals import wilson
from siamese_oneshot.evaluation.results import EpisodeResults, EvalResults, VerificationResults

_THRESHOLD_FROM = {"validation": "these pairs", "test": "validation"}


@dataclass(frozen=True)
class Score:
    """The share of right answers on one frozen list.

    Attributes:
        key: a short name for logs: ``lake_runs``, ``verification`` …; unique within a split.
        split: ``validation`` or ``test``.
        name: what was measured, for tables.
        protocol: how the list was drawn, in a sentence.
        value: ``correct / n``, 0 … 1.
        correct, n: right answers, and episodes or pairs.
        low, high: the 95% interval (Wilson), 0 … 1.
        digest: the hash of the list.
        way, shot: of the episodes; None for pairs.
        kind: ``one_shot``, ``verification``, ``open_set`` or ``assignment``.
        series: the curve or group that the list belongs to: ``way_curve_test``,
            ``way_curve_train`` or ``few_shot``.
        alphabet: the one alphabet that the queries are from.
        auroc, eer, threshold: verification's area under the ROC curve, equal error rate (0 … 1) and
            the threshold of the accuracy.
        comparable_with: the protocol of ``published.yaml`` whose figures may stand beside it.
    """

    key: str
    split: str
    name: str
    protocol: str
    value: float
    correct: int
    n: int
    low: float
    high: float
    digest: str
    way: int | None = None
    shot: int | None = None
    kind: str = "one_shot"
    series: str | None = None
    alphabet: str | None = None
    auroc: float | None = None
    eer: float | None = None
    threshold: float | None = None
    comparable_with: str | None = None

    @property
    def percent(self) -> str:
        """The value in % with its interval: ``97.25 (95.1-98.5)``."""
        return f"{100 * self.value:.2f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

    @classmethod
    def from_counts(
        cls, key: str, split: str, name: str, protocol: str, correct: int, n: int, digest: str,
        **fields: Any,
    ) -> Score:  # fmt: skip
        """A score whose value and interval follow from its counts; ``fields`` are the others."""
        low, high = wilson(correct, n)
        return cls(key, split, name, protocol, correct / n, correct, n, low, high, digest, **fields)

    @classmethod
    def of(cls, results: EpisodeResults | VerificationResults, split: str) -> Score:
        """The accuracy on one list of ``validation`` or ``test``."""
        if isinstance(results, VerificationResults):
            within = ", different pairs within one alphabet" if results.within_alphabet else ""
            protocol = (
                f"half same, half different pairs{within}; threshold from "
                f"{_THRESHOLD_FROM[split]}"
            )
            return cls.from_counts(
                "verification", split, f"{split} verification", protocol, results.correct,
                results.n, results.digest, kind="verification", auroc=results.auroc,
                eer=results.eer, threshold=results.threshold,
                comparable_with=results.comparable_with,
            )  # fmt: skip
        task = results.task
        return cls.from_counts(
            task.key, split, task.title, task.protocol, results.correct, results.n,
            task.episodes.digest, way=task.way, shot=task.shot, kind=task.kind,
            series=task.series, comparable_with=task.comparable_with,
        )  # fmt: skip


def scores_of(eval_results: EvalResults | None, split: str) -> list[Score]:
    """All scores of a split: one-shot lists first, then verification."""
    assert eval_results is not None
    scores = [Score.of(results, split) for results in eval_results.results]
    return [*scores, Score.of(eval_results.verification, split)]


def alphabet_scores(results: EpisodeResults, dataset: CharacterDataset, split: str) -> list[Score]:
    """The accuracy in each alphabet of a list of episodes within alphabets, best first."""
    task = results.task
    alphabets = dataset.alphabets[task.episodes.queries]
    scores = []
    for index in alphabets.unique().tolist():
        chosen = alphabets == index
        alphabet = dataset.alphabet_names[index]
        scores.append(
            Score.from_counts(
                f"{task.key}/{alphabet}",
                split,
                alphabet,
                task.protocol,
                int(results.right[chosen].sum()),
                int(chosen.sum()),
                task.episodes.digest,
                way=task.way,
                shot=task.shot,
                alphabet=alphabet,
            )
        )
    return sorted(scores, key=lambda score: -score.value)
