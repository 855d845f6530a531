"""The setting, group or option that a misspelt one on the command line is nearest to."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException

from siamese_oneshot.cli.settings import Settings, is_option, parsed, sign, text, wanted
from siamese_oneshot.utils.errors import UserError

_ALIKE = 0.6


class CommandLineError(UserError):
    """A command line that cannot be right."""


def nearest(word: str, names: Sequence[str] | frozenset[str], atleast: float = _ALIKE) -> list[str]:
    """Up to three names like ``word``, the nearest first.

    Args:
        word: what was written; a dotted path or one name.
        names: what there is. A name counts as near where the whole is alike, where its last part
            is (``lr`` finds ``optimizer.lr``), or where it only goes on after ``word``.
        atleast: least likeness, 0 … 1.
    """

    def ratio(a: str, b: str) -> float:
        return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()

    scores = {}
    for name in names:
        whole = ratio(word, name)
        last = 0.95 * ratio(re.split("[./]", word)[-1], re.split("[./]", name)[-1])
        begun = 0.8 if len(word) > 2 and name.startswith(word) else 0.0
        scores[name] = (max(whole, last, begun), whole)
    ranked = sorted(names, key=lambda name: (*(-part for part in scores[name]), name))
    best = scores[ranked[0]][0] if ranked else 0.0
    return [n for n in ranked[:3] if scores[n][0] >= max(atleast, best - 0.03)]


def explain(overrides: Sequence[str], settings: Settings) -> str | None:
    """What is wrong with overrides that Hydra refused, with the nearest right ones.

    Returns:
        A line or more per wrong override; None where all of their names exist.
    """
    read = parsed(overrides)
    added = {override.key_or_group for override in read if sign(override) in ("+", "++")}
    settings = replace(settings, keys=settings.keys | added)
    wrong = [_wrong(override, settings) for override in read]
    return "\n".join(line for line in wrong if line) or None


def _wrong(override: Override, settings: Settings) -> str | None:
    """What is wrong with the names in one override."""
    key, before = override.key_or_group, sign(override)
    if key in settings.groups:
        for name in wanted(override):
            if not is_option(settings.groups, key, name):
                options = settings.groups[key]
                meant = [f"{before}{key}={option}" for option in nearest(name, options)]
                return (
                    f"{override.input_line}: there is no {name} in {key}/.{meant_text(meant)}\n"
                    f"Choices: {', '.join(options)}."
                )
        if not before and key not in settings.chosen | settings.keys:
            line = f"+{override.input_line}"
            return f"{override.input_line}: {key} is not in the defaults list.{meant_text([line])}"
    elif before in ("", "~") and key not in settings.keys:
        return _unknown(override, _near(override, settings, _ALIKE), settings)
    return None


def _near(override: Override, settings: Settings, atleast: float) -> list[str]:
    """Settings and groups that the key may have meant, first of all a group with that option."""
    key = override.key_or_group
    names = settings.keys | settings.groups.keys()
    if not key.startswith("hyd"):
        names = frozenset(name for name in names if not re.match("hydra\\b", name))
    holders = [name for name in names if text(override) in settings.groups.get(name, ())]
    return nearest(key, holders, atleast - 0.15) or nearest(key, names, atleast)


def _unknown(override: Override, near: Sequence[str], settings: Settings) -> str:
    """That there is no such key, and what may have been meant."""
    meant = []
    for name in near:
        value, plus = text(override), ""
        if name in settings.groups:
            alike = nearest(value, settings.groups[name])
            value = alike[0] if alike else value
            plus = "" if name in settings.chosen else "+"
        deleted = override.type is OverrideType.DEL
        meant.append(f"~{name}" if deleted else f"{plus}{name}={value}")
    return (
        f"{override.input_line}: there is no setting or group {override.key_or_group}."
        f"{meant_text(meant)}\nAll settings: --cfg job; all groups: --info defaults-tree."
    )


def meant_text(lines: Sequence[str]) -> str:
    """The episode task that names them; nothing where there are none."""
    return f" Did you mean {' or '.join(lines)}?" if lines else ""


def refuse_misspelt_additions(overrides: Sequence[str], settings: Callable[[], Settings]) -> None:
    """Refuse ``+experimnt=paper``: Hydra would add a setting that nothing reads.

    Only names at the top are looked at, since below them ``+`` hands arguments to what a
    ``_target_`` builds; ``++`` adds whatever it names.

    Raises:
        CommandLineError: a name that is neither a group nor a setting, but is near to one.
    """
    for override in parsed(overrides):
        key = override.key_or_group
        if override.type is not OverrideType.ADD or re.search("[./]", key):
            continue
        known = settings()
        if key in known.groups or key in known.keys:
            continue
        near = [name for name in _near(override, known, 0.75) if "." not in name]
        if near:
            raise CommandLineError(
                f"{_unknown(override, near, known)}\n"
                f"To add a new setting of that name all the same: +{override.input_line}"
            )


def explain_unparsed(error: OverrideParseException, settings: Callable[[], Settings]) -> str:
    """What to write in place of an override that Hydra's grammar does not read."""
    override = error.override
    if "=" in override:
        return (
            f"{override}: cannot be read: {error}\n"
            "A value with = or , or brackets needs quotes of its own: 'key=\"value\"'"
        )
    known = settings()
    meant = [
        f"{'' if group in known.chosen else '+'}{group}={override}"
        for group, options in known.groups.items()
        if override in options and not group.startswith("hydra")
    ]
    return f"{override}: settings are written key=value.{meant_text(meant)}"
