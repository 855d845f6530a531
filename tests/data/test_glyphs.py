"""Generated alphabets: deterministic, distinct, and drawn by hands that differ."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from siamese_oneshot.data.glyphs import draw_alphabets
from siamese_oneshot.errors import UserError


@pytest.fixture(scope="module")
def drawn():
    return draw_alphabets(3, (5, 7), drawers=6, size=64, seed=3)


def test_every_class_is_drawn_once_by_every_drawer(drawn):
    assert drawn.pixels.shape[1:] == (64, 64)
    assert set(drawn.pixels.unique().tolist()) == {0, 255}
    assert drawn.alphabet_names == ("Generated_001", "Generated_002", "Generated_003")
    assert drawn.class_names[0] == "Generated_001/character01"
    counts = torch.bincount(drawn.class_alphabets)
    assert counts.min() >= 5
    assert counts.max() <= 7
    seen = {(c, d) for c, d in zip(drawn.classes.tolist(), drawn.drawers.tolist(), strict=True)}
    assert seen == {(c, d) for c in range(int(counts.sum())) for d in range(6)}


def test_the_seed_decides_and_the_number_of_alphabets_does_not(drawn):
    again = draw_alphabets(3, (5, 7), drawers=6, size=64, seed=3)
    assert torch.equal(drawn.pixels, again.pixels)
    fewer = draw_alphabets(2, (5, 7), drawers=6, size=64, seed=3)
    assert torch.equal(drawn.pixels[: len(fewer)], fewer.pixels)
    other = draw_alphabets(3, (5, 7), drawers=6, size=64, seed=4)
    assert len(other) != len(drawn) or not torch.equal(drawn.pixels, other.pixels)


def test_ink_is_about_as_scarce_as_on_omniglot(drawn):
    share = (drawn.pixels > 0).float().mean((1, 2))
    assert 0.02 < float(share.mean()) < 0.12
    assert float(share.min()) > 0.002, "a picture is empty"


def test_no_two_drawings_are_the_same_picture(drawn):
    assert len(torch.unique(drawn.pixels.flatten(1), dim=0)) == len(drawn)


def test_a_class_resembles_itself_more_than_its_alphabet(drawn):
    far = F.avg_pool2d(drawn.pixels[:, None].float(), 15, 4).flatten(1)
    far = F.normalize(far - far.mean(0), dim=1)
    alike = far @ far.T
    same = drawn.classes[:, None] == drawn.classes[None]
    neighbours = (drawn.alphabets[:, None] == drawn.alphabets[None]) & ~same
    same.fill_diagonal_(False)
    assert float(alike[same].mean()) > float(alike[neighbours].mean()) + 0.1


@pytest.mark.parametrize(
    "wrong", [{"alphabets": 0}, {"characters": (5, 3)}, {"drawers": 0}, {"size": 4}]
)
def test_numbers_that_make_no_alphabet_are_refused(wrong):
    with pytest.raises(UserError, match=r"data\.glyphs"):
        draw_alphabets(**{"alphabets": 1, "characters": (3, 4), "drawers": 2, **wrong})
