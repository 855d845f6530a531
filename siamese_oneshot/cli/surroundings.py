"""What the machine refuses a task: a full disk, a folder that may not be written to, memory."""

from __future__ import annotations

import errno

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, or choose a folder on another one",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "look for a mistake in the path",
    errno.ENOTDIR: "a part of that path is a file: choose another place",
    errno.EISDIR: "that is a folder: name a file",
    errno.EEXIST: "there is a file of that name already: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads back to itself: remove it",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open: raise the limit (ulimit -n)",
}
_NO_HOME = "Could not determine home directory"  # what pathlib says of ~nobody
_NO_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")


def explain_machine(error: BaseException) -> str | None:
    """What was refused, where, and what to do.

    Args:
        error: what a task raised.

    Returns:
        None where the error is of another kind.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REMEDIES and cause.strerror:
            where = " → ".join(str(name) for name in (cause.filename, cause.filename2) if name)
            start = f"{where}: " if where else ""
            return f"{start}{cause.strerror}; {_REMEDIES[cause.errno]}"
        if isinstance(cause, RuntimeError) and _NO_HOME in str(cause):
            return "a path begins with ~ and the name of no user: write it out, or put ./ before it"
        if isinstance(cause, MemoryError) or any(text in str(cause).lower() for text in _NO_MEMORY):
            first = (str(cause).splitlines() or ["out of memory"])[0]
            return (
                "there is not enough memory: lower the sizes of the batches, of the network or of "
                f"the data ({first[:200]})"
            )
        cause = cause.__cause__
    return None
