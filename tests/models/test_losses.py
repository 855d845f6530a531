"""Every loss against slow loops over single pairs of images."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.losses import (
    AllPairsBCELoss,
    EpisodicCrossEntropyLoss,
    EpisodicDistillationLoss,
    EpisodicHingeLoss,
    PairBCELoss,
    SupConLoss,
    build_loss,
    l2_penalty,
)
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import ArgumentError

L2 = {"conv1": 0.3, "conv2": 0.0, "dense": 0.01, "output": 0.7}
SAME = torch.tensor([1.0, 0, 0, 1, 1, 0])


def build(*sizes: Any, seed: int = 4, weight_init: float = -0.1, **options: Any) -> SiameseNetwork:
    similarity = partial(WeightedL1, weight_init=weight_init)
    return build_network(partial(ConvEncoder, 16, *sizes, **options), similarity, "torch", seed)


@pytest.fixture
def network() -> SiameseNetwork:
    built = build([4, 6], [3, 3], [2, 2], 8, weight_init=-2.0)
    with torch.no_grad():  # large weights, so that scores differ
        for weight in built.encoder.parameters():
            weight.mul_(3)
        built.similarity.linear.bias.fill_(0.4)  # type: ignore[union-attr, operator]
    return built


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, 1, 16, 16, generator=torch.Generator().manual_seed(sum(shape)))


def gradients(network: SiameseNetwork, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


def slow_embeddings(network: SiameseNetwork, batch: Tensor) -> list[list[float]]:
    encoder = copy.deepcopy(network.encoder).double()
    return [encoder(image[None].double())[0].tolist() for image in batch]


def slow_score(network: SiameseNetwork, first: list[float], second: list[float]) -> float:
    output: Any = network.similarity.linear
    terms = zip(output.weight[0].tolist(), first, second, strict=True)
    return output.bias.item() + sum(w * abs(a - b) for w, a, b in terms)


def slow_l2(network: SiameseNetwork, l2: dict[str, float]) -> float:
    total = 0.0
    for name, layer in network.named_layers.items():
        for key, value in layer.named_parameters():
            if key.endswith("weight"):
                total += l2[name] * sum(w * w for w in value.double().flatten().tolist())
    return total


def slow_bce(logits: list[float], same: list[float]) -> float:
    return sum(math.log1p(math.exp(x if y == 0 else -x)) for x, y in zip(logits, same, strict=True))


def slow_pairs(network: SiameseNetwork, first: Tensor, second: Tensor, same: Tensor) -> float:
    pairs = zip(slow_embeddings(network, first), slow_embeddings(network, second), strict=True)
    return slow_bce([slow_score(network, a, b) for a, b in pairs], same.tolist()) / len(same)


def slow_all_pairs(network: SiameseNetwork, batch: Tensor) -> float:
    """Same and different pairs weigh half each; no image is paired with itself."""
    embeddings, drawers = slow_embeddings(network, batch.flatten(0, 2)), batch.shape[2]
    logits: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(embeddings)):
        for j in range(i + 1, len(embeddings)):
            same = i // drawers == j // drawers
            logits[same].append(slow_score(network, embeddings[i], embeddings[j]))
    return sum(0.5 * slow_bce(x, [float(y)] * len(x)) / len(x) for y, x in logits.items())


def slow_episodes(network: SiameseNetwork, batch: Tensor) -> list[tuple[int, list[float]]]:
    """The index of the right class and the scores of all classes, for every query."""
    classes, drawers = batch.shape[1:3]
    episodes = []
    for alphabet in batch:
        embedded = [slow_embeddings(network, images) for images in alphabet]
        for i, j in permutations(range(drawers), 2):
            for query in range(classes):
                scores = [
                    slow_score(network, embedded[query][i], embedded[c][j]) for c in range(classes)
                ]
                episodes.append((query, scores))
    return episodes


def slow_cross_entropy(network: SiameseNetwork, batch: Tensor, smoothing: float = 0.0) -> float:
    losses = []
    for query, scores in slow_episodes(network, batch):
        total = sum(math.exp(score) for score in scores)
        loss = 0.0
        for c, score in enumerate(scores):
            target = smoothing / len(scores) + (1 - smoothing) * (c == query)
            loss -= target * math.log(math.exp(score) / total)
        losses.append(loss)
    return sum(losses) / len(losses)


def slow_distillation(
    network: SiameseNetwork, batch: Tensor, teachers: list[SiameseNetwork], temperature: float
) -> float:
    losses = []
    answers = [[scores for _, scores in slow_episodes(teacher, batch)] for teacher in teachers]
    for (_, scores), *others in zip(slow_episodes(network, batch), *answers, strict=True):
        means = [sum(column) / len(column) for column in zip(*others, strict=True)]
        wanted, own = ([math.exp(score / temperature) for score in row] for row in (means, scores))
        losses.append(
            -sum(w / sum(wanted) * math.log(o / sum(own)) for w, o in zip(wanted, own, strict=True))
        )
    return temperature**2 * sum(losses) / len(losses)


def slow_hinge(network: SiameseNetwork, batch: Tensor, margin: float) -> float:
    losses = []
    for query, scores in slow_episodes(network, batch):
        negative = max(score for c, score in enumerate(scores) if c != query)
        losses.append(max(0.0, margin + negative - scores[query]))
    return sum(losses) / len(losses)


def slow_supcon(network: SiameseNetwork, batch: Tensor) -> float:
    drawers, losses = batch.shape[2], []
    for alphabet in batch.flatten(1, 2):
        embedded = slow_embeddings(network, alphabet)
        for anchor, vector in enumerate(embedded):
            scores = {
                i: slow_score(network, vector, other)
                for i, other in enumerate(embedded)
                if i != anchor
            }
            total = sum(math.exp(score) for score in scores.values())
            positives = [s for i, s in scores.items() if i // drawers == anchor // drawers]
            losses.append(-sum(math.log(math.exp(s) / total) for s in positives) / len(positives))
    return sum(losses) / len(losses)


PAIRS = (images(6), images(6).roll(1, 0), SAME)
TEACHERS = [build([8], [5], [2], 6, weight_init=-3.0, seed=seed) for seed in (1, 2)]
CASES: list[tuple[Any, tuple[Tensor, ...], Callable[..., float]]] = [
    (PairBCELoss(L2), PAIRS, slow_pairs),
    (AllPairsBCELoss(L2), (images(2, 3, 2),), slow_all_pairs),
    *((EpisodicCrossEntropyLoss(L2, smoothing), (images(2, 4, drawers),),
       partial(slow_cross_entropy, smoothing=smoothing))
      for smoothing in (0.0, 0.2) for drawers in (2, 3)),
    *((EpisodicDistillationLoss(teachers, temperature, L2), (images(2, 4, 3),),
       partial(slow_distillation, teachers=teachers, temperature=temperature))
      for teachers in (TEACHERS[:1], TEACHERS) for temperature in (0.5, 1.0, 3.0)),
    *((EpisodicHingeLoss(margin, L2), (images(2, 4, 3),), partial(slow_hinge, margin=margin))
      for margin in (0.01, 0.3, 2.0)),  # hardly any, some and all episodes cost
    *((SupConLoss(L2), (images(2, 4, drawers),), slow_supcon) for drawers in (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "batch", "slow"), CASES)
def test_loss_equals_slow_loops(
    network: SiameseNetwork, loss: Any, batch: tuple[Tensor, ...], slow: Callable[..., float]
) -> None:
    parts = loss(network, *batch)
    name = "hinge" if isinstance(loss, EpisodicHingeLoss) else "cross_entropy"
    assert list(parts) == ["loss", name, "l2"]
    assert loss.sampler_kind == ("pairs" if len(batch) == 3 else "episode")
    data, penalty = slow(network, *batch), slow_l2(network, L2)
    assert data > 0
    assert parts[name].item() == pytest.approx(data, rel=1e-5)
    assert parts["l2"].item() == pytest.approx(penalty, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(data + penalty, rel=1e-5)
    for key, gradient in gradients(network, parts["loss"]).items():
        assert gradient.isfinite().all(), key


def test_a_teacher_stays_as_it_is_and_is_learned_best_by_itself(network: SiameseNetwork) -> None:
    teacher = build([4], [3], [2], 8, batch_norm=True, weight_init=-2.0).train()
    before = copy.deepcopy(teacher.state_dict())
    batch = images(2, 4, 2)
    other = EpisodicDistillationLoss([teacher])(network, batch)["loss"]
    itself = EpisodicDistillationLoss([teacher])(copy.deepcopy(teacher).eval(), batch)["loss"]
    other.backward()
    assert itself < other
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(value.equal(before[key]) for key, value in teacher.state_dict().items())


def test_distillation_needs_a_teacher(network: SiameseNetwork) -> None:
    with pytest.raises(ArgumentError, match=r"^teachers=\[\]: .*give at least one"):
        EpisodicDistillationLoss()(network, images(2, 4, 2))


def test_episodes_beyond_the_margin_have_no_gradient(network: SiameseNetwork) -> None:
    batch = images(1, 3, 1).repeat(1, 1, 2, 1, 1, 1)  # both drawers draw the same image
    lead = min(
        scores[query] - max(score for c, score in enumerate(scores) if c != query)
        for query, scores in slow_episodes(network, batch)
    )
    assert lead > 0
    within, beyond = (EpisodicHingeLoss(lead * x)(network, batch)["hinge"] for x in (1.1, 0.9))
    assert all((gradient == 0).all() for gradient in gradients(network, beyond).values())
    assert any((gradient != 0).any() for gradient in gradients(network, within).values())


@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense", "output"])
def test_l2_of_one_layer_changes_the_gradient_of_that_layer_alone(
    network: SiameseNetwork, layer: str
) -> None:
    """Fault 5: by 2λw on its weights, and by nothing on its bias."""
    plain = gradients(network, PairBCELoss(0.0)(network, *PAIRS)["loss"])
    l2 = {"default": 0.0, layer: 0.5}
    regularized = gradients(network, PairBCELoss(l2)(network, *PAIRS)["loss"])
    prefix = "similarity." if layer == "output" else f"encoder.layers.{layer}."
    weights = dict(network.named_parameters())
    changed = []
    for name, gradient in regularized.items():
        change = gradient - plain[name]
        if name.startswith(prefix) and name.endswith("weight"):
            torch.testing.assert_close(change, weights[name], rtol=1e-4, atol=1e-5)
            changed.append(name)
        else:
            assert (change == 0).all(), name
    assert len(changed) == 1


def test_l2_leaves_out_batch_norm_and_layers_of_weight_0() -> None:
    network = build([4], [3], [2], 8, batch_norm=True)
    l2 = {"conv1": 0.3, "dense": 0.0, "output": 2.0}
    layers: dict[str, Any] = network.named_layers
    conv1, output = layers["conv1"][0].weight, layers["output"].linear.weight
    penalty = l2_penalty(network, l2)
    expected = 0.3 * conv1.double().square().sum() + 2.0 * output.double().square().sum()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-6)
    penalty.backward()
    torch.testing.assert_close(conv1.grad, 2 * 0.3 * conv1.detach())
    torch.testing.assert_close(output.grad, 2 * 2.0 * output.detach())
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None}
    assert with_gradient == {"encoder.layers.conv1.0.weight", "similarity.linear.weight"}
    nothing = l2_penalty(network, 0.0)
    assert nothing.item() == 0.0
    assert not nothing.requires_grad


def test_wrong_arguments_are_named(network: SiameseNetwork) -> None:
    with pytest.raises(ArgumentError, match=r"^l2\.dnese=1\.0: .*Did you mean dense"):
        PairBCELoss({"default": 0.0, "dnese": 1.0})(network, *PAIRS)
    for margin in (0.0, -1.0, "wide"):
        with pytest.raises(ArgumentError, match=r"^margin=.*above 0"):
            EpisodicHingeLoss(margin)  # type: ignore[arg-type]


def test_a_collapsed_network_costs_log_n(network: SiameseNetwork) -> None:
    nn.init.zeros_(network.similarity.linear.weight)  # type: ignore[union-attr, arg-type]
    loss = EpisodicCrossEntropyLoss()(network, images(2, 5, 2))["loss"]
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_all_pairs_embeds_each_image_once(network: SiameseNetwork) -> None:
    counts: list[int] = []
    network.encoder.register_forward_hook(lambda module, given, out: counts.append(len(out)))
    AllPairsBCELoss()(network, images(2, 3, 2))
    assert counts == [12]


def test_bfloat16_autocast_is_close_to_float64(network: SiameseNetwork) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = PairBCELoss(L2)(network, *PAIRS)["loss"]
    assert loss.dtype == torch.float32
    exact = slow_pairs(network, *PAIRS) + slow_l2(network, L2)
    assert loss.item() == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("loss", [EpisodicCrossEntropyLoss(), AllPairsBCELoss()])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_bfloat16_step_is_close_to_float64(loss: Any, batch_norm: bool) -> None:
    """The loss within bfloat16's eight bits; with batch norm the gradient's direction, too.

    Without batch norm, embeddings start so similar that rounding decides the signs of their
    differences and thus the gradient.
    """
    low = build([8, 8], [3, 3], [2, 2], 16, seed=0, batch_norm=batch_norm)
    high = copy.deepcopy(low).double()
    batch = images(2, 4, 2)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(low, batch)["loss"]
    exact = loss(high, batch.double())["loss"]
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=2**-7)
    if batch_norm:
        ours, true = (
            torch.cat([gradient.double().flatten() for gradient in gradients(n, x).values()])
            for n, x in ((low, value), (high, exact))
        )
        assert torch.cosine_similarity(ours, true, dim=0) > 0.97
        assert float(ours.norm() / true.norm()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("loss", [AllPairsBCELoss(), SupConLoss(), EpisodicCrossEntropyLoss()])
def test_gradients_repeat_on_several_threads(loss: Any) -> None:
    """Each image is in many pairs; their gradients add up in a fixed order."""
    network = build([4], [3], [2], 200)
    batch, threads = images(2, 24, 4), torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        first = gradients(network, loss(network, batch)["loss"])
        for _ in range(6):
            again = gradients(network, loss(network, batch)["loss"])
            assert all(map(torch.equal, first.values(), again.values()))
    finally:
        torch.set_num_threads(threads)


def test_losses_are_built_by_name() -> None:
    default, changed = build_loss(), build_loss({"name": "bce_pairs", "l2": 1e-4})
    assert isinstance(default, EpisodicCrossEntropyLoss)
    assert (default.l2, default.smoothing) == (0.0, 0.19)
    assert isinstance(changed, PairBCELoss)
    assert changed.l2 == 1e-4
    assert build_loss("episodic_hinge", margin=0.5).margin == 0.5
