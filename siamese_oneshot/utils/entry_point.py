"""What every command needs: a working directory, and output that never ends a run."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # a closed pipe or terminal, which never comes back


@contextmanager
def entry_point() -> Iterator[None]:
    """Within the block, or a decorated function, printing raises nothing.

    The terminal may be closed, the pipe's other end may have ended (``| head``), the log's disk may
    be full, the process may have no standard error at all, or an encoding without a character.

    Raises:
        SystemExit: The working directory was deleted, or 130 for Ctrl-C.
    """
    try:
        os.getcwd()
    except OSError:
        sys.exit("Error: the working directory does not exist any more: change to one that does")
    for number in range(3):  # otherwise the next file that is opened takes the number
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before: Any = sys.stdout, sys.stderr
    lasting: Any = [LastingStream(stream) for stream in before]
    sys.stdout, sys.stderr = lasting
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        for stream in lasting:
            stream.close_unless_whole()
        sys.stdout, sys.stderr = before


class LastingStream:
    """A text stream whose writes never fail; None writes nowhere. For the rest it is the stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream if stream is not None else open(os.devnull, "w")  # noqa: SIM115

    def __getattr__(self, name: str) -> Any:
        """What is not written here is the stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as problem:  # ValueError: it is closed
            self._redirect(problem)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines, or drop them."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush, or drop what was written."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as problem:
            self._redirect(problem)

    def close_unless_whole(self) -> None:
        """Flush; what cannot be written must not be tried again when the interpreter ends."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._redirect(OSError(errno.EIO, ""))
            self.flush()

    def _redirect(self, problem: Exception) -> None:
        """Send what follows, of child processes too, nowhere if the reader is gone."""
        if isinstance(problem, OSError) and problem.errno in _GONE:
            with suppress(OSError, ValueError):
                number, nowhere = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
