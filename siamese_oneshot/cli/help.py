"""The help of each command, read from the comments in ``conf/``; loads neither Hydra nor PyTorch.

The first comment line of a YAML file (after ``# @package``) is the sentence shown here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

COMMANDS = {
    "train": "Train a Siamese network, validate it, and test it once at the end.",
    "evaluate": "Run every evaluation protocol on trained networks and baselines.",
    "predict": "Recognize your own images from one or a few examples of each class.",
    "report": "Compare the runs of a folder or a sweep: tables, plots, HTML pages.",
    "demo": "Serve a page to draw symbols on, to this machine only.",
    "export": "Export a network: a small file with a card, ONNX, or a page to draw on.",
    "benchmark": "Measure speed, alone or against another git revision.",
    "dashboard": "Create the project's W&B workspace and report.",
    "wandb_sweep": "Print a sweep of conf/sweep as the definition of a W&B sweep.",
}
GROUPS = {
    "data": "Images, and which of them train, validate and test.",
    "model": "Encoder and similarity.",
    "loss": "What training minimizes; it also sets the sampler.",
    "sampler": "What a training batch holds, and its augmentation.",
    "optimizer": "Learning rate, momentum or weight decay, schedule.",
    "trainer": "Length of training, device, precision.",
    "callbacks": "Checkpoints, early stopping, EMA, plots.",
    "logger": "Where metrics and plots go.",
    "experiment": "A complete training: every choice that differs from the default.",
    "sweep": "Many trainings: a grid, or a search by Optuna.",
    "ablation": "The experiment without one ingredient.",
}
_USAGE = """
  python -m siamese_oneshot.train                        the default experiment
  python -m siamese_oneshot.train +experiment=quick      another experiment
  python -m siamese_oneshot.train model=resnet seed=1    other options, settings
  python -m siamese_oneshot.train -m seed=0,1,2          a job per combination
  python -m siamese_oneshot.train resume=outputs/…       continue a run"""
_FLAGS = """
  --cfg job        print the configuration that the other arguments give
  --version        print the version
  --hydra-help     print Hydra's own options"""
_WIDTH = 80


def description(file: Path) -> str:
    """The sentence that a YAML file opens with; "" if it opens with none."""
    return next((text for text in _opening(file) if not text.startswith("python -m")), "")


def command_help(conf: Path, config_name: str) -> str:
    """The help of a command.

    Args:
        conf: Folder of configurations.
        config_name: Its primary configuration: ``config`` for training.
    """
    if config_name != "config":
        return _settings_help(conf / f"{config_name}.yaml")
    defaults = dict(re.findall(r"^  - (\w+): ([\w${}]+)", (conf / "config.yaml").read_text(), re.M))
    options = {
        group: sorted(file.stem for file in (conf / group).glob("*.yaml"))
        for group in (*GROUPS, *sorted(path.name for path in conf.iterdir() if path.is_dir()))
        if group != "hydra" and (conf / group).is_dir()
    }
    lines = [COMMANDS["train"], _USAGE, "", f"+experiment=NAME: {GROUPS['experiment']}"]
    for group in ("experiment", "sweep"):
        if group == "sweep":
            lines += ["", f"+sweep=NAME: {GROUPS['sweep']}"]
        for name in options.pop(group, []):
            lines += _entry(name, description(conf / group / f"{name}.yaml"))
    lines += ["", "Groups, with (default): GROUP=OPTION"]
    for group, names in options.items():
        names = [f"({name})" if name == defaults.get(group) else name for name in names]
        plus = "" if group in defaults else "+"
        lines += _entry(plus + group, f"{GROUPS.get(group, '')} {', '.join(names)}")
    return "\n".join([*lines, _FLAGS])


def package_help() -> str:
    """The list of commands."""
    lines = ["One-shot image recognition with Siamese networks.", ""]
    for name, text in COMMANDS.items():
        lines += [f"  python -m siamese_oneshot.{name}", f"      {text}"]
    return "\n".join([*lines, "", "Each command has --help."])


def _entry(name: str, text: str) -> list[str]:
    """Format a name and its text; continuation lines are indented."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"  {name:14} ",
        subsequent_indent=" " * 17,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fitted(line: str) -> str:
    """A line of YAML whose comment continues below itself."""
    start = line.find("# ") if len(line) > _WIDTH else -1
    if start < 0:
        return line
    parts = textwrap.wrap(line[start + 2 :], _WIDTH - start - 2, break_on_hyphens=False)
    return line[: start + 2] + f"\n{' ' * start}# ".join(parts)


def _opening(file: Path) -> Iterator[str]:
    """Yield the comment lines that a YAML file opens with."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        text = line.lstrip("# ").rstrip()
        if text and not text.startswith("@"):
            yield text


def _settings_help(file: Path) -> str:
    """The opening of a YAML file, its own settings and their comments, as written."""
    body = file.read_text(encoding="utf-8").splitlines()
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in body if not line.startswith("#")))
    kept = [block for block in blocks if not re.match(r"\s*(defaults|hydra|logger):", block)]
    settings = re.sub(r"\n\s*\n", "\n", "\n".join(kept)).strip("\n")
    lines = [f"  {line}" for line in settings.splitlines() if "_target_" not in line]
    settings = "\n".join(map(_fitted, lines))
    opening = "\n".join(
        f"  {text}" if text.startswith("python -m") else text for text in _opening(file)
    )
    return f"{opening}\n\nSettings (KEY=VALUE):\n{settings}\n{_FLAGS}"
