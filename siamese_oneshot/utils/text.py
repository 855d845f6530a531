"""Text: hints for messages, and the spelling of Hydra overrides (``key=value``)."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

_SIMILAR = 0.6
_MAX_FOLDER_NAME = 100  # characters; file systems allow 255 bytes


def nearest(word: str, names: Iterable[str], cutoff: float = _SIMILAR) -> list[str]:
    """Up to three names similar to ``word``, the most similar first.

    A name is similar if the whole is, if its last part is (``lr`` finds ``optimizer.lr``), or if it
    starts with ``word``; ``cutoff`` is the smallest similarity in [0, 1].
    """

    def ratio(a: str, b: str) -> float:
        return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()

    scores = {}
    for name in names:
        whole = ratio(word, name)
        last = 0.95 * ratio(re.split("[./]", word)[-1], re.split("[./]", name)[-1])
        prefix = 0.8 if len(word) > 2 and name.startswith(word) else 0.0
        scores[name] = (max(whole, last, prefix), whole)
    ranked = sorted(scores, key=lambda name: (*(-part for part in scores[name]), name))
    best = scores[ranked[0]][0] if ranked else 0.0
    return [n for n in ranked[:3] if scores[n][0] >= max(cutoff, best - 0.03)]


def hint(lines: Sequence[str]) -> str:
    """A question that names what may have been meant, to append to a message; "" for nothing."""
    return f" Did you mean {' or '.join(lines)}?" if lines else ""


def did_you_mean(word: object, choices: Iterable[object], cutoff: float = _SIMILAR) -> str:
    """The hint with the most similar of some names; "" if none is similar."""
    return hint(nearest(str(word), map(str, choices), cutoff)[:1])


def printable(text: object) -> str:
    """Replace control characters and undecodable bytes by U+FFFD, to print a text safely."""
    kinds = ("Cc", "Cs", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(c) in kinds else c for c in str(text))


def spreadsheet_cell(text: str) -> str:
    """A text without control characters that a spreadsheet does not run as a formula."""
    return printable(f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text)


def first_line(problem: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters; ``…`` replaces the middle of a longer text."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def some_of(texts: Sequence[object], most: int, separator: str = "; ") -> str:
    """Join the first texts, and say how many more there are."""
    more = [f"and {len(texts) - most:,} more"] if len(texts) > most else []
    return separator.join([*map(str, texts[:most]), *more])


def duration(seconds: float) -> str:
    """``48 min 46 s``: the two largest units of a time; ``3.2 s`` below ten seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    large = next(n for n, (_, length) in enumerate(units) if seconds >= length or length == 1)
    small = min(large + 1, len(units) - 1)
    rest, parts = units[small][1] * round(seconds / units[small][1]), list[str]()
    for name, length in units[: small + 1]:
        count, rest = divmod(rest, length)
        parts += [f"{count:.0f} {name}"] if count else []
    return " ".join(parts[:2])


def path_text(path: str | Path) -> str:
    """A path, or a text with paths, as valid Unicode; the bytes of a file name need not be."""
    return os.fsencode(path).decode("utf-8", "replace")


def near(path: str | Path) -> str:
    """A path as seen from the working directory, if it is below that."""
    try:
        return str(Path(path).absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def quoted(path: str | Path) -> str:
    """A path in the quotes that Hydra's grammar needs to read it back unchanged."""
    escaped = re.sub(
        r"(\\*)('|\Z)", lambda match: 2 * match[1] + ("\\'" if match[2] else ""), str(path)
    )
    return f"'{escaped}'"


def bare_key(override: str) -> str:
    """The key of an override: ``optimizer.lr`` for ``+optimizer.lr=1``."""
    return override.partition("=")[0].lstrip("+~")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Map each dotted key to the shortest suffix that no other key ends with.

    ``seed`` is that of the training, so ``data.synthetic.seed`` becomes ``synthetic.seed``.
    """

    def suffixes(key: str) -> list[str]:
        parts = key.split(".")
        return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]

    every = dict.fromkeys([*keys, "seed"])
    count = Counter(suffix for key in every for suffix in suffixes(key))
    return {key: next((end for end in suffixes(key) if count[end] == 1), key) for key in keys}


def folder_name(overrides: Sequence[str]) -> str:
    """Join overrides to a readable folder name; different overrides give different names."""
    text = ",".join(override.lstrip("+~") for override in overrides)
    name = re.sub(r"[^\w.,=+\-\[\]]", "-", text.replace("'", "").replace('"', ""), flags=re.A)
    if name == text and len(name) <= _MAX_FOLDER_NAME:
        return name
    return f"{name[:_MAX_FOLDER_NAME]}~{sha256(text.encode()).hexdigest()[:8]}"
