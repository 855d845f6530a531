"""The command line: Hydra, with misspellings answered, errors in one block, and resume.

Every entry point hands its task to `run_hydra`. Nothing here imports PyTorch, so that ``--help``
and ``--cfg job`` answer at once; a task imports what is heavy when it is called.

Exit codes: 0 done, 1 the task failed, 2 the command line is wrong, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.plugins.sweeper import Sweeper
from omegaconf.errors import OmegaConfBaseException

from siamese_oneshot.cli import suggest
from siamese_oneshot.cli.job import Job, Task, mendable
from siamese_oneshot.cli.resume import with_recorded
from siamese_oneshot.cli.settings import Settings
from siamese_oneshot.cli.surroundings import explain_machine
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.errors import Stopped, UserError

_MULTIRUN = ("-m", "--multirun")
_CLASHING_FLAGS = ("Only one of --run", "The --resolve flag")  # Hydra raises a plain ValueError


def run_hydra(
    task: Task,
    config_name: str = "config",
    argv: Sequence[str] | None = None,
    sweepers: Sequence[type[Sweeper]] = (),
) -> Any:
    """Compose the config that the command line asks for and run the task on it.

    ``resume=<run folder>`` is expanded first, see `with_recorded`. The full stack trace of an error
    that is otherwise one block is shown with ``SIAMESE_ONESHOT_TRACE=1`` or
    ``HYDRA_FULL_ERROR=1`` in the environment.

    Args:
        task: takes the composed config; what it returns reaches Hydra's sweeper.
        config_name: the primary config in `conf_dir`, without ``.yaml``.
        argv: the arguments after the program's name; those of the process where None.
        sweepers: that the config may choose beside Hydra's own.

    Returns:
        What the task returned; None after a multirun, ``--help``, ``--cfg`` and the like.

    Raises:
        SystemExit: 1 for a `UserError` from the task, 2 for a wrong command line, 130 for Ctrl-C,
            143 for SIGTERM.
        Exception: any other error of the task, as it is.
    """
    traced = any(
        os.environ.get(name) == "1" for name in ("SIAMESE_ONESHOT_TRACE", "HYDRA_FULL_ERROR")
    )
    line = list(sys.argv[1:] if argv is None else argv)
    line.sort(key=lambda word: word not in _MULTIRUN)  # argparse takes no settings on both sides
    job = Job(task)
    try:
        line = with_recorded(line)
        arguments = get_args_parser().parse_args(line)
        if os.path.isabs(
            arguments.config_path or conf_dir()
        ):  # another is relative to the task's file
            suggest.refuse_misspelt_additions(
                arguments.overrides, lambda: _settings(arguments, config_name)
            )
        for sweeper in sweepers:
            # By this name only does Hydra take what no package hydra_plugins brings along.
            name = f"hydra_plugins.siamese_oneshot.{sweeper.__name__}"
            Plugins.instance().class_name_to_class[name] = sweeper
        with _hydra_process(line), _terminable():
            hydra.main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")(
                job
            )()
    except KeyboardInterrupt as error:
        code = error.code if isinstance(error, Stopped) else 130
        _stop("interrupted" if code == 130 else "stopped", code, error if traced else None)
    except suggest.CommandLineError as error:
        _stop(str(error), 2, error if traced else None)
    except UserError as error:
        _stop(str(error), 1, error if traced else None)
    except (HydraException, OmegaConfBaseException) as error:
        if getattr(error, "_from_task", False):
            raise
        if isinstance(error, InstantiationException):  # of a sweeper or a launcher
            refused = mendable(error, None)
            if refused is None:
                raise
            _stop(refused, 1, error if traced else None)
        message = _explained(error, arguments, config_name)
        _stop(message, 2, error if traced else None)
    except ValueError as error:
        if not str(error).startswith(_CLASHING_FLAGS):
            raise
        _stop(str(error), 2, error if traced else None)
    except OSError as error:  # Hydra's, such as a folder of the run that cannot be made
        refused = None if getattr(error, "_from_task", False) else explain_machine(error)
        if refused is None:
            raise
        _stop(refused, 1, error if traced else None)
    return job.result


def _settings(arguments: argparse.Namespace, config_name: str) -> Settings:
    """What can be set with the configs that this command line reads."""
    return Settings.of(
        Path(arguments.config_path or conf_dir()),
        arguments.config_name or config_name,
        arguments.overrides,
        Path(arguments.config_dir).absolute() if arguments.config_dir else None,
    )


def _explained(
    error: HydraException | OmegaConfBaseException, arguments: argparse.Namespace, config_name: str
) -> str:
    """What is wrong with the command line: our words where we have some, else Hydra's."""
    own = None
    if isinstance(error, OverrideParseException):
        own = suggest.explain_unparsed(error, lambda: _settings(arguments, config_name))
    elif isinstance(error, HydraException):
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            own = suggest.explain(arguments.overrides, _settings(arguments, config_name))
    if own is not None:
        return own
    parts = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        parts.append(str(error.__cause__))
    return "\n".join(part for part in parts if part)


def _stop(message: str, code: int, traced: BaseException | None) -> NoReturn:
    """Print one block, after the stack trace of ``traced`` where asked for, and exit."""
    sys.stdout.flush()
    if traced is not None:
        traceback.print_exception(traced)
    print(f"Error: {message}" if code < 128 else message, file=sys.stderr)
    sys.exit(code)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind as Ctrl-C does, unless somebody else listens to it."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(signum: int, frame: object) -> NoReturn:
        raise Stopped(signum)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _hydra_process(line: Sequence[str]) -> Iterator[None]:
    """Hydra reads the process's arguments, and passes errors on only under HYDRA_FULL_ERROR."""
    argv, stderr, full = sys.argv, sys.stderr, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0], *line]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv, sys.stderr = argv, stderr
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full
