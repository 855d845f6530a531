"""Strokes: the pen goes where it is told, and leaves the ink it should."""

from __future__ import annotations

import math

import pytest
import torch

from siamese_oneshot.data.synthetic.strokes import (
    MAX_PARTS,
    Strokes,
    rasterize,
    smooth_displacement,
)


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
