"""Build objects from plain values, as Hydra's ``instantiate`` does, without importing Hydra."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any


def build_from_description(description: Any) -> Any:
    """Build the object that plain values describe.

    A mapping with ``_target_`` becomes a call of that class or function with the other entries as
    keyword arguments, innermost first; with ``_partial_`` it becomes a `functools.partial`. Other
    mappings and lists are built entry by entry. Any target is called: check untrusted descriptions
    first.

    Raises:
        ImportError, AttributeError: If a target does not exist.
        TypeError: If arguments of a target are missing or unknown.
    """
    if isinstance(description, list | tuple):
        return [build_from_description(value) for value in description]
    if not isinstance(description, Mapping):
        return description
    values = {key: build_from_description(value) for key, value in description.items()}
    if "_target_" not in values:
        return values
    module, _, name = values.pop("_target_").rpartition(".")
    values.pop("_convert_", None)  # the values are plain already
    partial = values.pop("_partial_", False)
    target = getattr(importlib.import_module(module), name)
    return functools.partial(target, **values) if partial else target(**values)
