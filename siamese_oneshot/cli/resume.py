"""Resume with one setting: the command line of a run, read back from the run's folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from siamese_oneshot.cli.paths import unquoted
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import quoted

_RESUME = re.compile(r"(?P<plus>\+{0,2})resume=(?P<path>.*)", re.DOTALL)
_OVERRIDE = re.compile(r"(?P<sign>\+{0,2}|~)(?P<key>[^=]*)(?P<rest>.*)", re.DOTALL)


def with_recorded(line: Sequence[str]) -> list[str]:
    """The command line with ``resume=<run>`` expanded to the run's own overrides and folder.

    The overrides recorded in ``<run>/.hydra/overrides.yaml`` come first, so that those given now
    win; a recorded one whose key is given again is left out. ``resume=null`` changes nothing.

    Args:
        line: arguments; ``resume=`` names a run's folder or a ``.ckpt`` file in its
            ``checkpoints/``, quoted or not (a path may hold spaces, commas and equals signs).

    Returns:
        Arguments for Hydra, ``resume=`` with an absolute path among them.

    Raises:
        UserError: no such run, nothing recorded in it, or together with ``--multirun``.
    """
    arguments = get_args_parser().parse_args(list(line))
    given: list[str] = arguments.overrides
    wishes = [match for match in map(_RESUME.fullmatch, given) if match]
    path = unquoted(wishes[-1]["path"]) if wishes else ""
    if path in ("", "null"):
        return list(line)
    if arguments.multirun or any(text.lower() == "hydra.mode=multirun" for text in given):
        raise UserError(
            "resume= goes on with one run, so it cannot be used with --multirun. "
            "Resume the unfinished runs one by one."
        )
    place, run = _run_of(path)
    recorded = {_parts(text)[1]: text for text in _recorded(run)}
    recorded.pop("resume", None)
    now = [_added_again(text, recorded) for text in given if not _RESUME.fullmatch(text)]
    before = [text for key, text in recorded.items() if key not in {_parts(t)[1] for t in now}]
    now.append(f"{wishes[-1]['plus']}resume={quoted(place)}")
    now.append("hydra.mode=RUN")  # a recorded +sweep=… may ask for several jobs
    if not any(text.startswith("hydra.run.dir=") for text in now):
        now.append(f"hydra.run.dir={quoted(run)}")
    start = list(line).index(given[0])
    return [*line[:start], *before, *now, *line[start + len(given) :]]


def _parts(override: str) -> tuple[str, str, str]:
    """Sign, key, and the rest from the equals sign on."""
    match = _OVERRIDE.fullmatch(override)
    assert match is not None, "every part of the pattern may be empty"
    return match["sign"], match["key"], match["rest"]


def _added_again(override: str, recorded: dict[str, str]) -> str:
    """With the + of the recorded override that it replaces: its key is not in the config."""
    sign, key, rest = _parts(override)
    before = _parts(recorded.get(key, ""))[0]
    return f"{before}{key}{rest}" if not sign and before != "~" else override


def _run_of(path: str) -> tuple[Path, Path]:
    """The absolute path, and the folder of the run that it belongs to."""
    place = Path(path).expanduser().absolute()
    if place.is_file() and place.suffix == ".ckpt" and place.parent.name == "checkpoints":
        return place, place.parent.parent
    if place.is_dir():
        return place, place
    raise UserError(
        f"resume: there is no run at {place}. Give the folder of an earlier run "
        "or a .ckpt file in its checkpoints/ folder."
    )


def _recorded(run: Path) -> list[str]:
    """The overrides that the run was started with."""
    file = run / ".hydra" / "overrides.yaml"
    if not file.is_file():
        raise UserError(
            f"resume: {file} does not exist, so {run} is not the folder of a run. "
            "Give a folder that an earlier run made."
        )
    try:
        overrides = OmegaConf.to_container(OmegaConf.load(file))
    except Exception as error:
        raise UserError(f"resume: {file} cannot be read: {error}") from error
    if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
        raise UserError(f"resume: {file} is damaged: it must be a list of overrides.")
    return [str(text) for text in overrides]
