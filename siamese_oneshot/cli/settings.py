"""What a command line can set, and what its overrides say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

_SIGNS = {OverrideType.ADD: "+", OverrideType.FORCE_ADD: "++", OverrideType.DEL: "~"}


@dataclass(frozen=True)
class Settings:
    """What a command line can set.

    Attributes:
        groups: the options of each config group, such as ``model``: ``("paper", "small")``.
        chosen: the groups in the defaults list, which are chosen without a ``+``.
        keys: dotted path of every setting of the composed config, Hydra's own included.
    """

    groups: dict[str, tuple[str, ...]]
    chosen: frozenset[str]
    keys: frozenset[str]

    @classmethod
    def of(
        cls, conf: Path, config_name: str, overrides: Sequence[str], extra: Path | None = None
    ) -> Settings:
        """Read the groups, and compose the config with those group choices that exist.

        Args:
            conf: the config folder.
            config_name: the primary config in it.
            overrides: the command line's; wrong ones are passed over.
            extra: one more config folder (``--config-dir``).
        """
        version.setbase("1.3")
        search_path = create_config_search_path(str(conf))
        if extra is not None:
            search_path.prepend("command-line", f"file://{extra}", anchor="schema")
        loader = ConfigLoaderImpl(search_path)
        groups = dict(_groups(loader))
        choices = []
        for override in parsed(overrides):
            group, names = override.key_or_group, wanted(override)
            if names and all(is_option(groups, group, name) for name in names):
                choices.append(f"{sign(override)}{group}={names[0]}")
        try:
            cfg = loader.load_configuration(config_name, choices, RunMode.RUN)
        except HydraException:
            cfg = loader.load_configuration(config_name, [], RunMode.RUN)
        tree = OmegaConf.to_container(cfg, resolve=False)
        return cls(groups, frozenset(cfg.hydra.runtime.choices), frozenset(_paths(tree)))


def _groups(loader: ConfigLoader, parent: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every config group with its options."""
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        yield group, tuple(loader.get_group_options(group, ObjectType.CONFIG))
        yield from _groups(loader, group)


def _paths(tree: Any, start: str = "") -> Iterator[str]:
    """The dotted path of every key in nested dicts."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{start}{key}"
            yield from _paths(value, f"{start}{key}.")


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Those that parse."""
    good = []
    for line in overrides:
        with contextlib.suppress(HydraException):
            good += OverridesParser.create().parse_overrides([line])
    return good


def sign(override: Override) -> str:
    """What stands before the key: ``+``, ``++``, ``~`` or nothing."""
    return _SIGNS.get(override.type or OverrideType.CHANGE, "")


def text(override: Override) -> str:
    """What stands after the equals sign."""
    return (override.input_line or "").partition("=")[2]


def wanted(override: Override) -> list[str]:
    """The option names that an override of a group asks for; none where it is no such thing."""
    if override.is_sweep_override():
        values: list[object] = []
        if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            values = list(override.sweep_string_iterator())
    else:
        value = override.value()
        values = list(value) if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, str)]


def is_option(groups: dict[str, tuple[str, ...]], group: str, name: str) -> bool:
    """Whether ``group=name`` can be chosen; the name may go down into groups below."""
    folder, _, last = f"{group}/{name}".rpartition("/")
    return last in groups.get(folder, ())
