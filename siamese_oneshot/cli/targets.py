"""What is wrong with a ``_target_`` of the config: its name, or an argument of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli.suggest import meant_text, nearest
from siamese_oneshot.utils.errors import ArgumentError

_KEYWORD = re.compile(r"got an unexpected keyword argument '(\w+)'")
_PLACE = re.compile(r"^full_key: (.+)$", re.MULTILINE)
_REFUSED = re.compile(r"Error locating target '([^']*)'|Target '([^']*)' is blocklisted")
_CALLED = re.compile(r"Error in call to target '([^']*)'")
_OURS = "siamese_oneshot."
_COMPLAINTS = (ValueError, TypeError)  # how libraries refuse arguments


def explain_call(error: BaseException, cfg: DictConfig) -> str | None:
    """Which argument of a ``_target_`` in the config its callable does not know.

    Args:
        error: what was raised while the config was used.
        cfg: the config.

    Returns:
        None where the error is of another kind, or the wrong argument is not from the config.
    """
    cause: BaseException | None = error
    while cause is not None:
        match = _KEYWORD.search(str(cause)) if isinstance(cause, TypeError) else None
        if match:
            for path, node in _targets(OmegaConf.to_container(cfg, resolve=False)):
                names = _parameters(node["_target_"]) if match[1] in node else None
                if names is not None and match[1] not in names:
                    start = "".join(f"{part}." for part in path)
                    meant = meant_text([start + name for name in nearest(match[1], names)])
                    return (
                        f"{start}{match[1]}: {node['_target_']} has no argument {match[1]}."
                        f"{meant}\nIts arguments: {', '.join(names)}."
                    )
        cause = cause.__cause__
    return None


def explain_argument(error: BaseException, cfg: DictConfig | None) -> str | None:
    """An `ArgumentError` with the configuration key that the argument came from.

    The key is looked for below the node that Hydra was building, and then in the whole
    configuration; the shortest path that ends in the argument's name wins.

    Returns:
        None where the error is of another kind.
    """
    place, refused = "", None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InstantiationException) and (found := _PLACE.search(str(cause))):
            place = found[1]
        if isinstance(cause, ArgumentError):
            refused, place = cause, place or cause.node
        cause = cause.__cause__
    if refused is None:
        return None
    if cfg is None:
        return str(refused.renamed(f"{place}.{refused.argument}") if place else refused)
    tree = OmegaConf.to_container(cfg, resolve=False)
    for start in dict.fromkeys((place, "")):
        keys = [
            key for key in _keys(tree) if _ends(key, refused.argument) and key.startswith(start)
        ]
        if keys:
            shortest = min(keys, key=lambda key: key.count("."))
            return str(refused.renamed(shortest))
    return str(refused)


def _ends(key: str, argument: str) -> bool:
    return key == argument or key.endswith(f".{argument}")


def _keys(tree: Any, start: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{start}{key}"
            yield from _keys(value, f"{start}{key}.")


def explain_target(error: BaseException) -> str | None:
    """Which ``_target_`` does not exist, may not be called, or refuses its arguments.

    Returns:
        None where the error is of another kind, or comes out of this package: that is a bug.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InstantiationException):
            text = str(cause)
            place = _PLACE.search(text)
            key = place[1] if place else "the config"
            if refused := _REFUSED.search(text):
                why = "there is no such class or function" if refused[1] else "it may not be called"
                return f"{key}._target_={refused[1] or refused[2]}: {why}"
            called = _CALLED.search(text)
            reason = cause.__cause__
            if called and not called[1].startswith(_OURS) and isinstance(reason, _COMPLAINTS):
                return f"{key}: {called[1]} refuses its settings: {reason}"
        cause = cause.__cause__
    return None


def _targets(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every node with a ``_target_``, with its path."""
    if isinstance(tree, dict):
        if isinstance(tree.get("_target_"), str):
            yield path, tree
        for key, value in tree.items():
            yield from _targets(value, (*path, str(key)))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _targets(value, (*path, str(number)))


def _parameters(target: str) -> list[str] | None:
    """The names a callable takes; None where any name will do or they cannot be read."""
    try:
        parameters = inspect.signature(get_object(target)).parameters.values()
    except Exception:  # a target may fail to import in any way; it is not what went wrong
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [p.name for p in parameters if p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
