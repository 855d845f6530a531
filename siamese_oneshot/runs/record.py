"""What a run was asked for: its configuration and overrides, and what each leg of it changed.

Written when a training begins, never before, so that a refused command leaves no trace.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.utils.errors import UserError, shown
from siamese_oneshot.utils.io import MAX_JSON, MAX_YAML, atomic_write, open_regular, read_yaml
from siamese_oneshot.utils.run_info import is_of_training
from siamese_oneshot.utils.text import first_line

CONFIG = "config.yaml"
OVERRIDES = ".hydra/overrides.yaml"
_COMMAND = "# python -m siamese_oneshot.train "
_IDENTITY = {  # metadata of a checkpoint that no resumption may change, and where it is set
    "data_digest": ("other images", "data"),
    "split": ("another split", "data.split"),
    "val_alphabets": ("other validation alphabets", "data.val_alphabets"),
    "seed": ("another seed", "seed"),
}


def write_record(folder: Path, cfg: DictConfig, hydra: Any) -> None:
    """Write ``config.yaml``, headed by its command, and Hydra's own files, each atomically."""
    overrides = list(hydra.overrides.task)
    resolved = OmegaConf.to_yaml(cfg, resolve=True)
    _write(folder / CONFIG, f"{_COMMAND}{shlex.join(overrides)}\n{resolved}")
    _write(folder / ".hydra" / CONFIG, OmegaConf.to_yaml(cfg))
    _write(folder / ".hydra" / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))
    _write(folder / OVERRIDES, OmegaConf.to_yaml(OmegaConf.create(overrides)))


def recorded_overrides(run: Path) -> list[str]:
    """The overrides of a run.

    Where Hydra's file is missing, as in a copy without hidden files, or is damaged, they are taken
    from ``config.yaml``, ``job.json``, ``result.json`` or a checkpoint.

    Raises:
        UserError: No file has them.
    """
    reasons = []
    for name, read in (
        (OVERRIDES, read_yaml),
        (CONFIG, _of_config),
        ("job.json", _of_json),
        ("result.json", _of_json),
        ("checkpoints/last.ckpt", _of_checkpoint),
        ("checkpoints/last.previous.ckpt", _of_checkpoint),
    ):
        try:
            overrides = read(run / name)
        except Exception as problem:  # each reader fails in ways of its own
            reasons.append((run / name, problem))
            continue
        if isinstance(overrides, list) and all(isinstance(text, str) for text in overrides):
            return overrides
        reasons.append((run / name, ValueError("it holds no list of overrides")))
    damaged = [row for row in reasons if not isinstance(row[1], FileNotFoundError)]
    if damaged and not isinstance(damaged[0][1], NotADirectoryError):
        file, fault = damaged[0]
        raise UserError(f"resume: {file} is damaged and cannot be read: {first_line(fault)}")
    raise UserError(
        f"resume: {run / OVERRIDES} does not exist, nor a file that could replace it, so {run} is "
        "not the folder of a run. Give a folder that an earlier run made."
    )


def check_files(run: Path) -> None:
    """Refuse a stranger's run that would have other files written to, or never be opened.

    W&B's folder links to its own logs elsewhere, which it never writes to again.

    Raises:
        UserError: A file or folder of it is a link out of it, a pipe or a device.
    """
    inside = os.path.join(os.path.realpath(run), "")
    for path in run.rglob("*"):
        if "wandb" in path.relative_to(run).parts[:2]:  # the run's, or of its evaluation
            continue
        leads_out = not os.path.realpath(path).startswith(inside)
        is_plain = path.is_file() or path.is_dir() or not path.exists()
        if leads_out or not is_plain:
            what = "is a link that leads out of the run" if leads_out else "is a pipe or a device"
            raise UserError(
                f"resume: {path} {what}: remove it, or pass trust=true if you know who made that "
                "run"
            )


def settings_of(cfg: DictConfig) -> dict[str, Any]:
    """The settings that change what is learned, by dotted key, interpolations unresolved."""
    settings = flat(OmegaConf.to_container(cfg, resolve=False))
    return {key: value for key, value in settings.items() if is_of_training(key)}


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> None:
    """Refuse to go on with what would make the scores of a run wrong.

    ``before`` and ``now`` are ``SiameseModule.metadata`` of the checkpoint and of its successor.

    Raises:
        UserError: Other images, another split or another seed.
    """
    for name, (what, key) in _IDENTITY.items():
        if name in before and before[name] != now[name]:
            raise UserError(
                f"{key}: {checkpoint} was trained with {what} ({shown(before[name])}, not "
                f"{shown(now[name])}), so a continued run would be tested on what it has learned, "
                "or would not be what its result says. Resume it without this change, or start a "
                "new run in another folder"
            )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """The settings that differ between two legs of a run: ``old → new`` by key."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return {key: f"{shown(before.get(key))} → {shown(now.get(key))}" for key in keys}


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """A nested mapping by dotted keys; lists and empty mappings are values."""
    if not isinstance(tree, Mapping) or not tree:
        return {path: tree}
    start = f"{path}." if path else ""
    parts = (flat(value, f"{start}{key}") for key, value in tree.items())
    return {key: value for part in parts for key, value in part.items()}


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def _of_config(path: Path) -> Sequence[str]:
    with open_regular(path, MAX_YAML) as file:
        first = file.readline().decode("utf-8").rstrip("\r\n")
    if not first.startswith(_COMMAND):
        raise ValueError("its first line is no command")
    return shlex.split(first.removeprefix(_COMMAND))


def _of_json(path: Path) -> Any:
    with open_regular(path, MAX_JSON) as file:
        return json.load(file)["overrides"]


def _of_checkpoint(path: Path) -> Any:
    from siamese_oneshot.runs.checkpoint import load_checkpoint  # late: it imports PyTorch

    with open_regular(path, sys.maxsize):
        return load_checkpoint(path)["exact_resume"]["legs"][-1]["overrides"]
