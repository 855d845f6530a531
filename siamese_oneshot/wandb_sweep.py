"""A search as a W&B sweep: ``python -m siamese_oneshot.wandb_sweep +sweep=default``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from siamese_oneshot.cli.run import conf_dir
from siamese_oneshot.sweeps.choosing import refuse_blind_search
from siamese_oneshot.sweeps.search_space import space_of, wandb_parameters
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import bare_key

METRIC = "best_val/one_shot_accuracy"  # a plain number; of val/… the summary is a mapping


def wandb_sweep(line: Sequence[str]) -> dict[str, Any]:
    """The definition that ``wandb sweep`` takes; its agents run ``siamese_oneshot.train``.

    Each agent's run is a single training in ``outputs/<experiment>/<run's id>``. W&B draws the
    settings; of Optuna's sampler, pruner and storage nothing remains.

    Args:
        line: overrides as for a sweep on this machine, ``+sweep=…`` or ranges among them.

    Raises:
        UserError: nothing varies, a search that nothing may be chosen by, or an interval without a
            search.
        HydraException: overrides that do not fit the configuration.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        # glob(…) asks the loader for the options of a group
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        given = parser.parse_overrides([*line])
        fixed = [str(one.input_line) for one in given if not one.is_sweep_override()]
        cfg = compose("config", fixed, return_hydra_config=True)
    keys = {bare_key(text) for text in line}
    params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    preset = [text for text in params if bare_key(text) not in keys]
    space = space_of([*parser.parse_overrides(preset), *given])
    if not space:
        raise UserError("nothing varies: add +sweep=default, or ranges such as seed=0,1,2")
    searching = "n_trials" in cfg.hydra.sweeper
    if searching:
        refuse_blind_search(cfg)
    parameters = wandb_parameters(space, grid=not searching)
    settings = (cfg.get("logger") or {}).get("wandb")
    if settings is None:
        raise UserError("a W&B sweep needs W&B: leave logger=wandb, or add it to the list")
    definition = {
        "name": _name(cfg, line),
        **({} if settings.entity is None else {"entity": settings.entity}),
        "project": settings.project,
        "method": "bayes" if searching else "grid",
        "metric": {"name": METRIC, "goal": "maximize"},
        "parameters": parameters,
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


def _name(cfg: DictConfig, line: Sequence[str]) -> str:
    sweeps = [text.partition("=")[2] for text in line if bare_key(text) == "sweep"]
    return " ".join([str(cfg.name), *sweeps])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.wandb_sweep",
        description="Print a search as a W&B sweep: `wandb sweep sweep.yaml` registers it, and each"
        " `wandb agent …` trains one setting after the other.",
    )
    parser.add_argument("overrides", nargs="*", help="as for siamese_oneshot.train")
    line = parser.parse_args().overrides
    try:
        print(yaml.safe_dump(wandb_sweep(line), sort_keys=False, width=100), end="")
    except (UserError, HydraException, OmegaConfBaseException) as problem:
        sys.exit(f"Error: {problem}")


if __name__ == "__main__":
    main()
