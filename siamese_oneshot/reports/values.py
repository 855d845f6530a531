"""Values of settings: parsed, compared and formatted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Value = bool | int | float | str | None


def parse_text(text: str) -> Value:
    """The value of an override's text: ``1e-3`` is a number, ``[64, 64]`` stays text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return to_value(OverridesParser.create().parse_override(f"value={text}").value())
    except (HydraException, RecursionError):
        return text


def to_value(value: Any) -> Value:
    """A plain value of a configuration; lists and mappings become text, so that they compare."""
    if isinstance(value, Mapping):
        items = (f"{key}:{format_value(to_value(item))}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(format_value(to_value(item)) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def leaves(config: Any, prefix: str = "") -> dict[str, Value]:
    """The values of a nested configuration by dotted key; an empty mapping counts as a value."""
    if not isinstance(config, dict) or (not config and prefix):
        return {prefix: to_value(config)}
    found: dict[str, Value] = {}
    for name, value in config.items():
        found |= leaves(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def identity(value: Value) -> tuple[bool, Value]:
    """A key that is equal for equal values: 1 and 1.0 are equal, 1 and true are not."""
    return isinstance(value, bool), value


def format_value(value: Value) -> str:
    """A short text in Hydra's spelling: ``0.002``, ``1e-05``, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def path_text(path: Path) -> str:
    """A path as valid Unicode; the bytes of a file name need not be."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_numeric(values: Iterable[Value]) -> bool:
    """Whether all values are numbers; true and false are not."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def spans_decades(values: Sequence[float], ratio: float = 100) -> bool:
    """Whether a logarithmic axis suits these numbers: positive, and so far apart."""
    return min(values) > 0 and max(values) / min(values) >= ratio


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters; ``…`` replaces the middle of a longer text."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"
