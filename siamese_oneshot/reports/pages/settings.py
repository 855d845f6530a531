"""A run's settings: those that differ from its experiment's defaults, and all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from siamese_oneshot.reports.files import Files
from siamese_oneshot.reports.value import Value, cut, identity, of_plain, shown, uncalled
from siamese_oneshot.utils.tables import Table

_LONGEST = 60_000  # letters of a configuration on a page
_MOST = 120  # rows
_PLACES = ("hydra", "resume")  # where a run is, not what it is


def differences(files: Files) -> Table | None:
    """The settings that differ from what the experiment has by itself in this version.

    Returns:
        None where there is no configuration to compare.
    """
    if not isinstance(files.config, dict):
        return None
    chosen = tuple(
        f"+experiment={text}" for key, text in files.overrides.items() if key == "experiment"
    )
    defaults = _defaults(chosen)
    title = "settings that differ from the defaults"
    if chosen:
        title += f" of experiment={chosen[0].partition('=')[2]}"
    table = Table(title, ["setting", "here", "default"])
    if defaults is None:
        table = Table("settings of the command line", ["setting", "here"])
        table.note = "Its experiment's defaults are not in this version."
        for key, text in list(files.overrides.items())[:_MOST]:
            table.add(key, cut(text, 160))
        return table
    kept = {key: one for key, one in files.config.items() if key not in _PLACES}
    mine = _leaves(kept, "")
    keys = [key for key in mine if key not in defaults or not _same(mine[key], defaults[key])]
    keys += [key for key in defaults if key not in mine]
    for key in keys[:_MOST]:
        told = [shown(side[key]) if key in side else "not set" for side in (mine, defaults)]
        table.add(key, *(cut(text, 160) for text in told))
    table.note = "As this version of the package has the defaults."
    if len(keys) > _MOST:
        table.note += f" {len(keys) - _MOST} more are in .hydra/config.yaml."
    return table


def whole(files: Files) -> str:
    """The resolved configuration as YAML; empty where there is none."""
    if files.config is None:
        return ""
    import yaml

    config = files.config
    if isinstance(config, dict):
        config = _resolved(config)
    try:
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    except (yaml.YAMLError, RecursionError):
        text = str(config)
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "\n… .hydra/config.yaml has the rest\n"
    return text


def _resolved(config: dict[str, Any]) -> Any:
    """References between settings replaced; what cannot be, as written."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(uncalled(config)), resolve=True)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError):
        return config


@cache
def _defaults(chosen: tuple[str, ...]) -> dict[str, Value] | None:
    """Leaves of the configuration that an experiment has by itself; None: it has none here."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from siamese_oneshot.cli import conf_dir

    version.setbase("1.3")
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    try:
        made = loader.load_configuration("config", list(chosen), RunMode.RUN)
    except HydraException:
        return None
    plain = OmegaConf.to_container(made, resolve=False)
    assert isinstance(plain, dict)
    for key in _PLACES:
        plain.pop(key, None)
    return _leaves(plain, "")


def _leaves(config: Any, path: str) -> dict[str, Value]:
    if not isinstance(config, dict) or not config:
        return {path.rstrip("."): of_plain(config)}
    leaves: dict[str, Value] = {}
    for name, value in config.items():
        leaves |= _leaves(value, f"{path}{name}.")
    return leaves


def _same(one: Value, other: Value) -> bool:
    return identity(one) == identity(other)
