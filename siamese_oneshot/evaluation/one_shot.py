"""One-shot accuracy as a torchmetrics metric."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from siamese_oneshot.evaluation.metrics import choose


class OneShotAccuracy(Metric):
    """The share of N-way trials whose highest score is the right way's; ties broken at random.

    So a network whose output is constant has 1 / way. NaN never wins.

    Args:
        seed: of the ties, 0 or more; equal trials in equal portions are answered alike.
        **more: of ``torchmetrics.Metric``; ``sync_on_compute=False`` where each process has all
            trials.

    Example:
        >>> metric = OneShotAccuracy()
        >>> metric(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """

    full_state_update = False
    higher_is_better = True
    correct: Tensor
    trials: Tensor

    def __init__(self, seed: int = 0, **more: object) -> None:
        super().__init__(**more)
        self.seed = seed
        for name in ("correct", "trials"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, answers: Tensor) -> None:
        """Count trials.

        Args:
            scores: ``(trials, way)``; higher is more alike.
            answers: int64 ``(trials,)``: the right way of each.
        """
        chance = torch.Generator().manual_seed(self.seed + int(self.trials))
        self.correct += (choose(scores, chance) == answers.to(scores.device)).sum()
        self.trials += len(scores)

    def compute(self) -> Tensor:
        """Right answers over trials, 0 … 1; NaN where there were none."""
        return self.correct / self.trials
