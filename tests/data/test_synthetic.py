"""Generated alphabets: strokes and joints, distinct characters, handwriting, and the cache."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from siamese_oneshot.data import synthetic
from siamese_oneshot.data.synthetic import (
    MAX_PARTS,
    MAX_STROKES,
    Strokes,
    SyntheticConfig,
    draw_alphabets,
    farthest_points,
    invent_characters,
    load_alphabets,
    rasterize,
    smooth_displacement,
    thumbnails,
)
from siamese_oneshot.utils.errors import ArgumentError


def points_of(n=3, many=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, many, 2, generator=rng, dtype=torch.float64) * 2 - 1


def stroke(heading=0.0, length=(1.0,), turn=(0.0,), corner=(0.0,), roundness=0.0):
    """One stroke."""

    def parts(values):
        return torch.tensor([*values, *[0.0] * (MAX_PARTS - len(values))], dtype=torch.float64)

    numbers = (torch.tensor(x, dtype=torch.float64) for x in (heading, roundness))
    first, last = numbers
    return Strokes(first, parts(length), parts(turn), parts(corner), last)


def test_a_straight_part_goes_its_length_in_its_direction():
    line = stroke(heading=math.pi / 2, length=(0.8,)).paths(5)
    expected = torch.tensor([[0, 0], [0, 0.2], [0, 0.4], [0, 0.6], [0, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(line, expected)  # y is down


def test_a_whole_turn_is_a_circle():
    radius = 0.3
    line = stroke(length=(2 * math.pi * radius,), turn=(2 * math.pi,)).paths(201)
    torch.testing.assert_close(line[-1], line[0], atol=1e-9, rtol=0)
    middle = torch.tensor([0.0, radius], dtype=torch.float64)  # to the right of the way: below
    away = (line - middle).norm(dim=1)
    torch.testing.assert_close(away, torch.full_like(away, radius), atol=1e-3, rtol=0)


def test_parts_and_corners_follow_one_another():
    line = stroke(length=(0.6, 0.6), corner=(0.0, -math.pi / 2)).paths(241)
    torch.testing.assert_close(line[114], torch.tensor([0.57, 0.0]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(line[-1], torch.tensor([0.6, -0.6]).double(), atol=0.02, rtol=0)
    cut = stroke(length=(0.6, 0.6), corner=(0.0, -math.pi / 2), roundness=1.0).paths(241)
    corner = torch.tensor([0.6, 0.0], dtype=torch.float64)
    assert float((line - corner).norm(dim=1).min()) < 0.01
    assert float((cut - corner).norm(dim=1).min()) > 0.05
    turn = stroke(length=(0.5, 0.5, 0.5), turn=(0.0, math.pi, 0.0)).paths(301)
    away = torch.tensor([0.0, 2 * 0.5 / math.pi], dtype=torch.float64)
    torch.testing.assert_close(turn[-1], away, atol=1e-3, rtol=0)


def test_paths_against_a_pen_that_takes_small_steps():
    rng = torch.Generator().manual_seed(1)
    many = Strokes(
        *(torch.rand(4, *shape, generator=rng, dtype=torch.float64) * 2
          for shape in ((), (MAX_PARTS,), (MAX_PARTS,), (MAX_PARTS,))),
        torch.rand(4, generator=rng, dtype=torch.float64),
    )  # fmt: skip
    drawn = many.paths(400)
    for k in range(4):
        whole, x, y = float(many.length[k].sum()), 0.0, 0.0
        cut = (0.02 + 0.25 * float(many.roundness[k])) * whole
        for step in range(399):
            along, angle, before = (step + 0.5) / 399 * whole, float(many.heading[k]), 0.0
            for part in range(MAX_PARTS):
                length = float(many.length[k, part])
                angle += float(many.turn[k, part]) * min(max((along - before) / length, 0), 1)
                angle += float(many.corner[k, part]) * min(max((along - before) / cut + 0.5, 0), 1)
                before += length
            x, y = x + math.cos(angle) * whole / 399, y + math.sin(angle) * whole / 399
        torch.testing.assert_close(drawn[k, -1], torch.tensor([x, y], dtype=torch.float64))


def test_a_stroke_of_no_length_is_a_point():
    nowhere = torch.zeros(7, 2, dtype=torch.float64)
    torch.testing.assert_close(stroke(length=(0.0,)).paths(7), nowhere, atol=1e-8, rtol=0)


def slow_raster(points, size, pen):
    out = torch.zeros(len(points), size, size, dtype=torch.bool)
    for n, image in enumerate(points):
        for x, y in image.tolist():
            if math.isnan(x) or not (-1 <= x < 1 and -1 <= y < 1):
                continue
            across, down = ((v + 1) * size / 2 for v in (x, y))
            # The middle of the pen: of a pixel if it is odd, a corner of pixels if it is even.
            snap = (lambda v: math.floor(v) + 0.5) if pen % 2 else (lambda v: math.floor(v + 0.5))
            for row in range(size):
                for column in range(size):
                    off = math.hypot(column + 0.5 - snap(across), row + 0.5 - snap(down))
                    out[n, row, column] |= off <= pen / 2
    return out


@pytest.mark.parametrize("pen", [1, 2, 3, 4, 5, 6])
def test_ink_is_a_disc_at_every_point(pen):
    points = points_of(4, seed=pen) * 0.99
    points[0, 2] = math.nan
    points[1, 3, 0] = 1.3  # off the paper
    points[2, 0] = torch.tensor([-0.999, -0.999])  # cut off at the corner
    assert torch.equal(rasterize(points, 11, pen), slow_raster(points, 11, pen))


def test_no_ink_spills_into_the_next_image():
    corner = torch.full((1, 1, 2), 0.99, dtype=torch.float64)
    nothing = torch.full((1, 1, 2), math.nan, dtype=torch.float64)
    wet = rasterize(torch.cat([nothing, corner, nothing]), 9, 5)
    assert wet.flatten(1).any(1).tolist() == [False, True, False]


def test_bending_keeps_points_that_meet_together():
    rng = torch.Generator().manual_seed(0)
    points = points_of(50)
    points[:, 4] = points[:, 1]
    moved = smooth_displacement(points, 0.1, 1.0, rng)
    torch.testing.assert_close(moved[:, 4], moved[:, 1])
    way = (moved - points).norm(dim=-1)
    assert 0.05 < float(way.mean()) < 0.3
    torch.testing.assert_close(smooth_displacement(points, 0.0, 1.0, rng), points)


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
    one = replace(made, present=torch.ones_like(made.present))
    line = one.lines(SAMPLES)
    assert not line.isnan().any()
    torch.testing.assert_close(line[made.present], made.lines(SAMPLES)[made.present])


FEW = SyntheticConfig(n_alphabets=3, n_characters=(5, 7), n_drawers=6, seed=3)


@pytest.fixture(scope="module")
def drawn():
    return draw_alphabets(FEW, 64)


def widths(pixels):
    """How many runs of ink along rows there are of each length: a count for 0, 1, 2, …"""
    steps = F.pad((pixels > 0).int(), (1, 1)).diff(dim=-1)
    return torch.bincount((steps == -1).nonzero()[:, -1] - (steps == 1).nonzero()[:, -1])


def test_every_class_is_drawn_once_by_every_drawer(drawn):
    assert drawn.digest == "805ae1e1fb764933"  # other images would make figures incomparable
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
    """Cache datasets of any size; returns how often alphabets were drawn for it."""
    calls = []

    def drawn(*args):
        calls.append(args)
        return draw(*args)

    draw = synthetic._drawn
    monkeypatch.setattr(synthetic, "MIN_CACHED_IMAGES", 1)
    monkeypatch.setattr(synthetic, "_drawn", drawn)
    return calls


@pytest.mark.parametrize("first", [0, 7])
def test_alphabets_are_drawn_once_and_then_read_from_the_cache(cached, tmp_path, first):
    expected = draw_alphabets(SMALL, first=first)
    cached.clear()
    for _ in range(3):
        dataset = load_alphabets(SMALL, first=first, cache_dir=tmp_path)
        for name, value in vars(expected).items():
            same = getattr(dataset, name)
            assert torch.equal(same, value) if isinstance(value, torch.Tensor) else same == value
    assert len(cached) == 1
    dataset.pixels[0] = 7  # a copy, not the cache's memory
    again = load_alphabets(SMALL, first=first, cache_dir=tmp_path)
    assert torch.equal(again.pixels, expected.pixels)


def test_images_are_packed_as_they_are_drawn(monkeypatch, tmp_path):
    """All of +experiment=recombined have 1.6 GB unpacked, which the cache once held three times."""
    drawn = []

    def draw(*args):
        for pixels in _drawn(*args):
            assert all(earlier() is None for earlier in drawn[:-1])
            drawn.append(weakref.ref(pixels))
            yield pixels
            del pixels

    _drawn = synthetic._drawn
    monkeypatch.setattr(synthetic, "MIN_CACHED_IMAGES", 1)
    monkeypatch.setattr(synthetic, "_drawn", draw)
    load_alphabets(replace(SMALL, n_alphabets=5), cache_dir=tmp_path)
    assert len(drawn) == 5


def test_other_settings_and_another_generator_have_other_cache_files(cached, tmp_path, monkeypatch):
    digest = load_alphabets(SMALL, cache_dir=tmp_path).digest
    for change in ({"n_alphabets": 4}, {"n_characters": (2, 5)}, {"n_drawers": 3}, {"seed": 6}):
        assert load_alphabets(replace(SMALL, **change), cache_dir=tmp_path).digest != digest
    assert load_alphabets(SMALL, first=1, cache_dir=tmp_path).digest != digest
    assert len(cached) == 6
    monkeypatch.setattr(synthetic, "_code_digest", lambda: "another")
    assert load_alphabets(SMALL, cache_dir=tmp_path).digest == digest
    assert len(cached) == 7


def test_small_datasets_are_not_cached(tmp_path):
    load_alphabets(SMALL, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
