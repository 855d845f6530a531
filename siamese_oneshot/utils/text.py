"""Text: hints for messages, and the spelling of Hydra overrides (``key=value``)."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

_MAX_FOLDER_NAME = 100  # characters; file systems allow 255 bytes


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


def printable(text: object) -> str:
    """Replace control characters and undecodable bytes by U+FFFD, to print a text safely."""
    kinds = ("Cc", "Cs", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(c) in kinds else c for c in str(text))


def quoted(path: str | Path) -> str:
    """Return a path in the quotes that Hydra's grammar needs to read it back unchanged."""
    escaped = re.sub(
        r"(\\*)('|\Z)", lambda match: 2 * match[1] + ("\\'" if match[2] else ""), str(path)
    )
    return f"'{escaped}'"


def bare_key(override: str) -> str:
    """Return the key of an override: ``optimizer.lr`` for ``+optimizer.lr=1``."""
    return override.partition("=")[0].lstrip("+~")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Map each dotted key to the shortest suffix that no other key ends with."""

    def suffixes(key: str) -> list[str]:
        parts = key.split(".")
        return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]

    count = Counter(suffix for key in dict.fromkeys(keys) for suffix in suffixes(key))
    return {key: next((end for end in suffixes(key) if count[end] == 1), key) for key in keys}


def folder_name(overrides: Sequence[str]) -> str:
    """Join overrides to a readable folder name; different overrides give different names."""
    text = ",".join(override.lstrip("+~") for override in overrides)
    name = re.sub(r"[^\w.,=+\-\[\]]", "-", text.replace("'", "").replace('"', ""), flags=re.A)
    if name == text and len(name) <= _MAX_FOLDER_NAME:
        return name
    return f"{name[:_MAX_FOLDER_NAME]}~{sha256(text.encode()).hexdigest()[:8]}"
