"""Faults of the machine for a forked training: at its k-th operation on files, or at a moment."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def at_operation(folder: Path, number: int, act: Callable[[], object]) -> Callable[[], None]:
    """What to do in a fork so that ``act`` is called before its operations from ``number`` on.

    Operations are those that change files in and below the folder: to open one for writing, to
    rename, link, remove, and to make or remove a folder. They are counted from 1. What ``act``
    raises is what the operation raises.
    """
    count, start, acting = 0, f"{folder.absolute()}", False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, acting
        path = arguments[0] if event in _EVENTS else None
        if acting or not isinstance(path, str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return
        if os.path.abspath(os.fsdecode(path)).startswith(start):
            count += 1
            if count >= number:
                acting = True
                try:
                    act()
                finally:
                    acting = False

    return lambda: sys.addaudithook(hook)


def kill_oneself() -> None:
    """As a power cut would."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def disk_is_full() -> None:
    """What an operation says then."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
