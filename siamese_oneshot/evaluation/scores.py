"""A score: one accuracy with its protocol, its number of episodes and its 95% interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siamese_oneshot.evaluation.significance import run_interval, wilson
from siamese_oneshot.utils import check

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Score:
    """The accuracy on one frozen list of episodes or pairs."""

    key: str  # short name for logs (lake_runs, verification …), unique within a split
    split: str  # validation or test
    name: str  # what was measured, for tables
    protocol: str  # how the list was drawn, in one sentence
    value: float  # correct / n, in [0, 1]
    correct: int
    n: int  # episodes or pairs
    low: float  # 95% interval, over runs where the list has them
    high: float
    digest: str  # hash of the list
    n_runs: int | None = None  # groups of episodes that share their images; None: no such groups
    way: int | None = None  # of the episodes; None for pairs, as shot
    shot: int | None = None
    kind: str = "one_shot"  # or verification, open_set, assignment
    series: str | None = None  # way_curve_test, way_curve_train or few_shot
    alphabet: str | None = None  # of the queries, if it is one alphabet
    auroc: float | None = None  # of verification: area under the ROC curve,
    eer: float | None = None  # equal error rate in [0, 1],
    threshold: float | None = None  # and the threshold of value
    comparable_with: str | None = None  # protocol of published.yaml that the list follows

    @property
    def percent(self) -> str:
        """Value and interval in %: ``97.25 (95.1-98.5)``."""
        return f"{100 * self.value:.2f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

    @property
    def in_words(self) -> str:
        """``97.25% (95% interval 95.1-98.5)``."""
        return f"{100 * self.value:.2f}% (95% interval {100 * self.low:.1f}-{100 * self.high:.1f})"

    @property
    def auroc_and_eer(self) -> str:
        """``AUROC 0.9962, EER 2.26%``; empty where the score has neither."""
        if self.auroc is None or self.eer is None:
            return ""
        return f"AUROC {self.auroc:.4f}, EER {100 * self.eer:.2f}%"

    @property
    def details(self) -> str:
        """The protocol, after AUROC and EER where the score has them."""
        return "; ".join(filter(None, [self.auroc_and_eer, self.protocol]))

    @classmethod
    def from_counts(
        cls, key: str, split: str, name: str, protocol: str, correct: int, n: int, digest: str,
        runs: Tensor | None = None, **fields: Any,
    ) -> Score:  # fmt: skip
        """A score whose value and interval follow from its counts.

        ``runs``, bool ``(runs, answers of a run)``, are the answers where the list has runs.
        """
        low, high = wilson(correct, n) if runs is None else run_interval(runs)
        n_runs = None if runs is None else len(runs)
        value = correct / n
        return cls(key, split, name, protocol, value, correct, n, low, high, digest,
                   n_runs=n_runs, **fields)  # fmt: skip

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Score:
        """A score from a JSON file; TypeError or ValueError if a field is missing or wrong."""
        score = cls(**row)
        check.plain_fields(score)
        return score
