"""95% intervals of an accuracy and of a mean over seeds, and McNemar's paired test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    It treats episodes as independent. Episodes of one run share their support set, so the true
    interval is somewhat wider.

    Args:
        correct: Correct answers, 0 … n; a ValueError otherwise.
        n: Episodes, at least 1.
        level: Confidence level in (0, 1).

    Returns:
        Lower and upper bound in [0, 1].
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} episodes is not a proportion")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = correct / n
    center = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = (center - margin) / scale if correct else 0.0  # exactly, whatever the rounding
    high = (center + margin) / scale if correct < n else 1.0
    return low, high


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds with Student's t interval.

    Args:
        values: One finite value per seed, at least two; a ValueError otherwise.
        level: Confidence level in (0, 1).

    Returns:
        Mean, lower and upper bound.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} value(s): an interval of a mean needs two or more")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{list(values)} has a value that is not a finite number")
    from scipy.stats import t  # imported here: it takes a third of a second

    mean, error = fmean(values), stdev(values) / math.sqrt(len(values))
    margin = float(t.ppf(0.5 + level / 2, len(values) - 1)) * error
    return mean, mean - margin, mean + margin


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two models on one list of episodes."""

    first: str
    second: str
    key: str  # of the list
    n: int  # episodes that both models answered
    only_first: int  # discordant episodes: answered correctly by one model only
    only_second: int
    p: float  # two-sided

    @property
    def difference(self) -> float:
        """Accuracy of the first model minus that of the second, -1 … 1."""
        return (self.only_first - self.only_second) / self.n


def mcnemar(first: Tensor, second: Tensor) -> tuple[int, int, float]:
    """McNemar's exact test of two models' correct answers, bool ``(episodes,)`` each.

    Returns:
        ``only_first``, ``only_second`` and ``p`` of `PairedTest`.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p = binomtest(only_first, discordant, 0.5).pvalue if discordant else 1.0
    return only_first, only_second, float(p)
