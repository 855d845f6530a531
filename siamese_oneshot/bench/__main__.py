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
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.bench.training import training
from siamese_oneshot.errors import UserError
from siamese_oneshot.tracking.result import environment
from siamese_oneshot.tracking.table import Table, wide_console

CASES: dict[str, Callable[[Parts], Iterator[Contest]]] = {
    "training": training,
    "evaluation": evaluation,
}


def bench(names: Sequence[str], parts: Parts, folder: Path) -> list[Contest]:
    """Run cases; write ``bench.json`` and ``bench.md`` after each, so that none is lost."""
    contests: list[Contest] = []
    console = wide_console()
    for name in names:
        for contest in CASES[name](parts):
            contests.append(contest)
            made = table(contest)
            console.print(made.rich())
            write(folder, contests)
    return contests


def table(contest: Contest) -> Table:
    """One contest: rates with their spread, and ratios to the reference."""
    made = Table(
        contest.name,
        [
            "contestant",
            f">{contest.unit}/s",
            ">lowest-highest",
            ">times as fast",
            ">lowest-highest",
        ],
        note=contest.note,
    )
    for name, rates in contest.rates.items():
        ratio, low, high = contest.ratio(name)
        made.add(
            name,
            f"{contest.rate(name):,.1f}",
            f"{min(rates):,.1f}-{max(rates):,.1f}",
            f"{ratio:.2f}",
            f"{low:.2f}-{high:.2f}",
        )
    return made


def write(folder: Path, contests: Sequence[Contest]) -> None:
    """Both files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    around = environment("bench")
    content = {**around, "contests": [dataclasses.asdict(one) for one in contests]}
    with whole_file(folder / "bench.json") as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")
    where = f"{around['hardware']}, torch {around['packages']['torch']}, commit {around['commit']}"
    pages = [f"# Benchmarks\n\n`{around['command']}` on {where}\n"]
    with whole_file(folder / "bench.md") as file:
        file.write("\n".join([*pages, *(table(one).markdown() for one in contests)]).encode())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m siamese_oneshot.bench", description=__doc__)
    parser.add_argument("cases", nargs="*", default=[], help=f"of {', '.join(CASES)}; all if none")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--root", type=Path, help="Omniglot's folder; looked for where not given")
    parser.add_argument("--out", type=Path, help="folder; outputs/bench/<time> where not given")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    folder = arguments.out or Path("outputs", "bench", time.strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        bench(arguments.cases or list(CASES), Parts(arguments.root, arguments.rounds), folder)
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    print(f"bench.json and bench.md are in {folder}")


if __name__ == "__main__":
    main()
