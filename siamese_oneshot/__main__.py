"""The list of commands: ``python -m siamese_oneshot``."""

from __future__ import annotations

import sys

from siamese_oneshot import __version__
from siamese_oneshot.cli.help import package_help


def main() -> None:
    """Print the version with ``--version``, else the list of commands."""
    print(__version__ if "--version" in sys.argv[1:] else package_help())


if __name__ == "__main__":
    main()
