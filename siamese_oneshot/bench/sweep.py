"""Jobs of a sweep one after the other, and side by side on the same cores."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from siamese_oneshot.bench.contest import Contest, Measure, compete
from siamese_oneshot.bench.parts import Parts

_STEPS = 120  # of each job
_JOBS = 2
SERIAL = "one after the other"


def sweep(parts: Parts) -> Iterator[Contest]:
    """Two seeds of the default experiment as one command each, start-up counted."""
    launchers = {SERIAL: [], "hydra/launcher=joblib": ["hydra/launcher=joblib"]}
    contestants = {name: _command(parts, line) for name, line in launchers.items()}
    yield compete(
        "two jobs of a sweep",
        "steps",
        contestants,
        SERIAL,
        parts.rounds,
        f"default experiment, {_JOBS} seeds of {_STEPS} steps with one validation, one command; "
        f"joblib with n_jobs={_JOBS}, the cores divided",
    )


def _command(parts: Parts, line: list[str]) -> Measure:
    if line:
        line = [*line, f"hydra.launcher.n_jobs={_JOBS}"]

    def turn() -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "siamese_oneshot.train", "-m",
                f"seed={','.join(map(str, range(_JOBS)))}", f"trainer.max_steps={_STEPS}",
                f"batches.steps={_STEPS}", "test=false", "logger=none", "callbacks.album=null",
                "data.fallback=null", f"hydra.sweep.dir={folder}", *line,
                *([f"data.root={parts.root}"] if parts.root is not None else []),
            ]  # fmt: skip
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            return _JOBS * _STEPS / (time.perf_counter() - began)

    return turn
