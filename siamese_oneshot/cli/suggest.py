"""What a wrong name on the command line may have meant: settings, groups and their options."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.utils.config import conf_dir, group_options
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import hint, nearest, quoted

_SIGNS = {OverrideType.ADD: "+", OverrideType.FORCE_ADD: "++", OverrideType.DEL: "~"}
_BATCH = "sampler.batch_size"
_OTHER_NAMES = {  # common names of settings that are spelt otherwise here
    "learning_rate": "optimizer.lr",
    "batch_size": _BATCH,
    "epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps",
    "gpus": "trainer.devices",
    "device": "trainer.accelerator",
}
_EPISODES = (
    " A batch has sampler.n_alphabets × sampler.n_way × sampler.n_drawers images; only pairs "
    "(loss=bce_pairs) have sampler.batch_size."
)


class CommandLineError(UserError):
    """A command line that cannot be right."""


@dataclass(frozen=True)
class Settings:
    """What a command line can set.

    Attributes:
        groups: The options of each config group, such as ``model``: ``("paper", "resnet")``.
        chosen: The groups in the defaults list, which are chosen without a ``+``.
        keys: Dotted path of every setting of the composed configuration, Hydra's included.
    """

    groups: dict[str, tuple[str, ...]]
    chosen: frozenset[str]
    keys: frozenset[str]

    @classmethod
    def of(
        cls, conf: Path, config_name: str, overrides: Sequence[str], extra: Path | None = None
    ) -> Settings:
        """Read the groups, and compose the configuration with the group choices that exist.

        ``conf`` and ``extra`` (of ``--config-dir``) are folders of configurations.
        """
        groups = dict[str, tuple[str, ...]]()
        base = [] if extra is None else [f"hydra.searchpath=[{quoted(f'file://{extra}')}]"]
        for folder in filter(None, (extra, conf)):
            with initialize_config_dir(str(folder), version_base="1.3"):
                for group, options in _groups(GlobalHydra.instance().config_loader()):
                    groups[group] = (*groups.get(group, ()), *options)
        choices = [
            f"{_sign(override)}{override.key_or_group}={names[0]}"
            for override in _parsed(overrides)
            if (names := _options(override))
            and all(_is_option(groups, override.key_or_group, name) for name in names)
        ]
        with initialize_config_dir(str(conf), version_base="1.3"):
            try:
                cfg = compose(config_name, [*base, *choices], return_hydra_config=True)
            except HydraException:
                cfg = compose(config_name, base, return_hydra_config=True)
        tree = OmegaConf.to_container(cfg, resolve=False)
        return cls(groups, frozenset(cfg.hydra.runtime.choices), frozenset(keys_of(tree)))

    def plus(self, name: str) -> str:
        """The ``+`` that choosing an option of a group needs, or ""."""
        return "+" if name in self.groups and name not in self.chosen else ""


def _groups(loader: ConfigLoader, parent: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield every config group with its options."""
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        yield group, loader.get_group_options(group, ObjectType.CONFIG)
        yield from _groups(loader, group)


