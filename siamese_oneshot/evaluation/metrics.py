"""Which way a trial's scores choose, and the thresholds of verification and of "unknown"."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(scores: Tensor, chance: torch.Generator) -> Tensor:
    """The way with the highest score of each trial, ties broken at random.

    So a network whose output is constant is right in 1 / way of the trials wherever answers stand.

    Args:
        scores: ``(trials, way)``; higher is more alike. NaN never wins.
        chance: breaks the ties.

    Returns:
        int64 ``(trials,)``.

    Raises:
        ValueError: scores of another shape.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be (trials, way), got {tuple(scores.shape)}")
    ranked = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    best = ranked == ranked.max(dim=1, keepdim=True).values
    keys = torch.rand(scores.shape, generator=chance).to(scores.device)
    return keys.masked_fill(~best, -1.0).argmax(dim=1)


def best_threshold(logits: Tensor, same: Tensor) -> float:
    """The threshold at which ``logits > threshold`` says "same" with the fewest errors.

    Args:
        logits: ``(n,)``.
        same: ``(n,)``: 1 same, 0 different.

    Returns:
        Half-way between the two logits that it parts; the lowest of equally good ones.
    """
    order = logits.argsort()
    ranked, truth = logits[order].double(), same[order].double()
    # With k of the ranked pairs called different: right are the different among them and the same
    # among the others.
    right = torch.cat([truth.new_zeros(1), (1 - truth).cumsum(0)]) + torch.cat(
        [truth.flip(0).cumsum(0).flip(0), truth.new_zeros(1)]
    )
    edges = torch.cat([ranked[:1] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1:] + 1])
    tied = torch.cat([truth.new_zeros(1), (ranked[1:] == ranked[:-1]).double(), truth.new_zeros(1)])
    return float(edges[(right - tied * len(logits)).argmax()])


def accuracy_by_way(scores: Tensor, answers: Tensor) -> Tensor:
    """What the accuracy of trials would be with fewer ways: exactly, over all choices of them.

    Where r of the other classes score at least as high as the right one, a trial is answered right
    among w ways for C(W - 1 - r, w - 1) of the C(W - 1, w - 1) choices of the w - 1 others.

    Args:
        scores: ``(trials, W)``.
        answers: int64 ``(trials,)``.

    Returns:
        float64 ``(W,)``: at 1, 2 … W ways.
    """
    way = scores.shape[1]
    right = scores.gather(1, answers[:, None])
    # NaN is at least as high as anything: a broken network is not right
    ahead = (~(scores < right)).sum(1) - 1
    others = torch.arange(way, dtype=torch.float64)

    def log_choose(n: Tensor, k: Tensor) -> Tensor:
        chosen = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(0) + 1)
        return chosen.masked_fill(k > n, -torch.inf)

    free = (way - 1 - ahead).double()[:, None].expand(-1, way)
    shares = log_choose(free, others) - log_choose(torch.tensor(way - 1.0).double(), others)
    return shares.exp().mean(0)


def known_and_unknown(scores: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The highest scores of trials, and of the same trials with the right class taken away.

    Args:
        scores: ``(trials, way)`` with at least 2 ways.
        answers: int64 ``(trials,)``.

    Returns:
        The highest scores ``(2 * trials,)``, and 1 where the query's class was among the ways, else
        0. ``best_threshold`` of the two tells a known class from an unknown one.
    """
    others = scores.scatter(1, answers[:, None], -torch.inf)
    highest = torch.cat([scores.max(1).values, others.max(1).values])
    known = torch.cat([torch.ones(len(scores)), torch.zeros(len(scores))])
    return highest, known
