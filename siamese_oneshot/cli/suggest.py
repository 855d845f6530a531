"""What a wrong name on the command line may have meant: settings, groups and their options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli.overrides import parts_of
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.errors import CommandLineError, UserError
from siamese_oneshot.utils.text import bare_key, did_you_mean, hint, nearest

_OTHER_NAMES = {  # common names of settings that are spelt otherwise here
    "learning_rate": "optimizer.lr",
    "batch_size": "sampler.batch_size",
    "epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps",
    "gpus": "trainer.devices",
    "device": "trainer.accelerator",
}
_PLAIN = re.compile(r"\[?[\w-]+(, *[\w-]+)*\]?")  # options of a group, no path or call
_BATCH = "the product of sampler.n_alphabets, sampler.n_way and sampler.n_drawers"


def explain(overrides: Sequence[str], folders: Sequence[Path], config_name: str) -> str | None:
    """Name what overrides may have meant that Hydra refused; None if nothing is similar.

    The groups of all folders are looked up; the first one has the primary configuration.
    """
    groups = dict[str, list[str]]()
    for folder in folders:
        for file in sorted(folder.rglob("*.yaml")):
            groups.setdefault(file.parent.relative_to(folder).as_posix(), []).append(file.stem)
    named = [(text, *parts_of(text)) for text in overrides]
    choices = [  # with them there may be other settings
        text for text, _, key, value in named if value.lstrip("=") in groups.get(key, ())
    ]
    with initialize_config_dir(str(folders[0]), version_base="1.3"):
        try:
            cfg = compose(config_name, choices, return_hydra_config=True)
        except HydraException:
            cfg = compose(config_name, return_hydra_config=True)
    keys = {*keys_of(OmegaConf.to_container(cfg, resolve=False))}
    keys |= {key for _, sign, key, _ in named if "+" in sign} | {*cfg.hydra.runtime.choices}
    lines = []
    for text, sign, key, rest in named:
        value, listed = rest.removeprefix("="), ""
        if key in groups:
            asked = re.findall(r"[\w-]+", value) if _PLAIN.fullmatch(value) else []
            wrong = [name for name in asked if name not in groups[key]]
            meant = [f"{sign}{key}={name}" for one in wrong for name in nearest(one, groups[key])]
            if not wrong and not sign and key not in cfg.hydra.runtime.choices:
                meant = [f"+{text}"]
            if wrong and not meant and not key.startswith("hydra"):  # which has options of its own
                listed = f" Choices: {', '.join(groups[key])}."
        elif key in keys:
            meant = []
        else:
            meant = [
                f"~{name}" if sign == "~" else _spelt(name, value, groups, cfg)
                for name in _similar(key, value, groups, keys)
            ]
        if meant or listed:
            lines.append(f"{text}: there is no such setting or option.{hint(meant)}{listed}")
    return "\n".join([*lines, "All settings: --cfg job; all groups: --help."]) if lines else None


def _similar(key: str, value: str, groups: dict[str, list[str]], keys: set[str]) -> list[str]:
    """Settings and groups that a key may mean, first of all a group with that option."""
    other = _OTHER_NAMES.get(key.rpartition(".")[2])
    if other is not None:
        return [other if other in keys else _BATCH]
    names = {*keys, *groups}
    if not key.startswith("hyd"):
        names = {name for name in names if not name.startswith("hydra")}
    holders = [name for name in names if value in groups.get(name, ())]
    return nearest(key, holders, 0.45) or nearest(key, names)


def _spelt(name: str, value: str, groups: dict[str, list[str]], cfg: DictConfig) -> str:
    """An override that sets a name, or chooses the most similar option of the group."""
    if name not in groups:
        return name if name == _BATCH else f"{name}={value}"
    option = (nearest(value, groups[name]) or [value])[0]
    return f"{'' if name in cfg.hydra.runtime.choices else '+'}{name}={option}"


def keys_of(tree: Any, start: str = "") -> Iterator[str]:
    """Yield the dotted path of every key in nested mappings."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{start}{key}"
            yield from keys_of(value, f"{start}{key}.")


def refuse_misspelt_additions(
    overrides: Sequence[str], folders: Sequence[Path], config_name: str
) -> None:
    """Refuse ``+experimnt=paper``: Hydra would add a setting that nothing reads.

    Only top-level names are checked, since below them ``+`` adds arguments of a ``_target_``;
    ``++`` adds any name.

    Raises:
        CommandLineError: A name that is neither a group nor a setting, but is similar to one.
    """
    known = [path.name for folder in folders for path in folder.glob("*") if path.is_dir()]
    for folder in folders:
        for file in folder.glob(f"{config_name}.yaml"):
            known += map(str, OmegaConf.load(file))
    for text in overrides:
        key = bare_key(text)
        if text.startswith("+") and not text.startswith("++") and re.fullmatch(r"\w+", key):
            meant = "" if key in known else did_you_mean(key, known, 0.75)
            if meant:
                raise CommandLineError(
                    f"{text}: there is no setting or group {key}.{meant}\n"
                    f"To add a new setting of that name: +{text}"
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
            raise UserError(
                f"+{group}={option} changes nothing, since no setting is called {group}: begin the "
                'file with "# @package KEY", the setting that it belongs to'
            )
