"""Settings a layer: a number for all, or a mapping from layer to number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import did_you_mean

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
            or something that is no number of 0 or more.
    """
    names = list(layers)
    check_layerwise(setting, what)
    if not isinstance(setting, Mapping):
        values = dict.fromkeys(names, float(setting))
    else:
        for name in setting:
            if name != "default" and name not in names:
                hint = did_you_mean(name, names, cutoff=0.0)
                raise UserError(
                    f"{what}.{name}: there is no such layer.{hint} Layers: {', '.join(names)}"
                )
        missing = [name for name in names if name not in setting]
        if missing and "default" not in setting:
            raise UserError(f"{what} has no number for {', '.join(missing)} and no default")
        values = {name: float(setting[name if name in setting else "default"]) for name in names}
    return values


def check_layerwise(setting: LayerSetting, what: str) -> None:
    """Refuse what is no setting a layer, before the layers are known.

    Raises:
        UserError: something that is no number of 0 or more, with the layer that it is for.
    """
    for key, value in setting.items() if isinstance(setting, Mapping) else [("", setting)]:
        check.number(key if key else what, value, 0)
