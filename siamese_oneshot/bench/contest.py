"""Contestants take turns at the same work, so that a noisy machine is noisy to all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from tqdm import tqdm


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Attributes:
        work: does it once, to the end (waits for a GPU).
        amount: how many units that is; need not be the same for all.
    """

    work: Callable[[], object]
    amount: float


@dataclass(frozen=True)
class Contest:
    """What was measured.

    Attributes:
        name: of the case.
        unit: of the work, plural.
        rates: units a second by contestant, one a round.
        reference: the contestant that the others are compared with.
        note: what a reader must know.
    """

    name: str
    unit: str
    rates: Mapping[str, list[float]]
    reference: str
    note: str = ""

    def rate(self, name: str) -> float:
        """The median rate."""
        return median(self.rates[name])

    def ratio(self, name: str) -> tuple[float, float, float]:
        """How many times as fast as the reference: median, lowest and highest over rounds."""
        pairs = zip(self.rates[name], self.rates[self.reference], strict=True)
        ratios = sorted(mine / theirs for mine, theirs in pairs)
        return median(ratios), ratios[0], ratios[-1]


def compete(
    name: str,
    unit: str,
    contestants: Mapping[str, Contestant],
    reference: str,
    rounds: int,
    note: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> Contest:
    """Let contestants take turns.

    Args:
        name, unit, reference, note: see ``Contest``.
        contestants: by name.
        rounds: turns of each, after one that does not count.
        clock: seconds.
    """
    rates: dict[str, list[float]] = {one: [] for one in contestants}
    for turn in tqdm(range(rounds + 1), desc=name, leave=False):
        for one, contestant in contestants.items():
            began = clock()
            contestant.work()
            seconds = clock() - began
            if turn:  # the first turn warms up
                rates[one].append(contestant.amount / seconds)
    return Contest(name, unit, rates, reference, note)
