"""Messages for errors that a user can correct: settings, ``_target_`` nodes, the machine."""

from __future__ import annotations

import errno
import inspect
import re
import traceback
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from siamese_oneshot.cli.suggest import keys_of
from siamese_oneshot.utils.errors import ArgumentError, MachineFault, UserError, shown
from siamese_oneshot.utils.text import hint, nearest

_KEYWORD = re.compile(r"got an unexpected keyword argument '(\w+)'")
_NODE = re.compile(r"^full_key: (.+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")
_NO_TARGET = re.compile(r"Error locating target '([^']*)'|Target '([^']*)' is blocklisted")
_CALLED = re.compile(r"Error in call to target '([^']*)'")
_OURS = "siamese_oneshot."
_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, or choose a folder on another one",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EACCES: "change its permissions, or choose another folder",
    errno.EPERM: "change its permissions, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOENT: "look for a mistake in the path",
    errno.ENOTDIR: "a part of that path is a file: choose another path",
    errno.EISDIR: "that is a folder: name a file",
    errno.EEXIST: "there is a file of that name already: choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads back to itself: remove it",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EFBIG: "files of that size are not allowed: raise the limit (ulimit -f)",
    errno.EIO: "the disk or its connection fails: choose a folder on another one",
    errno.ESTALE: "the network's file system lost that file: try again",
    errno.ENOLCK: "this file system has no locks: choose a folder on another one",
    errno.ENOSYS: "this file system cannot do that: choose a folder on another one",
}
_OF_THE_MACHINE = (  # whatever was asked for
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.EIO,
    errno.ESTALE,
)  # fmt: skip
_NO_HOME = "Could not determine home directory"  # pathlib, of ~nobody
_NO_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")


def explain(error: BaseException, cfg: DictConfig | None) -> str | None:
    """The message for an error that the user can correct, else None; ``cfg`` is of the task."""
    causes = list(_causes(error))
    node = _node(causes)
    if cfg is not None and (unknown := _unknown_argument(causes, cfg)):
        return unknown
    refused = [cause for cause in causes if isinstance(cause, ArgumentError)]
    if refused:
        return _refused_argument(refused[-1], causes, cfg)
    for cause in causes:
        if isinstance(cause, UserError):
            return str(cause) if not node or node in str(cause) else f"{node}: {cause}"
        if isinstance(cause, MissingMandatoryValue):
            key = cause.full_key or cause.key
            return f"{key} has no value yet; give one on the command line: {key}=…"
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's, not imported here
            return f"PyTorch Lightning refuses the settings: {cause}"
    return _wrong_target(causes) or explain_machine(error)


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


def _node(causes: list[BaseException]) -> str:
    """The key of the innermost node that Hydra was instantiating; "" if there is none."""
    texts = [str(cause) for cause in causes if isinstance(cause, InstantiationException)]
    return next((match[1] for text in reversed(texts) if (match := _NODE.search(text))), "")


def _refused_argument(
    error: ArgumentError, causes: list[BaseException], cfg: DictConfig | None
) -> str:
    """Name the configuration key that an argument came from, if need be by interpolation.

    Keys that end in the argument's name are ranked by: the node whose target raised the error
    (innermost first), the node that Hydra was instantiating, an equal value, and their length.
    """
    node = _node(causes) or error.node
    if cfg is None:
        return str(error.renamed(f"{node}.{error.argument}") if node else error)
    tree = OmegaConf.to_container(cfg, resolve=False)
    raised_in = _raised_in(causes)
    targets = {
        ".".join(path): raised_in.index(found["_target_"])
        for path, found in _targets(tree)
        if found["_target_"] in raised_in
    }

    def rank(key: str) -> tuple[int, bool, bool, int]:
        depths = [depth for target, depth in targets.items() if key.startswith(f"{target}.")]
        depth = min(depths, default=len(raised_in))
        return depth, not key.startswith(f"{node}."), not _has_value(cfg, key, error), len(key)

    parent, _, rest = error.argument.rpartition(".")
    keys = [key for key in keys_of(tree) if f".{key}".endswith(f".{error.argument}")]
    if not keys and parent:
        keys = [f"{key}.{rest}" for key in keys_of(tree) if f".{key}".endswith(f".{parent}")]
    if keys:
        return str(error.renamed(_source(tree, min(keys, key=rank))))
    return f"{node}: {error}" if node else str(error)


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


