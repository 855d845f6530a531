"""Arguments of the command line: flags, overrides, unquoted paths and ``resume=``."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from siamese_oneshot.runs.record import check_files, recorded_overrides
from siamese_oneshot.utils.errors import CommandLineError, UserError
from siamese_oneshot.utils.text import printable, quoted

_FOR_HYDRA = re.compile(r"null|true|false|\[.*\]|\$\{.*\}", re.DOTALL)
_NEEDS_NO_QUOTES = re.compile(r"[\w./,+-]*", re.ASCII)
_CHOICE = re.compile(r"(choice|shuffle|sort|glob|tag)\(.*\)", re.DOTALL)
_A_PATH = re.compile(r"\.\.|[=\[,'\"]\s*[/~]")  # as option of a group
_RESUME = re.compile(r"(?P<plus>\+{0,2})resume=(?P<path>.*)", re.DOTALL)
_OVERRIDE = re.compile(r"(?P<sign>\+{1,2}|~|)(?P<key>[^=]*)(?P<rest>.*)", re.DOTALL)


def parse_line(line: Sequence[str]) -> Namespace:
    """Split arguments, whatever their order.

    Returns:
        The values of Hydra's flags, ``overrides``, and as ``flags`` all words but these.

    Raises:
        CommandLineError: A flag that Hydra does not have.
        SystemExit: 2, after Hydra's usage, for a wrong value of a flag.
    """
    parser = get_args_parser()
    parser.allow_abbrev = False
    args, unknown = parser.parse_known_intermixed_args(line)
    if unknown:
        raise CommandLineError(
            f"{' '.join(unknown)}: settings are written key=value, without dashes, as in seed=1 or "
            "+experiment=quick. All options: --help."
        )
    args.flags = [word for word in line if word not in args.overrides]
    return args


def unquoted(text: str) -> str:
    """Remove the quotes around a path that Hydra's grammar would need."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("\\" + text[0], text[0])
    return text


def with_paths(
    overrides: Sequence[str], keys: Sequence[str], words: str | None = None, sweeps: bool = False
) -> list[str]:
    """Quote the paths among arguments that are not flags.

    Args:
        overrides: The arguments.
        keys: Settings that are paths, such as ``key=a folder (x)/β``. A value of null, true, false,
            a list or an interpolation is left to Hydra.
        words: Setting that takes, as a list, the arguments without ``=`` and existing paths.
        sweeps: Leave values to Hydra that it can read, so that commas may separate several, unless
            the whole value is an existing path.
    """
    result, listed = list[str](), list[str]()
    for text in overrides:
        key, equals, value = text.partition("=")
        is_word = words is not None and not text.startswith(("+", "~")) and key not in keys
        if is_word and (not equals or os.path.exists(os.path.expanduser(text))):
            listed.append(unquoted(text))
            continue
        is_path = equals and key in keys and not _FOR_HYDRA.fullmatch(value)
        if is_path and sweeps and not os.path.exists(os.path.expanduser(value)):
            parts = value.split(",") if "," in value else []
            if _NEEDS_NO_QUOTES.fullmatch(value) or _CHOICE.fullmatch(value):
                is_path = False
            elif all(os.path.isdir(os.path.expanduser(unquoted(part))) for part in parts) and parts:
                result.append(f"{key}={','.join(quoted(unquoted(part)) for part in parts)}")
                continue
        result.append(f"{key}={quoted(unquoted(value))}" if is_path else text)
    if listed:
        result.append(f"{words}=[{','.join(map(quoted, listed))}]")
    return result


def with_recorded(overrides: Sequence[str], multirun: bool = False) -> list[str]:
    """Expand ``resume=<run>`` to the run's own overrides and folder.

    The run is a folder or a ``.ckpt`` file in its ``checkpoints/``, quoted or not (a path may hold
    spaces, commas and equals signs). The overrides that it has recorded come first, but for those
    whose key is given again. ``resume=null`` changes nothing.

    Raises:
        UserError: No such run, nothing recorded in it, or together with ``multirun``.
    """
    wanted = [match for match in map(_RESUME.fullmatch, overrides) if match]
    path = unquoted(wanted[-1]["path"]) if wanted else ""
    if path in ("", "null"):
        return list(overrides)
    if multirun:
        raise UserError(
            "resume= continues one run, so it cannot be used with --multirun. "
            "Resume the unfinished runs one by one."
        )
    source, run = _run_of(path)
    recorded = {parts_of(text)[1]: text for text in recorded_overrides(run)}
    for word in ("resume", "trust"):  # a stranger's run does not say that it is trusted
        recorded.pop(word, None)
    for key, text in recorded.items():
        # No run records these: they would be imported before anything can be checked.
        is_group = "." not in key and key not in ("name", "init_from", "teachers")
        if key.startswith(("hydra.", "hydra/")) or (is_group and _A_PATH.search(parts_of(text)[2])):
            raise UserError(f"resume: {run} was changed: it records {printable(text)}; remove that")
    now = [_added_again(text, recorded) for text in overrides if not _RESUME.fullmatch(text)]
    given = {parts_of(text)[1] for text in now}
    if "trust=true" not in [text.lower().lstrip("+") for text in now]:
        check_files(run)
    if "init_from" in given:
        raise UserError(
            "init_from is for a new run; resume= continues an old one: leave init_from out"
        )
    now.append(f"{wanted[-1]['plus']}resume={quoted(source)}")
    now.append("hydra.mode=RUN")  # a recorded +sweep=… may ask for several jobs
    if "hydra.run.dir" not in given:
        now.append(f"hydra.run.dir={quoted(run)}")
    return [*(text for key, text in recorded.items() if key not in given), *now]


def parts_of(override: str) -> tuple[str, str, str]:
    """Sign, key, and the rest from the equals sign on."""
    match = _OVERRIDE.fullmatch(override)
    assert match is not None, "every part of the pattern may be empty"
    return match["sign"], match["key"], match["rest"]


def _added_again(override: str, recorded: dict[str, str]) -> str:
    """Give an override the ``+`` of the recorded one that it replaces."""
    sign, key, rest = parts_of(override)
    before = parts_of(recorded.get(key, ""))[0]
    return f"{before}{key}{rest}" if not sign and before != "~" else override


def _run_of(path: str) -> tuple[Path, Path]:
    """The absolute path, and the folder of the run that it belongs to."""
    source = Path(path).expanduser().absolute()
    if source.is_file() and source.suffix == ".ckpt" and source.parent.name == "checkpoints":
        return source, source.parent.parent
    if source.is_dir():
        return source, source
    if source.is_file():
        raise UserError(
            f"resume: {source} is no .ckpt file in the checkpoints/ folder of a run, which alone "
            f"knows its settings. To begin a new run from the weights of a file: init_from={path}"
        )
    raise UserError(
        f"resume: there is no run at {source}. Give the folder of an earlier run "
        "or a .ckpt file in its checkpoints/ folder."
    )
