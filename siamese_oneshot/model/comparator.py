"""The join of the twins: two embeddings in, one logit out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot.setting import number


class WeightedL1(nn.Module):
    """``b + Σ_j w_j |a_j - b_j|``, the logit of "same character" (paper, section 3.1).

    Args:
        units: size of the embeddings.
        weight: the start of every w_j, for networks that are not initialised as the paper's;
            negative, so that a distance speaks against "same" from the first step.
    """

    def __init__(self, units: int, weight: float = -0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(units, 1)
        nn.init.constant_(self.linear.weight, number("model.comparator.weight", weight))
        nn.init.zeros_(self.linear.bias)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Compare.

        Args:
            one, other: ``(…, units)``, broadcast against each other.

        Returns:
            Logits ``(…)``, float32 as the weights: sums of thousands stay out of bfloat16.
        """
        with torch.autocast(one.device.type, enabled=False):
            kind = self.linear.weight.dtype
            return self.linear((one.to(kind) - other.to(kind)).abs()).squeeze(-1)
