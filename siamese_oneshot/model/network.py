"""The twin network: one tower for both pictures, one comparator for their embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot import setting
from siamese_oneshot.model.init import initialise


class TwinNetwork(nn.Module):
    """``score = comparator(encoder(first), encoder(second))``; the twins share all weights.

    Args:
        encoder: pictures ``(n, 1, size, size)`` → embeddings ``(n, units)``, with named ``layers``.
        comparator: two embeddings → logit.
    """

    def __init__(self, encoder: nn.Module, comparator: nn.Module) -> None:
        super().__init__()
        self.encoder, self.comparator = encoder, comparator

    @property
    def named_layers(self) -> dict[str, nn.Module]:
        """What has settings of its own: the tower's layers, first to last, then ``output``."""
        return {**dict(self.encoder.layers.items()), "output": self.comparator}  # type: ignore[operator, union-attr]

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures ``(…, 1, size, size)`` → embeddings ``(…, units)``."""
        lead = pictures.shape[:-3]
        flat = pictures.reshape(-1, *pictures.shape[-3:])
        return self.encoder(flat).reshape(*lead, -1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Logit of "same character" for embeddings ``(…, units)``, broadcast; → ``(…)``."""
        return self.comparator(one, other)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(n,)`` of pairs of pictures, both twins in one pass through the tower."""
        one, other = self.embed(torch.stack([first, second]))
        return self.score(one, other)


def build_network(
    encoder: type[nn.Module],
    comparator: type[nn.Module],
    init: str,
    seed: int,
) -> TwinNetwork:
    """Make and initialise a network.

    Args:
        encoder: makes the tower (a ``functools.partial`` from the configuration).
        comparator: makes the comparator from the tower's ``units``.
        init: ``paper``, ``replication`` or ``torch``.
        seed: of the first weights; the global random state is left as it was.
    """
    setting.seed("model.seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
        tower = encoder()
        network = TwinNetwork(tower, comparator(tower.units))
    initialise(network.named_layers, init, seed)
    return network
