"""Whether anything grows faster than the work: batches, ways and classes, times 1, 10 and 100."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.data.batches import EpisodeBatches, PairBatches, generator_for
from siamese_oneshot.data.distort import Distortion
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import episode_trials
from siamese_oneshot.data.glyphs import draw_alphabets
from siamese_oneshot.data.roster import Roster


def growth(parts: Parts) -> Iterator[Figures]:
    """Microseconds for one picture of a planned batch, or for one comparison of a drawn trial."""
    few = draw_alphabets(20, (20, 20), 4, size=28, seed=0)
    rosters = {f"classes x{times}": _roster(repeated(few, times)) for times in (1, 10, 100)}
    yield _figures("pairs planned, by classes", parts, {
        name: _plan(roster, PairBatches(128, 100, distortion=Distortion()))
        for name, roster in rosters.items()
    })  # fmt: skip
    yield _figures("alphabets planned, by classes", parts, {
        name: _plan(roster, EpisodeBatches(4, 16, 3, 100, True, Distortion(elastic=2.0)))
        for name, roster in rosters.items()
    })  # fmt: skip
    yield _figures("pairs planned, by batch", parts, {
        f"{size} pairs": _plan(rosters["classes x1"], PairBatches(size, 9, distortion=Distortion()))
        for size in (32, 320, 3200)
    })  # fmt: skip
    yield _figures("trials drawn, by ways", parts, {
        f"{way} ways": _trials(rosters["classes x10"], way) for way in (5, 50, 500)
    })  # fmt: skip


def repeated(drawings: Drawings, times: int) -> Drawings:
    """The same alphabets over and over, under other names."""
    n, classes, alphabets = (
        len(drawings), len(drawings.class_names), len(drawings.alphabet_names),
    )  # fmt: skip
    number = torch.arange(times)
    return Drawings(
        pixels=drawings.pixels.repeat(times, 1, 1),
        classes=drawings.classes.repeat(times) + classes * number.repeat_interleave(n),
        drawers=drawings.drawers.repeat(times),
        class_names=tuple(f"{k}{name}" for k in range(times) for name in drawings.class_names),
        alphabet_names=tuple(
            f"{k}{name}" for k in range(times) for name in drawings.alphabet_names
        ),
        class_alphabets=drawings.class_alphabets.repeat(times)
        + alphabets * number.repeat_interleave(classes),
        source=drawings.source,
    )


def _roster(drawings: Drawings) -> Roster:
    return Roster(drawings, drawings.positions())


def _plan(roster: Roster, batches: PairBatches | EpisodeBatches) -> Callable[[], int]:
    stream = batches.prepare(roster, 0)
    return lambda: sum(stream[number].positions.numel() for number in range(9))


def _trials(roster: Roster, way: int) -> Callable[[], int]:
    return lambda: episode_trials(roster, 1000, generator_for(0), way).supports.numel()


def _figures(name: str, parts: Parts, works: dict[str, Callable[[], int]]) -> Figures:
    values: dict[str, list[float]] = {one: [] for one in works}
    for turn in range(parts.rounds + 1):
        for one, work in works.items():
            began = time.perf_counter()
            amount = work()
            if turn:  # the first turn warms up
                values[one].append(1e6 * (time.perf_counter() - began) / amount)
    return Figures(name, "µs each", values, "the same or less from row to row is linear or better")
