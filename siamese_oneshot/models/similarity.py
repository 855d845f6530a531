"""The join of the twins: two embeddings in, one logit out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError


class WeightedL1(nn.Module):
    """``b + Σ_j w_j |a_j - b_j|``, the logit of "same character" (paper, section 3.1).

    Args:
        units: size of the embeddings.
        weight: the start of every w_j, for networks that are not initialized as the paper's;
            negative, so that a distance speaks against "same" from the first step.
    """

    def __init__(self, embedding_dim: int, weight_init: float = -0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 1)
        nn.init.constant_(self.linear.weight, check.number("weight_init", weight_init))
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
    """``WeightedL1`` of the whole images, plus what each place of the one finds in the other.

    A place asks all places of the other image for a descriptor like its own, near where it lies
    itself, and what it finds is their likeness, averaged by a softmax. So a stroke that another
    hand has put elsewhere is looked for before it is missed. Places count by what is there: paper
    says less than a joint. Both directions weigh half each: the score is symmetric. Several heads
    look at a part of the descriptors each. With ``differences`` what a place finds is also compared
    with the place itself, as the paper compares images: by ``Σ_j w_j |a_j - b_j|``.

    Args:
        units: size of the embeddings: the whole image's part, then descriptors, row by row.
        whole: size of the whole image's part.
        local: length of a descriptor.
        heads: that ``local`` is divided among.
        weight: the start of the weights of ``WeightedL1``.
        likeness: the start of the weight of what the places find, of all heads together.
        sharpness: the start of the factor on inner products within the softmax.
        differences: compare places with what they find channel by channel, too; every w_j starts
            at 0.

    Raises:
        UserError: embeddings that hold no square map of descriptors beside the whole image's
            part, or heads that do not divide ``local``.

    Attributes:
        places: side of the map.
    """

    def __init__(
        self,
        embedding_dim: int,
        global_dim: int,
        local_dim: int,
        heads: int = 1,
        weight_init: float = -0.1,
        match_weight_init: float = 10.0,
        logit_scale_init: float = 10.0,
        channelwise_l1: bool = False,
    ) -> None:
        super().__init__()
        where = "model.similarity"
        self.global_dim = check.integer("global_dim", global_dim, 1)
        self.local_dim = check.integer("local_dim", local_dim, 1)
        self.heads = check.integer("heads", heads, 1)
        count, rest = divmod(embedding_dim - global_dim, local_dim)
        self.places = places = math.isqrt(max(count, 0))
        if rest or places < 1 or places**2 != count:
            raise UserError(
                f"{where}: embeddings of {embedding_dim}, less {global_dim} of the whole image, hold no "
                f"square map of descriptors of {local_dim}: set model.encoder.local_dim, and whole and "
                "local as the encoder's"
            )
        if local_dim % heads:
            raise UserError(
                f"{where}: {heads} heads cannot share descriptors of {local_dim} evenly"
            )
        self.linear = WeightedL1(self.global_dim, weight_init)
        start = check.number("match_weight_init", match_weight_init) / heads
        self.match_weight = nn.Parameter(torch.full((heads,), start))
        start = math.log(check.number("logit_scale_init", logit_scale_init, above=0))
        self.logit_scale = nn.Parameter(torch.full((heads,), start))
        self.saliency = nn.Parameter(torch.zeros(heads, local_dim // heads))
        self.channel_weights: nn.Parameter | None = None
        if check.boolean("channelwise_l1", channelwise_l1):
            self.channel_weights = nn.Parameter(torch.zeros(heads, local_dim // heads))
        away = torch.arange(1 - places, places, dtype=torch.float32).square()
        near = -0.5 * (away[:, None] + away[None, :])  # by how far down and across
        self.position_bias = nn.Parameter(near.repeat(heads, 1, 1))
        row, column = torch.arange(places**2) // places, torch.arange(places**2) % places
        down = row[:, None] - row[None, :] + places - 1
        across = column[:, None] - column[None, :] + places - 1
        self.relative_index: Tensor
        self.register_buffer("relative_index", down * (2 * places - 1) + across, persistent=False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Compare; as ``WeightedL1.forward``."""
        with torch.autocast(one.device.type, enabled=False):
            kind = self.position_bias.dtype
            one, other = one.to(kind), other.to(kind)
            score = self.linear(one[..., : self.global_dim], other[..., : self.global_dim])
            mine, theirs = self._descriptors(one), self._descriptors(other)
            alike = mine @ theirs.mT  # (…, heads, places², places²)
            near = 0.5 * (
                self.position_bias + self.position_bias.flip(1, 2)
            )  # as near from here to there as back
            asked = self.logit_scale.exp()[:, None, None] * alike + self._by_step(near)
            there = self._found(mine, theirs, alike, asked.softmax(-1))
            back = self._found(theirs, mine, alike.mT, asked.softmax(-2).mT)
            return score + 0.5 * (there + back)

    def _by_step(self, near: Tensor) -> Tensor:
        """Of each head for each two places, ``(heads, places², places²)``."""
        # not by near[:, step], whose gradients add up in any order on several threads
        steps = near.flatten(1).index_select(1, self.relative_index.flatten())
        return steps.unflatten(1, self.relative_index.shape)

    def _descriptors(self, embeddings: Tensor) -> Tensor:
        """``(…, heads, places², local / heads)``."""
        shape = self.places**2, self.heads, self.local_dim // self.heads
        return embeddings[..., self.global_dim :].unflatten(-1, shape).transpose(-2, -3)

    def _found(self, mine: Tensor, theirs: Tensor, alike: Tensor, asked: Tensor) -> Tensor:
        """What all places of all heads found, as one number, ``(…)``.

        Args:
            mine, theirs: descriptors ``(…, heads, places², local / heads)``.
            alike, asked: their inner products and what each of mine looks at, which sums to 1
                over theirs; ``(…, heads, places², places²)``.
        """
        share = (mine @ self.saliency[..., None]).squeeze(-1).softmax(-1)
        score = (share * (asked * alike).sum(-1)).sum(-1) @ self.match_weight
        if self.channel_weights is None:
            return score
        apart = (mine - asked @ theirs).abs() @ self.channel_weights[..., None]
        return score + (share * apart.squeeze(-1)).sum((-2, -1))