def _raised_in(causes: list[BaseException]) -> list[str]:
    """The dotted names of the functions and classes on the stack, innermost first."""
    names = []
    for cause in reversed(causes):
        for frame, _ in reversed(list(traceback.walk_tb(cause.__traceback__))):
            names.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")
            if "self" in frame.f_locals:
                owner = type(frame.f_locals["self"])
                names.append(f"{owner.__module__}.{owner.__qualname__}")
    return list(dict.fromkeys(names))


def _has_value(cfg: DictConfig, key: str, error: ArgumentError) -> bool:
    try:
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return False
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    given = list(error.value) if isinstance(error.value, tuple) else error.value
    return shown(plain) == shown(given)


def _targets(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every node with a ``_target_``, with its path."""
    if isinstance(tree, dict):
        if isinstance(tree.get("_target_"), str):
            yield path, tree
        for key, value in tree.items():
            yield from _targets(value, (*path, str(key)))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _targets(value, (*path, str(number)))


def _unknown_argument(causes: list[BaseException], cfg: DictConfig) -> str | None:
    """Say which argument of a ``_target_`` in the configuration does not exist."""
    matches = [_KEYWORD.search(str(cause)) for cause in causes if isinstance(cause, TypeError)]
    unknown = [match[1] for match in matches if match]
    for path, node in _targets(OmegaConf.to_container(cfg, resolve=False)) if unknown else ():
        names = _parameters(node["_target_"])
        for name in unknown:
            if names is not None and name in node and name not in names:
                start = "".join(f"{part}." for part in path)
                meant = hint([start + other for other in nearest(name, names)])
                listed = f" Its arguments: {', '.join(names)}."
                target = node["_target_"]
                return f"{start}{name}: {target} has no argument {name}.{meant or listed}"
    return None


def _parameters(target: str) -> list[str] | None:
    """The names of a callable's arguments; None if it takes any or cannot be read."""
    try:
        parameters = inspect.signature(get_object(target)).parameters.values()
    except Exception:  # importing a target may fail in any way
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [p.name for p in parameters if p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]


def _wrong_target(causes: list[BaseException]) -> str | None:
    """Say which ``_target_`` does not exist, may not be called, or refuses its arguments.

    A ValueError of a target in this package is a bug, and not explained.
    """
    for cause in causes:
        if not isinstance(cause, InstantiationException):
            continue
        node = _node([cause]) or "the configuration"
        if match := _NO_TARGET.search(str(cause)):
            reason = "there is no such class or function" if match[1] else "it may not be called"
            return f"{node}._target_={match[1] or match[2]}: {reason}"
        called = _CALLED.search(str(cause))
        refused = isinstance(cause.__cause__, ValueError | TypeError)
        if called and refused and not called[1].startswith(_OURS):
            return f"{node}: {called[1]} refuses its settings: {cause.__cause__}"
    return None


def explain_machine(error: BaseException) -> str | None:
    """Say what the machine refused, such as a full disk or too little memory, and what to do."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _REMEDIES and cause.strerror:
            files = " → ".join(str(name) for name in (cause.filename, cause.filename2) if name)
            start = f"{files}: " if files else ""
            return f"{start}{cause.strerror}; {_REMEDIES[cause.errno]}"
        if isinstance(cause, RuntimeError) and _NO_HOME in str(cause):
            return "a path begins with ~ and the name of no user: write it out, or put ./ before it"
        if isinstance(cause, MemoryError) or any(text in str(cause).lower() for text in _NO_MEMORY):
            first = (str(cause).splitlines() or ["out of memory"])[0]
            return (
                "there is not enough memory: use a smaller batch, network or data set "
                f"({first[:200]})"
            )
    return None
