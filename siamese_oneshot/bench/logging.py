"""What logging costs a training: the default experiment with W&B and its album, and without."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from siamese_oneshot.bench.contest import Contest, Measure, compete
from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.parts import Parts

STEPS = 270  # an epoch of the default experiment
WITHOUT, WITH = "neither W&B nor album", "W&B, offline"
LINES = {
    WITHOUT: ["logger=none", "callbacks.album=null"],
    WITH: ["logger=wandb", "logger.mode=offline", "callbacks.album.every=1"],
}


def logging(parts: Parts) -> Iterator[Contest | Figures]:
    """Steps a second in turns, albums left out; then what an album costs, and a whole training."""
    albums: list[float] = []
    contestants = {name: _elsewhere(name, parts, albums) for name in LINES}
    found = compete(
        "logging",
        "steps",
        contestants,
        WITHOUT,
        parts.rounds,
        f"{STEPS} steps of the default experiment with a validation, each in a process of its own; "
        "without the seconds of the album, which are below",
    )
    yield found
    yield Figures("album", "seconds", {"an album": albums}, "drawn, saved and logged")
    config = parts.config()
    steps = config.trainer.max_steps
    drawn = steps // config.batches.steps // config.callbacks.album.every
    shares = []
    for bare, logged in zip(found.rates[WITHOUT], found.rates[WITH], strict=True):
        slower = steps / logged - steps / bare
        for album in albums:
            shares.append(100 * (slower + drawn * album) / (steps / bare))
    yield Figures(
        "logging in all",
        "% of the training's time",
        {f"{steps:,} steps, {drawn} albums": shares},
        "worked out from the two tables above; every pair of rounds with every album",
    )


def _elsewhere(name: str, parts: Parts, albums: list[float]) -> Measure:
    """A training in a process of its own; the seconds of its albums are kept."""

    def turn() -> float:
        line = [sys.executable, "-m", __name__, name]
        if parts.root is not None:
            line += ["--root", str(parts.root)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        albums.extend(told["albums"])
        return STEPS / (told["seconds"] - sum(told["albums"]))

    return turn


def train(name: str, root: Path | None) -> dict[str, object]:
    """Train in this process; the seconds of the training and of each album in it."""
    from siamese_oneshot.cli import run_hydra
    from siamese_oneshot.train import train_task
    from siamese_oneshot.training.album import Album

    albums: list[float] = []
    draw = Album._draw

    def timed(*values: object) -> None:
        began = time.perf_counter()
        draw(*values)  # type: ignore[arg-type]
        albums.append(time.perf_counter() - began)

    Album._draw = timed  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WANDB_DATA_DIR"] = folder
        line = [*LINES[name], f"trainer.max_steps={STEPS}", "test=false", f"hydra.run.dir={folder}"]
        run_hydra(train_task, argv=[*line, *([] if root is None else [f"data.root={root}"])])
        seconds = json.loads((Path(folder) / "result.json").read_text())["seconds"]
    return {"seconds": seconds, "albums": albums}


def main() -> None:
    """One contestant in this process; prints its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=LINES)
    parser.add_argument("--root", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(train(arguments.name, arguments.root)))


if __name__ == "__main__":
    main()
