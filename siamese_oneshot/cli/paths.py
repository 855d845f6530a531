"""Paths on the command line as they are typed: Hydra's grammar would stumble over some of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from siamese_oneshot.utils.text import quoted

_LEFT_ALONE = re.compile(r"null|true|false|\[.*\]|\$\{.*\}", re.DOTALL)
_READ_AS_IT_STANDS = re.compile(r"[\w./,+-]*", re.ASCII)
_BEFORE_A_VALUE = {
    "--cfg", "-c", "--package", "-p", "--info", "-i", "--config-path", "-cp", "--config-name",
    "-cn", "--config-dir", "-cd", "--experimental-rerun",
}  # fmt: skip


def unquoted(text: str) -> str:
    """A path as typed, less the quotes that Hydra's grammar would want around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("\\" + text[0], text[0])
    return text


def with_paths(
    line: Sequence[str], keys: Sequence[str], words: str | None = None, sweeps: bool = False
) -> list[str]:
    """The command line with the paths in it quoted.

    Args:
        line: arguments.
        keys: settings that are paths: ``key=a folder (x)/β`` may be typed without quotes. A value
            of null, true, false, a list or an interpolation is left to Hydra.
        words: the setting that takes bare words, as a list: arguments without ``=`` that are no
            flag nor a flag's value, and those with ``=`` that exist as a file or folder.
        sweeps: a value that Hydra can read is left to it, so that commas may stand between several,
            unless all of it is the name of a file or folder.

    Returns:
        Arguments for Hydra.
    """
    rest, models, place = list[str](), list[str](), 0
    for before, argument in zip(["", *line], line, strict=False):
        key, equals, value = argument.partition("=")
        flag = argument.startswith(("-", "+", "~"))
        if (
            words is not None
            and not flag
            and before not in _BEFORE_A_VALUE
            and key not in keys
            and (not equals or os.path.exists(os.path.expanduser(argument)))
        ):
            place = place if models else len(rest)  # overrides stand together, Hydra says
            models.append(unquoted(argument))
        elif equals and key in keys and not _is_left_to_hydra(value, sweeps):
            rest.append(f"{key}={quoted(unquoted(value))}")
        else:
            rest.append(argument)
    if models:
        rest.insert(place, f"{words}=[{','.join(map(quoted, models))}]")
    return rest


def _is_left_to_hydra(value: str, sweeps: bool) -> bool:
    if _LEFT_ALONE.fullmatch(value):
        return True
    one_with_commas = "," in value and os.path.exists(value)
    return sweeps and not one_with_commas and _READ_AS_IT_STANDS.fullmatch(value) is not None
