from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.init import initialize
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import UserError


def build(init: str, seed: int = 0) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [96, 96], [5, 3], [2, 1], embedding_dim=512)
    return build_network(encoder, WeightedL1, init, seed)  # type: ignore[arg-type]


def linear_or_conv(layer: nn.Module) -> nn.Conv2d | nn.Linear:
    (found,) = (m for m in layer.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return found


def assert_normal(values: torch.Tensor, mean: float, spread: float) -> None:
    """Mean and deviation within five standard errors, and tails as a normal's, not a uniform's."""
    n = values.numel()
    assert values.mean().item() == pytest.approx(mean, abs=5 * spread / math.sqrt(n))
    assert values.std().item() == pytest.approx(spread, rel=5 / math.sqrt(2 * n))
    if n > 1000:
        beyond = ((values - mean).abs() > 2 * spread).double().mean().item()
        assert beyond == pytest.approx(0.0455, abs=0.02)


def test_paper_start() -> None:
    layers = build("paper").named_layers
    assert list(layers) == ["conv1", "conv2", "dense", "output"]
    for name, layer in layers.items():
        module = linear_or_conv(layer)
        assert_normal(module.weight, 0.0, 0.01 if name.startswith("conv") else 0.2)
        assert module.bias is not None
        if len(module.bias) > 1:
            assert_normal(module.bias, 0.5, 0.01)
        else:
            assert module.bias.item() == pytest.approx(0.5, abs=0.05)
            assert module.bias.item() != 0.5


def test_replication_start() -> None:
    layers = build("replication").named_layers
    for name in ("conv1", "conv2", "dense"):
        assert_normal(linear_or_conv(layers[name]).weight, 0.0, 0.01)
    assert (linear_or_conv(layers["conv1"]).bias == 0).all()
    for name in ("conv2", "dense"):
        assert_normal(linear_or_conv(layers[name]).bias, 0.5, 0.01)
    output = linear_or_conv(layers["output"])
    limit = math.sqrt(6 / (512 + 1))  # Glorot uniform
    assert output.weight.abs().max().item() <= limit
    assert output.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
    assert output.bias.item() == pytest.approx(0.5, abs=0.05)
    assert output.bias.item() != 0.5


def test_torch_start_is_left_alone() -> None:
    network = build("torch")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialize(network.named_layers, "torch", 5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert (network.similarity.linear.weight == -0.1).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("init", ["paper", "replication", "torch"])
def test_the_seed_alone_decides(init: str) -> None:
    torch.manual_seed(1)
    first = build(init, seed=0).state_dict()
    torch.manual_seed(2)
    again, other = build(init, seed=0).state_dict(), build(init, seed=1).state_dict()
    for name, value in first.items():
        assert torch.equal(value, again[name])
    names = [name for name in first if name.endswith("weight") and "similarity" not in name]
    assert all(not torch.equal(first[name], other[name]) for name in names)


@pytest.mark.parametrize("init", ["paper", "torch"])
def test_the_global_generator_is_left_as_it_was(init: str) -> None:
    before = torch.get_rng_state()
    build(init)
    assert torch.equal(torch.get_rng_state(), before)


def test_gpu_generators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build("paper")
    assert seeded == []


def test_layers_do_not_share_draws() -> None:
    """One generator goes through all layers: two of a shape start differently."""
    encoder = partial(ConvEncoder, 16, [1, 1], [3, 3], [1, 1], embedding_dim=4)
    layers = build_network(encoder, WeightedL1, "paper", 0).named_layers  # type: ignore[arg-type]
    first, second = (linear_or_conv(layers[name]).weight for name in ("conv1", "conv2"))
    assert not torch.equal(first, second)


def test_batch_norm_is_left_alone() -> None:
    encoder = partial(ConvEncoder, 16, [4], [3], [2], embedding_dim=4, batch_norm=True)
    norm = build_network(encoder, WeightedL1, "paper", 0).named_layers["conv1"][1]  # type: ignore
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()


def test_unknown_name() -> None:
    with pytest.raises(UserError, match=r"glorot.*paper, replication, torch"):
        build("glorot")
