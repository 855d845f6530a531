"""The join of the twins: two embeddings in, one logit out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from siamese_oneshot import setting
from siamese_oneshot.errors import UserError


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
        nn.init.constant_(self.linear.weight, setting.number("model.comparator.weight", weight))
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
    itself, and what it finds is their likeness, averaged by a softmax. So a stroke that another
    hand has put elsewhere is looked for before it is missed. Places count by what is there: paper
    says less than a joint. Both directions weigh half each: the score is symmetric. Several heads
    look at a part of the descriptors each. With ``differences`` what a place finds is also compared
    with the place itself, as the paper compares pictures: by ``Σ_j w_j |a_j - b_j|``.

    Args:
        units: size of the embeddings: the whole picture's part, then descriptors, row by row.
        whole: size of the whole picture's part.
        local: length of a descriptor.
        heads: that ``local`` is divided among.
        weight: the start of the weights of ``WeightedL1``.
        likeness: the start of the weight of what the places find, of all heads together.
        sharpness: the start of the factor on inner products within the softmax.
        differences: compare places with what they find channel by channel, too; every w_j starts
            at 0.

    Raises:
        UserError: embeddings that hold no square map of descriptors beside the whole picture's
            part, or heads that do not divide ``local``.

    Attributes:
        places: side of the map.
    """

    def __init__(
        self,
        units: int,
        whole: int,
        local: int,
        heads: int = 1,
        weight: float = -0.1,
        likeness: float = 10.0,
        sharpness: float = 10.0,
        differences: bool = False,
    ) -> None:
        super().__init__()
        where = "model.comparator"
        self.whole = setting.whole(f"{where}.whole", whole, 1)
        self.local = setting.whole(f"{where}.local", local, 1)
        self.heads = setting.whole(f"{where}.heads", heads, 1)
        count, rest = divmod(units - whole, local)
        self.places = places = math.isqrt(max(count, 0))
        if rest or places < 1 or places**2 != count:
            raise UserError(
                f"{where}: embeddings of {units}, less {whole} of the whole picture, hold no "
                f"square map of descriptors of {local}: set model.encoder.local, and whole and "
                "local as the encoder's"
            )
        if local % heads:
            raise UserError(f"{where}: {heads} heads cannot share descriptors of {local} evenly")
        self.linear = WeightedL1(self.whole, weight)
        start = setting.number(f"{where}.likeness", likeness) / heads
        self.likeness = nn.Parameter(torch.full((heads,), start))
        start = math.log(setting.number(f"{where}.sharpness", sharpness, above=0))
        self.sharpness = nn.Parameter(torch.full((heads,), start))
        self.importance = nn.Parameter(torch.zeros(heads, local // heads))
        self.differences: nn.Parameter | None = None
        if setting.flag(f"{where}.differences", differences):
            self.differences = nn.Parameter(torch.zeros(heads, local // heads))
        away = torch.arange(1 - places, places, dtype=torch.float32).square()
        near = -0.5 * (away[:, None] + away[None, :])  # by how far down and across
        self.near = nn.Parameter(near.repeat(heads, 1, 1))
        row, column = torch.arange(places**2) // places, torch.arange(places**2) % places
        down = row[:, None] - row[None, :] + places - 1
        across = column[:, None] - column[None, :] + places - 1
        self.step: Tensor
        self.register_buffer("step", down * (2 * places - 1) + across, persistent=False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Compare; as ``WeightedL1.forward``."""
        with torch.autocast(one.device.type, enabled=False):
            kind = self.near.dtype
            one, other = one.to(kind), other.to(kind)
            score = self.linear(one[..., : self.whole], other[..., : self.whole])
            mine, theirs = self._descriptors(one), self._descriptors(other)
            alike = mine @ theirs.mT  # (…, heads, places², places²)
            near = 0.5 * (self.near + self.near.flip(1, 2))  # as near from here to there as back
            asked = self.sharpness.exp()[:, None, None] * alike + self._by_step(near)
            there = self._found(mine, theirs, alike, asked.softmax(-1))
            back = self._found(theirs, mine, alike.mT, asked.softmax(-2).mT)
            return score + 0.5 * (there + back)

    def _by_step(self, near: Tensor) -> Tensor:
        """Of each head for each two places, ``(heads, places², places²)``."""
        # not by near[:, step], whose gradients add up in any order on several threads
        steps = near.flatten(1).index_select(1, self.step.flatten())
        return steps.unflatten(1, self.step.shape)

    def _descriptors(self, embeddings: Tensor) -> Tensor:
        """``(…, heads, places², local / heads)``."""
        shape = self.places**2, self.heads, self.local // self.heads
        return embeddings[..., self.whole :].unflatten(-1, shape).transpose(-2, -3)

    def _found(self, mine: Tensor, theirs: Tensor, alike: Tensor, asked: Tensor) -> Tensor:
        """What all places of all heads found, as one number, ``(…)``.

        Args:
            mine, theirs: descriptors ``(…, heads, places², local / heads)``.
            alike, asked: their inner products and what each of mine looks at, which sums to 1
                over theirs; ``(…, heads, places², places²)``.
        """
        share = (mine @ self.importance[..., None]).squeeze(-1).softmax(-1)
        score = (share * (asked * alike).sum(-1)).sum(-1) @ self.likeness
        if self.differences is None:
            return score
        apart = (mine - asked @ theirs).abs() @ self.differences[..., None]
        return score + (share * apart.squeeze(-1)).sum((-2, -1))
