"""One-shot accuracy as a torchmetrics Metric, and verification's threshold."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class OneShotAccuracy(Metric):
    """The share of trials in which the highest-scoring support is the query's class.

    Ties are broken at random by a generator of the metric's own, so a network whose output is
    constant scores 1 / way wherever the answers stand.

    Args:
        seed: of the tie-breaking.
    """

    higher_is_better = True
    full_state_update = False
    correct: Tensor
    trials: Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("trials", torch.tensor(0), dist_reduce_fx="sum")
        self.chance = torch.Generator().manual_seed(seed)

    def update(self, scores: Tensor, answers: Tensor) -> None:
        """Count trials.

        Args:
            scores: ``(trials, way)``; higher is more alike. NaN never wins.
            answers: int64 ``(trials,)``, in 0 … way-1.

        Raises:
            ValueError: shapes that do not belong together.
        """
        if scores.ndim != 2 or answers.shape != scores.shape[:1]:
            raise ValueError(
                f"scores must be (trials, way) and answers (trials,), "
                f"got {tuple(scores.shape)} and {tuple(answers.shape)}"
            )
        self.correct += (choose(scores, self.chance) == answers).sum()
        self.trials += len(answers)

    def compute(self) -> Tensor:
        """The share of right answers, 0 … 1."""
        return self.correct / self.trials


def choose(scores: Tensor, chance: torch.Generator) -> Tensor:
    """The way with the highest score of each trial ``(trials,)``, ties broken at random."""
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
