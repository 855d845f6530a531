"""Settings without Hydra: the options of conf/, and the objects that plain descriptions name.

A description is a dictionary with ``_target_``, the dotted name of a class or function, and its
arguments. ``_partial_: true`` asks for a ``functools.partial`` in place of the call, and
``_args_`` holds positional arguments, as in Hydra. Nested descriptions are built first.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

TRUSTED = ("siamese_oneshot.models",)
_WORDS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


def conf_dir() -> Path:
    """The folder of YAML files: inside an installed wheel, else beside the package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def group_options(group: str) -> list[str]:
    """Names of a group's options, such as ``adam``, ``adamw`` and ``paper_sgd`` of optimizer."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def group_defaults(
    group: str, option: str, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The description that ``conf/<group>/<option>.yaml`` holds, as plain values.

    ``changes`` are merged over it before interpolations are resolved; an ArgumentError if the group
    has no such option.
    """
    from omegaconf import OmegaConf

    settings = _option(group, option)
    root = OmegaConf.load(conf_dir() / "config.yaml")
    scalars = {key: value for key, value in root.items() if not OmegaConf.is_config(value)}
    tree = OmegaConf.create({**scalars, group: OmegaConf.merge(settings, dict(changes or {}))})
    resolved: Any = OmegaConf.to_container(tree, resolve=True)
    return resolved[group]


def describe(group: str, spec: str | Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A description from the short forms that Python users write.

    Args:
        group: A folder of conf/.
        spec: The name of an option; a mapping with ``name`` and the settings that differ from
            that option; or a description.
        **changes: Further settings that differ.
    """
    if isinstance(spec, str):
        return group_defaults(group, spec, changes)
    settings = {**spec, **changes}
    if "_target_" in settings:
        return settings
    if not isinstance(settings.get("name"), str):
        message = f"it needs name (one of {', '.join(group_options(group))}) or _target_"
        raise ArgumentError(group, dict(spec), message=message)
    return group_defaults(group, settings.pop("name"), settings)


def build_option(group: str, spec: str | Mapping[str, Any], **changes: Any) -> Any:
    """Build an option, see `describe`; its description becomes its attribute ``description``."""
    description = describe(group, spec, **changes)
    built = instantiate_plain(description)
    built.description = description
    return built


def instantiate_plain(description: Any, trusted: Iterable[str] | None = None) -> Any:
    """Build the object that a description names; other values are returned as they are.

    Args:
        description: The description. Lists and mappings are searched for nested ones.
        trusted: Modules and packages. Only what they define may be called. None allows every
            importable name: use that for settings that the user wrote, never for a file's.

    Raises:
        ArgumentError: If a ``_target_`` does not exist or is not trusted, or an untrusted
            description holds an interpolation.
    """
    if trusted is not None:
        for target in targets(description):
            _trusted_object(target, tuple(trusted))
        if "${" in repr(description):
            message = "interpolations are not allowed in a file's description"
            raise ArgumentError("description", description, message=message)
    return _built(description)


def targets(description: Any) -> list[str]:
    """Every ``_target_`` in a description, outermost first."""
    if isinstance(description, Mapping):
        named = [str(description["_target_"])] if "_target_" in description else []
        return named + [name for value in description.values() for name in targets(value)]
    if isinstance(description, list | tuple):
        return [name for value in description for name in targets(value)]
    return []


def takes(description: Mapping[str, Any], argument: str) -> bool:
    """Whether the class or function that a description names has an argument of that name."""
    parameters = inspect.signature(_found(str(description["_target_"]))).parameters
    every = any(one.kind == one.VAR_KEYWORD for one in parameters.values())
    return every or argument in parameters


def is_trusted(target: str, trusted: Iterable[str] = TRUSTED) -> bool:
    """Whether a trusted module or package defines a name; that it can be reached is not enough."""
    try:
        _trusted_object(target, tuple(trusted))
    except ArgumentError:
        return False
    return True


def _built(description: Any) -> Any:
    if isinstance(description, list | tuple):
        return [_built(value) for value in description]
    if not isinstance(description, Mapping):
        return description
    values = {key: _built(value) for key, value in description.items() if key not in _WORDS}
    if "_target_" not in description:
        return values
    arguments = _built(description.get("_args_", []))
    target, is_partial = str(description["_target_"]), description.get("_partial_", False)
    call = _found(target)
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # of some built-in functions
        signature = None
    if signature is not None:
        try:
            (signature.bind_partial if is_partial else signature.bind)(*arguments, **values)
        except TypeError as problem:
            message = f"it cannot be called with these arguments: {problem}"
            raise ArgumentError("_target_", target, message=message) from problem
    return partial(call, *arguments, **values) if is_partial else call(*arguments, **values)


def _found(target: str) -> Any:
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as problem:
        message = f"there is no such class or function ({problem})"
        raise ArgumentError("_target_", target, message=message) from problem


def _trusted_object(target: str, trusted: tuple[str, ...]) -> Any:
    """The object, imported from nowhere but a trusted module, and defined in one."""
    module = target.rpartition(".")[0]
    if _inside(module, trusted):
        found = _found(target)
        if callable(found) and _inside(str(getattr(found, "__module__", "")), trusted):
            return found
    message = f"only classes of {', '.join(trusted)} are trusted; trust={module} allows these, too"
    raise ArgumentError("_target_", target, message=message)


def _inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def _option(group: str, option: str, overrides: tuple[tuple[str, str], ...] = ()) -> Any:
    """The settings of one YAML file, merged over those that its defaults list names.

    ``overrides`` has the parts and options that the file which names this one overrides.
    """
    from omegaconf import OmegaConf

    check.choice(group, option, group_options(group))
    settings: Any = OmegaConf.load(conf_dir() / group / f"{option}.yaml")
    entries = settings.pop("defaults", ["_self_"])
    named = [pair for entry in entries if not isinstance(entry, str) for pair in entry.items()]
    chosen = {part.removeprefix("override "): name for part, name in named} | dict(overrides)
    merged: Any = OmegaConf.create()
    for entry in entries:
        if entry == "_self_":
            merged = OmegaConf.merge(merged, settings)
        elif isinstance(entry, str):
            merged = OmegaConf.merge(merged, _option(group, entry, tuple(chosen.items())))
        elif (part := next(iter(entry))) in chosen:
            merged = OmegaConf.merge(merged, {part: _option(f"{group}/{part}", chosen[part])})
    return merged
