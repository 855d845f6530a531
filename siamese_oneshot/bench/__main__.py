"""Measure cases side by side and write the tables: ``python -m siamese_oneshot.bench``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from siamese_oneshot.atomic import whole_file
from siamese_oneshot.bench.contest import Contest
from siamese_oneshot.bench.evaluation import evaluation
from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.growth import growth
from siamese_oneshot.bench.logging import logging
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.bench.pipeline import pipeline
from siamese_oneshot.bench.speedrun import speedrun
from siamese_oneshot.bench.start import start
from siamese_oneshot.bench.sweep import sweep
from siamese_oneshot.bench.training import training
from siamese_oneshot.errors import UserError
from siamese_oneshot.tracking.result import environment
from siamese_oneshot.tracking.table import wide_console

Measured = Contest | Figures
CASES: dict[str, Callable[[Parts], Iterator[Measured]]] = {
    "training": training,
    "pipeline": pipeline,
    "evaluation": evaluation,
    "start": start,
    "growth": growth,
    "speedrun": speedrun,
    "sweep": sweep,
    "logging": logging,
}


def bench(names: Sequence[str], parts: Parts, folder: Path) -> list[Measured]:
    """Run cases; write ``bench.json`` and ``bench.md`` after each, so that none is lost."""
    found: list[Measured] = []
    console = wide_console()
    for name in names:
        for one in CASES[name](parts):
            found.append(one)
            console.print(one.table().rich())
            write(folder, found)
    return found


def write(folder: Path, found: Sequence[Measured]) -> None:
    """Both files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    around = environment("bench")
    content = {**around, "measured": [dataclasses.asdict(one) for one in found]}
    with whole_file(folder / "bench.json") as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")
    where = f"{around['hardware']}, torch {around['packages']['torch']}, commit {around['commit']}"
    pages = [f"# Benchmarks\n\n`{around['command']}` on {where}\n"]
    with whole_file(folder / "bench.md") as file:
        file.write("\n".join([*pages, *(one.table().markdown() for one in found)]).encode())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m siamese_oneshot.bench", description=__doc__)
    parser.add_argument("cases", nargs="*", default=[], help=f"of {', '.join(CASES)}; all if none")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--root", type=Path, help="Omniglot's folder; looked for where not given")
    parser.add_argument("--out", type=Path, help="folder; outputs/bench/<time> where not given")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="time trainings by what they take of the processor: on a CPU that others use, too "
        "(with OMP_NUM_THREADS=1, since waiting threads would count)",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    folder = arguments.out or Path("outputs", "bench", time.strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        parts = Parts(arguments.root, arguments.rounds, processor_time=arguments.processor_time)
        bench(arguments.cases or list(CASES), parts, folder)
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    print(f"bench.json and bench.md are in {folder}")


if __name__ == "__main__":
    main()
