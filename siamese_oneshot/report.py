"""Many runs as one table, with its pages: ``python -m siamese_oneshot.report FOLDER …``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.loggers.wandb_run import MODES
from siamese_oneshot.utils.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point.

    Raises:
        SystemExit: 1 where there is nothing to report, 2 for a wrong command line, 130 for Ctrl-C.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(line)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("siamese_oneshot").setLevel(logging.INFO)  # where W&B's run is
    try:
        from siamese_oneshot.reports.report import make_report  # here: --help need not load torch

        make_report(
            arguments.folders,
            arguments.output,
            command=shlex.join(["python", "-m", "siamese_oneshot.report", *line]),
            wandb=arguments.wandb,
            project=arguments.project,
            entity=arguments.entity,
        )
    except UserError as problem:
        sys.exit(f"Error: {problem}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.report",
        description="All jobs of sweeps as tables, images and pages to open in a browser: means "
        "over seeds, what each job came to, which settings mattered; curves and images of each "
        "run. Half-finished and damaged folders will do.",
    )
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="of a sweep, a run, or several")
    add("--output", type=Path, help="where the report goes (default: report in the first folder)")
    add("--wandb", choices=MODES, default="auto", help="the sweep's summary run (default: auto)")
    add("--project", default="siamese_oneshot", help="of W&B (default: siamese_oneshot)")
    add("--entity", help="of W&B: whose project (default: your own)")
    return parser


if __name__ == "__main__":
    main()
