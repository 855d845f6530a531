"""Tables and HTML pages of runs and sweeps: ``python -m siamese_oneshot.report FOLDER …``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError


@entry_point()
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point.

    Raises:
        SystemExit: 1 if there is nothing to report, 2 for a wrong command line, 130 for Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = vars(_parser().parse_args(words))
    logging.basicConfig(format="%(message)s")
    logging.getLogger("siamese_oneshot").setLevel(logging.INFO)
    try:
        from siamese_oneshot.reports.pages import make_report  # late: --help loads no torch

        command = shlex.join(["python", "-m", "siamese_oneshot.report", *words])
        seconds = arguments.pop("watch")
        while seconds:
            make_report(**arguments, command=command, refresh=seconds)
            time.sleep(seconds)
        make_report(**arguments, command=command)
    except UserError as error:
        sys.exit(f"Error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.report",
        description="Report on runs and sweeps: tables (Markdown, CSV) and HTML pages with "
        "curves, plots, mean scores over seeds and the importance of settings. Unfinished and "
        "damaged runs are listed as such.",
    )
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="folder of a sweep or a run")
    add("--output", type=Path, help="folder of the report (default: report in the first FOLDER)")
    add(
        "--watch",
        type=int,
        default=0,
        metavar="SECONDS",
        help="write it again so often, and let browsers load it again, until Ctrl-C",
    )
    return parser


if __name__ == "__main__":
    main()
