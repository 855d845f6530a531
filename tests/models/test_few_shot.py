"""Similarities of few-shot learners against slow references and hand-computed values."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.few_shot import Cosine, Relation, SquaredEuclidean
from siamese_oneshot.models.losses import build_loss
from siamese_oneshot.models.siamese import build_model
from siamese_oneshot.utils.errors import ArgumentError

DIM = 3 + 16 * 4  # a global part of 3, and a 4x4 map of 4 channels
HEADS = {
    "euclidean": partial(SquaredEuclidean, DIM, weight_init=-0.3),
    "cosine": partial(Cosine, DIM, weight_init=4.0),
    "relation": partial(Relation, DIM, 3, 4, channels=5, hidden=6),
}


def slow_euclidean(head: SquaredEuclidean, a: Tensor, b: Tensor) -> float:
    distance = sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return float(head.bias) + float(head.weight) * distance


def slow_cosine(head: Cosine, a: Tensor, b: Tensor) -> float:
    dot, one, other = (
        sum(x * y for x, y in zip(left.tolist(), right.tolist(), strict=True))
        for left, right in ((a, b), (a, a), (b, b))
    )
    return float(head.bias) + float(head.weight) * dot / math.sqrt(one * other)


def slow_relation(head: Relation, a: Tensor, b: Tensor) -> float:
    """The maps of one pair concatenated, in both orders."""
    first_norm, second_norm = head.relation[0], head.relation[4]
    kernel = torch.cat([head.first.weight, head.second.weight], 1)

    def block(x: Tensor, weight: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        x = F.conv2d(x, weight, padding=1)
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.max_pool2d(x.relu(), 2)

    logits = []
    for pair in ((a, b), (b, a)):
        maps = [one[3:].view(16, 4).T.reshape(1, 4, 4, 4) for one in pair]
        x = block(torch.cat(maps, 1), kernel, first_norm)
        x = block(x, head.relation[3].weight, second_norm)
        logits.append(head.relation[10](head.relation[8](x.flatten()).relu()).item())
    return sum(logits) / 2


MODELS = ["prototypical", "matching", "relation"]
TINY = {"image_size": 26, "filters": [4, 4], "kernels": [3, 3], "strides": [2, 1],
        "pool_sizes": [1, 2]}  # fmt: skip
SLOW = {"euclidean": slow_euclidean, "cosine": slow_cosine, "relation": slow_relation}


def random(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=HEADS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def head(name: str) -> nn.Module:
    """In evaluation mode, with statistics and weights that differ from the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = HEADS[name]()
        for weight in built.parameters():
            nn.init.normal_(weight)
        built(random(50, DIM), random(50, DIM, seed=3))
    return built.eval()


@torch.no_grad()
def test_a_head_equals_a_loop_broadcasts_and_is_symmetric(name: str, head: nn.Module) -> None:
    query, support = random(3, 1, DIM), random(1, 4, DIM, seed=3)
    expected = [[SLOW[name](head, query[q, 0], support[0, s]) for s in range(4)] for q in range(3)]
    logits = head(query, support)
    torch.testing.assert_close(logits, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head(support, query), logits)
    torch.testing.assert_close(head(query[0, 0], support[0, 0]), logits[0, 0])


def test_gradients(head: nn.Module) -> None:
    head = head.double()
    first, second = (random(2, DIM, seed=k).double().requires_grad_() for k in (2, 3))
    parameters = tuple(head.parameters())
    assert torch.autograd.gradcheck(lambda a, b, *_: head(a, b), (first, second, *parameters))


def test_logits_are_not_computed_in_bfloat16(head: nn.Module) -> None:
    first, second = random(2, DIM), random(2, DIM, seed=3)
    plain = head(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head(first, second), plain)


@pytest.mark.parametrize("model", MODELS)
def test_every_weight_learns_from_episodes(model: str) -> None:
    network = build_model(model, encoder=TINY)
    build_loss("episodic_ce")(network, torch.rand(2, 3, 2, 1, 26, 26))["loss"].backward()
    assert not [key for key, one in network.named_parameters() if one.grad is None]


def test_a_class_is_compared_by_its_prototype() -> None:
    """The prototype of (1, 0) and (0, 1) is (1/2, 1/2), half a unit from (0, 0), squared."""
    query, supports = torch.zeros(2), torch.eye(2)
    head = SquaredEuclidean(2, weight_init=-3.0)
    torch.testing.assert_close(head.score_class(query, supports), torch.tensor(-1.5))
    torch.testing.assert_close(head(query, supports).mean(), torch.tensor(-3.0))


def test_a_class_has_the_attention_of_its_supports() -> None:
    """Cosines of 1, 0 and 0, -1 with a weight of 2: attention e², 1, 1, 1/e² over their sum."""
    query = torch.tensor([3.0, 0.0])
    supports = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.0, -1.0], [-5.0, 0.0]]])
    scores = Cosine(2, weight_init=2.0).score_class(query, supports)
    powers = [math.exp(2), 1.0, 1.0, math.exp(-2)]
    attention = torch.tensor([sum(powers[:2]), sum(powers[2:])]) / sum(powers)
    torch.testing.assert_close(scores.softmax(0), attention)
    torch.testing.assert_close(scores[0], torch.tensor(math.log((math.exp(2) + 1) / 2)))


@torch.no_grad()
def test_several_supports_of_a_class(name: str, head: nn.Module) -> None:
    """One shot is the plain score; a relation net takes the mean of the maps, as of embeddings."""
    query, supports = random(5, 1, DIM), random(5, 2, 3, DIM, seed=3)
    one = supports[..., :1, :]
    torch.testing.assert_close(head.score_class(query, one), head(query, one[..., 0, :]))
    scores = head.score_class(query, supports)
    assert scores.shape == (5, 2)
    torch.testing.assert_close(head.score_class(query, supports.flip(2)), scores)
    if name != "cosine":
        mean = (supports[..., 0, :] + supports[..., 1, :] + supports[..., 2, :]) / 3
        torch.testing.assert_close(scores, head(query, mean))


@torch.no_grad()
@pytest.mark.parametrize("model", ["conv4_small", *MODELS])
def test_a_network_compares_classes_as_its_similarity_says(model: str) -> None:
    """By the mean score where the similarity says nothing."""
    network = build_model(model, encoder=TINY).eval()
    query, supports = network.embed(random(2, 13, 1, 26, 26).abs()).split([1, 12], 1)
    supports = supports.unflatten(1, (3, 4))
    scores = network.score_class(query, supports)
    if model == "conv4_small":
        each = [network.score(query, supports[:, :, shot]) for shot in range(4)]
        torch.testing.assert_close(scores, torch.stack(each).mean(0))
    else:
        torch.testing.assert_close(scores, network.similarity.score_class(query, supports))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((3 + 9 * 4, 3, 4), "^local_dim=4: a map of 3x3 is too small to be halved twice"),
        ((3 + 16 * 4, 0, 4), "^local_dim=4: embeddings of 67 minus global_dim=0 are not a square"),
    ],
)
def test_embeddings_without_a_map_are_refused(sizes: tuple[int, int, int], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Relation(*sizes)
