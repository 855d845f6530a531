"""The figures of a run as one CSV file, however often the run is stopped and resumed."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from siamese_oneshot.utils.io import whole_file

STEP = "step"
Row = dict[str, Any]


class ResumableCSVLogger(Logger):
    """Writes ``csv/version_0/metrics.csv``, where Lightning's logger would write it.

    Lightning's begins another file with each process, and rewrites a file in place where a column
    is new: killed then, the history is lost.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "csv" / "version_0" / "metrics.csv"
        self._rows: list[Row] = []
        self._columns: list[str] | None = None  # of the file; None: not looked at yet

    @property
    def name(self) -> str:
        """Of the folder."""
        return "csv"

    @property
    def version(self) -> int:
        """There is only one."""
        return 0

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parents[2])

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration is in ``.hydra``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note figures of a step; ``save`` writes them."""
        self._rows.append({**{name: _plain(one) for name, one in metrics.items()}, STEP: step})

    @rank_zero_only
    def save(self) -> None:
        """Append what was noted; with a new column, write the file anew, whole or not at all."""
        if not self._rows:
            return
        if self._columns is None:
            self._columns, _ = self._read()
        columns = sorted({*self._columns}.union(*self._rows))
        if columns != self._columns:
            _, rows = self._read()
            self._write(columns, [*rows, *self._rows])
        else:
            with open(self.path, "a", newline="") as file:
                file.write(_text(columns, self._rows))
        self._rows = []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()

    @rank_zero_only
    def sync(self) -> None:
        """Write, and wait until the disk has it: a checkpoint must not outlive its figures."""
        self.save()
        if self.path.exists():
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())

    @rank_zero_only
    def rewind(self, steps: int) -> None:
        """Forget what was logged after so many steps: it is about to be logged again.

        Lines that a killed process left unfinished are forgotten, too.
        """
        self._rows = []
        columns, rows = self._read()
        kept = [row for row in rows if _whole(row) and int(row[STEP]) < steps]
        columns = sorted({name for row in kept for name, one in row.items() if one})
        if kept:
            self._write(columns, kept)
        else:
            self.path.unlink(missing_ok=True)
            self._columns = []

    def _read(self) -> tuple[list[str], list[Row]]:
        try:
            with open(self.path, newline="", encoding="utf-8", errors="replace") as file:
                reader = csv.DictReader(file)
                rows = list(reader)
                return list(reader.fieldnames or ()), rows
        except (FileNotFoundError, csv.Error):
            return [], []

    def _write(self, columns: list[str], rows: list[Row]) -> None:
        header = io.StringIO(newline="")
        csv.writer(header).writerow(columns)
        with whole_file(self.path) as file:
            file.write((header.getvalue() + _text(columns, rows)).encode())
        self._columns = columns


def _text(columns: list[str], rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, extrasaction="ignore").writerows(rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _whole(row: Row) -> bool:
    """Whether all of a row is there: neither cut short nor run into the next."""
    return None not in row and None not in row.values() and str(row.get(STEP)).isdigit()
