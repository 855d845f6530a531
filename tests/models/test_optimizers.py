from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.optimizers import (
    OptimizerSetup,
    PaperSGD,
    adam,
    adamw,
    build_optimizer,
    paper_sgd,
)
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import ArgumentError

LAYERS = ("conv1", "conv2", "dense", "output")
Setup = Callable[..., Any]


def build() -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 2], 8, batch_norm=True)
    return build_network(encoder, WeightedL1, "torch", 0)


def paper(network: SiameseNetwork, **changed: Any) -> Any:
    settings = {
        "lr": 0.1, "momentum": 0.9, "decay": 0.99, "momentum_start": 0.5, "momentum_epochs": 4,
    }  # fmt: skip
    return paper_sgd(network.named_layers, 100, **(settings | changed))


def setup_adam(network: SiameseNetwork, lr: Any = 0.1) -> OptimizerSetup:
    return adam(network.named_layers, 10, lr)


def setup_adamw(network: SiameseNetwork, lr: Any = 0.1) -> OptimizerSetup:
    return adamw(network.named_layers, 10, lr, 0.1, 0.0, 0.1, (0.9, 0.99))


def descend(network: SiameseNetwork, setup: OptimizerSetup, steps: int) -> dict[str, torch.Tensor]:
    """Weights after some steps with gradients that depend on the weights, one step per epoch."""
    for step in range(steps):
        setup.optimizer.zero_grad()
        loss = torch.stack(
            [((p - 0.3 * (step % 2)) ** 2).sum() + p.sin().sum() for p in network.parameters()]
        ).sum()
        loss.backward()
        setup.optimizer.step()
        if setup.scheduler is not None:
            setup.scheduler.step()
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def by_layer(setup: OptimizerSetup, key: str) -> dict[str, float]:
    return {group["name"]: group[key] for group in setup.optimizer.param_groups}


def test_paper_sgd_equals_a_loop() -> None:
    """Δw(T) = -η(T) ∇w + μ(T) Δw(T-1), with η and μ that change in every step."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = PaperSGD([{"params": [weight], "lr": 0.0, "momentum": 0.0}])
    w, delta = [1.0, -2.0], [0.0, 0.0]
    for eta, mu in [(0.1, 0.5), (0.05, 0.6), (0.2, 0.9), (0.0, 0.9), (0.1, 0.0), (0.3, 1.0)]:
        optimizer.param_groups[0].update(lr=eta, momentum=mu)
        optimizer.zero_grad()
        (weight**3).sum().backward()
        optimizer.step()
        for k in range(2):
            delta[k] = -eta * 3 * w[k] ** 2 + mu * delta[k]
            w[k] += delta[k]
        torch.testing.assert_close(weight.detach(), torch.tensor(w, dtype=torch.float64))


def test_paper_sgd_differs_from_torch_sgd_when_the_rate_changes() -> None:
    """PyTorch scales the whole running update by η."""
    weight, torch_weight = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizers = {
        weight: PaperSGD([{"params": [weight], "lr": 0.1, "momentum": 0.9}]),
        torch_weight: torch.optim.SGD([torch_weight], lr=0.1, momentum=0.9),
    }
    for lr in (0.1, 0.1, 0.01):
        for parameter, optimizer in optimizers.items():
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            parameter.sum().backward()
            optimizer.step()
    # Gradients are 1: Δ = -0.1, -0.19, then 0.9 · -0.19 - 0.01 against 0.01 · -(0.9 · 1.9 + 1).
    assert weight.item() == pytest.approx(1 - 0.1 - 0.19 - 0.181)
    assert torch_weight.item() == pytest.approx(1 - 0.1 - 0.19 - 0.0271)


def test_paper_sgd_continues_from_its_state() -> None:
    network = build()
    setup = paper(network)
    descend(network, setup, 3)
    resumed = copy.deepcopy(network)
    again = paper(resumed)
    again.optimizer.load_state_dict(copy.deepcopy(setup.optimizer.state_dict()))
    again.scheduler.load_state_dict(copy.deepcopy(setup.scheduler.state_dict()))
    expected, weights = descend(network, setup, 3), descend(resumed, again, 3)
    for name, value in expected.items():
        assert torch.equal(value, weights[name])


def test_weights_without_gradient_stay() -> None:
    weight, idle = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = PaperSGD([{"params": [weight, idle], "lr": 0.1, "momentum": 0.5}])
    weight.sum().backward()
    assert optimizer.step(lambda: 7) == 7
    assert (idle == 1).all()
    assert torch.allclose(weight, torch.tensor(0.9))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("setup", "key", "usual", "changed"),
    [
        (paper, "lr", 0.1, 0.2),
        (paper, "momentum", 0.9, 0.6),
        (setup_adam, "lr", 0.1, 0.2),
        (setup_adamw, "lr", 0.1, 0.2),
    ],
)
def test_a_setting_of_one_layer_changes_that_layer_alone(
    layer: str, setup: Setup, key: str, usual: float, changed: float
) -> None:
    """Fault 5: gradients are equal, so all differences come from the setting."""
    before, after = (
        descend(network, setup(network, **{key: value}), 4)
        for network, value in ((build(), usual), (build(), {"default": usual, layer: changed}))
    )
    prefix = "similarity." if layer == "output" else f"encoder.layers.{layer}."
    for name in before:
        assert torch.equal(before[name], after[name]) != name.startswith(prefix), name


def test_paper_schedule_by_epochs() -> None:
    """Fault 6, without Lightning: momentum 0.5 in epoch 0, the target from epoch 4."""
    network = build()
    targets = {"conv1": 0.9, "conv2": 0.5, "dense": 0.1, "output": 1.0}
    lrs = {"conv1": 0.1, "conv2": 0.2, "dense": 0.0, "output": 0.3}
    setup = paper(network, momentum=targets, lr=lrs)
    assert setup.interval == "epoch"
    descend(network, OptimizerSetup(setup.optimizer), 3)  # iterations alone change nothing
    for epoch in range(8):
        progress = min(epoch / 4, 1)
        momenta = {name: 0.5 + progress * (target - 0.5) for name, target in targets.items()}
        assert by_layer(setup, "momentum") == pytest.approx(momenta)
        expected = {name: lr * 0.99**epoch for name, lr in lrs.items()}
        assert by_layer(setup, "lr") == pytest.approx(expected)
        setup.optimizer.step()
        setup.scheduler.step()
    immediate = paper(build(), momentum_epochs=0)
    assert set(by_layer(immediate, "momentum").values()) == {0.9}


def test_a_resumed_paper_schedule_uses_its_own_settings() -> None:
    """It continues at the checkpoint's epoch, with the decay and momentum epochs given now."""
    network, resumed = build(), build()
    first, second = paper(network), paper(resumed, decay=0.9, momentum_epochs=8)
    descend(network, first, 2)
    second.scheduler.load_state_dict(first.scheduler.state_dict())
    descend(resumed, second, 1)
    assert by_layer(second, "lr")["dense"] == pytest.approx(0.1 * 0.9**3)
    assert by_layer(second, "momentum")["dense"] == pytest.approx(0.5 + 3 / 8 * (0.9 - 0.5))


