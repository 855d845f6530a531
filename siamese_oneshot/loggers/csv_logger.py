"""The metrics of a run in one CSV file, however often the run is stopped and resumed."""

from __future__ import annotations

import csv
import io
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, open_regular, set_aside

log = logging.getLogger(__name__)

STEP = "step"
_SPEED = "speed/images_per_second"  # of the steps since the last row that has it
Row = dict[str, Any]


class ResumableCSVLogger(Logger):
    """Writes ``csv/version_0/metrics.csv``, the path and format of Lightning's ``CSVLogger``.

    Lightning's logger starts a new file in each process, and rewrites the file in place for a new
    column: if it is killed while it writes, the history is lost.

    Args:
        folder: The run's folder.
    """

    name, version = "csv", 0

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "csv" / "version_0" / "metrics.csv"
        self._rows: list[Row] = []  # not written yet
        self._columns: list[str] | None = None  # of the file; None: not read yet
        self._last: Row = {}  # that has a speed

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parents[2])

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is in ``.hydra``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note metrics of a step; `save` writes them.

        A trainer that is stopped between two logged steps logs the first one's values again: these
        are left out.
        """
        plain = {key: v.item() if hasattr(v, "item") else v for key, v in metrics.items()}
        if _SPEED in plain:
            if plain == self._last:
                return
            self._last = plain
        self._rows.append({**plain, STEP: step})

    @rank_zero_only
    def save(self) -> None:
        """Append the new rows; for a new column, rewrite the file completely or not at all."""
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
        """Write the remaining rows."""
        self.save()

    @rank_zero_only
    def sync(self) -> None:
        """Write, and wait for the disk: a checkpoint must not outlive its metrics."""
        self.save()
        if self.path.exists():
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())

    @rank_zero_only
    def rewind(self, steps: int) -> None:
        """Remove the rows of step ``steps`` and later ones, which will be logged again.

        The last line, if a killed process did not complete it, is removed, too. A file that is
        damaged otherwise is kept as ``metrics.damaged.csv``.
        """
        self._rows = []
        columns, rows = self._read()
        kept = [row for row in rows if _is_complete(row) and int(row[STEP]) < steps]
        if self._is_damaged(columns, rows):
            aside = set_aside(self.path, "damaged")
            log.warning(
                "%s is damaged: it is kept as %s, and the history begins with the %d rows that can "
                "be read",
                self.path, aside, len(kept),
            )  # fmt: skip
        columns = sorted({name for row in kept for name, value in row.items() if value})
        if kept:
            self._write(columns, kept)
        else:
            self.path.unlink(missing_ok=True)
            self._columns = []

    def _read(self) -> tuple[list[str], list[Row]]:
        try:
            with open_regular(self.path, sys.maxsize) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
                reader = csv.DictReader(text)
                rows = list(reader)
                return list(reader.fieldnames or ()), rows
        except (FileNotFoundError, csv.Error):
            return [], []
        except OSError as problem:
            raise UserError(f"{self.path} cannot be read ({problem}): move it away") from problem

    def _is_damaged(self, columns: list[str], rows: list[Row]) -> bool:
        """Whether more than the end of the last line is missing."""
        exists = self.path.is_file() and self.path.stat().st_size > 0
        swallows_lines = any("\n" in str(cell) for row in rows[-1:] for cell in row.values())
        others_cut = not all(map(_is_complete, rows[:-1]))
        return others_cut or swallows_lines or (exists and STEP not in columns)

    def _write(self, columns: list[str], rows: list[Row]) -> None:
        header = dict(zip(columns, columns, strict=True))
        with atomic_write(self.path) as file:
            file.write(_text(columns, [header, *rows]).encode())
        self._columns = columns


def _text(columns: list[str], rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, extrasaction="ignore").writerows(rows)
    return text.getvalue()


def _is_complete(row: Row) -> bool:
    """Whether a row is neither cut short nor merged with the next one, and holds numbers."""
    if None in row or None in row.values() or not str(row.get(STEP)).isdecimal():
        return False
    try:
        return bool([float(cell) for cell in row.values() if cell])
    except ValueError:
        return False
