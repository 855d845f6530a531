"""The join of the twins: two embeddings in, one logit out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot.errors import UserError
from siamese_oneshot.setting import number, whole


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


class CrossAttention(nn.Module):
    """``WeightedL1`` of the whole pictures, plus what each place of the one finds in the other.

    A place asks all places of the other picture for a descriptor like its own, near where it lies
    itself; what the answer, averaged by a softmax, lacks counts by a learned weight a channel. So a
    stroke that another hand has put elsewhere is looked for before it is missed. Both directions
    weigh half each: the score is symmetric.

    Args:
        units: size of the embeddings: the whole picture's part, then ``places²`` descriptors.
        places: side of the map of descriptors.
        local: length of a descriptor.
        weight: the start of every weight, as for ``WeightedL1``.
        sharpness: the start of the factor on the descriptors' inner products.

    Raises:
        UserError: embeddings too small for such a map.
    """

    def __init__(
        self, units: int, places: int, local: int, weight: float = -0.1, sharpness: float = 10.0
    ) -> None:
        super().__init__()
        where = "model.comparator"
        self.places, self.local = whole(f"{where}.places", places, 1), whole(
            f"{where}.local", local, 1
        )  # fmt: skip
        self.whole = units - places**2 * local
        if self.whole < 1:
            raise UserError(
                f"{where}: {places}x{places} places of {local} do not fit embeddings of {units}: "
                "take the encoder's own"
            )
        self.linear = WeightedL1(self.whole, weight)
        self.lack = nn.Parameter(torch.full((local,), 10 * self.linear.linear.weight[0, 0].item()))
        self.sharpness = nn.Parameter(torch.tensor(float(sharpness)).log())
        away = torch.arange(1 - places, places, dtype=torch.float32).square()
        self.near = nn.Parameter(-0.5 * (away[:, None] + away[None, :]))  # by (down, across)
        row, column = torch.arange(places**2) // places, torch.arange(places**2) % places
        down = row[:, None] - row[None, :] + places - 1
        across = column[:, None] - column[None, :] + places - 1
        self.step: Tensor
        self.register_buffer("step", down * (2 * places - 1) + across, persistent=False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Compare; as ``WeightedL1.forward``."""
        with torch.autocast(one.device.type, enabled=False):
            kind = self.lack.dtype
            one, other = one.to(kind), other.to(kind)
            score = self.linear(one[..., : self.whole], other[..., : self.whole])
            mine, theirs = self._descriptors(one), self._descriptors(other)  # (…, places², local)
            alike = mine @ theirs.mT  # (…, places², places²)
            near = 0.5 * (self.near + self.near.flip(0, 1))  # as near from here to there as back
            alike = self.sharpness.exp() * alike + near.flatten()[self.step]
            there = (mine - alike.softmax(-1) @ theirs).abs().mean(-2) @ self.lack
            back = (theirs - alike.mT.softmax(-1) @ mine).abs().mean(-2) @ self.lack
            return score + 0.5 * (there + back)

    def _descriptors(self, embeddings: Tensor) -> Tensor:
        return embeddings[..., self.whole :].unflatten(-1, (self.places**2, self.local))
