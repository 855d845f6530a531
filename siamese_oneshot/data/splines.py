"""Generated alphabets by control points: where the pen goes, how hands differ, Omniglot's ink.

A character is a set of strokes between anchors, points of the alphabet's lattice or of earlier
strokes. A stroke is a cubic B-spline: an anchor that it turns at sharply counts three times. Hands
move anchors, joints, curves and the whole; sizes of all these are those of the strokes of eight
background alphabets (docs/strokes.md). The pen is a mouse: its places are rounded to the pixels of
a canvas, and ink is what is near the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")
INK_RADIUS = 2.45  # pixels of 105
_APART = 0.6  # squared distance of two characters in 13 × 13 pixels
_FINE = 10  # samples of a span of a spline
# Of steps right, down-right, down, … up-right, by the strokes' histogram.
_DIRECTIONS = np.array([0.26, 0.11, 0.27, 0.12, 0.03, 0.02, 0.08, 0.11])


@dataclass
class Stroke:
    """Anchors that a stroke runs through; of each, whether it turns smoothly there.

    Attributes:
        anchors: Numbers of anchors.
        smooth: Of each anchor; the ends' do not count.
        bows: Of each step between anchors: the arc's height by the step's length; 0 is straight.
        curls: Radius and turn of a circle at the start and at the end; 0 is none.
    """

    anchors: list[int]
    smooth: list[bool]
    bows: list[float]
    curls: list[float] = field(default_factory=lambda: [0.0, 0.0])


@dataclass
class Character:
    """Strokes, and the places of anchors, ``(2,)`` each: x right, y down, about -1 … 1."""

    places: list[Array]
    strokes: list[Stroke]


def draw_characters(count: int, drawers: int, size: int, rng: np.random.Generator) -> Array:
    """One alphabet: bool ``(count, drawers, size, size)``."""
    script = Script(rng)
    characters = script.alphabet(count)
    hands = Hands(drawers, rng)
    lines = [hands.write(character) for character in characters]
    return np.stack([ink(line, size) for line in lines])


def distinct(count: int, propose: Callable[[list[T]], tuple[T, list[Array]]]) -> list[T]:
    """Characters, no two alike.

    Args:
        count: Number of characters.
        propose: Makes a character, given those before it, and draws its strokes once: a list of
            ``(1, points, 2)`` in pixels of 105.
    """
    made: list[T] = []
    looks = np.empty((0, 169))
    apart, n_tried = _APART, 0
    while len(made) < count:
        character, line = propose(made)
        length = sum(np.hypot(*np.diff(one[0], axis=0).T).sum() for one in line)
        page = ink(line, 105)[0]
        look = page[:104, :104].reshape(13, 8, 13, 8).mean((1, 3)).ravel()
        # Neither a single line nor a scribble, and hardly any line drawn twice.
        once = page.sum() > 0.85 * (4.9 * length + 19 * len(line))
        fits = (90 < length < 380 and once) or n_tried > 100 * count
        if fits and (((looks - look) ** 2).sum(1) > apart).all():
            made.append(character)
            looks = np.concatenate([looks, look[None]])
        n_tried += 1
        apart *= 0.995 if n_tried > 4 * count else 1  # a poor script may have too few
    return made


class Script:
    """What is usual in one alphabet."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        columns, rows = rng.integers(2, 4), rng.integers(3, 5)
        x = np.linspace(-1, 1, columns) + rng.normal(0, 0.08, columns)
        y = np.linspace(-1, 1, rows) + rng.normal(0, 0.08, rows)
        x *= math.exp(rng.normal(-0.25, 0.25))
        self.lattice = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        self.directions = _DIRECTIONS * np.exp(rng.normal(0, 0.5, 8))
        self.upright = rng.uniform(1, 6)  # how rare other directions than along the axes are
        self.smooth = rng.beta(0.7, 0.9)
        self.curved = rng.beta(0.7, 1.9)
        self.curl = 0.2 * rng.random() ** 3
        self.n_strokes = rng.uniform(0.4, 2.4)  # besides the first
        self.steps = rng.dirichlet([5, 4, 2.5, 1.2])
        self.bars = rng.beta(0.8, 2)
        self.joined = rng.uniform(0.45, 1.0)
        self.shared = rng.uniform(0.3, 0.9)  # how often a character begins as another one does
        self.dots = 0.3 * rng.random() ** 2

    def alphabet(self, count: int) -> list[Character]:
        """Characters, no two alike."""
        plain = Hands(1, self.rng, steady=True)

        def propose(earlier: list[Character]) -> tuple[Character, list[Array]]:
            character = self.character(earlier)
            return character, plain.write(character)

        return distinct(count, propose)

    def character(self, earlier: list[Character]) -> Character:
        """A character that may begin as one of ``earlier`` does."""
        rng = self.rng
        n = 1 + min(int(rng.poisson(self.n_strokes)), 6)
        places, strokes = list(self.lattice), []
        if earlier and rng.random() < self.shared:
            number = int(rng.beta(0.7, 1.4) * len(earlier))
            other = earlier[min(number, len(earlier) - 1)]
            n_kept = max(1, len(other.strokes) - int(rng.integers(2)))
            places, strokes = list(other.places), list(other.strokes[:n_kept])
            n = min(n_kept + 1, 7)
        while len(strokes) < n:
            strokes.append(self.stroke(places, strokes))
        return Character(places, strokes)

    def stroke(self, places: list[Array], earlier: list[Stroke]) -> Stroke:
        """A stroke of a character that has ``earlier`` ones; its new anchors join ``places``."""
        rng = self.rng
        used = sorted({k for stroke in earlier for k in stroke.anchors})
        steps = {pair for one in earlier for pair in pairwise(one.anchors)}
        if earlier and rng.random() < self.dots:
            places.append(rng.uniform(-1.2, 1.2, 2))
            return Stroke([len(places) - 1], [False], [])
        if earlier and rng.random() < self.bars and (along := self.along(places, earlier)):
            middle, step = along  # a bar across a stroke, or from it to one side
            level = np.array([1.0, 0.0] if abs(step[1]) > abs(step[0]) else [0.0, 1.0])
            halves = rng.uniform(0.35, 1.0, 2) * (rng.random(2) < 0.75)
            halves[0] = halves[0] or max(halves[1], 0.5)
            places += [middle - halves[0] * level, middle + halves[1] * level]
            return Stroke([len(places) - 2, len(places) - 1], [False] * 2, [rng.normal(0, 0.02)])
        here = self.anchor(places, earlier, used)
        anchors, n_steps = [here], 1 + int(rng.choice(4, p=self.steps))
        last = None
        for number in range(n_steps):
            there = np.array(places) - places[here]
            far = np.hypot(*there.T)
            angle = np.arctan2(there[:, 1], there[:, 0])
            sector = np.rint(angle / (math.pi / 4)).astype(int) % 8
            slope = np.abs(np.sin(2 * angle))
            weight = self.directions[sector] * np.exp(-0.7 * far - self.upright * slope)
            weight = weight * (far > 0.45)
            if last is not None:  # seldom straight back
                weight = weight * np.where(np.cos(angle - last) < -0.8, 0.02, 1)
                weight = np.where(weight > 0, np.maximum(weight, 0.04 * (far > 0.45)), 0)
            weight[[k for k in range(len(places)) if {(here, k), (k, here)} & steps]] *= 0.02
            weight[anchors[1:]] *= 0.4
            if number == n_steps - 1 and rng.random() < 0.15:
                weight[used + anchors[:1]] *= 4  # closes
            k = int(rng.choice(len(places), p=weight / weight.sum()))
            last = angle[k]
            steps |= {(here, k)}
            anchors.append(k)
            here = k
        side = rng.choice([-1, 1])
        bows = [
            side * rng.uniform(0.15, 0.65) if rng.random() < self.curved else rng.normal(0, 0.02)
            for _ in range(n_steps)
        ]
        curls = [
            rng.choice([-1, 1]) * rng.uniform(0.18, 0.35) if rng.random() < self.curl else 0.0
            for _ in range(2)
        ]
        return Stroke(anchors, list(rng.random(n_steps + 1) < self.smooth), bows, curls)

    def anchor(self, places: list[Array], earlier: list[Stroke], used: list[int]) -> int:
        """Where a stroke begins: at one of another stroke, along one, or anywhere."""
        rng = self.rng
        if earlier and rng.random() < self.joined:
            if rng.random() < 0.5:
                return int(rng.choice(used))
            if along := self.along(places, earlier):
                places.append(along[0])
                return len(places) - 1
        weight = np.exp(-self.lattice.sum(1))  # at the top left
        return int(rng.choice(len(weight), p=weight / weight.sum()))

    def along(self, places: list[Array], earlier: list[Stroke]) -> tuple[Array, Array] | None:
        """A place along a straight step of an earlier stroke, and the step; None without one."""
        straight = [
            pair
            for one in earlier
            for pair, bow in zip(pairwise(one.anchors), one.bows, strict=True)
            if abs(bow) < 0.1
        ]
        if not straight:
            return None
        first, second = straight[self.rng.integers(len(straight))]
        step = places[second] - places[first]
        return places[first] + self.rng.choice([0.3, 0.5, 0.5, 0.7]) * step, step


