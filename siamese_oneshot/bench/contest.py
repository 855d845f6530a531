"""Contestants take turns at the same work, so that a noisy machine is noisy to all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from tqdm import tqdm

from siamese_oneshot.tracking.table import Table

Measure = Callable[[], float]  # one turn; the rate in it, units a second


def timed(
    work: Callable[[], object], amount: float, clock: Callable[[], float] = time.perf_counter
) -> Measure:
    """A contestant of this process.

    Args:
        work: one turn, to the end (waits for a GPU).
        amount: how many units that is; need not be the same for all contestants.
        clock: seconds.
    """

    def turn() -> float:
        began = clock()
        work()
        return amount / (clock() - began)

    return turn


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

    def table(self) -> Table:
        """Rates with their spread, and ratios to the reference."""
        headings = ["contestant", f">{self.unit}/s", ">lowest-highest", ">times as fast"]
        made = Table(self.name, [*headings, ">lowest-highest"], note=self.note)
        for name, rates in self.rates.items():
            ratio, low, high = self.ratio(name)
            made.add(
                name,
                f"{self.rate(name):,.1f}",
                f"{min(rates):,.1f}-{max(rates):,.1f}",
                f"{ratio:.2f}",
                f"{low:.2f}-{high:.2f}",
            )
        return made


def compete(
    name: str,
    unit: str,
    contestants: Mapping[str, Measure],
    reference: str,
    rounds: int,
    note: str = "",
) -> Contest:
    """Let contestants take turns.

    Args:
        name, unit, reference, note: see ``Contest``.
        contestants: by name.
        rounds: turns of each, after one that does not count.
    """
    rates: dict[str, list[float]] = {one: [] for one in contestants}
    for turn in tqdm(range(rounds + 1), desc=name, leave=False):
        for one, measure in contestants.items():
            rate = measure()
            if turn:  # the first turn warms up
                rates[one].append(rate)
    return Contest(name, unit, rates, reference, note)
