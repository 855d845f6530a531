"""Imports that take long for something that nobody uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def stand_in(name: str, **content: Any) -> Iterator[None]:
    """Within the block, whoever imports a module gets another one that holds ``content`` alone.

    A module that was imported before stays, and whoever needs it imports it afterwards.
    """
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
