"""Alphabets of splines: ink against a slow reference, anchors, hands, statistics."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import check_ink_and_size, check_the_config_decides

from siamese_oneshot.data.splines import INK_RADIUS, Character, Hands, Script, Stroke, ink
from siamese_oneshot.data.synthetic import SyntheticConfig, draw_alphabets, load_alphabets
from siamese_oneshot.utils.errors import ArgumentError

FEW = SyntheticConfig(3, (5, 7), 6, 3, "splines")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [105, 40])
def test_ink_is_what_lies_near_the_line(size):
    points = rng().uniform(-4, 109, (2, 12, 2))  # some beyond the canvas
    rows, columns = np.mgrid[:size, :size]
    expected = np.zeros((2, size, size), bool)
    for n in range(2):
        for x, y in (points[n] + 0.5) * size / 105 - 0.5:
            expected[n] |= (columns - x) ** 2 + (rows - y) ** 2 <= (INK_RADIUS * size / 105) ** 2
    assert np.array_equal(ink([points[:, :5], points[:, 5:]], size), expected)


def written(stroke, places, drawers=1, steady=True):
    character = Character([np.array(place, float) for place in places], [stroke])
    return Hands(drawers, rng(), steady).write(character)[0]


def test_a_stroke_runs_through_its_anchors_and_turns_as_it_is_told():
    places = [(-1, -1), (1, -1), (1, 1)]
    sharp = written(Stroke([0, 1, 2], [False] * 3, [0, 0]), places)[0]
    smooth = written(Stroke([0, 1, 2], [True] * 3, [0, 0]), places)[0]
    corner = np.array([sharp[:, 0].max(), sharp[:, 1].min()])
    assert np.hypot(*(sharp - corner).T).min() < 1
    assert 3 < np.hypot(*(smooth - corner).T).min() < 15
    side = np.ptp(sharp, 0)
    np.testing.assert_allclose(side, 62, atol=0.2)  # fills its place
    np.testing.assert_allclose(sharp[-1] - sharp[0], side, atol=0.2)
    step = np.hypot(*np.diff(sharp, axis=0).T)
    assert step.max() < 1.5  # the line has no gaps


def test_a_bow_is_an_arc_on_its_side():
    left = written(Stroke([0, 1], [False] * 2, [0.4]), [(-1, 0), (1, 0)])[0]
    right = written(Stroke([0, 1], [False] * 2, [-0.4]), [(-1, 0), (1, 0)])[0]
    for line, side in ((left, -1), (right, 1)):
        chord = line[[0, -1], 1].mean()
        assert 0.3 < side * (line[len(line) // 2, 1] - chord) / 62 < 0.5


def test_a_mouse_has_places_on_its_grid():
    hands = Hands(1, rng())
    line = hands.mouse(np.linspace([[10.0, 20.0]], [[60.0, 31.0]], 40).swapaxes(0, 1))[0]
    places = line[:: math.ceil(2 * hands.spacing.max())] / hands.grid
    assert len(places) > 10
    np.testing.assert_allclose(places, places.round(), atol=1e-6)


def test_strokes_that_meet_meet_nearly_in_every_hand():
    strokes = [Stroke([0, 1], [False] * 2, [0]), Stroke([1, 2], [False] * 2, [0])]
    places = [np.array(place, float) for place in ((-1, -1), (1, -1), (1, 1))]
    first, second = Hands(400, rng()).write(Character(places, strokes))
    gap = np.hypot(*(first[:, -1] - second[:, 0]).T)
    assert 1 < np.median(gap) < 5  # Omniglot's: within 3 pixels where strokes meet
    far = np.hypot(*(first[:, 0] - second[:, -1]).T)
    assert np.median(far) > 60


def test_no_two_characters_of_an_alphabet_are_alike():
    for seed in range(2):
        characters = Script(rng(seed)).alphabet(20)
        assert len(characters) == 20
        plain = Hands(1, rng(), steady=True)
        looks = {ink(plain.write(one), 105).tobytes() for one in characters}
        assert len(looks) == 20


@pytest.fixture(scope="module")
def drawn():
    return draw_alphabets(FEW)


def test_the_config_decides_and_the_number_of_alphabets_does_not(drawn):
    check_the_config_decides(FEW, drawn, "764bee02a8459caf")
    assert len(torch.unique(drawn.pixels.flatten(1), dim=0)) == len(drawn)
    assert set(drawn.pixels.unique().tolist()) == {0, 255}


def test_statistics_are_near_those_of_omniglot():
    pixels = draw_alphabets(SyntheticConfig(6, (20, 20), 3, 1, "splines")).pixels > 0
    check_ink_and_size(pixels, width=53, height=60, within=7)
    # 20-way by pixels, every drawer against the next: Omniglot 0.15, chance 0.05.
    flat = pixels.view(6, 20, 3, -1).float()
    answers = [
        torch.cdist(flat[a, :, d], flat[a, :, (d + 1) % 3]).argmin(1) == torch.arange(20)
        for a in range(6)
        for d in range(3)
    ]
    assert 0.1 < float(torch.stack(answers).float().mean()) < 0.23


def test_a_style_has_a_cache_file_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr("siamese_oneshot.data.synthetic.MIN_CACHED_IMAGES", 1)
    small = SyntheticConfig(2, (2, 3), 2)
    digests = {
        load_alphabets(replace(small, style=s), 0, tmp_path).digest for s in ("parts", "splines")
    }
    assert len(digests) == len(list(tmp_path.glob("*.bits"))) == 2
    again = load_alphabets(replace(small, style="splines"), 0, tmp_path)
    assert again.digest == draw_alphabets(replace(small, style="splines")).digest
    with pytest.raises(ArgumentError, match=r"style=arcs: .* parts, splines"):
        SyntheticConfig(style="arcs")
