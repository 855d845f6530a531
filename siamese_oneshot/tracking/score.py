"""One figure with its protocol, its trials and its interval."""

from __future__ import annotations

from dataclasses import dataclass

from siamese_oneshot.evaluation.examine import Findings
from siamese_oneshot.evaluation.interval import wilson


@dataclass(frozen=True)
class Score:
    """One figure with what it takes to believe it.

    Attributes:
        name: what was measured.
        protocol: how its trials were made, in a sentence.
        correct, trials: right answers, and all.
        value: ``correct / trials``, 0 … 1.
        low, high: the 95% interval.
        digest: the hash of the frozen list.
        split: ``validation`` or ``test``.
    """

    name: str
    protocol: str
    correct: int
    trials: int
    value: float
    low: float
    high: float
    digest: str
    split: str

    @classmethod
    def from_counts(
        cls, name: str, protocol: str, correct: int, trials: int, digest: str, split: str
    ) -> Score:
        """A score with its share and interval worked out."""
        low, high = wilson(correct, trials)
        return cls(name, protocol, correct, trials, correct / trials, low, high, digest, split)


def scores_of(findings: Findings | None, split: str, threshold: str) -> list[Score]:
    """The rows of the result table: one-shot lists first, then verification."""
    assert findings is not None
    rows = [
        Score.from_counts(
            one.question.title,
            one.question.protocol,
            one.correct,
            one.trials,
            one.question.trials.digest,
            split,
        )
        for one in findings.answered
    ]
    pairs = findings.verified
    rows.append(
        Score.from_counts(
            f"{split} verification",
            f"same or different, half of each; {threshold}; AUROC {pairs.auroc:.4f}",
            pairs.correct,
            pairs.trials,
            "",
            split,
        )
    )
    return rows
