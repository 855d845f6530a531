"""Hydra with misspelt names answered, errors in one block, and resume.

Nothing here imports PyTorch, so that ``--cfg job`` is fast; a task imports what it needs.

Exit codes: 0 done, 1 the task failed, 2 the command line is wrong, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from siamese_oneshot.cli import suggest
from siamese_oneshot.cli.explain import explain, is_fault_of_the_machine
from siamese_oneshot.cli.overrides import parse_line, with_paths, with_recorded
from siamese_oneshot.sweeps import register_sweepers
from siamese_oneshot.sweeps.worker import as_job, fail_visibly
from siamese_oneshot.utils.errors import (
    CommandLineError,
    MachineFault,
    Stopped,
    UserError,
    raise_stopped,
)

# Of the plain ValueErrors that Hydra raises.
_WRONG_LINE = ("Only one of --run", "The --resolve flag", "Config group override must be")
_TRACE = ("SIAMESE_ONESHOT_TRACE", "HYDRA_FULL_ERROR")


class Task:
    """The task as Hydra calls it: keeps the result, and turns a user's mistake into UserError.

    This happens here and not around Hydra because only the job knows its configuration, and
    because an exception that comes back from another process has lost its cause. The error of a
    single job is kept for `run` to raise, since Hydra would print a line of its own with it.
    """

    def __init__(self, task: Callable[[DictConfig], Any]) -> None:
        functools.update_wrapper(self, task)  # Hydra names the job after the task's module
        self._task = task
        self.result: Any = None
        self.error: Exception | None = None

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the task."""
        single = HydraConfig.get().mode == RunMode.RUN
        try:
            suggest.refuse_unread_groups(cfg, HydraConfig.get())
            with as_job() if not single else contextlib.nullcontext():
                result = self._task(cfg)
        except Exception as error:
            message = explain(error, cfg)
            raised = error
            if message is not None and message != str(error):
                raised = (MachineFault if is_fault_of_the_machine(error) else UserError)(message)
                raised.__cause__ = error
            raised._from_task = True  # type: ignore[attr-defined]
            if not single:
                fail_visibly(raised)
                raise raised from raised.__cause__
            self.error = raised
            return None
        if single:
            self.result = result
        return result


def run(
    task: Callable[[DictConfig], Any],
    conf: Path,
    config_name: str,
    argv: Sequence[str],
    paths: Sequence[str] = (),
    words: str | None = None,
    sweeps: bool = False,
) -> Any:
    """Run a task, see `siamese_oneshot.cli.run_hydra`."""
    traced = any(os.environ.get(name) == "1" for name in _TRACE)

    def stop(message: str, code: int, error: BaseException) -> NoReturn:
        sys.stdout.flush()
        if traced:
            traceback.print_exception(error)
        print(f"Error: {message}" if code < 128 else message, file=sys.stderr)
        sys.exit(code)

    job = Task(task)
    overrides, folders = list[str](), [conf]
    try:
        args = parse_line(argv)
        multirun = args.multirun or "hydra.mode=multirun" in map(str.lower, args.overrides)
        overrides = with_recorded(args.overrides, multirun)
        overrides = with_paths(overrides, paths, words, sweeps)
        conf, config_name = Path(args.config_path or conf), args.config_name or config_name
        folders = [conf, *([Path(args.config_dir)] if args.config_dir else [])]
        if conf.is_absolute():  # else relative to the task's file
            suggest.refuse_misspelt_additions(overrides, folders, config_name)
        if sweeps or multirun or "sweep" in " ".join(overrides):
            register_sweepers()  # slow to import
        with _hydra_process([*overrides, *args.flags]), _terminable():
            hydra.main(config_path=str(conf), config_name=config_name, version_base="1.3")(job)()
        if job.error is not None:
            raise job.error
    except KeyboardInterrupt as error:
        code = error.code if isinstance(error, Stopped) else 130
        stop("interrupted" if code == 130 else "stopped", code, error)
    except UserError as error:
        stop(str(error), 2 if isinstance(error, CommandLineError) else 1, error)
    except Exception as error:
        if getattr(error, "_from_task", False):
            raise
        is_hydras = isinstance(error, HydraException | OmegaConfBaseException)
        is_built = isinstance(error, InstantiationException)  # a sweeper or a launcher
        if (is_hydras and not is_built) or str(error).startswith(_WRONG_LINE):
            stop(_wrong_line(error, overrides, folders, config_name), 2, error)
        message = explain(error, None)  # also of a run's folder that cannot be made
        if message is None:
            raise
        stop(message, 1, error)
    return job.result


def _wrong_line(
    error: Exception, overrides: Sequence[str], folders: Sequence[Path], config_name: str
) -> str:
    """Say what is wrong with the command line: the names that were meant, else Hydra's message."""
    if isinstance(error, OverrideParseException):
        quotes = "a value with = or , or brackets needs quotes of its own: 'key=\"value\"'"
        rule = quotes if "=" in error.override else "settings are written key=value"
        return f"{error.override}: cannot be read: {rule}"
    if folders[0].is_dir():
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            if message := suggest.explain(overrides, folders, config_name):
                return message
    parts = [str(error).partition("\nConfig search path")[0].rstrip()]
    if str(getattr(error, "missing_cfg_file", "")).startswith("sampler/"):
        parts.append(
            "A loss of your own needs a sampler named: add sampler=bce_pairs if it learns from "
            "pairs, sampler=episodic_ce_smooth if it learns from whole alphabets"
        )
    if isinstance(error.__cause__, OmegaConfBaseException):
        parts.append(str(error.__cause__))
    return "\n".join(part for part in parts if part)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C raise `Stopped`, unless they are handled."""
    defaults = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    if threading.current_thread() is not threading.main_thread():
        defaults = {}
    ours = {one: was for one, was in defaults.items() if signal.getsignal(one) == was}
    for signum in ours:
        signal.signal(signum, raise_stopped)
    try:
        yield
    finally:
        for signum, handler in ours.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _hydra_process(line: Sequence[str]) -> Iterator[None]:
    """Set what Hydra reads: the process's arguments, and HYDRA_FULL_ERROR to raise errors."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0], *line]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full
