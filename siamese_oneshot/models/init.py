"""Initial weights: the paper's, the 2019 replication's, or PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from siamese_oneshot.utils import check


def paper_init(layers: dict[str, nn.Module], generator: torch.Generator) -> None:
    """Initialize as the paper does (Koch et al. 2015, section 3.2).

    Convolutions N(0, 0.01²), fully connected layers N(0, 0.2²), biases N(0.5, 0.01²).
    """
    for module in _weighted(layers):
        std = 0.01 if isinstance(module, nn.Conv2d) else 0.2
        nn.init.normal_(module.weight, 0.0, std, generator=generator)
        if module.bias is not None:
            nn.init.normal_(module.bias, 0.5, 0.01, generator=generator)


def replication_init(layers: dict[str, nn.Module], generator: torch.Generator) -> None:
    """Initialize as the replication's code does.

    Weights N(0, 0.01²) and biases N(0.5, 0.01²), except Glorot uniform weights in the last layer
    and a bias of 0 in the first.
    """
    names = list(layers)
    for name, layer in layers.items():
        for module in _weighted({name: layer}):
            if name == names[-1]:
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
            if module.bias is None:
                continue
            if name == names[0]:
                nn.init.zeros_(module.bias)
            else:
                nn.init.normal_(module.bias, 0.5, 0.01, generator=generator)


def torch_init(layers: dict[str, nn.Module], generator: torch.Generator) -> None:
    """Leave the weights that the modules' constructors drew."""


INITS: dict[str, Callable[[dict[str, nn.Module], torch.Generator], None]] = {
    "paper": paper_init,
    "replication": replication_init,
    "torch": torch_init,
}


def initialize(layers: dict[str, nn.Module], name: str, seed: int) -> None:
    """Initialize named layers, first to last, with one generator; ``name`` is one of `INITS`."""
    INITS[check.choice("init", name, INITS)](layers, torch.Generator().manual_seed(seed))


def _weighted(layers: dict[str, nn.Module]) -> list[nn.Conv2d | nn.Linear]:
    return [
        module
        for layer in layers.values()
        for module in layer.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