def keys_of(tree: Any, start: str = "") -> Iterator[str]:
    """Yield the dotted path of every key in nested mappings."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{start}{key}"
            yield from keys_of(value, f"{start}{key}.")


def _parsed(overrides: Sequence[str]) -> list[Override]:
    """Those that can be parsed."""
    result = []
    for text in overrides:
        with contextlib.suppress(HydraException):
            result += OverridesParser.create().parse_overrides([text])
    return result


def _sign(override: Override) -> str:
    return _SIGNS.get(override.type or OverrideType.CHANGE, "")


def _value(override: Override) -> str:
    return (override.input_line or "").partition("=")[2]


def _options(override: Override) -> list[str]:
    """The option names that an override of a group asks for."""
    value: Any = override.value()
    values = value if isinstance(value, list) else [value]
    if override.is_sweep_override():
        listed = override.is_discrete_sweep() and not isinstance(value, Glob)
        values = list(override.sweep_string_iterator()) if listed else []
    return [name for name in values if isinstance(name, str)]


def _is_option(groups: dict[str, tuple[str, ...]], group: str, name: str) -> bool:
    """Whether ``group=name`` can be chosen; the name may include subgroups."""
    folder, _, last = f"{group}/{name}".rpartition("/")
    return last in groups.get(folder, ())


def explain(overrides: Sequence[str], settings: Settings) -> str | None:
    """Say what is wrong with overrides that Hydra refused; None if all of their names exist."""
    parsed = _parsed(overrides)
    added = {override.key_or_group for override in parsed if _sign(override) in ("+", "++")}
    settings = replace(settings, keys=settings.keys | added)
    wrong = [_wrong(override, settings) for override in parsed]
    return "\n".join(line for line in wrong if line) or None


def _wrong(override: Override, settings: Settings) -> str | None:
    """Say what is wrong with the names in one override."""
    key, sign = override.key_or_group, _sign(override)
    if key in settings.groups:
        if not isinstance(override.value(), str | list) and not override.is_sweep_override():
            options = settings.groups[key]
            none = hint([f"{key}=none"] if "none" in options else [])
            return (
                f"{override.input_line}: {key} is a group, of which one option is chosen.{none}\n"
                f"Choices: {', '.join(options)}."
            )
        for name in _options(override):
            if not _is_option(settings.groups, key, name):
                options = settings.groups[key]
                meant = [f"{sign}{key}={option}" for option in nearest(name, options)]
                return (
                    f"{override.input_line}: there is no {name} in {key}/.{hint(meant)}\n"
                    f"Choices: {', '.join(options)}."
                )
        if not sign and key not in settings.chosen | settings.keys:
            text = f"+{override.input_line}"
            return f"{override.input_line}: {key} is not in the defaults list.{hint([text])}"
    elif sign in ("", "~") and key not in settings.keys:
        return _unknown(override, _near(key, _value(override), settings), settings)
    return None


def _near(key: str, value: str, settings: Settings, cutoff: float = 0.6) -> list[str]:
    """Settings and groups that a key may mean, first of all a group with that option."""
    known = settings.keys | settings.groups.keys()
    other = _OTHER_NAMES.get(re.split("[./]", key)[-1].removeprefix("n_"), "")
    if other in known or (other == _BATCH and "sampler.n_way" in known):
        return [other]
    if not key.startswith("hyd"):
        known = frozenset(name for name in known if not re.match("hydra\\b", name))
    holders = [name for name in known if value in settings.groups.get(name, ())]
    return nearest(key, holders, cutoff - 0.15) or nearest(key, known, cutoff)


def _meant(near: Sequence[str], value: str, settings: Settings, deleted: bool = False) -> str:
    """The hint that names overrides for these keys."""
    if list(near) == [_BATCH] and _BATCH not in settings.keys:
        return _EPISODES
    lines = []
    for name in near:
        own = value
        if name in settings.groups:
            own = (nearest(value, settings.groups[name]) or [value])[0]
        lines.append(f"~{name}" if deleted else f"{settings.plus(name)}{name}={own}")
    return hint(lines)


def _unknown(override: Override, near: Sequence[str], settings: Settings) -> str:
    """Say that there is no such key, and what may have been meant."""
    meant = _meant(near, _value(override), settings, override.type is OverrideType.DEL)
    return (
        f"{override.input_line}: there is no setting or group {override.key_or_group}.{meant}\n"
        "All settings: --cfg job; all groups: --help."
    )


def refuse_misspelt_additions(
    overrides: Sequence[str], folders: Sequence[Path], settings: Callable[[], Settings]
) -> None:
    """Refuse ``+experimnt=paper``: Hydra would add a setting that nothing reads.

    Only top-level names are checked, since below them ``+`` adds arguments of a ``_target_``;
    ``++`` adds any name. ``settings``, which are slow to read, are not needed for groups of the
    configuration's ``folders``.

    Raises:
        CommandLineError: A name that is neither a group nor a setting, but is similar to one.
    """
    for override in _parsed(overrides):
        key = override.key_or_group
        if override.type is not OverrideType.ADD or re.search("[./]", key):
            continue
        if any((folder / key).is_dir() for folder in folders):
            continue
        known = settings()
        if key in known.groups or key in known.keys:
            continue
        near = [name for name in _near(key, _value(override), known, 0.75) if "." not in name]
        if near:
            raise CommandLineError(
                f"{_unknown(override, near, known)}\n"
                f"To add a new setting of that name: +{override.input_line}"
            )


def refuse_unread_groups(cfg: DictConfig, hydra_cfg: Any) -> None:
    """Refuse an option whose file has no ``# @package`` line: nothing reads where it stands.

    Raises:
        UserError: With the group and what its file needs.
    """
    primary = conf_dir() / f"{hydra_cfg.job.config_name}.yaml"
    if not primary.is_file():
        return
    settings = OmegaConf.load(primary)
    known = {*settings, *(key for entry in settings.defaults if not isinstance(entry, str)
                          for key in entry)}  # fmt: skip
    for group, option in hydra_cfg.runtime.choices.items():
        if group in cfg and group not in known:
            place = "data.eval.protocols" if group == "protocol" else "KEY"
            raise UserError(
                f"+{group}={option} changes nothing, since no setting is called {group}: begin the "
                f'file with "# @package {place}", the setting that it belongs to'
            )


def explain_sampler(error: Exception) -> str | None:
    """Say what a loss without a sampler of its name needs; None for another error."""
    missing = re.fullmatch(r"sampler/(.+)", str(getattr(error, "missing_cfg_file", "")))
    if missing is None or missing[1] in group_options("sampler"):
        return None
    return (
        f"sampler={missing[1]}: there is no sampler of that name. A loss of your own needs one "
        "named: add sampler=bce_pairs if it learns from pairs, sampler=episodic_ce_smooth if it "
        "learns from whole alphabets"
    )


def explain_flags(unknown: Sequence[tuple[str, str]], settings: Settings) -> str:
    """Say what to write in place of flags that do not exist, such as ``--experiment quick``."""
    lines = []
    for flag, value in unknown:
        key = flag.lstrip("-").replace("-", "_")
        exact = [key] if key in settings.keys | settings.groups.keys() else []
        meant = _meant(exact or _near(key, value, settings), value, settings)
        given = f"{flag} {value}".strip()
        lines.append(f"{given}: settings are written key=value, without dashes.{meant}")
    return "\n".join([*lines, "All options: --help."])


def explain_unparsed(error: OverrideParseException, settings: Settings) -> str:
    """Say what to write in place of an override that Hydra's grammar cannot read."""
    override = error.override
    if "=" in override:
        return (
            f"{override}: cannot be read: {error}\n"
            "A value with = or , or brackets needs quotes of its own: 'key=\"value\"'"
        )
    meant = [
        f"{settings.plus(group)}{group}={override}"
        for group, options in settings.groups.items()
        if override in options and not group.startswith("hydra")
    ]
    return f"{override}: settings are written key=value.{hint(meant)}"
