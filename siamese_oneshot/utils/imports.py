"""Imports that take long for something that nobody uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def stand_in(name: str, **content: Any) -> Iterator[None]:
    """Within the block, whoever imports a module gets another one that holds ``content`` alone.

    Whatever else is asked of it comes from the module itself, which is then imported. A module that
    was imported before stays, and whoever needs it imports it afterwards.
    """
    if name in sys.modules:
        yield
        return

    def from_the_module_itself(attribute: str) -> Any:
        if attribute.startswith("__"):  # asked by the import system
            raise AttributeError(attribute)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    module = ModuleType(name)
    vars(module).update(content, __getattr__=from_the_module_itself)
    sys.modules[name] = module
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]
