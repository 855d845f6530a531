"""Whether one model is better than another on the very same episodes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from siamese_oneshot.evaluation.evaluator import Outcome


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test on one list of episodes.

    Attributes:
        one, other: the names.
        key: of the list.
        only_one, only_other: episodes that one of them alone answered right.
        n: all.
        p: the two-sided probability of so uneven a share, were both as good as each other.
    """

    one: str
    other: str
    key: str
    only_one: int
    only_other: int
    n: int
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of one less that of the other, -1 … 1."""
        return (self.only_one - self.only_other) / self.n


def mcnemar(one: Tensor, other: Tensor) -> tuple[int, int, float]:
    """The exact test of two models' right answers, bool ``(episodes,)`` each.

    Returns:
        Right by one alone, right by the other alone, and the two-sided p-value.
    """
    from scipy.stats import binomtest

    mine, theirs = int((one & ~other).sum()), int((other & ~one).sum())
    p = binomtest(mine, mine + theirs, 0.5).pvalue if mine + theirs else 1.0
    return mine, theirs, float(p)


def paired_tests(outcomes: list[Outcome], keys: tuple[str, ...]) -> list[PairedTest]:
    """The first model against each other one, on the episodes of every list that both answered.

    Where one of them answered only the first episodes of a list, on these.
    """
    first, *others = outcomes
    found = []
    for other in others:
        for key in keys:
            if key not in first.results or key not in other.results:
                continue
            one, two = first.results[key], other.results[key]
            n = min(one.n, two.n)  # slow ones answer the first episodes of a list
            same = one.task.episodes.queries[:n].equal(two.task.episodes.queries[:n])
            if not same or not one.task.episodes.supports[:n].equal(two.task.episodes.supports[:n]):
                continue
            mine, theirs, p = mcnemar(one.right[:n], two.right[:n])
            found.append(PairedTest(first.model.name, other.model.name, key, mine, theirs, n, p))
    return found
