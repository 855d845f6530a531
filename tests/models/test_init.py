from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.init import initialize
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import ArgumentError

WIDE = ([96, 96], [5, 3], [2, 1], 512)


def build(init: str, seed: int = 0, sizes: Any = WIDE, **options: Any) -> SiameseNetwork:
    return build_network(partial(ConvEncoder, 16, *sizes, **options), WeightedL1, init, seed)


def linear_or_conv(layer: nn.Module) -> nn.Conv2d | nn.Linear:
    (module,) = (m for m in layer.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return module


def assert_normal(values: torch.Tensor | None, mean: float, std: float) -> None:
    """Mean and deviation within five standard errors, and tails of a normal distribution."""
    assert values is not None
    n = values.numel()
    if n == 1:
        assert values.item() == pytest.approx(mean, abs=5 * std)
        assert values.item() != mean
        return
    assert values.mean().item() == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert values.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * n))
    if n > 1000:
        beyond = ((values - mean).abs() > 2 * std).double().mean().item()
        assert beyond == pytest.approx(0.0455, abs=0.02)


def test_paper_init() -> None:
    layers = build("paper").named_layers
    assert list(layers) == ["conv1", "conv2", "dense", "output"]
    for name, layer in layers.items():
        assert_normal(linear_or_conv(layer).weight, 0.0, 0.01 if name.startswith("conv") else 0.2)
        assert_normal(linear_or_conv(layer).bias, 0.5, 0.01)


def test_replication_init() -> None:
    layers = {
        name: linear_or_conv(layer) for name, layer in build("replication").named_layers.items()
    }
    for name in ("conv1", "conv2", "dense"):
        assert_normal(layers[name].weight, 0.0, 0.01)
    assert (layers["conv1"].bias == 0).all()  # type: ignore[union-attr, attr-defined]
    for name in ("conv2", "dense", "output"):
        assert_normal(layers[name].bias, 0.5, 0.01)
    weight, limit = layers["output"].weight, math.sqrt(6 / (512 + 1))  # Glorot uniform
    assert weight.abs().max().item() <= limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)


def test_torch_init_changes_nothing() -> None:
    network: Any = build("torch")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialize(network.named_layers, "torch", 5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert (network.similarity.linear.weight == -0.1).all()


@pytest.mark.parametrize("init", ["paper", "replication", "torch"])
def test_only_the_seed_decides_and_the_global_state_is_kept(init: str) -> None:
    first = build(init).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again, other = build(init).state_dict(), build(init, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if name.endswith("weight") and "similarity" not in name:
            assert not torch.equal(value, other[name])


def test_gpu_generators_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    build("paper")
    assert seeds == []


def test_layers_of_equal_shape_differ_and_batch_norm_is_kept() -> None:
    layers: Any = build("paper", sizes=([1, 1], [3, 3], [1, 1], 4), batch_norm=True).named_layers
    assert not torch.equal(layers["conv1"][0].weight, layers["conv2"][0].weight)
    assert (layers["conv1"][1].weight == 1).all()
    assert (layers["conv1"][1].bias == 0).all()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^init=glorot.*paper, replication, torch"):
        build("glorot")
