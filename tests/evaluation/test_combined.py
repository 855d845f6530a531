"""Views and ensembles, against means worked out one by one."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from siamese_oneshot.data.distort import Distortion, Warp, distort
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.baselines import PixelNeighbour
from siamese_oneshot.evaluation.combined import MILD, Ensemble, Views
from siamese_oneshot.model.comparator import WeightedL1
from siamese_oneshot.model.encoder import ConvEncoder
from siamese_oneshot.model.network import TwinNetwork, build_network


def network(seed: int, units: int = 8) -> TwinNetwork:
    tower = partial(ConvEncoder, 16, [4], [3], [2], units=units)
    return build_network(tower, WeightedL1, "torch", seed).eval()  # type: ignore[arg-type]


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1)).round()


def test_one_view_is_the_picture_itself(pictures: Tensor) -> None:
    net = network(0)
    assert torch.equal(Views(net, 1).embed(pictures), net.embed(pictures))


def test_views_are_averaged(pictures: Tensor) -> None:
    net = network(0)
    drawn = MILD.draw(2, torch.Generator().manual_seed(3)).matrix
    copies = [pictures, *(distort(pictures, Warp(one.expand(5, 2, 3))) for one in drawn)]
    mean = torch.stack([net.embed(one) for one in copies]).mean(0)
    assert torch.allclose(Views(net, 3, seed=3).embed(pictures), mean, atol=1e-6)


def test_a_view_does_not_depend_on_its_neighbours(pictures: Tensor) -> None:
    made = Views(PixelNeighbour(2), 4, Distortion(probability=1.0))
    whole = made.embed(pictures)
    assert not torch.allclose(whole, PixelNeighbour(2).embed(pictures))
    alone = torch.cat([made.embed(one[None]) for one in pictures])
    assert torch.allclose(whole, alone, atol=1e-6)


def test_views_stand_where_they_are_meant_in_coarse_arithmetic() -> None:
    pictures = torch.rand(4, 1, 105, 105, generator=torch.Generator().manual_seed(1)).round()
    made = Views(PixelNeighbour(2), 2, Distortion(probability=1.0))
    exact = made.embed(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made.embed(pictures), exact)


def test_no_view_is_refused() -> None:
    with pytest.raises(UserError, match="views=0"):
        Views(network(0), 0)


def test_an_ensemble_scores_by_the_mean(pictures: Tensor) -> None:
    members = [network(0), network(1, units=6), network(2)]
    whole = Ensemble(members)
    embedded = whole.embed(pictures)
    assert embedded.shape == (5, 8 + 6 + 8)
    scores = whole.score(embedded[:, None], embedded[None])
    each = []
    for one in members:
        vectors = one.embed(pictures)
        each.append(one.score(vectors[:, None], vectors[None]))
    assert torch.allclose(scores, sum(each) / 3, atol=1e-6)  # type: ignore[arg-type]
