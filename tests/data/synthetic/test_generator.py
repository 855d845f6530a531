"""Generated alphabets: deterministic, distinct, with a handwriting for each drawer; and cached."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from siamese_oneshot.data.synthetic import (
    SyntheticConfig,
    draw_alphabets,
    generator,
    load_alphabets,
)
from siamese_oneshot.data.synthetic.characters import (
    farthest_points,
    invent_characters,
    thumbnails,
)
from siamese_oneshot.utils.errors import ArgumentError

FEW = SyntheticConfig(n_alphabets=3, n_characters=(5, 7), n_drawers=6, seed=3)


@pytest.fixture(scope="module")
def drawn():
    return draw_alphabets(FEW, 64)


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
    assert torch.equal(drawn.pixels, draw_alphabets(FEW, 64).pixels)
    fewer = draw_alphabets(replace(FEW, n_alphabets=2), 64)
    assert torch.equal(drawn.pixels[: len(fewer)], fewer.pixels)
    assert drawn.class_names[: len(fewer.class_names)] == fewer.class_names
    same = replace(FEW, n_characters=(5, 5))
    other = draw_alphabets(replace(same, seed=4), 64)
    assert not torch.equal(draw_alphabets(same, 64).pixels, other.pixels)


def test_the_global_generator_is_neither_read_nor_moved(drawn):
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    assert torch.equal(drawn.pixels, draw_alphabets(FEW, 64).pixels)
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_two_dataset_are_the_same_image(drawn):
    assert len(torch.unique(drawn.pixels.flatten(1), dim=0)) == len(drawn)


def test_all_stay_on_the_paper(drawn):
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert drawn.pixels[:, edge].max() == 0
    assert drawn.pixel_sums.min() > 0


def test_ink_and_width_of_line_are_those_of_omniglot():
    pixels = draw_alphabets(SyntheticConfig(8, (10, 10), 3, seed=1)).pixels
    share = (pixels > 0).float().mean((1, 2))  # Omniglot: 0.080 on average, 5 and 95%: 0.037, 0.130
    assert 0.06 < float(share.mean()) < 0.10
    assert float(share.quantile(0.05)) > 0.015
    assert float(share.quantile(0.95)) < 0.18
    assert int(widths(pixels).argmax()) in (5, 6)  # Omniglot: 5, then 6


@pytest.mark.omniglot
def test_beside_the_real_dataset(omniglot):
    real = omniglot.dataset.pixels[::60]
    made = draw_alphabets(SyntheticConfig(8, (20, 20), 4)).pixels
    assert float((made > 0).float().mean() / (real > 0).float().mean()) == pytest.approx(1, abs=0.2)
    assert abs(int(widths(made).argmax()) - int(widths(real).argmax())) <= 1


def test_characters_of_an_alphabet_are_apart():
    for seed in range(4):
        apart = torch.pdist(thumbnails(invent_characters(30, torch.Generator().manual_seed(seed))))
        # The thumbnail of a single dot has a norm of about 0.5.
        assert float(apart.min()) > 0.5
    looks = torch.tensor([[0.0], [1.0], [9.0], [5.0], [0.1]])
    assert farthest_points(looks, 3).tolist() == [0, 2, 3]


def test_a_drawer_has_a_hand():
    # Six drawers: the same ones draw large in one half of the alphabet and in the other.
    agree = []
    for seed in range(5):
        pixels = draw_alphabets(SyntheticConfig(1, (40, 40), 6, seed), size=32).pixels.view(
            40, 6, 32, 32
        )
        tall = (pixels > 0).any(3).sum(2).float().log()
        hand = tall - tall.mean(1, keepdim=True)
        agree.append(torch.corrcoef(torch.stack([hand[:20].mean(0), hand[20:].mean(0)]))[0, 1])
    assert float(torch.stack(agree).mean()) > 0.7


def test_a_class_resembles_itself_more_than_its_alphabet(drawn):
    far = F.avg_pool2d(drawn.pixels[:, None].float(), 9, 3).flatten(1)
    apart = torch.cdist(far, far)
    same = drawn.classes[:, None] == drawn.classes[None]
    neighbors = (drawn.alphabets[:, None] == drawn.alphabets[None]) & ~same
    same.fill_diagonal_(False)
    assert float(apart[same].mean()) < 0.85 * float(apart[neighbors].mean())


def test_pixels_alone_neither_solve_it_nor_fail():
    # 20-way, every drawer against the next; chance is 0.05, Omniglot 0.15.
    made = draw_alphabets(SyntheticConfig(6, (20, 20), 6))
    flat = made.pixels.view(6, 20, 6, -1).float() / 255
    answers = [
        torch.cdist(flat[a, :, d], flat[a, :, (d + 1) % 6]).argmin(1) == torch.arange(20)
        for a in range(6)
        for d in range(6)
    ]
    assert 0.1 < float(torch.stack(answers).float().mean()) < 0.4


@pytest.mark.parametrize("size", [8, 28, 150])
def test_any_size(size):
    pixels = draw_alphabets(SyntheticConfig(1, (4, 4), 3), size=size).pixels
    assert pixels.shape == (12, size, size)
    assert (pixels.flatten(1) > 0).any(1).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_alphabets": -1}, "n_alphabets=-1: .* from 0 to 999"),
        ({"n_alphabets": 1000}, "n_alphabets=1000: .* from 0 to 999"),
        ({"n_characters": (5, 3)}, r"n_characters=\(5, 3\): the smaller .* first"),
        ({"n_characters": (0, 3)}, r"n_characters=\(0, 3\): .* from 1 to 99"),
        ({"n_characters": (5, 100)}, r"n_characters=\(5, 100\)"),
        ({"n_characters": [5]}, r"n_characters=\[5\]: .* 2 integers"),
        ({"n_characters": 5}, "n_characters=5: .* 2 integers"),
        ({"n_drawers": 0}, "n_drawers=0: .* 1 or more"),
        ({"n_drawers": 2.5}, "n_drawers=2.5: .* integer"),
        ({"seed": -1}, "seed=-1: .* from 0 to"),
    ],
)
def test_bad_sizes_are_refused(wrong, says):
    with pytest.raises(ArgumentError, match=says):
        SyntheticConfig(**wrong)


def test_no_alphabet_or_too_few_pixels_cannot_be_drawn():
    with pytest.raises(ArgumentError, match=r"n_alphabets=0: .* 1 or more"):
        draw_alphabets(SyntheticConfig(0))
    with pytest.raises(ArgumentError, match=r"size=7: .* 8 or more"):
        draw_alphabets(SyntheticConfig(1), size=7)


SMALL = SyntheticConfig(3, (2, 4), 2, 5)


@pytest.fixture
def cached(monkeypatch):
    """Cache datasets of any size; returns the calls of `draw_alphabets`."""
    calls = []

    def draw(*args, **more):
        calls.append(args)
        return draw_alphabets(*args, **more)

    monkeypatch.setattr(generator, "MIN_CACHED_IMAGES", 1)
    monkeypatch.setattr(generator, "draw_alphabets", draw)
    return calls


@pytest.mark.parametrize("first", [0, 7])
def test_alphabets_are_drawn_once_and_then_read_from_the_cache(cached, tmp_path, first):
    expected = draw_alphabets(SMALL, first=first)
    for _ in range(3):
        dataset = load_alphabets(SMALL, first=first, cache_dir=tmp_path)
        assert torch.equal(dataset.pixels, expected.pixels)
        assert torch.equal(dataset.drawers, expected.drawers)
        assert dataset.class_names == expected.class_names
        assert torch.equal(dataset.class_alphabets, expected.class_alphabets)
        assert dataset.source == "synthetic"
    assert len(cached) == 1
    dataset.pixels[0] = 7  # a copy, not the cache's memory
    again = load_alphabets(SMALL, first=first, cache_dir=tmp_path)
    assert torch.equal(again.pixels, expected.pixels)


def test_other_settings_and_another_generator_have_other_cache_files(cached, tmp_path, monkeypatch):
    digest = load_alphabets(SMALL, cache_dir=tmp_path).digest
    for change in ({"n_alphabets": 4}, {"n_characters": (2, 5)}, {"n_drawers": 3}, {"seed": 6}):
        assert load_alphabets(replace(SMALL, **change), cache_dir=tmp_path).digest != digest
    assert load_alphabets(SMALL, first=1, cache_dir=tmp_path).digest != digest
    assert len(cached) == 6
    monkeypatch.setattr(generator, "_code_digest", lambda: "another")
    assert load_alphabets(SMALL, cache_dir=tmp_path).digest == digest
    assert len(cached) == 7


def test_a_damaged_cache_file_is_replaced(cached, tmp_path, caplog):
    expected = load_alphabets(SMALL, cache_dir=tmp_path)
    (path,) = tmp_path.glob("*.bits")
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    assert torch.equal(load_alphabets(SMALL, cache_dir=tmp_path).pixels, expected.pixels)
    assert "is not used" in caplog.text
    assert len(cached) == 2


def test_small_datasets_are_not_cached(tmp_path):
    load_alphabets(SMALL, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
