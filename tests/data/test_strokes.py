"""Strokes: the spline goes through its points, and the pen leaves the ink it should."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.interpolate import CubicHermiteSpline

from siamese_oneshot.data.strokes import POINTS, STOCK, bent, ink, lines, stock


def strokes(n=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.rand(n, POINTS, 2, generator=chance, dtype=torch.float64) * 2 - 1


def test_a_line_goes_through_its_points_whatever_its_roundness():
    points = strokes()
    drawn = lines(points, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 4 * (POINTS - 1) + 1)
    torch.testing.assert_close(drawn[:, ::4], points)


def test_corners_are_straight_and_curves_are_catmull_rom():
    points = strokes(2)
    drawn = lines(points, torch.tensor([0.0, 1.0], dtype=torch.float64), 41)
    places = torch.linspace(0, POINTS - 1, 41)
    knots = list(range(POINTS))
    for k in range(41):  # straight: piece by piece
        piece = min(int(places[k]), POINTS - 2)
        t = float(places[k]) - piece
        want = (1 - t) * points[0, piece] + t * points[0, piece + 1]
        torch.testing.assert_close(drawn[0, k], want, atol=1e-6, rtol=0)
    padded = torch.cat([points[1, :1], points[1], points[1, -1:]])
    slopes = (padded[2:] - padded[:-2]) / 2
    smooth = CubicHermiteSpline(knots, points[1].numpy(), slopes.numpy())(places.numpy())
    torch.testing.assert_close(drawn[1], torch.from_numpy(smooth), atol=1e-6, rtol=0)


def slow_ink(points, size, pen):
    out = torch.zeros(len(points), size, size, dtype=torch.bool)
    for n, drawing in enumerate(points):
        for x, y in drawing.tolist():
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
    points = strokes(4, seed=pen) * 0.99
    points[0, 2] = math.nan
    points[1, 3, 0] = 1.3  # off the paper
    points[2, 0] = torch.tensor([-0.999, -0.999])  # cut off at the corner
    assert torch.equal(ink(points, 11, pen), slow_ink(points, 11, pen))


def test_no_ink_spills_into_the_next_picture():
    corner = torch.full((1, 1, 2), 0.99, dtype=torch.float64)
    nothing = torch.full((1, 1, 2), math.nan, dtype=torch.float64)
    wet = ink(torch.cat([nothing, corner, nothing]), 9, 5)
    assert wet.flatten(1).any(1).tolist() == [False, True, False]


def test_bending_keeps_points_that_meet_together():
    chance = torch.Generator().manual_seed(0)
    points = strokes(50)
    points[:, 4] = points[:, 1]
    moved = bent(points, 0.1, 1.0, chance)
    torch.testing.assert_close(moved[:, 4], moved[:, 1])
    way = (moved - points).norm(dim=-1)
    assert 0.05 < float(way.mean()) < 0.3
    torch.testing.assert_close(bent(points, 0.0, 1.0, chance), points)


def test_a_stock_has_strokes_of_some_length_and_differs_between_alphabets():
    one, other = (stock(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(one[0], other[0])
    for seed in range(30):
        points, roundness, dot = stock(torch.Generator().manual_seed(seed))
        assert points.shape == (STOCK, POINTS, 2)
        assert points.isfinite().all()
        assert float(points.abs().max()) < 2.5
        assert 0 <= float(roundness.min()) <= float(roundness.max()) <= 1
        assert not dot[:4].any()
        length = points.diff(dim=1).norm(dim=-1).sum(1)
        assert float(length[~dot].min()) > 0.3
        assert not dot.any() or float(length[dot].max()) < 0.3
