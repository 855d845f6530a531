"""Facts of the real Omniglot."""

import hashlib
import os

import numpy as np
import pytest
import torch

from siamese_oneshot.data.omniglot import (
    BACKGROUND,
    EVALUATION,
    RUN_ALPHABETS,
    RUN_DRAWERS,
    SMALL1,
    SMALL2,
    load_omniglot,
)


@pytest.mark.omniglot
def test_real_counts(omniglot):
    dataset = omniglot.dataset
    assert dataset.pixels.shape == (32460, 105, 105)
    assert set(dataset.pixels[::50].unique().tolist()) == {0, 255}
    assert dataset.alphabet_names == BACKGROUND + EVALUATION
    assert list(BACKGROUND) == sorted(BACKGROUND)
    assert list(EVALUATION) == sorted(EVALUATION)
    assert len(BACKGROUND) == 30
    assert len(set(BACKGROUND + EVALUATION)) == 50
    assert len(dataset.indices(BACKGROUND)) == 964 * 20
    assert len(dataset.indices(EVALUATION)) == 659 * 20
    assert len(dataset.class_names) == 1623
    assert dataset.classes.bincount().unique().tolist() == [20]
    assert dataset.drawers.bincount().tolist() == [1623] * 20
    # ink is 255: far more paper than ink in every image, and no empty one
    share = dataset.pixel_sums / 255 / 105**2
    assert 0.002 < share.min() < share.max() < 0.25


@pytest.mark.omniglot
def test_real_digest(omniglot):
    """Over all pixels in canonical order, recomputed from what a user of the loader sees."""
    digests = []
    for part in (slice(None, 19280), slice(19280, None)):
        rows = np.packbits(omniglot.dataset.pixels[part].numpy().reshape(-1, 11025) == 255, axis=1)
        digests.append(hashlib.sha256(rows.tobytes()).hexdigest()[:16])
    assert digests == ["fa99ab70a348e2f9", "5bdcd30aa88e9096"]


@pytest.mark.omniglot
def test_the_one_repeated_image(omniglot):
    first, second = 240 * 20 + 2, 240 * 20 + 18  # drawers 3 and 19 of the 241st character
    assert torch.equal(omniglot.dataset.pixels[first], omniglot.dataset.pixels[second])
    assert not torch.equal(omniglot.dataset.pixels[first], omniglot.dataset.pixels[first + 1])


def by_run(runs):
    """Queries (20,) and supports (20,) of each run."""
    supports = runs.supports.view(20, 20, 20)
    assert (supports == supports[:, :1]).all()  # those of a run's first query are those of all
    return list(zip(runs.queries.view(20, 20), supports[:, 0], strict=True))


@pytest.mark.omniglot
def test_lake_runs_runs(omniglot):
    dataset, runs = omniglot.dataset, omniglot.runs
    assert (len(runs), runs.way, runs.shot) == (400, 20, 1)
    right = runs.supports[range(400), runs.answers, 0]
    assert torch.equal(dataset.classes[right], dataset.classes[runs.queries])
    # an answer is not simply its own column
    assert (runs.answers.view(20, 20) == torch.arange(20)).float().mean() < 0.2
    alphabets = []
    for queries, supports in by_run(runs):
        both = torch.cat([queries, supports])
        (alphabet,) = dataset.alphabets[both].unique().tolist()
        alphabets.append(dataset.alphabet_names[alphabet])
        assert len(dataset.classes[supports].unique()) == 20
        assert len(dataset.drawers[queries].unique()) == 1
        assert len(dataset.drawers[supports].unique()) == 1
    assert sorted(alphabets) == sorted(RUN_ALPHABETS * 2)


@pytest.mark.omniglot
def test_the_drawers_of_the_runs_are_four_of_each_alphabet(omniglot):
    """The runs' files do not name drawers; the loader matched their pixels to those of the set."""
    dataset, runs = omniglot.dataset, omniglot.runs
    found = {name: set() for name in RUN_ALPHABETS}
    for queries, supports in by_run(runs):
        name = dataset.alphabet_names[dataset.alphabets[queries[0]]]
        drawers = set(dataset.drawers[torch.cat([queries, supports])].tolist())
        assert len(drawers) == 2
        assert not drawers & found[name]  # the two runs of an alphabet share no drawer
        found[name] |= drawers
    assert found == {name: set(drawers) for name, drawers in RUN_DRAWERS.items()}


@pytest.mark.omniglot
def test_the_first_run_by_hand(omniglot):
    """run01/class_labels.txt: item01 is class08, item02 is class09, item03 is class02."""
    assert omniglot.runs.answers[:3].tolist() == [7, 8, 1]


@pytest.mark.omniglot
@pytest.mark.skipif(
    not os.environ.get("SIAMESE_ONESHOT_LONG"), reason="decodes 32,460 images: SIAMESE_ONESHOT_LONG"
)
def test_real_cold_equals_warm(omniglot, tmp_path):
    cold = load_omniglot(download=False, cache_dir=tmp_path)
    assert torch.equal(cold.dataset.pixels, omniglot.dataset.pixels)
    assert torch.equal(cold.runs.queries, omniglot.runs.queries)


def test_the_small_splits_are_background_alphabets():
    assert set(SMALL1) | set(SMALL2) <= set(BACKGROUND)
    assert len(SMALL1) == len(SMALL2) == 5
    assert len(RUN_ALPHABETS) == 10
    assert set(RUN_ALPHABETS) <= set(EVALUATION)
