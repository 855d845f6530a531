"""What earlier processes have logged to a W&B run that goes on, read back from their files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

STEP = "trainer/global_step"
_PATIENCE = 60.0  # seconds for reading: a run of 200,000 rows takes about half of it


@dataclass
class LoggedHistory:
    """A run so far.

    Attributes:
        rows: W&B's own count of rows; 0 for a new run.
        steps: by metric, the last training step at which it was logged.
        best: by metric, the best value, of those whose best is wanted.
    """

    rows: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, place: Path, run_id: str, wanted: Mapping[str, str]) -> LoggedHistory:
        """Read every folder of the run below ``<place>/wandb``.

        Args:
            place: where W&B writes.
            run_id: of the run.
            wanted: ``max`` or ``min`` for each metric whose best value is wanted.
        """
        past = cls()
        until = time.monotonic() + _PATIENCE
        for file in sorted(place.glob(f"wandb/*run-*-{run_id}/run-{run_id}.wandb")):
            try:
                for item in _history(file, until):
                    past.add(item, wanted)
            except (OSError, subprocess.SubprocessError, ValueError) as problem:
                log.warning("W&B may show some steps twice: %s cannot be read: %s", file, problem)
        return past

    def add(self, item: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
        """Count a row of the history."""
        self.rows = max(self.rows, int(item.get("_step", -1)) + 1)
        step = item.get(STEP)
        if step is None:
            return
        for name, value in item.items():
            key = name.partition(".")[0]  # an image's row has images/episode.path and more
            self.steps[key] = max(self.steps.get(key, -1), int(step))
            if key in wanted:
                self.note_best(key, value, wanted[key])

    def note_best(self, key: str, value: Any, kind: str) -> None:
        """Keep the better of the value so far and this one; what is no number is passed over."""
        if isinstance(value, (int, float)) and value == value:
            better = max if kind == "max" else min
            self.best[key] = better(self.best.get(key, value), value)

    def holds(self, key: str, step: int) -> bool:
        """Whether the metric was logged at this training step or a later one."""
        return self.steps.get(key, -1) >= step


def _history(file: Path, until: float) -> Iterator[dict[str, Any]]:
    """The rows of the history in a run's file, by the official client.

    Raises:
        SubprocessError: at the end, where it could not be read whole. One that a kill has cut short
            is whole: what is there was read.
    """
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file.parent)]
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=told, start_new_session=True
        ) as reader,
    ):
        assert reader.stdout is not None
        timer = threading.Timer(until - time.monotonic(), _kill, [reader])
        timer.start()
        try:
            for line in reader.stdout:
                if b'"type":"history"' in line:
                    yield json.loads(line)["history"]["item"]
            status = reader.wait()
        finally:
            timer.cancel()
            if reader.returncode is None:
                _kill(reader)
        if time.monotonic() > until:
            raise subprocess.TimeoutExpired("wandb leet inspect", _PATIENCE)
        told.seek(0)
        words = told.read().decode(errors="replace").strip()
        if status != 0 or "corrupt" in words:  # of what it leaves out the client only tells
            raise subprocess.SubprocessError(words or f"wandb leet inspect exits with {status}")


def _kill(reader: subprocess.Popen[bytes]) -> None:
    """End the client with the process that reads for it, which would keep our pipe open."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(reader.pid, signal.SIGKILL)
    else:
        reader.kill()
