"""Similarities of few-shot learners: prototypical, matching and relation nets.

Each compares two embeddings, as the similarities of the module ``similarity`` do, and says in
``score_class`` how it compares a query with several support images of one class.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from siamese_oneshot.models.similarity import side_of_map
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError


class _Scaled(nn.Module):
    """Base: a learned weight and bias turn a distance or a similarity into a logit."""

    def __init__(self, embedding_dim: int, weight_init: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(check.number("weight_init", weight_init))))
        self.bias = nn.Parameter(torch.zeros(()))


class SquaredEuclidean(_Scaled):
    """Squared Euclidean distance of the embeddings: ``logit = bias + w ‖a - b‖²``.

    Several supports are their prototype, the mean of their embeddings.

    Reference: Snell et al. 2017, "Prototypical Networks for Few-shot Learning", section 2.3. They
    have no ``w``, since the encoder ends in a layer that can scale the distance.

    Args:
        embedding_dim: Size of the embeddings; any will do.
        weight_init: Initial ``w``: negative, so that a distance speaks against "same".

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``.
    """

    def __init__(self, embedding_dim: int, weight_init: float = -1.0) -> None:
        super().__init__(embedding_dim, weight_init)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            difference = first.to(self.weight.dtype) - second.to(self.weight.dtype)
            return self.bias + self.weight * difference.square().sum(-1)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Compare ``(..., embedding_dim)`` with ``(..., shot, embedding_dim)``; ``(...)``."""
        return self(query, supports.mean(-2))


class Cosine(_Scaled):
    """Cosine of the embeddings: ``logit = bias + w cos(a, b)``.

    The softmax over all supports of an episode is the attention of matching nets, here without
    full context embeddings. A class has the sum of its supports' attention: the logarithm of the
    mean of ``exp(logit)``.

    Reference: Vinyals et al. 2016, "Matching Networks for One Shot Learning", section 2.1. They
    have no ``w``, without which the softmax of cosines is almost flat.

    Args:
        embedding_dim: Size of the embeddings; any will do.
        weight_init: Initial ``w``.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``.
    """

    def __init__(self, embedding_dim: int, weight_init: float = 10.0) -> None:
        super().__init__(embedding_dim, weight_init)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            first, second = first.to(self.weight.dtype), second.to(self.weight.dtype)
            return self.bias + self.weight * nn.functional.cosine_similarity(first, second, dim=-1)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Compare ``(..., embedding_dim)`` with ``(..., shot, embedding_dim)``; ``(...)``."""
        logits = self(query.unsqueeze(-2), supports)
        return logits.logsumexp(-1) - math.log(logits.shape[-1])


class Relation(nn.Module):
    """A small convolutional network over the concatenated feature maps of both images.

    Two blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling, then two fully connected
    layers. The score is the mean of both orders of the images, hence symmetric. Several supports
    are the mean of their feature maps. The global part of the embeddings is not read: give the
    encoder ``embedding_dim`` 0.

    Reference: Sung et al. 2018, "Learning to Compare: Relation Network for Few-Shot Learning",
    sections 3.2 and 3.4. They concatenate in one order, sum the maps of several supports, and learn
    a sigmoid's output by squared error.

    Args:
        embedding_dim: Size of the embeddings: ``global_dim + map_size² * local_dim``.
        global_dim: Size of the global embedding.
        local_dim: Channels of the feature map.
        channels: Filters of both convolutions.
        hidden: Units of the first fully connected layer.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``.
    """

    def __init__(
        self,
        embedding_dim: int,
        global_dim: int,
        local_dim: int,
        channels: int = 64,
        hidden: int = 8,
    ) -> None:
        super().__init__()
        self.global_dim = check.integer("global_dim", global_dim, 0)
        self.local_dim = check.integer("local_dim", local_dim, 1)
        self.map_size = side_of_map(embedding_dim, global_dim, local_dim)
        if self.map_size < 4:
            message = f"a map of {self.map_size}x{self.map_size} is too small to be halved twice"
            raise ArgumentError("local_dim", local_dim, message=message)
        check.integer("channels", channels, 1)
        # A convolution of both maps concatenated is the sum of a convolution of each.
        self.first = nn.Conv2d(local_dim, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(local_dim, channels, 3, padding=1, bias=False)
        self.relation = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(channels * (self.map_size // 4) ** 2, check.integer("hidden", hidden, 1)),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            shape = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
            orders = [self._concatenated(a, b) for a, b in ((first, second), (second, first))]
            return self.relation(torch.cat(orders)).view(2, *shape).mean(0)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Compare ``(..., embedding_dim)`` with ``(..., shot, embedding_dim)``; ``(...)``."""
        return self(query, supports.mean(-2))

    def _concatenated(self, a: Tensor, b: Tensor) -> Tensor:
        """The first convolution of the maps of ``a`` followed by those of ``b``, for all pairs.

        Returns ``(pairs, channels, s, s)``.
        """
        total = self._convolved(self.first, a) + self._convolved(self.second, b)
        return total.reshape(-1, *total.shape[-3:])

    def _convolved(self, convolution: nn.Conv2d, embeddings: Tensor) -> Tensor:
        """``(..., embedding_dim)`` → ``(..., channels, s, s)``."""
        shape = self.map_size, self.map_size, self.local_dim
        maps = embeddings[..., self.global_dim :].to(convolution.weight.dtype).unflatten(-1, shape)
        maps = maps.reshape(-1, *shape).permute(0, 3, 1, 2)
        convolved = convolution(maps)
        return convolved.reshape(*embeddings.shape[:-1], *convolved.shape[1:])
