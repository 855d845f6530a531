"""Test-time augmentation and ensembles against means computed one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.ensembling import MILD, Ensemble, TestTimeAugmentation
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.few_shot import SquaredEuclidean
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.utils.errors import UserError


def network(
    seed: int, dim: int = 8, similarity: Callable[[int], nn.Module] = WeightedL1
) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4], [3], [2], embedding_dim=dim)
    return build_network(encoder, similarity, "torch", seed).eval()  # type: ignore[arg-type]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1)).round()


def test_views_are_averaged(images: Tensor) -> None:
    net = network(0)
    drawn = MILD.draw(2, torch.Generator().manual_seed(3)).matrix
    copies = [images, *(apply_warp(images, Warp(one.expand(5, 2, 3))) for one in drawn)]
    mean = torch.stack([net.embed(one) for one in copies]).mean(0)
    assert torch.allclose(TestTimeAugmentation(net, 3, seed=3).embed(images), mean, atol=1e-6)
    assert torch.equal(TestTimeAugmentation(net, 1).embed(images), net.embed(images))
    with pytest.raises(UserError, match="n_views=0"):
        TestTimeAugmentation(net, 0)


def test_a_view_does_not_depend_on_its_neighbors(images: Tensor) -> None:
    tta = TestTimeAugmentation(PixelNearestNeighbor("l2"), 4, Augmentation(probability=1.0))
    ensemble = tta.embed(images)
    assert not torch.allclose(ensemble, PixelNearestNeighbor("l2").embed(images))
    single = torch.cat([tta.embed(one[None]) for one in images])
    assert torch.allclose(ensemble, single, atol=1e-6)


def test_views_stand_where_they_are_meant_in_coarse_arithmetic() -> None:
    images = torch.rand(4, 1, 105, 105, generator=torch.Generator().manual_seed(1)).round()
    tta = TestTimeAugmentation(PixelNearestNeighbor("l2"), 2, Augmentation(probability=1.0))
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
    """By its prototype, or by the mean score; a baseline by the mean score, too."""
    members = [network(0), network(1, similarity=SquaredEuclidean)]
    ensemble = Ensemble(members)
    embedded = ensemble.embed(images)
    scores = ensemble.score_class(embedded[0], embedded[1:])
    query, supports = members[0].embed(images).split([1, 4])
    mean = members[0].score(query, supports).mean()
    query, supports = members[1].embed(images).split([1, 4])
    assert torch.allclose(scores, (mean + members[1].score(query[0], supports.mean(0))) / 2)
    for scorer in (members[1], PixelNearestNeighbor("l2")):
        tta = TestTimeAugmentation(scorer, 2)
        query, supports = tta.embed(images).split([1, 4])
        prototype, each = scorer.score(query, supports.mean(0)), scorer.score(query, supports)
        expected = prototype if scorer is members[1] else each.mean()
        assert torch.allclose(tta.score_class(query[0], supports), expected)
