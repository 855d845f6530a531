"""A search space, written in Hydra's grammar, as Optuna and W&B know it."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LIST_WANTED = "a grid needs a list of values; to search an interval add +sweep=search"


def distribution(override: Override) -> BaseDistribution:
    """What one override varies over.

    ``interval(a, b)`` is continuous, ``int(interval(a, b))`` and ``range(a, b, step)`` are whole
    numbers (a range ends before ``b``), ``tag(log, interval(a, b))`` is even in the logarithm, and
    ``choice(a, b)`` or ``a,b`` is one of a list.

    Raises:
        UserError: a range that is empty, or cannot be logarithmic.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value: Any = override.value()
    log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, IntervalSweep):
            if isinstance(value.start, int) and isinstance(value.end, int):  # by int(…)
                return IntDistribution(value.start, value.end, log=log)
            return FloatDistribution(float(value.start), float(value.end), log=log)  # type: ignore[arg-type]
        if isinstance(value, RangeSweep):
            values = list(value.range())
            if all(isinstance(number, int) for number in values):
                return IntDistribution(
                    int(min(values)), int(max(values)), log=log, step=abs(int(value.step))
                )
            return FloatDistribution(min(values), max(values), step=abs(float(value.step)))
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as problem:
        raise UserError(f"{override.input_line}: {problem}") from problem


def space_of(overrides: Sequence[Override]) -> dict[str, BaseDistribution]:
    """What every swept override varies over, by its key with ``+`` where it has one."""
    return {
        override.get_key_element(): distribution(override)
        for override in overrides
        if override.is_sweep_override()
    }


def written(params: Mapping[str, Any]) -> list[str]:
    """Sampled values as overrides; what was chosen from a list is already text."""
    return [f"{key}={value}" for key, value in params.items()]


def wandb_parameters(
    space: Mapping[str, BaseDistribution], grid: bool = False
) -> dict[str, dict[str, Any]]:
    """The same space as the ``parameters`` of a W&B sweep.

    Args:
        space: as ``space_of`` has it.
        grid: every value is to be run, so ranges are written as lists.

    Raises:
        UserError: an interval in a grid.
    """
    return {key: _wandb_parameter(key, found, grid) for key, found in space.items()}


def _wandb_parameter(key: str, found: Any, grid: bool) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(found, CategoricalDistribution):
        return {"values": [_figure(str(text)) for text in found.choices]}
    whole = isinstance(found, IntDistribution)
    # W&B's q_uniform has multiples of the step, which are not always steps from the lowest.
    if found.step is not None and not found.log and (grid or found.low % found.step):
        steps = round((found.high - found.low) / found.step)
        return {"values": [found.low + n * found.step for n in range(steps + 1)]}
    if grid:
        raise UserError(f"{key.lstrip('+')}: {LIST_WANTED}")
    if found.log:
        kind = "q_log_uniform_values" if whole else "log_uniform_values"
    elif found.step is not None and found.step != 1:
        kind = "q_uniform"
    else:
        kind = "int_uniform" if whole else "uniform"
    answer = {"distribution": kind, "min": found.low, "max": found.high}
    if kind.startswith("q_"):
        answer["q"] = found.step
    return answer


def _figure(text: str) -> Any:
    """A number, True or False as such; all else stays Hydra's text.

    W&B's agent puts Python's words for a value on the command line, None for null.
    """
    try:
        found = literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return found if isinstance(found, int | float) and str(found) == text else text
