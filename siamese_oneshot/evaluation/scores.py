"""A score: one accuracy with its protocol, its number of episodes and its 95% interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.utils import check


@dataclass(frozen=True)
class Score:
    """The accuracy on one frozen list of episodes or pairs.

    Attributes:
        key: Short name for logs (``lake_runs``, ``verification`` …), unique within a split.
        split: ``validation`` or ``test``.
        name: What was measured, for tables.
        protocol: How the list was drawn, in one sentence.
        value: ``correct / n`` in [0, 1].
        correct, n: Correct answers, and episodes or pairs.
        low, high: 95% interval (Wilson) in [0, 1].
        digest: Hash of the list.
        way, shot: Of the episodes; None for pairs.
        kind: ``one_shot``, ``verification``, ``open_set`` or ``assignment``.
        series: Curve or group that the list is a point of (``way_curve_test``,
            ``way_curve_train``, ``few_shot``), or None.
        alphabet: The alphabet of the queries, if it is one alphabet.
        auroc, eer, threshold: Of verification: area under the ROC curve, equal error rate in
            [0, 1], and the threshold of ``value``.
        comparable_with: Protocol of ``published.yaml`` that the list follows, or None.
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
        """Value and interval in %: ``97.25 (95.1-98.5)``."""
        return f"{100 * self.value:.2f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

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
        **fields: Any,
    ) -> Score:  # fmt: skip
        """A score whose value and interval follow from its counts."""
        low, high = wilson(correct, n)
        return cls(key, split, name, protocol, correct / n, correct, n, low, high, digest, **fields)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Score:
        """A score from a JSON file; TypeError or ValueError if a field is missing or wrong."""
        score = cls(**row)
        check.plain_fields(score)
        return score
