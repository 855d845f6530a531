"""Checks of arguments: each returns the value, or raises `ArgumentError` naming the argument.

The command line adds which configuration key the argument came from.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

from siamese_oneshot.utils.errors import ArgumentError

_T = TypeVar("_T")
_INF = math.inf


def number(
    argument: str,
    value: Any,
    low: float = -_INF,
    high: float = _INF,
    *,
    above: float = -_INF,
    below: float = _INF,
) -> float:
    """A finite number from ``low`` to ``high``, greater than ``above`` and less than ``below``."""
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    result = float(value) if numeric else math.nan
    if not (math.isfinite(result) and low <= result <= high and above < result < below):
        raise ArgumentError(argument, value, f"a number{_bounds(low, high, above, below)}")
    return result


def fraction(argument: str, value: Any) -> float:
    """A number from 0 to 1."""
    return number(argument, value, 0, 1)


def integer(argument: str, value: Any, low: float = -_INF, high: float = _INF) -> int:
    """An integer from ``low`` to ``high``."""
    numeric = isinstance(value, Integral) and not isinstance(value, bool)
    if not numeric or not low <= int(value) <= high:
        raise ArgumentError(argument, value, f"an integer{_bounds(low, high)}")
    return int(value)


def seed(argument: str, value: Any) -> int:
    """A seed, an integer from 0 to 4294967295 (the range of NumPy's seeds)."""
    return integer(argument, value, 0, 2**32 - 1)


def integers(
    argument: str, value: Any, low: float = -_INF, high: float = _INF, count: int | None = None
) -> list[int]:
    """A list of integers from ``low`` to ``high``; ``count`` is its length if given."""
    expected = f"integers{_bounds(low, high)}"
    return _list(argument, value, count, expected, lambda entry: integer("", entry, low, high))


def numbers(
    argument: str,
    value: Any,
    count: int,
    low: float = -_INF,
    *,
    above: float = -_INF,
    below: float = _INF,
) -> list[float]:
    """A list of ``count`` numbers within bounds."""
    expected = f"numbers{_bounds(low, _INF, above, below)}"
    return _list(
        argument, value, count, expected, lambda one: number("", one, low, above=above, below=below)
    )


def boolean(argument: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "true or false")
    return value


def names(argument: str, value: Any) -> list[str]:
    """A list of names."""
    if not _is_list(value) or not all(isinstance(name, str) for name in value):
        raise ArgumentError(argument, value, "a list of names, as in [one,two]")
    return list(value)


def text(argument: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        expected = f"a text (a number needs quotes: '{argument}=\"2024\"')"
        raise ArgumentError(argument, value, expected)
    return value


def mapping(argument: str, value: Any) -> None:
    """Accept None or a mapping of settings."""
    if value is not None and not isinstance(value, Mapping):
        raise ArgumentError(argument, value, "null, for none, or a mapping of settings")


def choice(argument: str, value: Any, choices: Collection[str | None]) -> Any:
    """One of ``choices``; None among them stands for null."""
    if (value is not None and not isinstance(value, str)) or value not in choices:
        listed = ", ".join("null" if name is None else name for name in choices)
        raise ArgumentError(argument, value, f"one of {listed}")
    return value


def _list(
    argument: str, value: Any, count: int | None, expected: str, entry_of: Callable[[Any], _T]
) -> list[_T]:
    if _is_list(value) and count in (None, len(value)):
        try:
            return [entry_of(entry) for entry in value]
        except ArgumentError:
            pass
    many = "" if count is None else f"{count} "
    raise ArgumentError(argument, value, f"a list of {many}{expected}")


def _is_list(value: Any) -> bool:
    """Whether a value is a list; OmegaConf's lists are sequences, but not Python lists."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _bounds(low: float, high: float, above: float = -_INF, below: float = _INF) -> str:
    if low > -_INF and high < _INF:
        text = f" from {_digits(low)} to {_digits(high)}"
    elif low > -_INF:
        text = f", {_digits(low)} or more"
    else:
        text = f", {_digits(high)} or less" if high < _INF else ""
    if above > -_INF:
        text += f" above {_digits(above)}"
    if below < _INF:
        text += f"{' and' if text else ''} below {_digits(below)}"
    return text


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def plain_fields(record: Any) -> None:
    """Check the fields of a dataclass that was read from a file.

    Its annotations are such as ``int``, ``float | None`` or ``list[str]``; the items of lists and
    dictionaries are not checked.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If a number is not finite.
    """
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "list": list}
    kinds |= {"dict": dict, "None": type(None)}
    for field in dataclasses.fields(record):
        value, annotation = getattr(record, field.name), str(field.type)
        allowed = [kinds[name] for name in re.sub(r"\[.*\]", "", annotation).split(" | ")]
        if isinstance(value, bool) or not any(isinstance(value, kind) for kind in allowed):
            raise TypeError(f"{field.name}={value!r} is not {annotation}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name} is {value}")
