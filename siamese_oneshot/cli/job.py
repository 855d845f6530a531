"""The task as Hydra calls it: what a user can mend comes out as one message."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from siamese_oneshot.cli.surroundings import explain_machine
from siamese_oneshot.cli.targets import explain_argument, explain_call, explain_target
from siamese_oneshot.utils.errors import UserError

Task = Callable[[DictConfig], Any]


class Job:
    """The task as Hydra calls it: keeps the result, and turns what a user can mend to UserError.

    The turning happens here and not around Hydra because only the job knows its config, and
    because an exception that comes back from another process has lost its cause.
    """

    def __init__(self, task: Task) -> None:
        functools.update_wrapper(self, task)  # Hydra names the job after the task's module
        self._task = task
        self.result: Any = None

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the task."""
        single = HydraConfig.get().mode == RunMode.RUN
        try:
            result = self._task(cfg)
        except Exception as error:
            if single:
                sys.stderr = cast(TextIO, _LessJobLine(sys.stderr))
            error._from_task = True  # type: ignore[attr-defined]
            message = mendable(error, cfg)
            if message is None or message == str(error):
                raise
            raise UserError(message) from error
        if single:
            self.result = result
        return result


class _LessJobLine:
    """Standard error without the line of overrides that Hydra puts before a single job's error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Pass on all but that line."""
        if text.startswith("Error executing job with overrides:"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)


def mendable(error: BaseException, cfg: DictConfig | None) -> str | None:
    """The message for an error that the user can mend, else None.

    Args:
        error: what was raised.
        cfg: the configuration that a task was given; None where the error is of no task.
    """
    if refused := explain_argument(error, cfg):
        return refused
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or cause.key
            return f"{key} has no value yet; give one on the command line: {key}=…"
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's word for it
            return f"PyTorch Lightning refuses the settings: {cause}"
        cause = cause.__cause__
    call = None if cfg is None else explain_call(error, cfg)
    return call or explain_target(error) or explain_machine(error)
