"""Generated alphabets: deterministic, distinct, and drawn by hands that differ."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from siamese_oneshot.data.synthetic.characters import far_apart, invent, sketch
from siamese_oneshot.data.synthetic.generator import draw_alphabets
from siamese_oneshot.utils.errors import UserError

FEW = {"alphabets": 3, "characters": (5, 7), "drawers": 6, "size": 64, "seed": 3}


@pytest.fixture(scope="module")
def drawn():
    return draw_alphabets(**FEW)


def widths(pixels):
    """How many runs of ink along rows there are of each length: a count for 0, 1, 2, …"""
    steps = F.pad((pixels > 0).int(), (1, 1)).diff(dim=-1)
    return torch.bincount((steps == -1).nonzero()[:, -1] - (steps == 1).nonzero()[:, -1])


def test_every_class_is_drawn_once_by_every_drawer(drawn):
    assert drawn.source == "synthetic"
    assert drawn.pixels.shape[1:] == (64, 64)
    assert set(drawn.pixels.unique().tolist()) == {0, 255}
    assert drawn.alphabet_names == ("Generated_001", "Generated_002", "Generated_003")
    assert drawn.class_names[0] == "Generated_001/character01"
    assert list(drawn.class_names) == sorted(set(drawn.class_names))
    for name, alphabet in zip(drawn.class_names, drawn.class_alphabets.tolist(), strict=True):
        assert name.startswith(drawn.alphabet_names[alphabet] + "/")
    counts = torch.bincount(drawn.class_alphabets)
    assert counts.min() >= 5
    assert counts.max() <= 7
    seen = list(zip(drawn.classes.tolist(), drawn.drawers.tolist(), strict=True))
    assert seen == [(c, d) for c in range(int(counts.sum())) for d in range(6)]


def test_the_seed_decides_and_the_number_of_alphabets_does_not(drawn):
    assert torch.equal(drawn.pixels, draw_alphabets(**FEW).pixels)
    fewer = draw_alphabets(**{**FEW, "alphabets": 2})
    assert torch.equal(drawn.pixels[: len(fewer)], fewer.pixels)
    assert drawn.class_names[: len(fewer.class_names)] == fewer.class_names
    same = {**FEW, "characters": (5, 5)}
    other = draw_alphabets(**{**same, "seed": 4})
    assert not torch.equal(draw_alphabets(**same).pixels, other.pixels)


def test_the_global_generator_is_neither_read_nor_moved(drawn):
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    assert torch.equal(drawn.pixels, draw_alphabets(**FEW).pixels)
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_two_dataset_are_the_same_image(drawn):
    assert len(torch.unique(drawn.pixels.flatten(1), dim=0)) == len(drawn)


def test_all_stay_on_the_paper(drawn):
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert drawn.pixels[:, edge].max() == 0
    assert drawn.ink.min() > 0


def test_ink_and_width_of_line_are_those_of_omniglot():
    pixels = draw_alphabets(8, (10, 10), 3, seed=1).pixels
    share = (pixels > 0).float().mean((1, 2))  # Omniglot: 0.080 on average, 5 and 95%: 0.037, 0.130
    assert 0.06 < float(share.mean()) < 0.10
    assert float(share.quantile(0.05)) > 0.015
    assert float(share.quantile(0.95)) < 0.18
    assert int(widths(pixels).argmax()) in (5, 6)  # Omniglot: 5, then 6


@pytest.mark.omniglot
def test_beside_the_real_dataset(omniglot):
    real = omniglot.dataset.pixels[::60]
    made = draw_alphabets(8, (20, 20), 4).pixels
    assert float((made > 0).float().mean() / (real > 0).float().mean()) == pytest.approx(1, abs=0.2)
    assert abs(int(widths(made).argmax()) - int(widths(real).argmax())) <= 1


def test_characters_of_an_alphabet_are_apart():
    for seed in range(4):
        apart = torch.pdist(sketch(invent(30, torch.Generator().manual_seed(seed))))
        # The sketch of a lone dot has a norm of about 0.5.
        assert float(apart.min()) > 0.5
    looks = torch.tensor([[0.0], [1.0], [9.0], [5.0], [0.1]])
    assert far_apart(looks, 3).tolist() == [0, 2, 3]


def test_a_drawer_has_a_hand():
    # Six drawers: the same ones draw large in one half of the alphabet and in the other.
    agree = []
    for seed in range(5):
        pixels = draw_alphabets(1, (40, 40), 6, size=32, seed=seed).pixels.view(40, 6, 32, 32)
        tall = (pixels > 0).any(3).sum(2).float().log()
        hand = tall - tall.mean(1, keepdim=True)
        agree.append(torch.corrcoef(torch.stack([hand[:20].mean(0), hand[20:].mean(0)]))[0, 1])
    assert float(torch.stack(agree).mean()) > 0.7


def test_a_class_resembles_itself_more_than_its_alphabet(drawn):
    far = F.avg_pool2d(drawn.pixels[:, None].float(), 9, 3).flatten(1)
    apart = torch.cdist(far, far)
    same = drawn.classes[:, None] == drawn.classes[None]
    neighbours = (drawn.alphabets[:, None] == drawn.alphabets[None]) & ~same
    same.fill_diagonal_(False)
    assert float(apart[same].mean()) < 0.85 * float(apart[neighbours].mean())


def test_pixels_alone_neither_solve_it_nor_fail():
    # 20-way, every drawer against the next; chance is 0.05, Omniglot 0.15.
    made = draw_alphabets(6, (20, 20), 6)
    flat = made.pixels.view(6, 20, 6, -1).float() / 255
    answers = [
        torch.cdist(flat[a, :, d], flat[a, :, (d + 1) % 6]).argmin(1) == torch.arange(20)
        for a in range(6)
        for d in range(6)
    ]
    assert 0.1 < float(torch.stack(answers).float().mean()) < 0.4


@pytest.mark.parametrize("size", [8, 28, 150])
def test_any_size(size):
    pixels = draw_alphabets(1, (4, 4), 3, size=size).pixels
    assert pixels.shape == (12, size, size)
    assert (pixels.flatten(1) > 0).any(1).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"alphabets": 0}, "alphabets=0: .* from 1 to 999"),
        ({"alphabets": 1000}, "alphabets=1000: .* from 1 to 999"),
        ({"characters": (5, 3)}, r"characters=\(5, 3\): the smaller .* first"),
        ({"characters": (0, 3)}, r"characters=\(0, 3\): .* from 1 to 99"),
        ({"characters": (5, 100)}, r"characters=\(5, 100\)"),
        ({"characters": [5]}, r"characters=\[5\]: .* 2 whole numbers"),
        ({"characters": 5}, "characters=5: .* 2 whole numbers"),
        ({"drawers": 0}, "drawers=0: .* 1 or more"),
        ({"drawers": 2.5}, "drawers=2.5: .* whole number"),
        ({"size": 7}, "size=7: .* 8 or more"),
        ({"seed": -1}, "seed=-1: .* from 0 to"),
    ],
)
def test_numbers_that_make_no_alphabet_are_refused(wrong, says):
    with pytest.raises(UserError, match=rf"data\.glyphs.*{says}"):
        draw_alphabets(**{"alphabets": 1, "characters": (3, 4), "drawers": 2, **wrong})
