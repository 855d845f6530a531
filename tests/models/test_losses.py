from __future__ import annotations

import copy
import math
from functools import partial
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.losses import (
    AllPairsBCELoss,
    EpisodicCrossEntropyLoss,
    EpisodicHingeLoss,
    PairBCELoss,
    SupConLoss,
)
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import UserError

L2 = {"conv1": 0.3, "conv2": 0.0, "dense": 0.01, "output": 0.7}


@pytest.fixture
def network() -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 2], embedding_dim=8)
    made = build_network(encoder, partial(WeightedL1, weight_init=-2.0), "torch", 4)  # type: ignore
    with torch.no_grad():  # far from the start, so that scores differ
        for weight in made.encoder.parameters():
            weight.mul_(3)
        made.similarity.linear.bias.fill_(0.4)  # type: ignore[union-attr]
    return made


def images(*lead: int) -> Tensor:
    return torch.rand(*lead, 1, 16, 16, generator=torch.Generator().manual_seed(sum(lead)))


def slow_embedding(network: SiameseNetwork, image: Tensor) -> list[float]:
    encoder = copy.deepcopy(network.encoder).double()
    return encoder(image[None].double())[0].tolist()


def slow_score(network: SiameseNetwork, one: list[float], other: list[float]) -> float:
    output = network.similarity.linear
    weights = output.weight[0].tolist()  # type: ignore[union-attr, index]
    distance = zip(weights, one, other, strict=True)
    return output.bias.item() + sum(w * abs(a - b) for w, a, b in distance)  # type: ignore


def slow_l2(network: SiameseNetwork, l2: dict[str, float]) -> float:
    total = 0.0
    for name, layer in network.named_layers.items():
        for key, value in layer.named_parameters():
            if key.endswith("weight"):
                total += l2[name] * sum(w * w for w in value.double().flatten().tolist())
    return total


def slow_pairs(network: SiameseNetwork, first: Tensor, second: Tensor, same: Tensor) -> float:
    losses = []
    for one, other, y in zip(first, second, same.tolist(), strict=True):
        logit = slow_score(network, slow_embedding(network, one), slow_embedding(network, other))
        p = 1 / (1 + math.exp(-logit))
        losses.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
    return sum(losses) / len(losses)


def slow_episodes(network: SiameseNetwork, batch: Tensor) -> list[tuple[int, list[float]]]:
    """Of every query by one drawer: which of another drawer's is right, and the scores of all."""
    alphabets, characters, drawers = batch.shape[:3]
    episodes = []
    for a in range(alphabets):
        embedded = [
            [slow_embedding(network, batch[a, c, d]) for d in range(drawers)]
            for c in range(characters)
        ]
        for asker, giver in permutations(range(drawers), 2):
            for query in range(characters):
                scores = [
                    slow_score(network, embedded[query][asker], embedded[c][giver])
                    for c in range(characters)
                ]
                episodes.append((query, scores))
    return episodes


def slow_episode(network: SiameseNetwork, batch: Tensor, smoothing: float) -> float:
    losses = []
    for query, scores in slow_episodes(network, batch):
        total = sum(math.exp(score) for score in scores)
        loss = 0.0
        for c, score in enumerate(scores):
            target = smoothing / len(scores) + (1 - smoothing) * (c == query)
            loss -= target * math.log(math.exp(score) / total)
        losses.append(loss)
    return sum(losses) / len(losses)


def slow_margin(network: SiameseNetwork, batch: Tensor, margin: float) -> float:
    losses = []
    for query, scores in slow_episodes(network, batch):
        hardest = max(score for c, score in enumerate(scores) if c != query)
        losses.append(max(0.0, margin + hardest - scores[query]))
    return sum(losses) / len(losses)


def slow_contrastive(network: SiameseNetwork, batch: Tensor) -> float:
    alphabets, characters, drawers = batch.shape[:3]
    losses = []
    for a in range(alphabets):
        embedded = {
            (c, d): slow_embedding(network, batch[a, c, d])
            for c in range(characters)
            for d in range(drawers)
        }
        for anchor, vector in embedded.items():
            scores = {
                other: slow_score(network, vector, its)
                for other, its in embedded.items()
                if other != anchor
            }
            total = sum(math.exp(score) for score in scores.values())
            same = [score for other, score in scores.items() if other[0] == anchor[0]]
            losses.append(-sum(math.log(math.exp(s) / total) for s in same) / len(same))
    return sum(losses) / len(losses)


