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
from siamese_oneshot.models.optimizers import OptimizerSetup, PaperSGD, adam, adamw, paper_sgd
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import UserError

LAYERS = ("conv1", "conv2", "dense", "output")


def build() -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 2], embedding_dim=8, batch_norm=True)
    return build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]


def paper(network: SiameseNetwork, **changed: Any) -> OptimizerSetup:
    settings = {
        "lr": 0.1, "momentum": 0.9, "decay": 0.99, "momentum_start": 0.5, "momentum_epochs": 4,
    }  # fmt: skip
    return paper_sgd(network.named_layers, 100, **(settings | changed))


def descend(network: SiameseNetwork, made: OptimizerSetup, steps: int) -> dict[str, torch.Tensor]:
    """Weights after some steps on gradients that depend on the weights, an epoch a step."""
    for step in range(steps):
        made.optimizer.zero_grad()
        loss = torch.stack(
            [((p - 0.3 * (step % 2)) ** 2).sum() + p.sin().sum() for p in network.parameters()]
        ).sum()
        loss.backward()
        made.optimizer.step()
        if made.scheduler is not None:
            made.scheduler.step()
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def test_paper_sgd_equals_a_hand_loop() -> None:
    """Δw(T) = -η(T) ∇w + μ(T) Δw(T-1), with η and μ that change at every step."""
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


def test_paper_sgd_differs_from_torchs_when_the_rate_changes() -> None:
    """Torch scales the whole running step by η; one of the two would be the wrong rule."""
    ours, theirs = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    own = PaperSGD([{"params": [ours], "lr": 0.1, "momentum": 0.9}])
    other = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    for rate in (0.1, 0.1, 0.01):
        for weight, optimizer in ((ours, own), (theirs, other)):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()
    # Gradients are 1: Δ = -0.1, -0.19, then 0.9 · -0.19 - 0.01 against 0.01 · -(0.9 · 1.9 + 1).
    assert ours.item() == pytest.approx(1 - 0.1 - 0.19 - 0.181)
    assert theirs.item() == pytest.approx(1 - 0.1 - 0.19 - 0.0271)


def test_paper_sgd_goes_on_from_its_state() -> None:
    """A resumed run takes the steps that it would have taken."""
    network = build()
    made = paper(network)
    descend(network, made, 3)
    twin = copy.deepcopy(network)
    again = paper(twin)
    again.optimizer.load_state_dict(copy.deepcopy(made.optimizer.state_dict()))
    assert again.scheduler is not None
    assert made.scheduler is not None
    again.scheduler.load_state_dict(copy.deepcopy(made.scheduler.state_dict()))
    expected, got = descend(network, made, 3), descend(twin, again, 3)
    for name, value in expected.items():
        assert torch.equal(value, got[name])


def test_weights_without_gradient_stay() -> None:
    weight, idle = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = PaperSGD([{"params": [weight, idle], "lr": 0.1, "momentum": 0.5}])
    weight.sum().backward()
    assert optimizer.step(lambda: 7) == 7
    assert (idle == 1).all()
    assert torch.allclose(weight, torch.tensor(0.9))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("make", "setting", "value"),
    [
        (paper, {"lr": 0.1}, 0.2),
        (paper, {"momentum": 0.9}, 0.6),
        (lambda n, lr: adam(n.named_layers, 10, lr), {"lr": 0.1}, 0.2),
        (lambda n, lr: adamw(n.named_layers, 10, lr, 0.1, 0.0, 0.1, (0.9, 0.99)), {"lr": 0.1}, 0.2),
    ],
    ids=["paper-lr", "paper-momentum", "adam-lr", "adamw-lr"],
)
def test_a_setting_of_one_layer_changes_that_layer_alone(
    layer: str, make: Callable[..., OptimizerSetup], setting: dict[str, float], value: float
) -> None:
    """Fault 5: the same gradients, so whatever differs comes from the setting."""
    (key, usual), *_ = setting.items()
    plain, changed = build(), build()
    before = descend(plain, make(plain, **{key: usual}), 4)
    after = descend(changed, make(changed, **{key: {"default": usual, layer: value}}), 4)
    prefix = "similarity." if layer == "output" else f"encoder.layers.{layer}."
    for name in before:
        same = torch.equal(before[name], after[name])
        assert same != name.startswith(prefix), name


def momenta(made: OptimizerSetup) -> dict[str, float]:
    return {group["name"]: group["momentum"] for group in made.optimizer.param_groups}


def rates(made: OptimizerSetup) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in made.optimizer.param_groups}


