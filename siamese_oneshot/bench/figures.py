"""Measurements that are no race: each with its median and spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siamese_oneshot.tracking.table import Table


@dataclass(frozen=True)
class Figures:
    """Several values of each of some things.

    Attributes:
        name: of the case.
        unit: of all values.
        values: by what was measured.
        note: what a reader must know.
        digits: after the point.
    """

    name: str
    unit: str
    values: Mapping[str, list[float]]
    note: str = ""
    digits: int = 2

    def table(self) -> Table:
        """Medians with the lowest and highest value."""
        from statistics import median

        made = Table(self.name, ["", f">{self.unit}", ">lowest-highest", ">times"], note=self.note)
        for name, values in self.values.items():
            low, high = (f"{one:,.{self.digits}f}" for one in (min(values), max(values)))
            made.add(name, f"{median(values):,.{self.digits}f}", f"{low}-{high}", str(len(values)))
        return made
