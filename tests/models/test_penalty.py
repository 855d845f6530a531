from __future__ import annotations

from functools import partial

import pytest
import torch

from siamese_oneshot.models.conv_encoder import ConvEncoder
from siamese_oneshot.models.l2 import l2_penalty
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1


@pytest.fixture
def network() -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4], [3], [2], units=8, batch_norm=True)
    return build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]


def test_only_weights_count_each_by_its_layer_and_batch_norm_does_not(
    network: SiameseNetwork,
) -> None:
    layers = network.named_layers
    weights = {
        "conv1": layers["conv1"][0].weight,  # type: ignore[index]
        "dense": layers["dense"].weight,
        "output": layers["output"].linear.weight,  # type: ignore[union-attr]
    }
    l2 = {"conv1": 0.3, "dense": 0.0, "output": 2.0}
    penalty = l2_penalty(network, l2)
    expected = 0.0
    for name, weight in weights.items():
        expected += l2[name] * sum(w * w for w in weight.double().flatten().tolist())  # type: ignore
    assert penalty.item() == pytest.approx(expected, rel=1e-6)
    penalty.backward()
    for name, weight in weights.items():
        assert isinstance(weight, torch.Tensor)
        if l2[name] == 0:
            assert weight.grad is None
        else:
            torch.testing.assert_close(weight.grad, 2 * l2[name] * weight.detach())
    for name, weight in network.named_parameters():
        if name not in ("encoder.layers.conv1.0.weight", "comparator.linear.weight"):
            assert weight.grad is None, name


def test_no_penalty_is_a_zero_without_a_gradient(network: SiameseNetwork) -> None:
    nothing = l2_penalty(network, 0.0)
    assert nothing.item() == 0.0
    assert not nothing.requires_grad
