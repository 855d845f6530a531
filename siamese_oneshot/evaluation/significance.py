"""95% intervals of an accuracy and of a mean over seeds, and paired tests of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ENOUGH_SEEDS = 5  # for an interval over seeds that is narrow enough to tell something


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion whose answers are independent.

    Args:
        correct: Correct answers, 0 … n; a ValueError otherwise.
        n: Answers, at least 1.

    Returns:
        Lower and upper bound in [0, 1].
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} episodes is not a proportion")
    return _score_interval(correct / n, n, NormalDist().inv_cdf(0.975))


def run_interval(is_correct: Tensor) -> tuple[float, float]:
    """Wilson's 95% interval for answers that come in runs, whose episodes share their images.

    The number of answers is divided by the design effect, the variance of the runs' accuracies as
    a multiple of the binomial one, but at least 1; Student's t with ``runs - 1`` degrees of
    freedom takes the place of the normal quantile (Korn and Graubard 1998).

    Args:
        is_correct: bool ``(runs, answers of a run)``, two runs or more; a ValueError otherwise.

    Returns:
        Lower and upper bound in [0, 1].
    """
    if is_correct.ndim != 2 or len(is_correct) < 2:
        raise ValueError(f"{tuple(is_correct.shape)} answers: an interval needs two or more runs")
    from scipy.special import stdtrit  # imported here, and scipy.stats nowhere: they take long

    accuracies = is_correct.double().mean(1)
    share, n = int(is_correct.sum()) / is_correct.numel(), is_correct.numel()
    binomial = share * (1 - share) / n
    design = float(accuracies.var()) / len(accuracies) / binomial if binomial else 1.0
    quantile = float(stdtrit(len(accuracies) - 1, 0.975))
    return _score_interval(share, n / max(1.0, design), quantile)


def _score_interval(share: float, n: float, z: float) -> tuple[float, float]:
    center = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = (center - margin) / scale if share > 0 else 0.0  # exactly, whatever the rounding
    high = (center + margin) / scale if share < 1 else 1.0
    return low, high


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds with Student's t 95% interval.

    Args:
        values: One finite value per seed, at least two; a ValueError otherwise.

    Returns:
        Mean, lower and upper bound.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} value(s): an interval of a mean needs two or more")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{list(values)} has a value that is not a finite number")
    from scipy.special import stdtrit

    mean, error = fmean(values), stdev(values) / math.sqrt(len(values))
    margin = float(stdtrit(len(values) - 1, 0.975)) * error
    return mean, mean - margin, mean + margin


def below(best: Sequence[float], others: Sequence[Sequence[float]]) -> list[bool]:
    """Which ``others`` have an interval below that of ``best``; a single value has none."""
    if len(best) < 2:
        return [False] * len(others)
    low = mean_interval(best)[1]
    return [len(other) > 1 and mean_interval(other)[2] < low for other in others]


@dataclass(frozen=True)
class PairedTest:
    """Two models compared on one list of episodes."""

    first: str
    second: str
    key: str  # of the list
    n: int  # episodes that both models answered
    only_first: int  # episodes answered correctly by one model only
    only_second: int
    p: float  # two-sided, of `paired_test`

    @property
    def difference(self) -> float:
        """Accuracy of the first model minus that of the second, -1 … 1."""
        return (self.only_first - self.only_second) / self.n


def paired_test(first: Tensor, second: Tensor) -> tuple[int, int, float]:
    """Whether two models that answered the same episodes differ in accuracy.

    Under the hypothesis that they do not, the sign of the difference is a coin toss for every run
    of episodes that share their images: exact where there are at most 13 such runs, else by 10,000
    fixed draws. With episodes in place of runs this is McNemar's test, which is then computed.

    Args:
        first, second: The models' correct answers, bool ``(runs, answers of a run)``, or
            ``(episodes,)`` where episodes are independent.

    Returns:
        ``only_first``, ``only_second`` and ``p`` of `PairedTest`.
    """
    from scipy.stats import binomtest, permutation_test

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    difference = first.long() - second.long()
    if first.ndim == 1:
        discordant = only_first + only_second
        p = binomtest(only_first, discordant, 0.5).pvalue if discordant else 1.0
    else:
        by_run = difference.sum(1)
        moved = by_run[by_run != 0].numpy()  # a run without a difference has no sign
        p = 1.0
        if len(moved) > 1:
            p = permutation_test(
                (moved,), lambda runs, axis: runs.sum(axis), permutation_type="samples",
                n_resamples=10_000, rng=0,
            ).pvalue  # fmt: skip
    return only_first, only_second, float(p)
