"""Single settings, checked where they are used: a bad one is refused in a line that names its key.

Keys are spelt as on the command line (``optim.lr``), so that the line shows what to mend.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from siamese_oneshot.errors import UserError

_LONGEST = 80  # of a value that is shown


def number(
    key: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """A finite number within bounds.

    Args:
        key: of the setting, as the user spells it.
        value: what it was set to.
        low, high: the least and the greatest that is allowed.
        above, below: bounds that are not allowed themselves.

    Raises:
        UserError: text, NaN, infinity, or out of bounds.
    """
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    found = float(value) if numeric else math.nan
    if not (math.isfinite(found) and low <= found <= high and above < found < below):
        raise _refused(key, value, f"a number{_bounds(low, high, above, below)}")
    return found


def share(key: str, value: Any) -> float:
    """A number from 0 to 1.

    Raises:
        UserError: anything else.
    """
    return number(key, value, 0, 1)


def whole(key: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """A whole number within bounds, which may be met.

    Raises:
        UserError: a fraction, text, or out of bounds.
    """
    numeric = isinstance(value, Integral) and not isinstance(value, bool)
    if not numeric or not low <= int(value) <= high:
        raise _refused(key, value, f"a whole number{_bounds(low, high)}")
    return int(value)


def seed(key: str, value: Any) -> int:
    """A seed: a whole number from 0 to 2³² - 1, as NumPy's, so that no two are the same chance.

    Raises:
        UserError: anything else.
    """
    return whole(key, value, 0, 2**32 - 1)


def wholes(
    key: str, value: Any, low: float = -math.inf, high: float = math.inf, count: int | None = None
) -> list[int]:
    """A list of whole numbers within bounds.

    Args:
        key, value, low, high: as for `whole`.
        count: how many; any number of them where None.

    Raises:
        UserError: no list, one of another length, or an entry that `whole` refuses.
    """
    try:
        return [whole(key, one, low, high) for one in _entries(value, count)]
    except UserError:
        what = f"a list of {_many(count)}whole numbers{_bounds(low, high)}"
        raise _refused(key, value, what) from None


def numbers(
    key: str,
    value: Any,
    count: int,
    low: float = -math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> list[float]:
    """A list of so many numbers within bounds; see `number` and `wholes`."""
    try:
        return [number(key, one, low, above=above, below=below) for one in _entries(value, count)]
    except UserError:
        what = f"a list of {_many(count)}numbers{_bounds(low, math.inf, above, below)}"
        raise _refused(key, value, what) from None


def flag(key: str, value: Any) -> bool:
    """True or false.

    Raises:
        UserError: anything else, such as text that Python would take for true.
    """
    if not isinstance(value, bool):
        raise _refused(key, value, "true or false")
    return value


def names(key: str, value: Any) -> list[str]:
    """A list of names.

    Raises:
        UserError: anything else, such as one name alone.
    """
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed or not all(isinstance(one, str) for one in value):
        raise _refused(key, value, "a list of names, as in [one,two]")
    return list(value)


def text(key: str, value: Any) -> str:
    """Some text.

    Raises:
        UserError: nothing, a number or anything else.
    """
    if not isinstance(value, str) or not value.strip():
        raise _refused(key, value, f"a text (a number needs quotes: '{key}=\"2024\"')")
    return value


def mapping(key: str, value: Any) -> None:
    """Null for none, or settings.

    Raises:
        UserError: anything else, such as false.
    """
    if value is not None and not isinstance(value, Mapping):
        raise _refused(key, value, "null, for none, or a mapping of settings")


def known(key: str, settings: Mapping[Any, Any], names: Sequence[str]) -> None:
    """No settings but those that are read.

    Raises:
        UserError: another one, which would change nothing.
    """
    for name in settings:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            meant = f" Did you mean {key}.{near[0]}?" if near else ""
            raise UserError(
                f"{key}.{name}: there is no such setting.{meant} There are {', '.join(names)}"
            )


def one_of(key: str, value: Any, names: Collection[str | None]) -> Any:
    """One of some names; None among them stands for null.

    Raises:
        UserError: another one, with those that there are.
    """
    if (value is not None and not isinstance(value, str)) or value not in names:
        listed = ", ".join("null" if name is None else name for name in names)
        raise UserError(f"{key}={_shown(value)} is unknown; there are {listed}")
    return value


def _entries(value: Any, count: int | None) -> Sequence[Any]:
    # Hydra's own lists too, which are no Python lists
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed or (count is not None and len(value) != count):
        raise UserError("no such list")
    return list(value)


def _many(count: int | None) -> str:
    return "" if count is None else f"{count} "


def _bounds(low: float, high: float, above: float = -math.inf, below: float = math.inf) -> str:
    """``, 0 or more``, `` from 0 to 1``, `` above 0`` and the like."""
    parts = []
    if low > -math.inf and high < math.inf:
        parts.append(f" from {low:g} to {high:g}")
    elif low > -math.inf:
        parts.append(f", {low:g} or more")
    elif high < math.inf:
        parts.append(f", {high:g} or less")
    if above > -math.inf:
        parts.append(f" above {above:g}")
    if below < math.inf:
        parts.append(f"{' and' if parts else ''} below {below:g}")
    return "".join(parts)


def _refused(key: str, value: Any, what: str) -> UserError:
    return UserError(f"{key}={_shown(value)}: it must be {what}")


def _shown(value: Any) -> str:
    """As on the command line, cut where it is long."""
    text = {None: "null", True: "true", False: "false"}.get(value) if _plain(value) else None
    text = str(value) if text is None else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)