@pytest.mark.parametrize(
    ("setup", "wrong", "words"),
    [
        (paper, {"momentum": {"default": 0.5, "dense": 1.5}}, r"momentum\.dense=1\.5: .*0 to 1"),
        (paper, {"lr": {"default": 0.5, "conv9": 1.5}}, r"lr\.conv9=1\.5: .*Did you mean conv"),
        (setup_adam, {"lr": {"default": 1, "otuput": 2}}, r"lr\.otuput=2: .*Did you mean output"),
    ],
)
def test_wrong_arguments_are_named(setup: Setup, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{words}"):
        setup(build(), **wrong)


@pytest.mark.parametrize("setup", [paper, setup_adam, setup_adamw])
def test_every_parameter_is_in_one_group(setup: Setup) -> None:
    network = build()
    grouped = [id(p) for group in setup(network).optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


def test_adam_is_torchs_with_a_constant_rate() -> None:
    network = build()
    reference = copy.deepcopy(network)
    setup = setup_adam(network, 0.01)
    assert setup.scheduler is None
    weights = descend(network, setup, 3)
    torch_adam = torch.optim.Adam(reference.parameters(), lr=0.01)
    expected = descend(reference, OptimizerSetup(torch_adam), 3)
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name])


def test_adamw_warms_up_and_follows_a_cosine() -> None:
    peak = {"default": 0.2, "dense": 0.4}
    setup: Any = adamw(build().named_layers, 20, peak, 0.1, 0.2, 0.1, (0.9, 0.99))
    assert setup.interval == "step"
    factors = [0.25, 0.5, 0.75, 1.0]  # 4 of 20 steps warm up
    factors += [0.1 + 0.9 * (1 + math.cos(math.pi * k / 16)) / 2 for k in range(17)] + [0.1, 0.1]
    for factor in factors:
        for name, lr in by_layer(setup, "lr").items():
            assert lr == pytest.approx((0.4 if name.startswith("dense") else 0.2) * factor)
        setup.optimizer.step()
        setup.scheduler.step()


def test_adamw_decays_weights_alone() -> None:
    """With zero gradients only the decay changes a parameter: by 1 - lr · decay."""
    network = build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1.0)
            weight.grad = torch.zeros_like(weight)
    setup = adamw(network.named_layers, 10, 0.1, 0.5, 0.0, 0.0, (0.9, 0.99))
    setup.optimizer.step()
    decayed = {name for name, weight in network.named_parameters() if (weight != 1).any()}
    assert decayed == {f"encoder.layers.{name}.weight" for name in ("conv1.0", "conv2.0", "dense")}
    for name in decayed:
        torch.testing.assert_close(network.get_parameter(name).mean(), torch.tensor(0.95))


def test_optimizers_are_built_by_name() -> None:
    layers = build().named_layers
    default = build_optimizer()(layers, 100).optimizer
    assert isinstance(default, torch.optim.AdamW)
    assert default.defaults["betas"] == (0.9, 0.99)
    setup = build_optimizer("adam", lr={"default": 1e-3, "dense": 1e-4})(layers, 100)
    assert by_layer(setup, "lr")["dense"] == 1e-4
    sgd = build_optimizer({"name": "paper_sgd", "momentum_start": 0.25})(layers, 100)
    assert set(by_layer(sgd, "momentum").values()) == {0.25}
    assert set(by_layer(sgd, "momentum_target").values()) == {0.9}
