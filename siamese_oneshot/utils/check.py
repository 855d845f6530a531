"""Checks of arguments. Each raises `ArgumentError`, a ValueError that names the argument.

The command line adds which configuration key the argument came from.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.text import did_you_mean


def number(
    argument: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number within bounds.

    Args:
        argument: Name of the argument.
        value: Its value.
        low: Smallest allowed value.
        high: Largest allowed value.
        above: The value must be greater than this.
        below: The value must be less than this.

    Raises:
        ArgumentError: If the value is not a number, is NaN or infinite, or is out of bounds.
    """
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    found = float(value) if numeric else math.nan
    if not (math.isfinite(found) and low <= found <= high and above < found < below):
        raise ArgumentError(argument, value, f"a number{_bounds(low, high, above, below)}")
    return found


def fraction(argument: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    return number(argument, value, 0, 1)


def integer(argument: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """Return an integer from ``low`` to ``high``."""
    numeric = isinstance(value, Integral) and not isinstance(value, bool)
    if not numeric or not low <= int(value) <= high:
        raise ArgumentError(argument, value, f"an integer{_bounds(low, high)}")
    return int(value)


def seed(argument: str, value: Any) -> int:
    """Return a seed, an integer from 0 to 4294967295 (the range of NumPy's seeds)."""
    return integer(argument, value, 0, 2**32 - 1)


def integers(
    argument: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    count: int | None = None,
) -> list[int]:
    """Return a list of integers from ``low`` to ``high``; ``count`` is its length if given."""
    try:
        return [integer(argument, one, low, high) for one in _entries(argument, value, count)]
    except ArgumentError:
        expected = f"a list of {_many(count)}integers{_bounds(low, high)}"
        raise ArgumentError(argument, value, expected) from None


def numbers(
    argument: str,
    value: Any,
    count: int,
    low: float = -math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> list[float]:
    """Return a list of ``count`` numbers within bounds."""
    try:
        entries = _entries(argument, value, count)
        return [number(argument, one, low, above=above, below=below) for one in entries]
    except ArgumentError:
        expected = f"a list of {_many(count)}numbers{_bounds(low, math.inf, above, below)}"
        raise ArgumentError(argument, value, expected) from None


def boolean(argument: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "true or false")
    return value


def names(argument: str, value: Any) -> list[str]:
    """Return a list of names."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed or not all(isinstance(one, str) for one in value):
        raise ArgumentError(argument, value, "a list of names, as in [one,two]")
    return list(value)


def text(argument: str, value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        expected = f"a text (a number needs quotes: '{argument}=\"2024\"')"
        raise ArgumentError(argument, value, expected)
    return value


def mapping(argument: str, value: Any) -> None:
    """Accept None or a mapping of settings."""
    if value is not None and not isinstance(value, Mapping):
        raise ArgumentError(argument, value, "null, for none, or a mapping of settings")


def known_keys(argument: str, settings: Mapping[Any, Any], keys: Sequence[str]) -> None:
    """Refuse a mapping with keys that nothing reads.

    Raises:
        ArgumentError: Names the unknown key and the nearest known one.
    """
    for key in settings:
        if key not in keys:
            hint = did_you_mean(key, keys)
            message = f"there is no such setting.{hint} Choices: {', '.join(keys)}"
            raise ArgumentError(f"{argument}.{key}", settings[key], message=message)


def choice(argument: str, value: Any, choices: Collection[str | None]) -> Any:
    """Return one of ``choices``; None among them stands for null."""
    if (value is not None and not isinstance(value, str)) or value not in choices:
        listed = ", ".join("null" if one is None else one for one in choices)
        raise ArgumentError(argument, value, f"one of {listed}")
    return value


def _entries(argument: str, value: Any, count: int | None) -> list[Any]:
    # OmegaConf's lists are sequences, but not Python lists.
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed or (count is not None and len(value) != count):
        raise ArgumentError(argument, value, "a list")
    return list(value)


def _many(count: int | None) -> str:
    return "" if count is None else f"{count} "


def _bounds(low: float, high: float, above: float = -math.inf, below: float = math.inf) -> str:
    parts = []
    if low > -math.inf and high < math.inf:
        parts.append(f" from {_digits(low)} to {_digits(high)}")
    elif low > -math.inf:
        parts.append(f", {_digits(low)} or more")
    elif high < math.inf:
        parts.append(f", {_digits(high)} or less")
    if above > -math.inf:
        parts.append(f" above {_digits(above)}")
    if below < math.inf:
        parts.append(f"{' and' if parts else ''} below {_digits(below)}")
    return "".join(parts)


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
