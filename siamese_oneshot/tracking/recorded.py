"""What the folder of a run says of how it was trained."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from siamese_oneshot.sweeping.job import bare_key

log = logging.getLogger(__name__)

_ELSEWHERE = (
    "seed", "resume", "test", "sweep", "hydra", "logger", "data.root", "data.download",
    "data.workers", "trainer.log_every_n_steps", "callbacks.album", "callbacks.latest",
    "callbacks.progress", "callbacks.rates", "callbacks.watch",
)  # fmt: skip
_DAMAGE = (OSError, ValueError, OmegaConfBaseException, YAMLError)


def of_training(overrides: Sequence[str]) -> list[str]:
    """Those that say what is learned: not the seed, where files lie or what is logged.

    Args:
        overrides: in Hydra's grammar; of several of a key the last one counts.
    """
    keyed = {bare_key(one): one for one in overrides}
    return [one for key, one in keyed.items() if is_of_training(key)]


def is_of_training(key: str) -> bool:
    """Whether a setting says what is learned; ``hydra/launcher`` and the like are Hydra's."""
    path = key.replace("/", ".") + "."
    return not any(path.startswith(f"{one}.") for one in _ELSEWHERE)


def with_recorded(facts: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """A checkpoint's facts, and what the run's folder says where an older one does not.

    Args:
        facts: of the checkpoint; none of a very old one.
        run: the folder that it may lie in.
    """
    found = dict(facts) or _configured(run)
    lines = run / ".hydra" / "overrides.yaml"
    if "overrides" not in found and lines.is_file():
        try:
            found["overrides"] = of_training([str(one) for one in OmegaConf.load(lines)])
        except (*_DAMAGE, TypeError) as problem:
            log.warning("%s cannot be read: %s", lines, problem)
    return found


def _configured(run: Path) -> dict[str, Any]:
    try:
        config = OmegaConf.load(run / ".hydra" / "config.yaml")
        facts = {
            "experiment": OmegaConf.select(config, "name"),
            "seed": OmegaConf.select(config, "seed"),
            "split": OmegaConf.select(config, "data.split"),
            "data_source": OmegaConf.select(config, "data.source"),
        }
    except _DAMAGE:
        log.warning("it is not known on which split %s was trained: data.split is taken", run)
        return {}
    return {name: value for name, value in facts.items() if value is not None}
