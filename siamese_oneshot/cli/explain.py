"""Messages for errors that a user can correct: settings, ``_target_`` nodes, the machine."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from siamese_oneshot.cli.suggest import keys_of
from siamese_oneshot.utils.errors import ArgumentError, MachineFault, UserError, shown
from siamese_oneshot.utils.text import first_line

_NODE = re.compile(r"^full_key: (.+)$", re.MULTILINE)
_CALLED = re.compile(r"Error in call to target '([^']*)'")
_REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")
_NO_TARGET = ("Error locating target", "Target '")  # it does not exist, or is blocklisted
_UNKNOWN_ARGUMENT = "got an unexpected keyword argument"
_OURS = "siamese_oneshot."
_OF_THE_MACHINE = {  # whatever was asked for
    errno.ENOSPC: "free some space on that disk, or choose a folder on another one",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EFBIG: "raise the limit (ulimit -f)",
    errno.EMFILE: "raise the limit (ulimit -n)",
    errno.ENFILE: "raise the limit (ulimit -n)",
    errno.EROFS: "choose a folder on another disk",
    errno.EIO: "choose a folder on another disk",
    errno.ESTALE: "choose a folder on another disk",
}
_OF_A_PATH = (
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOLCK, errno.ENOSYS,
)  # fmt: skip
_NO_HOME = "Could not determine home directory"  # pathlib, of ~nobody
_NO_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")


def explain(error: BaseException, cfg: DictConfig | None) -> str | None:
    """The message for an error that the user can correct, else None; ``cfg`` is of the task."""
    causes = list(_causes(error))
    texts = [str(cause) for cause in causes if isinstance(cause, InstantiationException)]
    # The key of the innermost node that Hydra was instantiating.
    node = next((match[1] for text in reversed(texts) if (match := _NODE.search(text))), "")
    refused = [cause for cause in causes if isinstance(cause, ArgumentError)]
    if refused:
        return _refused_argument(refused[-1], node or refused[-1].node, cfg)
    for cause in causes:
        if isinstance(cause, UserError):
            return str(cause) if not node or node in str(cause) else f"{node}: {cause}"
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or cause.key
            return f"{key} has no value yet; give one on the command line: {key}=…"
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's, not imported here
            return f"PyTorch Lightning refuses the settings: {cause}"
        if isinstance(cause, InstantiationException) and (text := _wrong_target(cause)):
            return f"{node}: {text}"
    return explain_machine(error)


def is_fault_of_the_machine(error: BaseException) -> bool:
    """Whether another setting would have failed as well, as on a full disk."""
    return any(
        isinstance(cause, MachineFault)
        or (isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _refused_argument(error: ArgumentError, node: str, cfg: DictConfig | None) -> str:
    """Name the configuration key that an argument came from.

    It ends in the argument's name. Of several the first are those below the node, then those of an
    equal value, then the shortest.
    """
    if cfg is None:
        return str(error.renamed(f"{node}.{error.argument}") if node else error)
    tree = OmegaConf.to_container(cfg, resolve=False)
    keys = list(keys_of(tree))
    parent, _, rest = error.argument.rpartition(".")
    found = [key for key in keys if f".{key}".endswith(f".{error.argument}")]
    if not found and parent:
        found = [f"{key}.{rest}" for key in keys if f".{key}".endswith(f".{parent}")]
    if not found:
        return f"{node}: {error}" if node else str(error)

    def rank(key: str) -> tuple[bool, bool, int]:
        return not key.startswith(f"{node}."), not _has_value(cfg, key, error), len(key)

    return str(error.renamed(_source(tree, min(found, key=rank))))


def _source(tree: Any, key: str) -> str:
    """The key that another key's interpolation reads; the key itself if its value is its own."""
    path, value = key.split("."), tree
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return key
    dots = len(match[1])
    return _source(tree, ".".join([*(path[:-dots] if dots else ()), match[2]]))


def _has_value(cfg: DictConfig, key: str, error: ArgumentError) -> bool:
    try:
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return False
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    given = list(error.value) if isinstance(error.value, tuple) else error.value
    return shown(plain) == shown(given)


def _wrong_target(error: InstantiationException) -> str | None:
    """Say which ``_target_`` does not exist, may not be called, or refuses its arguments.

    A ValueError or TypeError within this package is a bug, and not explained.
    """
    first, cause = str(error).partition("\n")[0], error.__cause__
    if first.startswith(_NO_TARGET):
        return first.partition(", set env var")[0]
    called = _CALLED.search(first)
    if called is None or not isinstance(cause, ValueError | TypeError):
        return None
    is_bug = called[1].startswith(_OURS) and _UNKNOWN_ARGUMENT not in str(cause)
    return None if is_bug else f"{called[1]} refuses its settings: {cause}"


def explain_machine(error: BaseException) -> str | None:
    """Say what the machine refused, such as a full disk or too little memory, and what to do."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            remedy = _OF_THE_MACHINE.get(cause.errno or 0)
            if cause.errno in _OF_A_PATH:
                remedy = "look at that path and its permissions, or choose another one"
            if "temporary directory" in cause.strerror:  # tempfile's, for whom Matplotlib asks it
                remedy = "set TMPDIR to a folder that can be written to"
            files = " → ".join(str(name) for name in (cause.filename, cause.filename2) if name)
            if remedy:
                return f"{f'{files}: ' if files else ''}{cause.strerror}; {remedy}"
        if isinstance(cause, RuntimeError) and _NO_HOME in str(cause):
            return "a path begins with ~ and the name of no user: write it out, or put ./ before it"
        if isinstance(cause, MemoryError) or any(text in str(cause).lower() for text in _NO_MEMORY):
            first = first_line(cause)[:200]
            return f"there is not enough memory: use a smaller batch, network or data set ({first})"
    return None
