"""Create or update the project's W&B workspace: ``python -m siamese_oneshot.dashboard``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.loggers.wandb_run import has_login
from siamese_oneshot.utils.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point.

    Raises:
        SystemExit: 1 where the extra or the login is missing or the server fails, 2 for a wrong
            command line.
    """
    arguments = _parser().parse_args(argv)
    try:
        _make(arguments)
    except UserError as problem:
        sys.exit(f"Error: {problem}")


def _make(arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError('wandb-workspaces is not installed: pip install -e ".[dashboard]"')
    if not arguments.dry_run and not has_login():
        raise UserError("there is no W&B login: `wandb login` makes one; --dry-run needs none")
    from siamese_oneshot.dashboard import definition
    from siamese_oneshot.dashboard.sections import SETTINGS

    settings = _swept(arguments.sweep) if arguments.sweep is not None else SETTINGS
    entity = arguments.entity or ("you" if arguments.dry_run else _own_entity())
    view = definition.workspace(entity, arguments.project, settings)
    page = definition.report(entity, arguments.project, settings)
    content = definition.described(view, page)
    if arguments.dry_run:
        print(json.dumps(content, indent=2))
        return
    try:
        addresses = definition.save(view, page)
    except Exception as problem:  # whatever the server or its client came up with
        raise UserError(f"W&B has not taken the dashboard: {problem}") from problem
    print("\n".join(addresses))


def _own_entity() -> str:
    import wandb

    try:
        return str(wandb.Api(timeout=30).default_entity)
    except Exception as problem:
        raise UserError(f"W&B cannot be reached: {problem}") from problem


def _swept(folder: Path) -> list[str]:
    """The settings that a sweep varies, less the seed."""
    from siamese_oneshot.sweeps.job import jobs_in

    keys = {key: None for job, _, _ in jobs_in(folder) for key in job.swept if key != "seed"}
    if not keys:
        raise UserError(f"{folder} holds no jobs that differ in a setting: name a sweep's folder")
    return [*keys]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.dashboard",
        description="The W&B workspace and report of a project: results against the paper, "
        "learning, mistakes, speed, sweep. A second call updates both.",
    )
    add = parser.add_argument
    add("sweep", nargs="?", type=Path, help="a sweep's folder: its settings are the columns")
    add("--project", default="siamese_oneshot", help="of W&B (default: siamese_oneshot)")
    add("--entity", help="of W&B: whose project (default: your own)")
    add("--dry-run", action="store_true", help="check and print the definition; needs no server")
    return parser


if __name__ == "__main__":
    main()
