"""95% intervals: of a share from its episodes, and of a mean from its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wilson(correct: int, episodes: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    It counts episodes as independent; episodes of one run share their supports, so the true interval is
    somewhat wider.

    Args:
        correct: right answers, 0 … episodes.
        episodes: at least 1.
        level: the confidence, 0 … 1.

    Returns:
        Low and high, 0 … 1.

    Raises:
        ValueError: no episode, or more right answers than episodes.
    """
    if episodes < 1 or not 0 <= correct <= episodes:
        raise ValueError(f"{correct} of {episodes} episodes is no share")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = correct / episodes
    center = share + z * z / (2 * episodes)
    margin = z * math.sqrt(share * (1 - share) / episodes + z * z / (4 * episodes * episodes))
    scale = 1 + z * z / episodes
    low = (center - margin) / scale if correct else 0.0  # exactly, whatever the rounding
    high = (center + margin) / scale if correct < episodes else 1.0
    return low, high


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """The mean of several seeds with Student's t interval.

    Args:
        values: one a seed, at least two.
        level: the confidence, 0 … 1.

    Returns:
        Mean, low, high.

    Raises:
        ValueError: fewer than two values, or one that is not a finite number.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} value(s): an interval of a mean needs two or more")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{list(values)} has a value that is not a finite number")
    from scipy.stats import t  # here: it takes a third of a second

    mean = fmean(values)
    margin = float(t.ppf(0.5 + level / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean, mean - margin, mean + margin
