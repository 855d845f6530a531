"""Predictions from scores, thresholds and temperatures."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def choose(scores: Tensor, rng: torch.Generator) -> Tensor:
    """The way with the highest score of each episode, int64 ``(episodes,)``.

    Ties are broken at random, so constant scores are correct in 1 / way of the episodes however
    the correct answers are distributed.

    Args:
        scores: ``(episodes, way)``; NaN never wins.
        rng: Generator that breaks the ties.

    Raises:
        ValueError: If scores are not two-dimensional.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be (episodes, way), got {tuple(scores.shape)}")
    ranked = _nan_lowest(scores)
    best = ranked == ranked.max(dim=1, keepdim=True).values
    keys = torch.rand(scores.shape, generator=rng).to(scores.device)
    return keys.masked_fill(~best, -1.0).argmax(dim=1)


def roc(scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """The ROC curve of ``scores > threshold``, from the highest threshold to the lowest.

    Args:
        scores: ``(n,)``, which may be infinite.
        same: ``(n,)``: 1 same, 0 different.

    Returns:
        False and true accept rates, float64 ``(k + 1,)`` each: 0, then the rate at each of the k
        distinct scores, the highest first.
    """
    _, rank = scores.unique(return_inverse=True)
    of_rank = [
        torch.bincount(rank[same == value], minlength=int(rank.max()) + 1) for value in (0, 1)
    ]
    accepted = torch.stack(of_rank).flip(1).cumsum(1).double()
    rates = F.pad(accepted / accepted[:, -1:].clamp(min=1), (1, 0))
    return rates[0], rates[1]


def best_threshold(scores: Tensor, same: Tensor) -> float:
    """The threshold with the fewest errors of ``scores > threshold``, the lowest of several.

    Args:
        scores: ``(n,)``.
        same: ``(n,)``: 1 same, 0 different.

    Returns:
        The midpoint of the two scores that it separates.
    """
    order = scores.argsort()
    ranked, truth = scores[order].double(), same[order].double()
    zero = truth.new_zeros(1)
    # With the k lowest pairs called different, correct are the different pairs among them and the
    # same pairs among the others.
    correct = torch.cat([zero, (1 - truth).cumsum(0)])
    correct += torch.cat([truth.flip(0).cumsum(0).flip(0), zero])
    edges = torch.cat([ranked[:1] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1:] + 1])
    tied = torch.cat([zero, (ranked[1:] == ranked[:-1]).double(), zero])
    return float(edges[(correct - tied * len(scores)).argmax()])


def best_temperature(scores: Tensor, answers: Tensor) -> float:
    """The temperature whose softmax of ``scores / temperature`` has the least cross-entropy.

    Args:
        scores: ``(episodes, ways)``.
        answers: int64 ``(episodes,)``: the right way of each.

    Returns:
        From 0.01 to 100; 1 if a score is not finite.
    """
    scores = scores.double().cpu()
    if not bool(scores.isfinite().all()):
        return 1.0

    truth = float(scores.gather(1, answers.cpu()[:, None]).mean())
    low, high = math.log(0.01), math.log(100)
    for _ in range(50):  # by which the interval is as narrow as rounding
        middle = (low + high) / 2
        expected = float(((scores / math.exp(middle)).softmax(1) * scores).sum(1).mean())
        low, high = (middle, high) if expected > truth else (low, middle)
    return math.exp((low + high) / 2)


def accuracy_vs_way(scores: Tensor, answers: Tensor) -> Tensor:
    """The expected accuracy with fewer ways, exactly, over all subsets of the other classes.

    Ties are broken at random, as by `choose`. If ``r`` of the other classes score higher than the
    correct one and ``t`` the same, the fraction of the choices of ``w`` of ``W`` ways that are
    correct is ``(C(W - r, w) - C(W - 1 - r - t, w)) / ((t + 1) C(W - 1, w - 1))``.

    Args:
        scores: ``(episodes, W)``; NaN never wins.
        answers: int64 ``(episodes,)``.

    Returns:
        float64 ``(W,)``: the accuracy with 1, 2 … W ways.
    """
    way = scores.shape[1]
    ranked = _nan_lowest(scores)
    truth = ranked.gather(1, answers[:, None])
    higher = (ranked > truth).sum(1, keepdim=True).double()  # (episodes, 1)
    tied = (ranked == truth).sum(1, keepdim=True).double()  # itself included
    ways = torch.arange(1, way + 1, dtype=torch.float64)

    def log_choose(n: Tensor, k: Tensor) -> Tensor:
        chosen = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(0) + 1)
        return chosen.masked_fill(k > n, -torch.inf)

    total = log_choose(torch.tensor(way - 1.0).double(), ways - 1)
    with_truth = (log_choose(way - higher, ways) - total).exp()
    lower = (log_choose(way - higher - tied, ways) - total).exp()
    return ((with_truth - lower) / tied).mean(0).clamp(0, 1)  # rounding may leave that range


def known_and_unknown(scores: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Highest scores of episodes, and of the same episodes without the query's class.

    Args:
        scores: ``(episodes, way)`` with at least 2 ways.
        answers: int64 ``(episodes,)``.

    Returns:
        The highest scores ``(2 * episodes,)``, and 1 where the query's class is in the support
        set, else 0. `best_threshold` of the two separates known from unknown classes.
    """
    others = scores.scatter(1, answers[:, None], -torch.inf)
    highest = torch.cat([scores.max(1).values, others.max(1).values])
    return highest, torch.arange(len(highest)).lt(len(scores)).float()


def _nan_lowest(scores: Tensor) -> Tensor:
    return scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
