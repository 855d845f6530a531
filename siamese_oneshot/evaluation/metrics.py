"""Which way an episode's scores choose, and the thresholds of verification and of "unknown"."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(scores: Tensor, rng: torch.Generator) -> Tensor:
    """The way with the highest score of each episode, ties broken at random.

    So a network whose output is constant is right in 1 / way of the episodes wherever answers stand.

    Args:
        scores: ``(episodes, way)``; higher is more alike. NaN never wins.
        chance: breaks the ties.

    Returns:
        int64 ``(episodes,)``.

    Raises:
        ValueError: scores of another shape.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be (episodes, way), got {tuple(scores.shape)}")
    ranked = _ranked(scores)
    best = ranked == ranked.max(dim=1, keepdim=True).values
    keys = torch.rand(scores.shape, generator=rng).to(scores.device)
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
    """What the accuracy of episodes would be with fewer ways: exactly, over all choices of them.

    Ties are broken at random, as by ``choose``. Where ``r`` of the other classes score higher than
    the right one and ``t`` the same, it is chosen among ``w`` ways of ``W`` in the share
    ``(C(W - r, w) - C(W - 1 - r - t, w)) / ((t + 1) C(W - 1, w - 1))`` of all choices.

    Args:
        scores: ``(episodes, W)``. NaN never wins.
        answers: int64 ``(episodes,)``.

    Returns:
        float64 ``(W,)``: at 1, 2 … W ways.
    """
    way = scores.shape[1]
    ranked = _ranked(scores)
    right = ranked.gather(1, answers[:, None])
    ahead = (ranked > right).sum(1, keepdim=True).double()  # (episodes, 1)
    alike = (ranked == right).sum(1, keepdim=True).double()  # itself among them
    ways = torch.arange(1, way + 1, dtype=torch.float64)

    def log_choose(n: Tensor, k: Tensor) -> Tensor:
        chosen = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(0) + 1)
        return chosen.masked_fill(k > n, -torch.inf)

    of_all = log_choose(torch.tensor(way - 1.0).double(), ways - 1)
    with_right = (log_choose(way - ahead, ways) - of_all).exp()
    worse = (log_choose(way - ahead - alike, ways) - of_all).exp()
    return ((with_right - worse) / alike).mean(0).clamp(0, 1)  # rounding may leave that range


def known_and_unknown(scores: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The highest scores of episodes, and of the same episodes with the right class taken away.

    Args:
        scores: ``(episodes, way)`` with at least 2 ways.
        answers: int64 ``(episodes,)``.

    Returns:
        The highest scores ``(2 * episodes,)``, and 1 where the query's class was among the ways, else
        0. ``best_threshold`` of the two tells a known class from an unknown one.
    """
    others = scores.scatter(1, answers[:, None], -torch.inf)
    highest = torch.cat([scores.max(1).values, others.max(1).values])
    known = torch.cat([torch.ones(len(scores)), torch.zeros(len(scores))])
    return highest, known


def _ranked(scores: Tensor) -> Tensor:
    """Scores among which NaN is the lowest."""
    return scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
