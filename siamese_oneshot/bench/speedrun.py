"""What ``+experiment=quick`` reaches on validation trials when it has little time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.parts import Parts

STEPS = (140, 280, 560)
_SEEDS = 3


def speedrun(parts: Parts) -> Iterator[Figures]:
    """Whole trainings of few steps, each with its own schedule; test lists stay closed."""
    seconds: dict[str, list[float]] = {f"{steps} steps": [] for steps in STEPS}
    scores: dict[str, list[float]] = {f"{steps} steps": [] for steps in STEPS}
    jobs = [(steps, seed) for steps in STEPS for seed in range(_SEEDS)]
    for steps, seed in tqdm(jobs, desc="speedrun", leave=False):
        with tempfile.TemporaryDirectory() as folder:
            line = [
                sys.executable, "-m", "siamese_oneshot.train", "+experiment=quick",
                f"trainer.max_steps={steps}", f"batches.steps={steps}", f"seed={seed}",
                "test=false", "logger=none", f"hydra.run.dir={folder}",
                *([f"data.root={parts.root}"] if parts.root is not None else []),
            ]  # fmt: skip
            subprocess.run(line, check=True, capture_output=True)
            result = json.loads((Path(folder) / "result.json").read_text())
        seconds[f"{steps} steps"].append(result["seconds"])
        scores[f"{steps} steps"].append(100 * result["validation"])
    yield Figures("speedrun: time", "seconds", seconds, "of training, with one validation", 1)
    yield Figures(
        "speedrun: validation one-shot", "%", scores, "20-way, 2,000 trials; seeds 0-2", 1
    )
