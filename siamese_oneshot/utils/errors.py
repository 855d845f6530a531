"""Exceptions that are not bugs: mistakes that the user can correct, and requests to stop."""

import os
import signal
import threading
from types import FrameType
from typing import Any

_LONGEST = 80  # characters of a value in a message
_MOMENT = 0.1  # seconds
_WEAK = ("weakref.py", "_weakrefset.py")


class UserError(Exception):
    """What happened, where, and what to do next. The command line shows no stack trace for it."""


class CommandLineError(UserError):
    """A command line that cannot be right."""


class ArgumentError(UserError, ValueError):
    """An argument has a value that it cannot have.

    Args:
        argument, value: Its name, and what it was given.
        expected: What it must be, such as ``an integer from 1 to 20``.
        message: The whole reason, in place of ``expected``.
    """

    def __init__(
        self, argument: str, value: Any = None, expected: str = "", *, message: str = ""
    ) -> None:
        self.argument, self.value = argument, value
        self.node = ""  # the argument of a caller that this one belongs to
        self.reason = message or f"it must be {expected}"
        super().__init__(f"{argument}={shown(value)}: {self.reason}")

    def renamed(self, key: str) -> "ArgumentError":
        """The same error, with the configuration key that the argument came from."""
        reason = self.reason.replace(f"'{self.argument}=", f"'{key}=")
        return ArgumentError(key, self.value, message=reason)


class OtherVersion(UserError):
    """A file is of a version that this package does not read."""


class MachineFault(UserError):
    """The machine failed, not what was asked of it: a full disk, a file system that is gone."""


class Busy(UserError):
    """Another process trains in the run's folder."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end, and everything that was learned is on the disk.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(int(signum))

    @property
    def code(self) -> int:
        """The exit code by the shell's convention: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + int(self.args[0])


def raise_stopped(signum: int, frame: FrameType | None) -> None:
    """A handler of signals that raises `Stopped`.

    Python ignores what is raised in a destructor or by a weak reference, so there the signal is
    sent again a moment later.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename.endswith(_WEAK):
            threading.Timer(_MOMENT, os.kill, (os.getpid(), signum)).start()
            return
        frame = frame.f_back
    raise Stopped(signum)


def shown(value: Any) -> str:
    """A value as the command line spells it, shortened where it is long."""
    plain = value is None or isinstance(value, bool)
    text = {None: "null", True: "true", False: "false"}[value] if plain else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
