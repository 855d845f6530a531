"""Generated alphabets from strokes of real ones, with the hands of the people who drew them.

The stroke files hold eight background alphabets by 20 people each. A new character begins as one of
them. Some of its strokes are exchanged for strokes of other characters, some are left out, joined
to others or cut and continued; one character in seven keeps its own. All strokes that one drawing
is made of are of one drawer's number, so that drawings of a character differ as people do; that is
one person within an alphabet, perhaps two where strokes of two alphabets are mixed. Half of
the alphabets are mirrored. Places are complex numbers: x to the right plus i
times y down, in pixels of 105.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese_oneshot.data.omniglot import SMALL1, SMALL2, load_strokes
from siamese_oneshot.data.omniglot.edition import OFFICIAL
from siamese_oneshot.data.splines import distinct, ink
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

Array = NDArray[Any]
Template = Array  # complex (people, strokes, points): one character as written by each person
ALPHABETS = tuple(sorted({*SMALL1, *SMALL2}))
PEOPLE = OFFICIAL.background.drawers
_POINTS = 192  # of a stroke, evenly along it
_FAR = 22.0  # pixels: a person whose stroke is farther from the usual one has drawn another


def check_settings(n_drawers: int, alphabets: Sequence[str] | None) -> None:
    """Refuse more drawers than people, and alphabets without stroke files."""
    check.integer("n_drawers", n_drawers, 1, PEOPLE)
    for name in () if alphabets is None else alphabets:
        check.choice("stroke_alphabets", name, ALPHABETS)
    if alphabets is not None and not alphabets:
        raise ArgumentError("stroke_alphabets", [], f"some of {', '.join(ALPHABETS)}")


def templates(root: str | Path | None = None) -> dict[str, list[Template]]:
    """The characters of the eight alphabets with stroke files, by alphabet.

    Strokes are in one order and direction. A person who wrote other strokes than most is replaced
    by the next one.
    """
    strokes, out = load_strokes(root), {}
    characters = OFFICIAL.background.characters
    for name, first in zip(characters, accumulate(characters.values(), initial=0), strict=False):
        rows = [PEOPLE * (first + k) for k in range(characters[name])]
        if rows[0] in strokes:
            out[name] = [_template([strokes[row + d] for d in range(PEOPLE)]) for row in rows]
    return out


def _template(drawings: list[list[Array]]) -> Template:
    """All drawings of one character, stroke by stroke."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    counts = [len(drawing) for drawing in drawings]
    usual = max(sorted(set(counts)), key=counts.count)
    rows = [k for k, count in enumerate(counts) if count == usual]
    lines = np.array([[_evenly(stroke) for stroke in drawings[k]] for k in rows])
    coarse = lines[:, :, :: _POINTS // 16]
    # Of person a, b, stroke i of a, j of b: mean distance, and that if b went the other way.
    either = [coarse, coarse[..., ::-1]]
    apart = np.stack([np.abs(coarse[:, None, :, None] - b[None, :, None]).mean(-1) for b in either])
    nearest = apart.min(0)
    orders = [[linear_sum_assignment(pair)[1] for pair in row] for row in nearest]
    order = np.array(orders)  # (a, b, stroke of a): stroke of b
    cost = np.take_along_axis(nearest, order[..., None], -1).max((-2, -1))
    middle = int(cost.mean(1).argmin())
    found: dict[int, Array] = {}
    for row, person in enumerate(rows):
        if cost[middle, row] < _FAR:
            mine = order[middle, row]
            back = (
                apart[1, middle, row][range(usual), mine]
                < apart[0, middle, row][range(usual), mine]
            )
            line = lines[row][mine]
            found[person] = np.where(back[:, None], line[:, ::-1], line)
    known = sorted(found)
    return np.stack([found[min(known, key=lambda k: (k - d) % PEOPLE)] for d in range(PEOPLE)])


def _evenly(stroke: Array) -> Array:
    """A stroke ``(points, 3)`` as complex ``(_POINTS,)``."""
    line = stroke[:, 0].astype(float) + 1j * stroke[:, 1]
    along = np.abs(np.diff(line)).cumsum()
    if not len(along) or not along[-1]:
        return np.full(_POINTS, line[0])
    return np.interp(np.linspace(0, along[-1], _POINTS), np.append(0, along), line)


def draw_characters(
    count: int, drawers: int, size: int, rng: np.random.Generator, real: Sequence[list[Template]]
) -> Array:
    """One alphabet from the strokes of real ones: bool ``(count, drawers, size, size)``."""
    alphabet = Recombiner(rng, real)
    people = rng.permutation(PEOPLE)[:drawers]

    def propose(_: list[Array]) -> tuple[Array, list[Array]]:
        lines = alphabet.character()
        return lines, _points(lines[:, :1])

    characters = distinct(count, propose)
    return np.stack([ink(_points(one[:, people]), size) for one in characters])


def _points(lines: Array) -> list[Array]:
    """Complex ``(strokes, drawers, points)`` as a list of ``(drawers, points, 2)``."""
    return list(np.stack([lines.real, lines.imag], -1))


class Recombiner:
    """Makes the characters of one alphabet; what is usual in it is drawn once."""

    def __init__(self, rng: np.random.Generator, real: Sequence[list[Template]]) -> None:
        self.rng = rng
        homes = rng.integers(len(real), size=1 if rng.random() < 0.5 else 2)
        self.pool = [character for home in sorted(set(homes)) for character in real[home]]
        # Few characters give most of the strokes, which so return in several characters.
        self.givers = [self._any() for _ in range(int(rng.integers(6, 24)))]
        self.exchanged = rng.uniform(0.15, 0.7)
        self.joined = rng.uniform(0.3, 0.9)
        self.mirrored = rng.random() < 0.5

    def _any(self) -> Template:
        return self.pool[self.rng.integers(len(self.pool))]

    def _other(self) -> tuple[Template, Array]:
        """A character, and one of its strokes: complex ``(people, points)``."""
        rng = self.rng
        often = rng.random() < 0.7
        whole = self.givers[rng.integers(len(self.givers))] if often else self._any()
        return whole, whole[:, rng.integers(whole.shape[1])]

    def character(self) -> Array:
        """A new character by everyone: complex ``(strokes, people, points)``."""
        rng, base = self.rng, self._any()
        kept = list(range(base.shape[1]))
        if len(kept) > 1 and rng.random() < 0.25:
            kept.remove(int(rng.choice(kept)))
        lines = []
        for k in kept:
            exchanged = rng.random() < max(self.exchanged, 0.6 * (base.shape[1] == 1))
            lines.append(exchange(base[:, k], self._other()[1]) if exchanged else base[:, k])
        if rng.random() < (0.6 if len(lines) == 1 else 0.25 * (len(lines) < 6)):
            whole, stroke = self._other()
            if rng.random() < self.joined:
                host = lines[rng.integers(len(lines))]
                at = rng.choice([0.0, 1.0, rng.uniform(0.2, 0.8)])
                lines.append(join(host, stroke, at, rng.random() < 0.5))
            else:
                lines.append(same_place(np.stack(lines, 1), stroke, whole))
        if rng.random() < 0.15:
            cut = int(rng.integers(len(lines)))
            lines[cut] = continue_as(lines[cut], self._other()[1], rng.uniform(0.3, 0.7))
        return self._set(np.stack(lines), base)

    def _set(self, lines: Array, base: Template) -> Array:
        """Mirrored or not, of a usual size, where each person wrote ``base``."""
        lines = -lines.conj() if self.mirrored else lines
        low, high = _box(lines.swapaxes(0, 1))
        half = (high - low) / 2
        side = np.maximum(half.real, half.imag)
        usual = 30.5 * math.exp(self.rng.normal(0, 0.12))
        scale = np.clip(usual / max(np.median(side), 5), 0.7, 1.35)
        scale = np.minimum(scale, 47 / np.maximum(side, 1))
        place = 104 - _middle(base).conj() if self.mirrored else _middle(base)
        room = half * scale + 3 * (1 + 1j)
        place = np.clip(place.real, room.real, 104 - room.real) + 1j * np.clip(
            place.imag, room.imag, 104 - room.imag
        )
        return (lines - ((low + high) / 2)[:, None]) * scale[:, None] + place[:, None]


def _box(strokes: Array) -> tuple[Array, Array]:
    """Corners of the box around ``(people, strokes, points)``: complex ``(people,)`` each."""
    flat = strokes.reshape(len(strokes), -1)
    x, y = flat.real, flat.imag
    return x.min(1) + 1j * y.min(1), x.max(1) + 1j * y.max(1)


def _middle(strokes: Array) -> Array:
    low, high = _box(strokes)
    return (low + high) / 2


def _side(strokes: Array) -> Array:
    low, high = _box(strokes)
    return np.maximum((high - low).real, (high - low).imag)


def exchange(old: Array, new: Array) -> Array:
    """A stroke where another was, ``(people, points)`` each: from end to end if both are open."""
    gap_old, gap_new = old[:, -1] - old[:, 0], new[:, -1] - new[:, 0]
    side_old, side_new = _side(old), _side(new)
    opened = (np.abs(gap_old) > 0.6 * side_old) & (np.abs(gap_new) > 0.6 * side_new)
    if np.median(opened & (np.abs(gap_old) > 8) & (np.abs(gap_new) > 8)):
        turn = gap_old / np.where(np.abs(gap_new) > 1, gap_new, 1)
        if np.median(np.abs(np.angle(turn))) > 1:  # radians: the stroke would lose its direction
            turn = np.abs(turn)
        middle = (old[:, 0] + old[:, -1]) / 2
        turn = turn * np.clip(np.abs(turn), 0.3, 2.5) / np.maximum(np.abs(turn), 1e-6)
        return (new - (new[:, :1] + new[:, -1:]) / 2) * turn[:, None] + middle[:, None]
    scale = np.clip(np.median(np.maximum(side_old, 6) / np.maximum(side_new, 6)), 0.5, 1.6)
    return (new - _middle(new)[:, None]) * scale + _middle(old)[:, None]


def join(host: Array, new: Array, at: float, end: bool) -> Array:
    """A stroke that begins or ends on another one, at a fraction of that one's length."""
    point = host[:, round(at * (_POINTS - 1))]
    return new - new[:, -1 if end else 0][:, None] + point[:, None]


def same_place(lines: Array, new: Array, whole: Template) -> Array:
    """A stroke where it was within its own character ``whole``, in the box of ``lines``."""
    scale = np.clip(np.median(_side(lines) / np.maximum(_side(whole), 6)), 0.6, 1.5)
    return (new - _middle(whole)[:, None]) * scale + _middle(lines)[:, None]


def continue_as(line: Array, other: Array, part: float) -> Array:
    """The first ``part`` of a stroke, continued by what follows that part of another one."""
    cut = round(part * (_POINTS - 1))
    rest = other[:, cut:] - other[:, cut : cut + 1]
    return np.concatenate([line[:, :cut], rest + line[:, cut : cut + 1]], 1)
