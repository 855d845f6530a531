"""Text for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, choices: Iterable[object], cutoff: float = 0.6) -> str:
    """Return a hint to append to an error message about an unknown name.

    Args:
        word: The name that was given.
        choices: The names that exist.
        cutoff: Smallest similarity in [0, 1] of a choice that is offered.

    Returns:
        ``" Did you mean x?"`` with the most similar choice, or ``""`` if none is similar.
    """
    close = difflib.get_close_matches(str(word), [str(choice) for choice in choices], 1, cutoff)
    return f" Did you mean {close[0]}?" if close else ""
