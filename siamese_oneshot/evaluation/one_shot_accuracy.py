"""One-shot accuracy as a torchmetrics metric."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from siamese_oneshot.evaluation.metrics import choose


class OneShotAccuracy(Metric):
    """The share of N-way episodes whose highest score is the right way's; ties broken at random.

    So a network whose output is constant has 1 / way. NaN never wins.

    Args:
        seed: of the ties, 0 or more; equal episodes in equal portions are answered alike.
        **more: of ``torchmetrics.Metric``; ``sync_on_compute=False`` where each process has all
            episodes.

    Example:
        >>> metric = OneShotAccuracy()
        >>> metric(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """

    full_state_update = False
    higher_is_better = True
    correct: Tensor
    n: Tensor

    def __init__(self, seed: int = 0, **more: object) -> None:
        super().__init__(**more)
        self.seed = seed
        for name in ("correct", "n"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, answers: Tensor) -> None:
        """Count episodes.

        Args:
            scores: ``(episodes, way)``; higher is more alike.
            answers: int64 ``(episodes,)``: the right way of each.
        """
        rng = torch.Generator().manual_seed(self.seed + int(self.n))
        self.correct += (choose(scores, rng) == answers.to(scores.device)).sum()
        self.n += len(scores)

    def compute(self) -> Tensor:
        """Right answers over episodes, 0 … 1; NaN where there were none."""
        return self.correct / self.n
