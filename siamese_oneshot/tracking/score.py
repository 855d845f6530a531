"""One figure with its protocol, its trials and its interval."""

from __future__ import annotations

from dataclasses import dataclass

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.examine import Answered, Findings
from siamese_oneshot.evaluation.interval import wilson

WITHIN = "different ones within one alphabet"  # of pairs, in the protocol of their score


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
        split: ``validation``, ``test`` or ``train``: whose characters are asked about.
        key: a short name for logs, as in ``Question``.
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
    key: str = ""

    @property
    def percent(self) -> str:
        """The value in % with its interval."""
        return f"{100 * self.value:.2f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

    @classmethod
    def from_counts(
        cls,
        name: str,
        protocol: str,
        correct: int,
        trials: int,
        digest: str,
        split: str,
        key: str = "",
    ) -> Score:
        """A score with its share and interval worked out."""
        low, high = wilson(correct, trials)
        return cls(name, protocol, correct, trials, correct / trials, low, high, digest, split, key)

    @classmethod
    def of(cls, one: Answered, split: str) -> Score:
        """The share of a list's trials that was answered right."""
        asked = one.question
        return cls.from_counts(
            asked.title,
            asked.protocol,
            one.correct,
            one.trials,
            asked.trials.digest,
            split,
            asked.key,
        )


def scores_of(findings: Findings | None, split: str, threshold: str) -> list[Score]:
    """The rows of the result table: one-shot lists first, then verification."""
    assert findings is not None
    rows = [Score.of(one, split) for one in findings.answered]
    pairs = findings.verified
    within = f", {WITHIN}" if pairs.within_alphabet else ""
    rows.append(
        Score.from_counts(
            f"{split} verification",
            f"same or different, half of each{within}; {threshold}; AUROC {pairs.auroc:.4f}, equal "
            f"error rate {100 * pairs.eer:.2f}%",
            pairs.correct,
            pairs.trials,
            pairs.digest,
            split,
            "verification",
        )
    )
    return rows


def alphabet_scores(answered: Answered, drawings: Drawings, split: str) -> list[Score]:
    """The accuracy in each alphabet of a list within alphabets, best first."""
    question = answered.question
    alphabets = drawings.alphabets[question.trials.queries]
    scores = []
    for alphabet in alphabets.unique().tolist():
        mine = alphabets == alphabet
        name = drawings.alphabet_names[alphabet]
        scores.append(
            Score.from_counts(
                name,
                question.protocol,
                int(answered.right[mine].sum()),
                int(mine.sum()),
                question.trials.digest,
                split,
                f"{question.key}/{name}",
            )
        )
    return sorted(scores, key=lambda score: -score.value)
