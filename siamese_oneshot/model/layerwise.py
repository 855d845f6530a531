"""Settings a layer: a number for all, or a mapping from layer to number."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from siamese_oneshot.errors import UserError

LayerSetting = float | Mapping[str, float]


def by_layer(setting: LayerSetting, layers: Iterable[str], what: str) -> dict[str, float]:
    """One number for every layer.

    Args:
        setting: a number, or a mapping that names layers; ``default`` stands for those unnamed.
        layers: all names, in order.
        what: the setting's name, for the error.

    Returns:
        The number of each layer.

    Raises:
        UserError: a layer that does not exist (with the nearest that does), one without a number,
            or a number below 0.
    """
    names = list(layers)
    if not isinstance(setting, Mapping):
        values = dict.fromkeys(names, float(setting))
    else:
        for name in setting:
            if name != "default" and name not in names:
                near = difflib.get_close_matches(name, names, 1, 0.0)
                hint = f"did you mean {near[0]}? " if near else ""
                raise UserError(f"{what}.{name}: no such layer; {hint}There are {', '.join(names)}")
        missing = [name for name in names if name not in setting]
        if missing and "default" not in setting:
            raise UserError(f"{what} has no number for {', '.join(missing)} and no default")
        values = {name: float(setting[name if name in setting else "default"]) for name in names}
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{what} of {name} is {value}: it must be 0 or more")
    return values