class Hands:
    """How each drawer of an alphabet writes."""

    def __init__(self, drawers: int, rng: np.random.Generator, steady: bool = False) -> None:
        self.rng, self.n, self.amount = rng, drawers, 0.0 if steady else 1.0
        normal = lambda *shape: self.amount * rng.normal(0, 1, shape)  # noqa: E731
        self.size = 62 * np.exp(
            0.05 * normal(1, 1) + 0.07 * normal(drawers, 1) + 0.05 * normal(drawers, 2)
        )
        self.center = 51 + 2.9 * normal(drawers, 2)
        self.slant, self.turn = 0.04 * normal(drawers), 0.015 * normal(drawers)
        self.loose = np.exp(0.3 * normal(drawers, 1))
        self.round = self.amount * np.exp(0.6 * normal(drawers, 1))
        self.spacing = 1.5 * np.exp(0.35 * normal(drawers))
        self.grid = rng.uniform(0.75, 1.0) if self.amount else 0.1

    def write(self, character: Character) -> list[Array]:
        """Of each stroke, in pixels of 105: ``(drawers, points, 2)``."""
        rng, n = self.rng, self.n
        noise = lambda sd, *shape: self.amount * rng.normal(0, sd, (*shape, n, 2))  # noqa: E731
        loose = self.loose * np.exp(self.amount * rng.normal(0, 0.25, (n, 1)))
        base = np.stack(character.places)[:, None]
        # Rows and columns of anchors move together, so that level strokes stay nearly level.
        wave = np.sin(
            base * rng.uniform(0.5, 2.5, (2, 1, n, 2)) + rng.uniform(0, 6.3, (2, 1, n, 2))
        )
        anchors = base + loose * (noise(0.12, 2, 1) * wave).sum(0)
        anchors = anchors + loose * noise(0.04, len(base))
        lines = []
        for stroke in character.strokes:
            places = anchors[stroke.anchors] + loose * noise(0.03, len(stroke.anchors))
            lines.append(self._spline(stroke, places, loose))
        slant = self.slant + self.amount * rng.normal(0, 0.06, n)
        turn = self.turn + self.amount * rng.normal(0, 0.025, n)
        rows = [[np.cos(turn), -np.sin(turn) - slant], [np.sin(turn), np.cos(turn)]]
        matrix = np.moveaxis(np.array(rows), -1, 0)  # (n, 2, 2)
        lines = [np.einsum("nij,pnj->npi", matrix, line) for line in lines]
        every = np.concatenate(lines, 1)
        low, high = every.min(1), every.max(1)
        side = np.median((high - low).max(1))
        size = self.size * np.exp(rng.normal(0, 0.12) * self.amount)
        size = size * np.exp(
            self.amount * (rng.normal(0, 0.08, (n, 1)) + rng.normal(0, 0.06, (n, 2)))
        )
        scale = size / max(side, 0.5)
        place = self.center + self.amount * (rng.normal(0, 1.8, 2) + rng.normal(0, 4.5, (n, 2)))
        half = (high - low) * scale / 2
        place = np.clip(place, half + 4, 100 - half)
        middle = (low + high) / 2
        return [
            self.mouse((line - middle[:, None]) * scale[:, None] + place[:, None]) for line in lines
        ]

    def _spline(self, stroke: Stroke, places: Array, loose: Array) -> Array:
        """``(points, drawers, 2)``."""
        rng, n = self.rng, self.n
        if len(places) == 1:  # a dot, or a blob
            blob = rng.normal(0, 0.04, (n, 1)) * self.amount
            path = np.cumsum(rng.normal(0, 1, (6, n, 2)), 0) * blob
            return places[0] + path
        controls = [places[0]] * 3
        corner = 0.12 * self.round * np.exp(self.amount * rng.normal(0, 0.5, (n, 1)))
        for k, bow in enumerate(stroke.bows):
            start, end = places[k], places[k + 1]
            step = end - start
            up = np.stack([step[:, 1], -step[:, 0]], -1)
            height = bow * (1 + self.amount * rng.normal(0, 0.15, (n, 1)))
            height = height + self.amount * rng.normal(0, 0.026, (n, 1)) * loose
            if k and not stroke.smooth[k]:
                before = start - places[k - 1]
                controls += [start - corner * before, start, start + corner * step]
            elif k:
                controls += [start]
            controls += [start + t * step + 1.05 * height * up for t in (0.3, 0.7)]
        controls += [places[-1]] * 3
        for end, curl in enumerate(stroke.curls):
            if curl:
                controls = self._curl(controls, curl, end)
        from scipy.interpolate import BSpline  # slow to import

        points = np.stack(controls)
        knots = np.arange(len(points) + 4) - 3
        at = np.linspace(0, len(points) - 3, _FINE * (len(points) - 3) + 1)
        return np.asarray(BSpline(knots, points, 3)(at))

    def _curl(self, controls: list[Array], curl: float, end: int) -> list[Array]:
        """Controls with a circle at one end."""
        points = controls if end else controls[::-1]
        step = points[-1] - points[-4]
        ahead = step / np.maximum(np.hypot(*step.T), 1e-6)[:, None]
        side = np.stack([ahead[:, 1], -ahead[:, 0]], -1)
        vary = lambda mean, sd: mean + self.amount * self.rng.normal(0, sd, (self.n, 1))  # noqa: E731
        radius, far, flat = curl * vary(1, 0.2), vary(5.6, 0.6), vary(0.85, 0.2)
        circle = [
            points[-1]
            + abs(radius) * np.sin(a * far) * ahead
            + flat * radius * (1 - np.cos(a * far)) * side
            for a in np.linspace(0.12, 1, 8)
        ]
        points = [*points[:-2], *circle, circle[-1], circle[-1]]
        return points if end else points[::-1]

    def mouse(self, line: Array) -> Array:
        """The line through places of a mouse, ``(drawers, points, 2)``, about 0.8 pixels apart."""
        step = np.hypot(*np.moveaxis(np.diff(line, axis=1), -1, 0))
        along = np.concatenate([np.zeros((self.n, 1)), step.cumsum(1)], 1)
        count = 2 + int(along[:, -1].max() / np.median(self.spacing))
        out = np.empty((self.n, count, 2))
        for k in range(self.n):
            own = max(2, min(count, 2 + int(along[k, -1] / self.spacing[k])))
            at = np.linspace(0, along[k, -1], own)
            at = at[np.linspace(0, own - 1, count).round().astype(int)]
            for axis in (0, 1):
                out[k, :, axis] = np.interp(at, along[k], line[k, :, axis])
        from scipy.ndimage import gaussian_filter1d

        wobble = gaussian_filter1d(self.rng.normal(0, 1, out.shape), 3, axis=1)
        out = np.rint((out + self.amount * 0.7 * wobble) / self.grid) * self.grid
        fine = max(2, math.ceil(2 * float(np.max(self.spacing))))
        part = np.arange(fine)[:, None] / fine
        between = out[:, :-1, None] + part * np.diff(out, axis=1)[:, :, None]
        return np.concatenate([between.reshape(self.n, -1, 2), out[:, -1:]], 1)


def ink(lines: list[Array], size: int) -> Array:
    """Pixels near lines: bool ``(drawers, size, size)``."""
    points = (np.concatenate(lines, 1) + 0.5) * (size / 105) - 0.5
    radius = INK_RADIUS * size / 105
    n, reach = len(points), math.ceil(radius)
    edge = 2 * reach + 2  # a frame for ink beyond the page
    page = np.zeros((n, size + 2 * edge, size + 2 * edge), bool)
    side = page.shape[1]
    points = points.clip(-reach - 1, size + reach)
    corner = np.floor(points).astype(int)
    rest = points - corner
    first = (np.arange(n)[:, None] * side + corner[..., 1] + edge) * side + corner[..., 0] + edge
    flat = page.reshape(-1)
    for y in range(-reach, reach + 2):
        for x in range(-reach, reach + 2):
            near = (rest[..., 0] - x) ** 2 + (rest[..., 1] - y) ** 2 <= radius**2
            flat[(first + y * side + x)[near]] = True
    return page[:, edge:-edge, edge:-edge]
