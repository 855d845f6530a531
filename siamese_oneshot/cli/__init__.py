"""The command line that all entry points share: Hydra, help, clear errors, resume.

Importing this package loads neither Hydra nor PyTorch, so ``--help`` and ``--version`` are fast.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.entry_point import entry_point

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["conf_dir", "loading_torch", "run_hydra"]


@contextmanager
def loading_torch() -> Iterator[None]:
    """Around the first import of PyTorch: say what takes these seconds, and collect no garbage.

    There is next to none, and looking for it takes a sixth of the time; and as long when the
    interpreter ends, with everything about to go. Nothing happens where PyTorch is loaded.
    """
    if "torch" in sys.modules:
        yield
        return
    if os.environ.get("LOCAL_RANK", "0") == "0":
        logging.getLogger(__name__).info("loading PyTorch")
    atexit.register(gc.freeze)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@entry_point()
def run_hydra(
    task: Callable[[DictConfig], Any],
    config_name: str = "config",
    argv: Sequence[str] | None = None,
    *,
    paths: Sequence[str] = (),
    words: str | None = None,
    sweeps: bool = False,
) -> Any:
    """Run a task on the configuration that the command line asks for.

    ``resume=<run folder>`` is expanded first, see `overrides.with_recorded`. Most errors are shown
    as one block; ``SIAMESE_ONESHOT_TRACE=1`` or ``HYDRA_FULL_ERROR=1`` in the environment also
    shows their stack trace.

    Args:
        task: Takes the composed configuration. What it returns reaches Hydra's sweeper.
        config_name: Primary configuration in `conf_dir`, without ``.yaml``.
        argv: Arguments after the program's name; those of the process if None.
        paths: Keys whose values are paths, which may be typed without Hydra's quotes.
        words: Key of the list that takes arguments without a key.
        sweeps: Whether commas in a path may separate several values.

    Returns:
        What the task returned; None after a multirun, ``--help``, ``--cfg`` and the like.

    Raises:
        SystemExit: 1 if the task ends in a `UserError`, 2 if the command line is wrong, 130 after
            Ctrl-C, 143 after SIGTERM.
        Exception: Any other error of the task, unchanged.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    if "--version" in line:
        from siamese_oneshot import __version__

        print(__version__)
        return None
    if "--help" in line or "-h" in line:
        from siamese_oneshot.cli.help import command_help

        print(command_help(conf_dir(), config_name))
        return None
    from siamese_oneshot.cli.hydra_app import run

    return run(task, conf_dir(), config_name, line, paths, words, sweeps)
