"""The figures that a run logged on its way, as curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siamese_oneshot.reports.folders import natural

_STEP = "step"
_MOST_COLUMNS = 300  # of a file that is no file of ours


@dataclass
class Curve:
    """One figure over the steps of a training.

    Attributes:
        steps: ascending.
        values: as many, finite.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def thinned(self, most: int) -> Curve:
        """At most about ``most`` points: of each stretch its lowest and its highest.

        The first, the last, the lowest and the highest point always stay.
        """
        count = len(self.steps)
        if count <= most:
            return self
        stretch = -(-2 * count // max(2, most - 2))
        kept = {0, count - 1}
        for start in range(0, count, stretch):
            places = range(start, min(start + stretch, count))
            kept.add(min(places, key=self.values.__getitem__))
            kept.add(max(places, key=self.values.__getitem__))
        chosen = sorted(kept)
        return Curve([self.steps[n] for n in chosen], [self.values[n] for n in chosen])


def read_curves(folder: Path) -> tuple[dict[str, Curve], list[str]]:
    """Every column of ``csv/**/metrics.csv``, by name.

    A run that was resumed has a file for each time it was begun; a later file counts from its first
    step on, so that steps that were taken twice appear once.

    Returns:
        Curves with at least one point, and what could not be read, in words.
    """
    found: dict[str, dict[int, float]] = {}
    complaints: list[str] = []
    paths = sorted((folder / "csv").rglob("metrics.csv"), key=lambda path: natural(str(path)))
    for path in paths:
        try:
            mine = _read(path)
        except (OSError, csv.Error) as problem:
            complaints.append(f"{path.relative_to(folder)} cannot be read: {problem}")
            continue
        first = min((step for column in mine.values() for step in column), default=None)
        if first is not None:
            for column in found.values():
                for step in [step for step in column if step >= first]:
                    del column[step]
        for name, column in mine.items():
            found.setdefault(name, {}).update(column)
    curves = {
        name: Curve(sorted(column), [column[step] for step in sorted(column)])
        for name, column in found.items()
        if column
    }
    return curves, complaints


def _read(path: Path) -> dict[str, dict[int, float]]:
    columns: dict[str, dict[int, float]] = {}
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.reader(file)
        names = next(lines, [])[:_MOST_COLUMNS]
        if _STEP not in names:
            return {}
        place = names.index(_STEP)
        for line in lines:
            step = _number(line[place]) if place < len(line) else None
            if step is None or not 0 <= step < 2**31:
                continue
            for name, text in zip(names, line, strict=False):
                value = _number(text) if text and name != _STEP else None
                if value is not None:
                    columns.setdefault(name, {})[int(step)] = value
    return columns


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:  # a line that was being written
        return None
    return value if math.isfinite(value) else None


def merged(curves: dict[str, Curve]) -> list[tuple[str, Curve]]:
    """Curves that are point for point the same as one, under all their names."""
    groups: list[tuple[list[str], Curve]] = []
    for name, curve in curves.items():
        for names, other in groups:
            if other == curve:
                names.append(name)
                break
        else:
            groups.append(([name], curve))
    if len(groups) == 1 and len(groups[0][0]) > 2:
        return [(f"all {len(groups[0][0])}", groups[0][1])]
    return [(joined(names), curve) for names, curve in groups]


def joined(names: Sequence[str]) -> str:
    """``conv1, conv2``; of many the first and how many more."""
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