def test_pair_loss_equals_a_hand_loop(network: SiameseNetwork) -> None:
    first, second, same = images(6), images(6).roll(1, 0), torch.tensor([1.0, 0, 0, 1, 1, 0])
    parts = PairBCELoss(L2)(network, first, second, same)
    entropy, penalty = slow_pairs(network, first, second, same), slow_l2(network, L2)
    assert parts["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert parts["l2"].item() == pytest.approx(penalty, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(entropy + penalty, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("drawers", [2, 3])
def test_episode_loss_equals_a_hand_loop(
    network: SiameseNetwork, drawers: int, smoothing: float
) -> None:
    batch = images(2, 4, drawers)
    parts = EpisodicCrossEntropyLoss(L2, smoothing)(network, batch)
    entropy, penalty = slow_episode(network, batch, smoothing), slow_l2(network, L2)
    assert parts["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(entropy + penalty, rel=1e-5)


@pytest.mark.parametrize("margin", [0.01, 0.3, 2.0])  # hardly any, some and every episode cost
def test_margin_loss_equals_a_hand_loop(network: SiameseNetwork, margin: float) -> None:
    batch = images(2, 4, 3)
    parts = EpisodicHingeLoss(margin, L2)(network, batch)
    hinge, penalty = slow_margin(network, batch, margin), slow_l2(network, L2)
    assert hinge > 0
    assert parts["hinge"].item() == pytest.approx(hinge, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(hinge + penalty, rel=1e-5)


def test_a_margin_that_every_episode_keeps_teaches_nothing(network: SiameseNetwork) -> None:
    batch = images(1, 3, 1).repeat(1, 1, 2, 1, 1, 1)  # both drawers draw alike
    lead = min(
        scores[query] - max(score for c, score in enumerate(scores) if c != query)
        for query, scores in slow_episodes(network, batch)
    )
    assert lead > 0
    kept, broken = (EpisodicHingeLoss(lead * share)(network, batch) for share in (0.9, 1.1))
    assert all((one == 0).all() for one in gradients(network, kept["hinge"]).values())
    assert any((one != 0).any() for one in gradients(network, broken["hinge"]).values())


@pytest.mark.parametrize("margin", [0.0, -1.0, "wide"])
def test_a_margin_that_is_none(margin: object) -> None:
    with pytest.raises(UserError, match=r"loss\.margin=.*above 0"):
        EpisodicHingeLoss(margin)  # type: ignore[arg-type]


@pytest.mark.parametrize("drawers", [2, 3])
def test_contrastive_loss_equals_a_hand_loop(network: SiameseNetwork, drawers: int) -> None:
    batch = images(2, 4, drawers)
    parts = SupConLoss(L2)(network, batch)
    entropy, penalty = slow_contrastive(network, batch), slow_l2(network, L2)
    assert parts["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(entropy + penalty, rel=1e-5)
    for name, one in gradients(network, parts["loss"]).items():
        assert one.isfinite().all(), name


def gradients(network: SiameseNetwork, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense", "output"])
def test_l2_of_one_layer_changes_the_gradient_of_that_layer_alone(
    network: SiameseNetwork, layer: str
) -> None:
    """Fault 5: by 2λw on its weights, and by nothing on its bias."""
    batch = (images(4), images(4).roll(1, 0), torch.tensor([1.0, 0, 1, 0]))
    plain = gradients(network, PairBCELoss(0.0)(network, *batch)["loss"])
    heavy = gradients(network, PairBCELoss({"default": 0.0, layer: 0.5})(network, *batch)["loss"])
    prefix = "similarity." if layer == "output" else f"encoder.layers.{layer}."
    weights = dict(network.named_parameters())
    touched = []
    for name, gradient in heavy.items():
        change = gradient - plain[name]
        if name.startswith(prefix) and name.endswith("weight"):
            torch.testing.assert_close(change, weights[name], rtol=1e-4, atol=1e-5)
            touched.append(name)
        else:
            assert (change == 0).all(), name
    assert len(touched) == 1


def test_a_misspelt_layer_of_l2(network: SiameseNetwork) -> None:
    batch = (images(2), images(2), torch.ones(2))
    with pytest.raises(UserError, match=r"loss\.l2\.dnese: .*Did you mean dense"):
        PairBCELoss({"default": 0.0, "dnese": 1.0})(network, *batch)


def test_bfloat16_autocast_stays_near_float64(network: SiameseNetwork) -> None:
    first, second, same = images(6), images(6).roll(1, 0), torch.tensor([1.0, 0, 0, 1, 1, 0])
    with torch.autocast("cpu", torch.bfloat16):
        loss = PairBCELoss(L2)(network, first, second, same)["loss"]
        episode = EpisodicCrossEntropyLoss()(network, images(1, 4, 2))["loss"]
    assert loss.dtype == episode.dtype == torch.float32
    exact = slow_pairs(network, first, second, same) + slow_l2(network, L2)
    assert loss.item() == pytest.approx(exact, rel=0.01)
    assert episode.item() == pytest.approx(slow_episode(network, images(1, 4, 2), 0.0), rel=0.01)


def test_a_collapsed_network_costs_the_logarithm_of_the_choices(network: SiameseNetwork) -> None:
    nn.init.zeros_(network.similarity.linear.weight)  # type: ignore[union-attr, arg-type]
    loss = EpisodicCrossEntropyLoss()(network, images(2, 5, 2))["loss"]
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_all_pairs_equals_slow_loops(network: SiameseNetwork) -> None:
    """Same and different pairs weigh half each; an image is never paired with itself."""
    batch = images(2, 3, 2)
    flat = batch.flatten(0, 2)
    embeddings = [slow_embedding(network, image) for image in flat]
    same, different = [], []
    for i in range(12):
        for j in range(i + 1, 12):
            logit = slow_score(network, embeddings[i], embeddings[j])
            (same if i // 2 == j // 2 else different).append((i, j, logit))
    assert (len(same), len(different)) == (6, 60)
    loss = 0.5 * sum(math.log1p(math.exp(-x)) for _, _, x in same) / 6
    loss += 0.5 * sum(math.log1p(math.exp(x)) for _, _, x in different) / 60
    parts = AllPairsBCELoss(L2)(network, batch)
    assert parts["cross_entropy"].item() == pytest.approx(loss, rel=1e-4)
    assert parts["l2"].item() == pytest.approx(slow_l2(network, L2), rel=1e-4)
    assert parts["loss"].item() == pytest.approx(loss + slow_l2(network, L2), rel=1e-4)


def test_all_pairs_embeds_each_image_once(network: SiameseNetwork) -> None:
    counts: list[int] = []
    network.encoder.register_forward_hook(lambda m, given, out: counts.append(len(out)))
    AllPairsBCELoss()(network, images(2, 3, 2))
    assert counts == [12]


@pytest.mark.parametrize("objective", [EpisodicCrossEntropyLoss(), AllPairsBCELoss()])
@pytest.mark.parametrize("norm", [False, True])
def test_a_bfloat16_step_agrees_with_float64(
    loss: EpisodicCrossEntropyLoss | AllPairsBCELoss, norm: bool
) -> None:
    """The loss, within the error of bfloat16's eight bits; with batch norm the gradient's way too.

    Without it this small network starts with embeddings so alike that the signs of their
    differences, which the gradient goes by, are those of rounding.
    """
    encoder = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], embedding_dim=16, batch_norm=norm)
    low = build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]
    high = copy.deepcopy(low).double()
    batch = images(2, 4, 2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss(low, batch)["loss"]
    exact = loss(high, batch.double())["loss"]
    assert loss.item() == pytest.approx(exact.item(), rel=2**-7)
    loss.backward()
    exact.backward()
    mine = torch.cat([weight.grad.double().flatten() for weight in low.parameters()])  # type: ignore[union-attr]
    true = torch.cat([weight.grad.flatten() for weight in high.parameters()])  # type: ignore[union-attr]
    if norm:
        assert torch.cosine_similarity(mine, true, dim=0) > 0.97
        assert float(mine.norm() / true.norm()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("objective", [AllPairsBCELoss, SupConLoss, EpisodicCrossEntropyLoss])
def test_gradients_repeat_on_several_threads(loss: type) -> None:
    """Each image is in many comparisons; their gradients are added up in one order."""
    encoder = partial(ConvEncoder, 16, [4], [3], [2], embedding_dim=200)
    network = build_network(encoder, WeightedL1, "torch", 4)  # type: ignore[arg-type]
    batch, threads = images(2, 24, 4), torch.get_num_threads()
    asked = loss(0.0)

    def gradients() -> list[Tensor]:
        loss = asked(network, batch)["loss"]
        return list(torch.autograd.grad(loss, list(network.parameters())))

    try:
        torch.set_num_threads(4)
        first = gradients()
        for _ in range(6):
            assert all(map(torch.equal, first, gradients()))
    finally:
        torch.set_num_threads(threads)
