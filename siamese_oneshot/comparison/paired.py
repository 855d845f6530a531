"""Whether one subject is better than another on the very same trials."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from siamese_oneshot.comparison.sitting import Outcome


@dataclass(frozen=True)
class Paired:
    """McNemar's exact test on one list of trials.

    Attributes:
        one, other: the names.
        key: of the list.
        only_one, only_other: trials that one of them alone answered right.
        trials: all.
        p: the two-sided probability of so uneven a share, were both as good as each other.
    """

    one: str
    other: str
    key: str
    only_one: int
    only_other: int
    trials: int
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of one less that of the other, -1 … 1."""
        return (self.only_one - self.only_other) / self.trials


def mcnemar(one: Tensor, other: Tensor) -> tuple[int, int, float]:
    """The exact test of two subjects' right answers, bool ``(trials,)`` each.

    Returns:
        Right by one alone, right by the other alone, and the two-sided p-value.
    """
    from scipy.stats import binomtest

    mine, theirs = int((one & ~other).sum()), int((other & ~one).sum())
    p = binomtest(mine, mine + theirs, 0.5).pvalue if mine + theirs else 1.0
    return mine, theirs, float(p)


def paired_tests(outcomes: list[Outcome], keys: tuple[str, ...]) -> list[Paired]:
    """The first subject against each other one, on the trials of every list that both answered.

    Where one of them answered only the first trials of a list, on these.
    """
    first, *others = outcomes
    found = []
    for other in others:
        for key in keys:
            if key not in first.answered or key not in other.answered:
                continue
            one, two = first.answered[key], other.answered[key]
            n = min(one.trials, two.trials)  # slow ones answer the first trials of a list
            same = one.question.trials.queries[:n].equal(two.question.trials.queries[:n])
            if not same or not one.question.trials.supports[:n].equal(
                two.question.trials.supports[:n]
            ):
                continue
            mine, theirs, p = mcnemar(one.right[:n], two.right[:n])
            found.append(Paired(first.subject.name, other.subject.name, key, mine, theirs, n, p))
    return found
