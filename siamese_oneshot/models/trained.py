"""A trained network with what is known about its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from siamese_oneshot.models.siamese import SiameseNetwork


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with its metadata."""

    name: str  # the name, folder or file that it was loaded by
    network: SiameseNetwork  # in evaluation mode
    description: dict[str, Any]  # the configuration that builds the network
    # As far as known: experiment, seed, split, val_alphabets, n_extra_synthetic, stroke_alphabets,
    # trained_on, data_source, data_digest, overrides, command, commit.
    metadata: dict[str, Any] = field(default_factory=dict)
    # The logit above which two images count as the same character, chosen on validation pairs.
    threshold: float | None = None
    # The highest logit at which a query's class counts as unknown, from validation episodes.
    reject_threshold: float | None = None
    # Of exported weights: their scores and the command that trained them.
    card: dict[str, Any] = field(default_factory=dict)
    # What logits are divided by before a softmax gives the probabilities of classes: the least
    # cross-entropy on validation episodes. None where that was not measured.
    temperature: float | None = None

    @property
    def size(self) -> int:
        """Side length of the network's input images in pixels."""
        return int(self.network.encoder.image_size)  # type: ignore[arg-type]

    @property
    def parameters(self) -> int:
        """The number of learned parameters."""
        return n_parameters(self.network)


def n_parameters(module: nn.Module) -> int:
    """The number of learned parameters of a module."""
    return sum(weight.numel() for weight in module.parameters())
