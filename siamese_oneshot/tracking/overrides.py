"""Which settings of a command line say what a network learns."""

from __future__ import annotations

from collections.abc import Sequence

_ELSEWHERE = ("seed", "resume", "test", "sweep", "data.root", "data.download", "data.workers")
_GROUPS = ("hydra", "logger")


def of_training(overrides: Sequence[str]) -> list[str]:
    """Those that say what is learned: not the seed, where files lie or what is logged.

    Args:
        overrides: in Hydra's grammar.
    """
    return [one for one in overrides if _is_of_training(one.partition("=")[0].lstrip("+~"))]


def _is_of_training(key: str) -> bool:
    return key not in _ELSEWHERE and key.partition(".")[0].partition("/")[0] not in _GROUPS
