"""Exceptions that are no bugs: a mistake that the user can mend, and being told to stop."""

import signal


class UserError(Exception):
    """What happened, where, and what to do next; shown without a stack trace."""


class Busy(UserError):
    """Another process trains in the folder of the run."""


class Stopped(KeyboardInterrupt):
    """A signal asked for the end, and what there is has been written down.

    Args:
        signum: which signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(int(signum))

    @property
    def code(self) -> int:
        """The exit code, as a shell has it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + int(self.args[0])
