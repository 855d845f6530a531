"""Several runs of one setting as one table: ``python -m siamese_oneshot.seeds FOLDER …``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.interval import mean_interval
from siamese_oneshot.tracking.result import FILE, RunResult, read_result


def find_results(folders: Sequence[Path]) -> list[RunResult]:
    """The results of all finished runs in and below some folders.

    Raises:
        UserError: none at all, or runs of different experiments, splits or trial lists.
    """
    paths = sorted({path for folder in folders for path in folder.rglob(FILE)})
    results = [read_result(path.parent) for path in paths]
    finished = [result for result in results if result.status == "finished"]
    if not finished:
        raise UserError(f"no finished run in {', '.join(map(str, folders))}")
    asked = {
        (result.experiment, result.data_split, *(score.digest for score in result.scores))
        for result in finished
    }
    if len(asked) > 1:
        raise UserError(
            f"these {len(finished)} runs are of different experiments, splits or trial lists: "
            "name the folders of one setting"
        )
    return finished


def seeds_table(results: Sequence[RunResult]) -> Table:
    """Mean, 95% interval over seeds (Student's t) and each seed's own figure."""
    first = results[0]
    seeds = ", ".join(str(result.seed) for result in results)
    table = Table(title=f"{first.experiment}, split {first.data_split}, seeds {seeds}")
    for heading in ("score", "mean %", "95% interval", "each %", "trials"):
        table.add_column(heading, overflow="fold")
    for row, score in enumerate(first.scores):
        values = [result.scores[row].value for result in results]
        interval = "-"
        mean = values[0]
        if len(values) > 1:
            mean, low, high = mean_interval(values)
            interval = f"{100 * low:.2f}-{100 * high:.2f}"
        each = ", ".join(f"{100 * value:.2f}" for value in values)
        table.add_row(score.name, f"{100 * mean:.2f}", interval, each, f"{score.trials:,}")
    seconds = [result.seconds for result in results]
    table.caption = f"{min(seconds):.0f}-{max(seconds):.0f} s of training on {first.hardware}"
    return table


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="a sweep's folder, or runs' folders")
    try:
        Console().print(seeds_table(find_results(parser.parse_args().folders)))
    except UserError as problem:
        sys.exit(f"Error: {problem}")


if __name__ == "__main__":
    main()
