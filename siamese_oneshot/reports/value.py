"""A setting's value: read from text or configuration, and shown shortly."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Value = bool | int | float | str | None

_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}
_WHOLE = re.compile(r"[+-]?\d+")
_REFERENCE = re.compile(r"(\\*)\$\{")  # with the backslashes before it, which would escape it


def of_text(text: str) -> Value:
    """The value that an override's text stands for: ``1e-3`` is a number, ``[64, 64]`` a text."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return re.sub(r",\s+", ",", text)
    return number if math.isfinite(number) else text


def of_plain(value: Any) -> Value:
    """A plain value of a configuration; lists and dicts become text, so that they compare."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{shown(of_plain(one))}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(shown(of_plain(one)) for one in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def uncalled(config: Any) -> Any:
    """A plain configuration whose references that call something are escaped: they stay text.

    A report is passed on: what a stranger's folder names, such as ``${oc.env:API_KEY}``, must not
    be looked up in this environment. References between settings stay references.
    """
    if isinstance(config, dict):
        return {key: uncalled(one) for key, one in config.items()}
    if isinstance(config, list):
        return [uncalled(one) for one in config]
    if isinstance(config, str) and "${" in config and ":" in config:
        return _REFERENCE.sub(lambda found: 2 * found[1] + r"\${", config)
    return config


def identity(value: Value) -> tuple[bool, Value]:
    """What two values share where they are the same: 1 and 1.0 do, 1 and true do not."""
    return isinstance(value, bool), value


def shown(value: Value) -> str:
    """In a few letters, as one would type it: ``0.002``, ``1e-05``, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def printable(path: Path) -> str:
    """A path as it can be written anywhere: names of files may hold bytes that are no text."""
    return os.fsencode(path).decode("utf-8", "replace")


def numeric(values: Iterable[Value]) -> bool:
    """Whether all are numbers; true and false are none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def wide(values: Sequence[float]) -> bool:
    """Whether numbers are better looked at by their logarithms: positive, two decades and more."""
    return min(values) > 0 and max(values) / min(values) >= 100


def cut(text: str, most: int) -> str:
    """No longer than ``most`` letters; what is left out of the middle shows as ``…``."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"
