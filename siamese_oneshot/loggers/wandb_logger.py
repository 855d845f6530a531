"""Lightning's W&B logger, which survives failures of W&B and continues the history on resume."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

STEP = "trainer/global_step"
# W&B and `wandb leet` sort charts by name: these two copies come first.
FIRST = {"accuracy": "val/one_shot_accuracy", "batch_loss": "train/loss"}
_SETTINGS = ("lr", "momentum", "train/l2")  # in the summary, and charted once one changes
_TIMEOUT = 60.0  # seconds to read a history; 200,000 rows take about half of it

log = logging.getLogger(__name__)


class ResilientWandbLogger(WandbLogger):
    """Warns once and then stays silent if W&B's service dies.

    In a resumed run, row numbers continue, and metrics that were logged before the interruption are
    not logged again: each step is in the history once.

    Args:
        run: Of ``wandb.init``.
        folder: The run's folder.
        history: What earlier processes logged.
        best: ``max`` or ``min`` for each metric whose best value belongs in the summary.
        checkpoint: Whether to upload the best checkpoint; see `WandbRun`.
    """

    def __init__(
        self,
        run: Any,
        folder: Path,
        history: LoggedHistory,
        best: Mapping[str, str],
        checkpoint: str = "auto",
    ) -> None:
        super().__init__(experiment=run, save_dir=str(folder))
        self.history, self.best, self.checkpoint = history, best, checkpoint
        self.broken = False
        self._settings: dict[str, tuple[Any, set[Any]]] = {}  # first value, its first, last step
        self.resumed = history.rows > 0
        self._row: int | None = history.rows if history.rows > run.starting_step else None
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        for name, kind in best.items():
            run.define_metric(name, step_metric=STEP, summary=kind)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics at a training step, except those that the history already has."""
        new = {**{k: metrics[name] for k, name in FIRST.items() if name in metrics}, **metrics}
        if step is not None and "epoch" in metrics:
            step += 1  # Lightning's own metrics have the steps before this one, others those made
        if step is not None:
            new = {k: v for k, v in new.items() if step > self.history.steps.get(k, -1)}
            if not new:
                return
            new[STEP] = step
        for key, kind in self.best.items():
            self.history.note_best(key, new.get(key), kind)
        for key in [key for key in new if step is not None and key.startswith(_SETTINGS)]:
            if key in self.history.steps:
                continue
            value, steps = self._settings.setdefault(key, (new[key], {step}))
            if value == new[key]:
                self._settings[key] = value, {min(steps), step}
                self.attempt(self.experiment.summary.update, {key: new.pop(key)})
                continue
            self.history.steps[key] = max(steps)
            for one in sorted(steps):
                self.attempt(self._log, {key: value, STEP: one})
        self.attempt(self._log, new)

    def log_hyperparams(self, params: Any) -> None:
        """Add to the configuration."""
        self.attempt(super().log_hyperparams, params)

    def keep_best(self) -> None:
        """Put the best values of the whole run into the summary; W&B knows only this process's."""
        best = {name: {self.best[name]: value} for name, value in self.history.best.items()}
        if self.resumed and best:
            self.attempt(self.experiment.summary.update, best)

    def attempt(self, action: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call something of W&B unless it has failed before; a failure is a warning."""
        if self.broken:
            return
        try:
            action(*args, **kwargs)
        except Exception as problem:
            self.broken = True
            log.warning("W&B logging is off for the rest of this run: %s", problem)

    def _log(self, metrics: dict[str, Any]) -> None:
        # Lightning never passes W&B's row. After the first one W&B counts by itself. Without
        # commit, the next log call would be merged into the row.
        self.experiment.log(metrics, step=self._row, commit=True)
        self._row = None


@dataclass
class LoggedHistory:
    """What earlier processes logged to a W&B run, read back from their files."""

    rows: int = 0  # by W&B's count
    steps: dict[str, int] = field(default_factory=dict)  # the last training step of each metric
    best: dict[str, float] = field(default_factory=dict)  # of each metric whose best is wanted

    @classmethod
    def of(
        cls, wandb_dir: Path, run_id: str, best: Mapping[str, str], own: str = ""
    ) -> LoggedHistory:
        """Read all folders of a run below ``wandb_dir``; ``best`` has max or min by name.

        But for the folder named ``own``, of this process, which has logged nothing yet: reading
        takes more than a second each.
        """
        history = cls()
        deadline = time.monotonic() + _TIMEOUT
        for file in sorted(wandb_dir.glob(f"wandb/*run-*-{run_id}/run-{run_id}.wandb")):
            if file.parent.name == own:
                continue
            try:
                for row in _read_rows(file, deadline):
                    history.add(row, best)
            except (OSError, subprocess.SubprocessError, ValueError) as problem:
                log.warning("W&B may show some steps twice: %s cannot be read: %s", file, problem)
        return history

    def add(self, row: Mapping[str, Any], best: Mapping[str, str]) -> None:
        """Count one row of the history."""
        self.rows = max(self.rows, int(row.get("_step", -1)) + 1)
        step = row.get(STEP)
        if step is None:
            return
        for name, value in row.items():
            key = name.partition(".")[0]  # an image has the columns plots/episode.path and more
            self.steps[key] = max(self.steps.get(key, -1), int(step))
            if key in best:
                self.note_best(key, value, best[key])

    def note_best(self, key: str, value: Any, kind: str) -> None:
        """Keep the better of a metric's value so far and a new one; NaN and text are ignored."""
        if isinstance(value, (int, float)) and value == value:
            better = max if kind == "max" else min
            self.best[key] = better(self.best.get(key, value), value)


def _read_rows(file: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """The rows of the history in a run's file, read by the official client.

    Raises:
        SubprocessError: At the end, if the file could not be read completely. A file that a kill
            has cut short counts as complete.
    """
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file.parent)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        reader = subprocess.Popen(command, stdout=output, stderr=errors, start_new_session=True)
        try:
            status = reader.wait(max(0.0, deadline - time.monotonic()))
        except BaseException:  # end the client with its child process
            with contextlib.suppress(ProcessLookupError):
                os.killpg(reader.pid, signal.SIGKILL) if hasattr(os, "killpg") else reader.kill()
            reader.wait()
            raise
        output.seek(0)
        for line in output:
            if b'"type":"history"' in line:
                yield json.loads(line)["history"]["item"]
        errors.seek(0)
        message = errors.read().decode(errors="replace").strip()
        if status != 0 or "corrupt" in message:  # the client skips corrupt rows and exits with 0
            raise subprocess.SubprocessError(message or f"wandb leet inspect exits with {status}")
