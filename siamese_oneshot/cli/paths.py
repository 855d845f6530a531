"""Paths on the command line as they are typed: Hydra's grammar would stumble over some of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

_LEFT_ALONE = re.compile(r"null|true|false|\[.*\]|\$\{.*\}", re.DOTALL)


def quoted(path: str | Path) -> str:
    """As Hydra's grammar reads it back unchanged."""
    return QuotedString(str(path), Quote.single).with_quotes()


def unquoted(text: str) -> str:
    """A path as typed, less the quotes that Hydra's grammar would want around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("\\" + text[0], text[0])
    return text


def with_paths(line: Sequence[str], keys: Sequence[str], words: str | None = None) -> list[str]:
    """The command line with the paths in it quoted.

    Args:
        line: arguments.
        keys: settings that are paths: ``key=a folder (x)/β`` may be typed without quotes. A value
            of null, true, false, a list or an interpolation is left to Hydra.
        words: the setting that takes bare words, as a list: arguments without ``=`` that are no
            flag, and those with ``=`` that exist as a file or folder.

    Returns:
        Arguments for Hydra.
    """
    rest, subjects = [], []
    for argument in line:
        key, equals, value = argument.partition("=")
        flag = argument.startswith(("-", "+", "~"))
        if (
            words is not None
            and not flag
            and key not in keys
            and (not equals or Path(argument).expanduser().exists())
        ):
            subjects.append(unquoted(argument))
        elif equals and key in keys and not _LEFT_ALONE.fullmatch(value):
            rest.append(f"{key}={quoted(unquoted(value))}")
        else:
            rest.append(argument)
    if subjects:
        rest.append(f"{words}=[{','.join(map(quoted, subjects))}]")
    return rest
