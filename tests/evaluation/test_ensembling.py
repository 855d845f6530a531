"""Ensembles against means computed one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.evaluation.ensembling import Ensemble
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.few_shot import SquaredEuclidean
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import CrossAttention, WeightedL1


def network(
    seed: int, dim: int = 8, similarity: Callable[[int], nn.Module] = WeightedL1
) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4], [3], [2], embedding_dim=dim)
    return build_network(encoder, similarity, "torch", seed).eval()  # type: ignore[arg-type]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1)).round()


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
def test_rows_of_a_table_score_as_their_embeddings(images: Tensor) -> None:
    """By cross-attention, which has a way of its own for many comparisons."""
    encoder = partial(ConvEncoder, 16, [4, 4], [3, 2], [2, 2], embedding_dim=8, local_dim=2)
    similarity = partial(CrossAttention, global_dim=8, local_dim=2, logit_scale_init=0.1)
    members = [build_network(encoder, similarity, "torch", seed).eval() for seed in (0, 1)]  # type: ignore[arg-type]
    members[1].tta = True  # of one of them
    scorer = Ensemble(members)
    table = scorer.embed(images)
    compare = scorer.row_scorer(table)
    assert compare is not None
    rows = torch.arange(5)
    expected = scorer.score(table[:, None], table[None])
    assert torch.allclose(compare(rows[None], rows[None])[0], expected, atol=1e-4)
    mixed = Ensemble([members[0], network(0)])
    assert mixed.row_scorer(mixed.embed(images)) is None  # WeightedL1 has none
