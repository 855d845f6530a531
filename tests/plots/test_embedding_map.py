"""The embedding map: where the images are, and in which colors."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.plots.embedding_map import (
    COLORS,
    distinct_colors,
    draw_embedding_map,
    joint_shares,
    spread,
    tsne,
)


def test_the_map_keeps_classes_together_and_repeats(dataset: CharacterDataset) -> None:
    indices = torch.arange(36)  # AlphabetA
    vectors = torch.nn.functional.one_hot(dataset.classes[indices], 6).float() * 4
    vectors += torch.randn(36, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    places = tsne(vectors)
    assert np.array_equal(places, tsne(vectors))
    assert places.min() == 0
    assert places.max() == 1
    centers = np.stack([places[6 * k : 6 * k + 6].mean(0) for k in range(6)])
    nearest = np.linalg.norm(places[:, None] - centers, axis=2).argmin(1)
    assert nearest.tolist() == [k // 6 for k in range(36)]
    figure = draw_embedding_map(dataset, indices, vectors)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert (canvas < 1).any(axis=2).sum() > 1000
    title = "test set: embeddings of AlphabetA, 6 characters, 36 images"
    assert figure.get_suptitle().startswith(title)
    labels = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert [*labels] == ["01", "02", "03", "04", "05", "06"], "each class is named"
    assert len({tuple(color) for color in labels.values()}) == 6
    again = draw_embedding_map(dataset, indices, vectors).axes[0].images[0].get_array()
    assert np.array_equal(canvas, np.asarray(again))
    inks = np.unique(canvas.reshape(-1, 3), axis=0)
    for color in COLORS[:6]:  # one for each class
        assert np.abs(inks - color).max(1).min() < 1e-9


def test_shares_of_neighbors_have_the_perplexity() -> None:
    points = np.random.default_rng(0).normal(size=(12, 3)) * 5
    squared = ((points[:, None] - points) ** 2).sum(2)
    expected = np.zeros((12, 12))
    for row in range(12):
        others = np.delete(np.arange(12), row)

        def conditional(precision: float, away: np.ndarray = squared[row, others]) -> np.ndarray:
            weights = np.exp(-precision * (away - away.min()))
            return weights / weights.sum()

        def entropy(logarithm: float) -> float:
            share = conditional(math.exp(logarithm))
            return -(share * np.log(np.maximum(share, 1e-300))).sum() - math.log(4)

        expected[row, others] = conditional(math.exp(brentq(entropy, -20, 20)))
    expected = (expected + expected.T) / 24
    found = joint_shares(torch.from_numpy(squared), 4.0).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_collapsed_network_has_no_map(dataset: CharacterDataset, value: float) -> None:
    with pytest.raises(ValueError, match="all embeddings are equal"):
        draw_embedding_map(dataset, torch.arange(36), torch.full((36, 16), value))


def test_places_move_apart_and_no_further() -> None:
    rng = np.random.default_rng(0)
    crowd = np.vstack([rng.normal(0.3, 0.01, (30, 2)), [[0.3, 0.3]] * 3, [[0.9, 0.8]]])
    moved = spread(crowd, 0.05)
    lengths = np.linalg.norm(moved[:, None] - moved, axis=2) + np.eye(len(moved))
    assert lengths.min() > 0.045
    assert np.array_equal(moved[-1], crowd[-1])  # alone already
    assert np.abs(moved[:-1].mean(0) - crowd[:-1].mean(0)).max() < 1e-9
    corner = spread(np.zeros((9, 2)), 0.3)
    assert corner.min() >= 0
    assert corner.max() <= 1


def test_neighbors_differ_in_color() -> None:
    """Ten on a line with three colors: by hand, equal colors are at least two apart."""
    line = np.stack([np.arange(10.0), np.zeros(10)], 1)
    colors = distinct_colors(line, 3)
    assert colors[:4] == [0, 1, 2, 0]
    assert all(one != other for one, other in pairwise(colors))
    assert set(colors) == {0, 1, 2}
