"""One figure with its protocol, its episodes and its interval."""

from __future__ import annotations

from dataclasses import dataclass

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.intervals import wilson
from siamese_oneshot.evaluation.results import EpisodeResults, EvalResults

WITHIN = "different ones within one alphabet"  # of pairs, in the protocol of their score


@dataclass(frozen=True)
class Score:
    """One figure with what it takes to believe it.

    Attributes:
        name: what was measured.
        protocol: how its episodes were made, in a sentence.
        correct, n: right answers, and all.
        value: ``correct / n``, 0 … 1.
        low, high: the 95% interval.
        digest: the hash of the frozen list.
        split: ``validation``, ``test`` or ``train``: whose characters are asked about.
        key: a short name for logs, as in ``EpisodeTask``.
    """

    name: str
    protocol: str
    correct: int
    n: int
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
        n: int,
        digest: str,
        split: str,
        key: str = "",
    ) -> Score:
        """A score with its share and interval worked out."""
        low, high = wilson(correct, n)
        return cls(name, protocol, correct, n, correct / n, low, high, digest, split, key)

    @classmethod
    def of(cls, one: EpisodeResults, split: str) -> Score:
        """The share of a list's episodes that was answered right."""
        asked = one.task
        return cls.from_counts(
            asked.title,
            asked.protocol,
            one.correct,
            one.n,
            asked.episodes.digest,
            split,
            asked.key,
        )


def scores_of(eval_results: EvalResults | None, split: str, threshold: str) -> list[Score]:
    """The rows of the result table: one-shot lists first, then verification."""
    assert eval_results is not None
    rows = [Score.of(one, split) for one in eval_results.results]
    pairs = eval_results.verification
    within = f", {WITHIN}" if pairs.within_alphabet else ""
    rows.append(
        Score.from_counts(
            f"{split} verification",
            f"same or different, half of each{within}; {threshold}; AUROC {pairs.auroc:.4f}, equal "
            f"error rate {100 * pairs.eer:.2f}%",
            pairs.correct,
            pairs.n,
            pairs.digest,
            split,
            "verification",
        )
    )
    return rows


def alphabet_scores(results: EpisodeResults, dataset: CharacterDataset, split: str) -> list[Score]:
    """The accuracy in each alphabet of a list within alphabets, best first."""
    task = results.task
    alphabets = dataset.alphabets[task.episodes.queries]
    scores = []
    for alphabet in alphabets.unique().tolist():
        mine = alphabets == alphabet
        name = dataset.alphabet_names[alphabet]
        scores.append(
            Score.from_counts(
                name,
                task.protocol,
                int(results.right[mine].sum()),
                int(mine.sum()),
                task.episodes.digest,
                split,
                f"{task.key}/{name}",
            )
        )
    return sorted(scores, key=lambda score: -score.value)
