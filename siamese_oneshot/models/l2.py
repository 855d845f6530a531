"""The L2 term of the paper's loss, one weight a layer (section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from siamese_oneshot.models.per_layer import LayerSetting, by_layer
from siamese_oneshot.models.siamese import SiameseNetwork


def l2_penalty(network: SiameseNetwork, l2: LayerSetting) -> Tensor:
    """``Σ_layers λ ‖w‖²`` over weights of convolutions and fully connected layers, not biases."""
    terms = []
    layers = network.named_layers
    for name, strength in by_layer(l2, layers, "loss.l2").items():
        if strength == 0:
            continue
        for module in layers[name].modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                terms.append(strength * _SquaredNorm.apply(module.weight))
    if terms:
        return torch.stack(terms).sum()
    return torch.zeros((), device=next(network.parameters()).device)  # sent, it would be waited for


class _SquaredNorm(torch.autograd.Function):
    """``‖w‖²``, read once and differentiated in one pass.

    ``w.square().sum()`` and its gradient go over the weights eight times, which is a tenth of a
    step of the paper's network on a CPU: its dense layer has 38 million of them.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        # Norms of rows first: one running sum over all weights would lose digits.
        return torch.linalg.vector_norm(weight.flatten(1), dim=1).square().sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return weight * (2 * gradient)
