"""Alphabets thought up: strokes meet where they are said to, and characters fill their place."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from siamese_oneshot.data.synthetic.characters import MAX_STROKES, Characters, invent_characters
from siamese_oneshot.data.synthetic.strokes import MAX_PARTS

SAMPLES = 31


@pytest.fixture(scope="module")
def alphabets():
    return [invent_characters(25, torch.Generator().manual_seed(seed)) for seed in range(6)]


def test_so_many_characters_of_one_to_five_strokes(alphabets):
    for made in alphabets:
        assert made.present.shape == (25, MAX_STROKES)
        assert made.strokes.length.shape == (25, MAX_STROKES, MAX_PARTS)
        count = made.present.sum(1)
        assert int(count.min()) >= 1
        assert torch.equal(
            made.present, torch.arange(MAX_STROKES) < count[:, None]
        )  # the first ones
    assert len({round(float(made.present.sum(1).float().mean()), 2) for made in alphabets}) > 3


def test_strokes_meet_where_they_are_said_to(alphabets):
    met = loose = 0
    for made in alphabets:
        line = made.lines(SAMPLES)
        for c in range(25):
            for k in range(1, MAX_STROKES):
                if not made.present[c, k]:
                    continue
                parent = int(made.parent[c, k])
                assert parent < k
                there = round(float(made.parent_point[c, k]) * (SAMPLES - 1))
                here = round(float(made.own_point[c, k]) * (SAMPLES - 1))
                gap = line[c, k, here] - line[c, parent, there]
                torch.testing.assert_close(gap, made.gap[c, k] * made.scale[c])
                met += not made.gap[c, k].any()
                loose += bool(made.gap[c, k].any())
    assert met > 4 * loose > 0


def test_characters_fill_their_place(alphabets):
    sizes = []
    for made in alphabets:
        line = made.lines(24).flatten(1, 2)
        assert torch.equal(line.isnan().any(-1).sum(1), 24 * (~made.present).sum(1))
        high, low = line.nan_to_num(-9).amax(1), line.nan_to_num(9).amin(1)
        torch.testing.assert_close(high, -low)  # in the middle
        sizes.append(high.amax(1))
    size = torch.cat(sizes)
    assert 0.9 < float(size.median()) < 1.1
    assert float(size.max()) < 2.5


def test_strokes_come_back_in_other_characters(alphabets):
    again = []
    for made in alphabets:
        paths = made.strokes.paths(5)[made.present].flatten(1)
        again.append(1 - len(torch.unique(paths, dim=0)) / len(paths))
    assert max(again) > 0.3
    assert min(again) < max(again) - 0.1  # an alphabet's style


def test_a_missing_stroke_is_not_drawn_but_may_not_hold_another(alphabets):
    made = alphabets[0]
    one = Characters(**{**vars(made), "present": torch.ones_like(made.present)})
    line = one.lines(SAMPLES)
    assert not line.isnan().any()
    torch.testing.assert_close(line[made.present], made.lines(SAMPLES)[made.present])
    assert {field.name for field in dataclasses.fields(made)} == set(vars(made))