def test_paper_schedule_by_epochs() -> None:
    """Fault 6, without Lightning: 0.5 at epoch 0, the target at epoch 4 and for good."""
    network = build()
    targets = {"conv1": 0.9, "conv2": 0.5, "dense": 0.1, "output": 1.0}
    start = {"conv1": 0.1, "conv2": 0.2, "dense": 0.0, "output": 0.3}
    made = paper(network, momentum=targets, lr=start)
    assert made.interval == "epoch"
    descend(network, OptimizerSetup(made.optimizer), 3)  # steps of the optimizer alone do nothing
    for epoch in range(8):
        share = min(epoch / 4, 1)
        for name in LAYERS:
            expected = 0.5 + share * (targets[name] - 0.5)
            assert momenta(made)[name] == pytest.approx(expected)
            assert rates(made)[name] == pytest.approx(start[name] * 0.99**epoch)
        made.optimizer.step()
        assert made.scheduler is not None
        made.scheduler.step()


def test_momentum_without_a_rise_is_at_its_target() -> None:
    assert set(momenta(paper(build(), momentum_epochs=0)).values()) == {0.9}


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(UserError, match=r"optim\.momentum.*1\.5"):
        paper(build(), momentum={"default": 0.5, "dense": 1.5})
    with pytest.raises(UserError, match=r"optim\.lr\.conv9: .*Did you mean conv"):
        paper(build(), lr={"default": 0.5, "conv9": 1.5})
    with pytest.raises(UserError, match=r"optim\.lr\.otuput: .*Did you mean output"):
        adam(build().named_layers, 1, {"default": 0.5, "otuput": 1.5})


@pytest.mark.parametrize(
    "make",
    [
        paper,
        lambda n: adam(n.named_layers, 10, 0.1),
        lambda n: adamw(n.named_layers, 10, 0.1, 0.1, 0.1, 0.1, (0.9, 0.99)),
    ],
    ids=["paper", "adam", "adamw"],
)
def test_every_parameter_is_in_one_group(make: Callable[[SiameseNetwork], OptimizerSetup]) -> None:
    network = build()
    grouped = [id(p) for g in make(network).optimizer.param_groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


def test_adam_rate_is_constant_and_equals_torchs() -> None:
    network = build()
    twin = copy.deepcopy(network)
    made = adam(network.named_layers, 10, 0.01)
    assert made.scheduler is None
    ours = descend(network, made, 3)
    theirs = descend(twin, OptimizerSetup(torch.optim.Adam(twin.parameters(), lr=0.01)), 3)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name])


def test_adamw_warms_up_and_follows_a_cosine() -> None:
    network = build()
    peak = {"default": 0.2, "dense": 0.4}
    made = adamw(network.named_layers, 20, peak, 0.1, 0.2, 0.1, (0.9, 0.99))
    assert made.interval == "step"
    expected = [0.25, 0.5, 0.75, 1.0]  # 4 of 20 steps rise
    expected += [0.1 + 0.9 * (1 + math.cos(math.pi * k / 16)) / 2 for k in range(17)] + [0.1, 0.1]
    for share in expected:
        for group in made.optimizer.param_groups:
            highest = 0.4 if group["name"].startswith("dense") else 0.2
            assert group["lr"] == pytest.approx(highest * share)
        made.optimizer.step()
        assert made.scheduler is not None
        made.scheduler.step()


def test_adamw_decays_weights_and_nothing_else() -> None:
    """With gradients of zero the decay is all that moves a parameter: by 1 - lr · decay."""
    network = build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1.0)
            weight.grad = torch.zeros_like(weight)
    made = adamw(network.named_layers, 10, 0.1, 0.5, 0.0, 0.0, (0.9, 0.99))
    made.optimizer.step()
    decayed = {name for name, weight in network.named_parameters() if (weight != 1).any()}
    assert decayed == {
        "encoder.layers.conv1.0.weight",
        "encoder.layers.conv2.0.weight",
        "encoder.layers.dense.weight",
    }
    for name in decayed:
        torch.testing.assert_close(network.get_parameter(name).mean(), torch.tensor(0.95))


def test_a_resumed_paper_schedule_goes_on_by_its_own_settings() -> None:
    """At the checkpoint's epoch, with the decay and the momentum's rise that are asked for now."""
    before, after = build(), build()
    one = paper(before)
    descend(before, one, 2)
    other = paper(after, decay=0.9, momentum_epochs=8)
    assert one.scheduler is not None
    assert other.scheduler is not None
    other.scheduler.load_state_dict(one.scheduler.state_dict())
    descend(after, other, 1)
    group = other.optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(0.1 * 0.9**3)
    assert group["momentum"] == pytest.approx(0.5 + 3 / 8 * (0.9 - 0.5))
