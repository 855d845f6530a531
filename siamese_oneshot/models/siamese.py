"""The Siamese network: one encoder for both images, one similarity for their embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from siamese_oneshot.models.init import initialize
from siamese_oneshot.utils import check


class SiameseNetwork(nn.Module):
    """``score = similarity(encoder(first), encoder(second))``; the twins share all weights.

    Args:
        encoder: images ``(n, 1, size, size)`` → embeddings ``(n, units)``, with named ``layers``.
        similarity: two embeddings → logit.
    """

    def __init__(self, encoder: nn.Module, similarity: nn.Module) -> None:
        super().__init__()
        self.encoder, self.similarity = encoder, similarity

    @property
    def named_layers(self) -> dict[str, nn.Module]:
        """What has settings of its own: the encoder's layers, first to last, then ``output``."""
        return {**dict(self.encoder.layers.items()), "output": self.similarity}  # type: ignore[operator, union-attr]

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(…, 1, size, size)`` → embeddings ``(…, units)``."""
        lead = images.shape[:-3]
        flat = images.reshape(-1, *images.shape[-3:])
        return self.encoder(flat).reshape(*lead, -1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Logit of "same character" for embeddings ``(…, units)``, broadcast; → ``(…)``."""
        return self.similarity(one, other)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(n,)`` of pairs of images, both twins in one pass through the encoder."""
        one, other = self.embed(torch.stack([first, second]))
        return self.score(one, other)


def build_network(
    encoder: Callable[[], nn.Module],
    similarity: Callable[[int], nn.Module],
    init: str,
    seed: int,
) -> SiameseNetwork:
    """Make and initialise a network.

    Args:
        encoder: makes the encoder (a ``functools.partial`` from the configuration).
        similarity: makes the similarity from the encoder's ``units``.
        init: ``paper``, ``replication`` or ``torch``.
        seed: of the first weights; the global random state is left as it was.
    """
    check.seed("seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
        made = encoder()
        network = SiameseNetwork(made, similarity(made.embedding_dim))  # type: ignore[arg-type]
    initialize(network.named_layers, init, seed)
    return network
