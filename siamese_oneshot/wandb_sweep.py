"""A sweep as a W&B sweep: ``python -m siamese_oneshot.wandb_sweep +sweep=default``."""

from __future__ import annotations

import argparse
import sys
from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.loggers.wandb_run import default_project
from siamese_oneshot.sweeps.driver import NEEDS_LIST
from siamese_oneshot.sweeps.search import check_search_split, space_of
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import bare_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

METRIC = "best_val/one_shot_accuracy"  # a number; the summary of val/… is a mapping


def wandb_sweep(line: Sequence[str]) -> dict[str, Any]:
    """Return the definition that ``wandb sweep`` takes; its agents run ``siamese_oneshot.train``.

    Each agent's run is a single training in ``outputs/<experiment>/<run's id>``. W&B draws the
    settings; Optuna's sampler, pruner and storage are not used.

    Args:
        line: Overrides as for a sweep on this machine, with ``+sweep=…`` or ranges.

    Raises:
        UserError: Nothing varies, the search would choose by alphabets that are trained on, or an
            interval is given without a search.
        HydraException: The overrides do not fit the configuration.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        # glob(…) asks the loader for the options of a group
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        given = parser.parse_overrides([*line])
        fixed = [str(o.input_line) for o in given if not o.is_sweep_override()]
        cfg = compose("config", fixed, return_hydra_config=True)
    keys = {bare_key(text) for text in line}
    params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    preset = [text for text in params if bare_key(text) not in keys]
    space = space_of([*parser.parse_overrides(preset), *given])
    if not space:
        raise UserError("nothing varies: add +sweep=default, or ranges such as seed=0,1,2")
    searching = "n_trials" in cfg.hydra.sweeper
    if searching:
        check_search_split(cfg)
    settings = (cfg.get("logger") or {}).get("wandb")
    if settings is None:
        raise UserError("a W&B sweep needs W&B: leave logger=wandb, or add it to the list")
    definition = {
        "name": _name(cfg, line),
        **({} if settings.entity is None else {"entity": settings.entity}),
        "project": settings.project or default_project(),
        "method": "bayes" if searching else "grid",
        "metric": {"name": METRIC, "goal": "maximize"},
        "parameters": wandb_parameters(space, grid=not searching),
        "program": "siamese_oneshot.train",
        "command": [
            "${env}",
            "${interpreter}",
            "-m",
            "${program}",
            *[text for text in fixed if not text.startswith("hydra.")],
            "hydra.mode=RUN",
            "hydra.run.dir=outputs/${name}/${oc.env:WANDB_RUN_ID}",
            "${args_no_hyphens}",
        ],
    }
    if searching:
        definition["run_cap"] = cfg.hydra.sweeper.n_trials
    return definition


def wandb_parameters(
    space: Mapping[str, BaseDistribution], grid: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the distributions of `space_of` as ``parameters``; in a grid ranges become lists.

    Raises:
        UserError: An interval in a grid.
    """
    return {key: _wandb_parameter(key, values, grid) for key, values in space.items()}


def _wandb_parameter(key: str, values: Any, grid: bool) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(values, CategoricalDistribution):
        return {"values": [_number(str(text)) for text in values.choices]}
    is_integer = isinstance(values, IntDistribution)
    # W&B's q_uniform has multiples of the step, which are not always steps from the lowest value.
    if values.step is not None and not values.log and (grid or values.low % values.step):
        steps = round((values.high - values.low) / values.step)
        return {"values": [values.low + n * values.step for n in range(steps + 1)]}
    if grid:
        raise UserError(f"{key.lstrip('+')}: {NEEDS_LIST}")
    if values.log:
        kind = "q_log_uniform_values" if is_integer else "log_uniform_values"
    elif values.step is not None and values.step != 1:
        kind = "q_uniform"
    else:
        kind = "int_uniform" if is_integer else "uniform"
    parameter = {"distribution": kind, "min": values.low, "max": values.high}
    if kind.startswith("q_"):
        parameter["q"] = values.step
    return parameter


def _number(text: str) -> Any:
    """Return a number, True or False as such; anything else stays text in Hydra's grammar.

    W&B's agent writes Python's spelling of a value on the command line, such as None for null.
    """
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float) and str(value) == text else text


def _name(cfg: DictConfig, line: Sequence[str]) -> str:
    sweeps = [text.partition("=")[2] for text in line if bare_key(text) == "sweep"]
    return " ".join([str(cfg.name), *sweeps])


@entry_point()
def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.wandb_sweep",
        description="Print a sweep as the definition of a W&B sweep: `wandb sweep sweep.yaml` "
        "registers it, and each `wandb agent …` trains one setting after the other.",
    )
    parser.add_argument("overrides", nargs="*", help="as for siamese_oneshot.train")
    line = parser.parse_args().overrides
    try:
        print(yaml.safe_dump(wandb_sweep(line), sort_keys=False, width=100), end="")
    except (UserError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
