"""Test-time augmentation and ensembles against means computed one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.evaluation.ensembling import Ensemble, TestTimeAugmentation
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.few_shot import SquaredEuclidean
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import CrossAttention, WeightedL1


def network(
    seed: int, dim: int = 8, similarity: Callable[[int], nn.Module] = WeightedL1
) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4], [3], [2], embedding_dim=dim)
    return build_network(encoder, similarity, "torch", seed).eval()  # type: ignore[arg-type]


class Pixels(nn.Module):
    def embed(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1)).round()


@torch.no_grad()
def test_the_scores_of_three_views_are_averaged(images: Tensor) -> None:
    """Turned by right angles, whose pixels are exact, in place of 112 degrees."""
    net = network(0)
    tta = TestTimeAugmentation(net)
    right_angles = torch.tensor([[[0, 1, 0], [1, 0, 0]], [[0, -1, 0], [-1, 0, 0]]])
    tta.matrix.copy_(right_angles)
    embedded = tta.embed(images)
    scores = tta.score(embedded[:, None], embedded[None])
    each = []
    for view in (images, images.mT, images.rot90(2, (2, 3)).mT):
        vectors = net.embed(view)
        each.append(net.score(vectors[:, None], vectors[None]))
    assert torch.allclose(scores, sum(each) / 3, atol=1e-5)  # type: ignore[arg-type]
    assert not torch.allclose(scores, each[0], atol=1e-3)


def test_both_views_are_mirrored_and_turned() -> None:
    """Where the right end of a level line goes: 112 degrees beyond the left end, each way."""
    tta = TestTimeAugmentation(network(0))
    x, y = -math.cos(math.radians(112)), math.sin(math.radians(112))
    ends = torch.tensor([[x, -y], [x, y]])
    assert torch.allclose(tta.matrix[:, :, 0], ends, atol=1e-6)
    assert torch.allclose(torch.linalg.det(tta.matrix[:, :, :2]), torch.tensor(-1.0))
    assert not tta.matrix[:, :, 2].any()


def test_a_view_does_not_depend_on_its_neighbors(images: Tensor) -> None:
    tta = TestTimeAugmentation(network(0))
    single = torch.cat([tta.embed(one[None]) for one in images])
    assert torch.allclose(tta.embed(images), single, atol=1e-6)


def test_views_stand_where_they_are_meant_in_coarse_arithmetic() -> None:
    images = torch.rand(4, 1, 105, 105, generator=torch.Generator().manual_seed(1)).round()
    tta = TestTimeAugmentation(Pixels())
    exact = tta.embed(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tta.embed(images), exact)


def test_an_ensemble_scores_by_the_mean(images: Tensor) -> None:
    members = [network(0), network(1, dim=6), network(2)]
    ensemble = Ensemble(members)
    embedded = ensemble.embed(images)
    assert embedded.shape == (5, 8 + 6 + 8)
    scores = ensemble.score(embedded[:, None], embedded[None])
    each = []
    for net in members:
        vectors = net.embed(images)
        each.append(net.score(vectors[:, None], vectors[None]))
    assert torch.allclose(scores, sum(each) / 3, atol=1e-6)  # type: ignore[arg-type]


@torch.no_grad()
def test_each_network_says_how_several_images_of_a_class_are_compared(images: Tensor) -> None:
    """By its prototype, or by the mean score."""
    members = [network(0), network(1, similarity=SquaredEuclidean)]
    ensemble = Ensemble(members)
    embedded = ensemble.embed(images)
    scores = ensemble.score_class(embedded[0], embedded[1:])
    query, supports = members[0].embed(images).split([1, 4])
    mean = members[0].score(query, supports).mean()
    query, supports = members[1].embed(images).split([1, 4])
    assert torch.allclose(scores, (mean + members[1].score(query[0], supports.mean(0))) / 2)


@torch.no_grad()
@pytest.mark.parametrize("tta", [False, True])
def test_rows_of_a_table_score_as_their_embeddings(images: Tensor, tta: bool) -> None:
    """By cross-attention, which has a way of its own for many comparisons."""
    encoder = partial(ConvEncoder, 16, [4, 4], [3, 2], [2, 2], embedding_dim=8, local_dim=2)
    similarity = partial(CrossAttention, global_dim=8, local_dim=2, logit_scale_init=0.1)
    members = [build_network(encoder, similarity, "torch", seed).eval() for seed in (0, 1)]  # type: ignore[arg-type]
    scorer = Ensemble([TestTimeAugmentation(one) if tta else one for one in members])
    table = scorer.embed(images)
    compare = scorer.row_scorer(table)
    assert compare is not None
    rows = torch.arange(5)
    expected = scorer.score(table[:, None], table[None])
    assert torch.allclose(compare(rows[None], rows[None])[0], expected, atol=1e-4)
    mixed = Ensemble([members[0], network(0)])
    assert mixed.row_scorer(mixed.embed(images)) is None  # WeightedL1 has none
