"""Similarities: two embeddings in, the logit of "same class" out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError


class WeightedL1(nn.Module):
    """Weighted L1 distance of the embeddings (Koch et al. 2015, section 3.1).

    ``logit = bias + Σ_j w_j |a_j - b_j|``. The paper's sigmoid is not part of it: the loss takes
    logits, and ``SiameseModule.predict_step`` returns probabilities.

    Args:
        embedding_dim: Size of the embeddings.
        weight_init: Initial value of every ``w_j`` where the network's initialization leaves it.
            Negative, so that a distance speaks against "same" from the first step.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``, in the dtype of the weights also under autocast, because bfloat16
          cannot add thousands of terms.
    """

    def __init__(self, embedding_dim: int, weight_init: float = -0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 1)
        nn.init.constant_(self.linear.weight, check.number("weight_init", weight_init))
        nn.init.zeros_(self.linear.bias)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            dtype = self.linear.weight.dtype
            return self.linear((first.to(dtype) - second.to(dtype)).abs()).squeeze(-1)


def side_of_map(embedding_dim: int, global_dim: int, local_dim: int) -> int:
    """Locations along a side of the map of local descriptors that ends an embedding.

    Raises:
        ArgumentError: If there is no square map.
    """
    locations, rest = divmod(embedding_dim - global_dim, local_dim)
    size = math.isqrt(max(locations, 0))
    if rest or size < 1 or size**2 != locations:
        message = (
            f"embeddings of {embedding_dim} minus global_dim={global_dim} are not a square map "
            f"of descriptors of length {local_dim}: give the encoder a local_dim, and use its "
            "embedding_dim and local_dim here as global_dim and local_dim"
        )
        raise ArgumentError("local_dim", local_dim, message=message)
    return size


class CrossAttention(nn.Module):
    """``WeightedL1`` of the global embeddings plus cross-attention between local descriptors.

    Each spatial location attends over all locations of the other image (scaled dot product plus a
    relative-position bias); similarities are pooled with learned saliency. So a stroke that another
    drawer has moved is still matched. The score is the mean of both directions, hence symmetric.
    With ``channelwise_l1`` each descriptor is also compared with the descriptor that it attends to,
    by ``Σ_j w_j |a_j - b_j|``.

    Reference: scaled dot-product attention of Vaswani et al. 2017, section 3.2, between two images
    as in Doersch et al. 2020, "CrossTransformers".

    Args:
        embedding_dim: Size of the embeddings: ``global_dim + map_size² * local_dim``.
        global_dim: Size of the global embedding.
        local_dim: Length of a local descriptor.
        heads: Attention heads, each with ``local_dim / heads`` channels.
        weight_init: Initial weight of ``WeightedL1``.
        match_weight_init: Initial weight of the pooled similarities, shared among the heads.
        logit_scale_init: Initial scale of the dot products in the softmax.
        channelwise_l1: Whether to compare descriptors by channel, too. These weights start at 0.

    Raises:
        ArgumentError: If the embeddings do not end in a square map of descriptors, or ``heads``
            does not divide ``local_dim``.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``.
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
        self.global_dim = check.integer("global_dim", global_dim, 1)
        self.local_dim = check.integer("local_dim", local_dim, 1)
        self.heads = check.integer("heads", heads, 1)
        self.map_size = size = side_of_map(embedding_dim, global_dim, local_dim)
        if local_dim % heads:
            message = f"{heads} heads cannot share descriptors of {local_dim} evenly"
            raise ArgumentError("heads", heads, message=message)
        head_dim = local_dim // heads
        self.linear = WeightedL1(self.global_dim, weight_init)
        start = check.number("match_weight_init", match_weight_init) / heads
        self.match_weight = nn.Parameter(torch.full((heads,), start))
        start = math.log(check.number("logit_scale_init", logit_scale_init, above=0))
        self.logit_scale = nn.Parameter(torch.full((heads,), start))
        self.saliency = nn.Parameter(torch.zeros(heads, head_dim))
        self.channel_weights: nn.Parameter | None = None
        if check.boolean("channelwise_l1", channelwise_l1):
            self.channel_weights = nn.Parameter(torch.zeros(heads, head_dim))
        # The bias of each offset (down, across) starts at minus half its squared length.
        offsets = torch.arange(1 - size, size, dtype=torch.float32).square()
        bias = -0.5 * (offsets[:, None] + offsets[None, :])
        self.position_bias = nn.Parameter(bias.repeat(heads, 1, 1))  # (heads, 2s - 1, 2s - 1)
        row, column = torch.arange(size**2) // size, torch.arange(size**2) % size
        down = row[:, None] - row[None, :] + size - 1
        across = column[:, None] - column[None, :] + size - 1
        self.relative_index: Tensor  # (s², s²), into the flattened offsets
        self.register_buffer("relative_index", down * (2 * size - 1) + across, persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            dtype = self.position_bias.dtype
            first, second = first.to(dtype), second.to(dtype)
            score = self.linear(first[..., : self.global_dim], second[..., : self.global_dim])
            a, b = self._descriptors(first), self._descriptors(second)
            dots, logits = self._matched(a, b)
            forward = self._pooled(a, b, dots, logits.softmax(-1))
            backward = self._pooled(b, a, dots.mT, logits.softmax(-2).mT)
            return score + 0.5 * (forward + backward)

    def attention(self, first: Tensor, second: Tensor) -> Tensor:
        """Where the locations of ``first`` look in ``second``, averaged over heads.

        Args:
            first, second: Embeddings ``(..., embedding_dim)``, broadcast against each other.

        Returns:
            ``(..., s², s²)``, row by row: the attention of each location of ``first``, times the
            location's saliency; all of it sums to 1.
        """
        dtype = self.position_bias.dtype
        a, b = self._descriptors(first.to(dtype)), self._descriptors(second.to(dtype))
        _, logits = self._matched(a, b)
        return (self._salient(a)[..., None] * logits.softmax(-1)).mean(-3)

    def _matched(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Dot products of descriptors, logits of the attention: each ``(..., heads, s², s²)``."""
        dots = a @ b.mT
        bias = 0.5 * (self.position_bias + self.position_bias.flip(1, 2))  # symmetric
        return dots, self.logit_scale.exp()[:, None, None] * dots + self._by_location(bias)

    def _salient(self, a: Tensor) -> Tensor:
        """Saliency of each location, ``(..., heads, s²)``, which sums to 1 over locations."""
        return (a @ self.saliency[..., None]).squeeze(-1).softmax(-1)

    def _by_location(self, bias: Tensor) -> Tensor:
        """Position bias of each pair of locations, ``(heads, s², s²)``."""
        # index_select: the gradient of bias[:, index] would add up in any order on several threads.
        flat = bias.flatten(1).index_select(1, self.relative_index.flatten())
        return flat.unflatten(1, self.relative_index.shape)

    def _descriptors(self, embeddings: Tensor) -> Tensor:
        """Local descriptors of each head, ``(..., heads, s², head_dim)``."""
        shape = self.map_size**2, self.heads, self.local_dim // self.heads
        return embeddings[..., self.global_dim :].unflatten(-1, shape).transpose(-2, -3)

    def _pooled(self, a: Tensor, b: Tensor, dots: Tensor, attention: Tensor) -> Tensor:
        """Similarities of ``a`` to what it attends to in ``b``, pooled over locations and heads.

        Args:
            a: Descriptors ``(..., heads, s², head_dim)`` that attend.
            b: Descriptors that are attended to, of the same shape.
            dots: Dot products of ``a`` and ``b``, ``(..., heads, s², s²)``.
            attention: Attention weights, of the same shape; they sum to 1 over the last axis.

        Returns:
            Scores ``(...)``.
        """
        saliency = self._salient(a)
        score = (saliency * (attention * dots).sum(-1)).sum(-1) @ self.match_weight
        if self.channel_weights is None:
            return score
        distance = (a - attention @ b).abs() @ self.channel_weights[..., None]
        return score + (saliency * distance.squeeze(-1)).sum((-2, -1))
