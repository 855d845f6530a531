"""Which settings tell the jobs of a report apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from siamese_oneshot.reports.files import Files
from siamese_oneshot.reports.value import Value, identity, of_plain
from siamese_oneshot.utils.run_info import is_of_training

_PLACES = ("root", "workers", "dirpath", "folder")  # wherever they stand


def differing(files: Sequence[Files]) -> list[str]:
    """The settings that were swept or that differ between jobs, less the seed.

    Where two jobs agree in all that was typed and yet not in their configurations, as after a
    default was changed, what those differ in counts as well: their scores are not of one setting.

    Returns:
        Dotted keys in the order of their first mention.
    """
    swept = dict.fromkeys(
        str(key).lstrip("+~") for one in files for key in one.job.get("swept", ())
    )
    mentioned = dict.fromkeys(key for one in files for key in one.overrides)
    keys = [key for key in swept if key != "seed"]
    for key in mentioned:
        if key not in swept and is_of_training(key):
            found = [one.value(key) for one in files]
            if len({(has, identity(value)) for has, value in found}) > 1:
                keys.append(key)
    return [*keys, *_unsaid(files, keys)]


def _unsaid(files: Sequence[Files], keys: Sequence[str]) -> list[str]:
    """What differs between configurations of jobs that have the same values of some settings."""
    alike: dict[tuple[Any, ...], dict[str, Value]] = {}
    found: dict[str, None] = {}
    for one in files:
        mine = dict(_leaves(one.config, ""))
        settings = tuple((has, identity(value)) for has, value in map(one.value, keys))
        first = alike.setdefault(settings, mine)
        for key in first.keys() & mine.keys():
            if identity(first[key]) != identity(mine[key]):
                found[key] = None
    return sorted(key for key in found if key not in keys)


def _leaves(config: Any, path: str) -> list[tuple[str, Value]]:
    """Each value of a configuration, as written, with its dotted key."""
    leaves: list[tuple[str, Value]] = []
    for name, value in config.items() if isinstance(config, dict) else ():
        key = f"{path}{name}"
        if not is_of_training(key) or name in _PLACES:
            continue
        if isinstance(value, dict):
            leaves += _leaves(value, f"{key}.")
        else:
            leaves.append((key, of_plain(value)))
    return leaves
