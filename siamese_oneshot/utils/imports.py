"""Imports that take long for something that nobody uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextmanager
def stand_in(name: str, **content: Any) -> Iterator[None]:
    """Within the block, whoever imports a module gets another one that holds ``content`` alone.

    Whatever else is asked of it, or a module below it, comes from the module itself, which is then
    imported. A module that was imported before stays, and whoever needs it imports it afterwards.
    """
    if name in sys.modules:
        yield
        return

    def itself() -> ModuleType:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return import_module(name)

    def from_itself(attribute: str) -> Any:
        if attribute.startswith("__"):  # asked by the import system
            raise AttributeError(attribute)
        return getattr(itself(), attribute)

    class Below:
        """Finds the modules below, most of which the import of the module itself brings."""

        def find_spec(self, below: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if not below.startswith(f"{name}.") or sys.modules.get(name) is not module:
                return None
            parent = itself()
            # Python would execute once more what it finds in sys.modules.
            if (loaded := sys.modules.pop(below, None)) is None:
                return PathFinder.find_spec(below, parent.__path__)
            return ModuleSpec(below, self, loader_state=(loaded, loaded.__spec__))  # type: ignore[arg-type]

        def create_module(self, spec: ModuleSpec) -> ModuleType:
            loaded: ModuleType = spec.loader_state[0]
            return loaded

        def exec_module(self, loaded: Any) -> None:
            loaded.__spec__ = loaded.__spec__.loader_state[1]

    module, finder = ModuleType(name), Below()
    vars(module).update(content, __getattr__=from_itself, __path__=[])
    sys.modules[name] = module
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if sys.modules.get(name) is module:
            del sys.modules[name]


def without_compiler() -> AbstractContextManager[None]:
    """Within the block, nobody imports ``torch._dynamo`` who does not compile: it takes a second.

    Lightning asks it what would be compiled, and PyTorch's optimizers tell it what would not be.
    """
    return stand_in(
        "torch._dynamo",
        OptimizedModule=type("OptimizedModule", (), {}),
        disable=lambda function, *_, **__: function,
        graph_break=lambda *_, **__: None,
    )


def import_torchmetrics() -> None:
    """Import torchmetrics, which Lightning needs, without all of ``scipy.signal``.

    Its audio metrics only look whether that has ``hamming``, for a package of old; the import is a
    tenth of a command's time until the first training step. Who needs it imports it afterwards.
    """
    # ImportError: of a version that needs more of it, which is imported as usual.
    with suppress(ImportError), stand_in("scipy.signal", hamming=None):
        import torchmetrics  # noqa: F401
