"""What a pruner would have spared in a search that ran without one.

``python -m siamese_oneshot.sweeps.replay outputs/default/<sweep> --pruner median``
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from siamese_oneshot.sweeps.study import FILE, open_study, storage_of
from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig, ListConfig


@dataclass(frozen=True)
class Replay:
    """How a search would have gone with a pruner, the same settings being drawn.

    Attributes:
        trials: that were trained to the end.
        pruned: those of them that the pruner would have ended early.
        validations: of all trials; between two lies the same amount of training.
        spent: validations up to which trials would have gone.
        best: the highest score of all.
        best_kept: the highest of those that would not have been pruned; None where none is left.
    """

    trials: int
    pruned: int
    validations: int
    spent: int
    best: float
    best_kept: float | None

    def __str__(self) -> str:
        """In a sentence."""
        kept = "none" if self.best_kept is None else f"{100 * self.best_kept:.2f}%"
        spared = 1 - self.spent / self.validations
        return (
            f"{self.pruned} of {self.trials} trials pruned, {self.spent} of {self.validations} "
            f"validations reached: {100 * spared:.0f}% of the training spared; best score kept "
            f"{kept}, of all {100 * self.best:.2f}%"
        )


def replay(
    study: optuna.Study, pruner: optuna.pruners.BasePruner, shuffle: int | None = None
) -> Replay:
    """Go through the finished trials, asking the pruner after each validation.

    What the sampler would have drawn instead, had it learned of pruned trials, is not known: the
    settings are those of the search.

    Args:
        study: a search whose trials reported their validations.
        pruner: to be tried.
        shuffle: the seed of another order of the trials; None for their own. A sampler that learns
            draws better and better, so that fewer fall behind those before them.

    Raises:
        UserError: no trial was trained to the end.
    """
    import optuna

    done = optuna.trial.TrialState.COMPLETE
    trials = [one for one in study.get_trials(states=[done]) if one.intermediate_values]
    if not trials:
        raise UserError("no trial of this search was trained to its end")
    if shuffle is not None:
        random.Random(shuffle).shuffle(trials)  # noqa: S311  # no secret
    again = optuna.create_study(study_name=study.study_name, direction="maximize", pruner=pruner)
    kept: list[float] = []
    spent = 0
    for old in trials:
        trial, pruned = again.ask(), False
        for step, value in sorted(old.intermediate_values.items()):
            trial.report(value, step)
            spent += 1
            pruned = trial.should_prune()
            if pruned:
                break
        if pruned:
            again.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            again.tell(trial, old.value)
            kept.append(old.value or 0.0)
    return Replay(
        trials=len(trials),
        pruned=len(trials) - len(kept),
        validations=sum(len(one.intermediate_values) for one in trials),
        spent=spent,
        best=max(one.value or 0.0 for one in trials),
        best_kept=max(kept, default=None),
    )


def in_orders(replays: Sequence[Replay]) -> str:
    """What replays of one search in several orders of its trials come to, in a sentence."""
    spared = [100 * (1 - one.spent / one.validations) for one in replays]
    best = replays[0].best
    lost = [100 * (best - (one.best_kept or 0.0)) for one in replays if one.best_kept != best]
    kept = f"{len(replays) - len(lost)}, else up to {max(lost):.2f} points less" if lost else "all"
    return (
        f"in {len(replays)} random orders of the trials: {statistics.mean(spared):.0f}% of the "
        f"training spared ({min(spared):.0f}-{max(spared):.0f}); best score kept in {kept}"
    )


def _made(described: DictConfig | ListConfig) -> optuna.pruners.BasePruner:
    """The pruner that a configuration describes.

    Raises:
        UserError: it has no such setting, or not with such a value.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(described)
    except InstantiationException as problem:
        raise UserError(f"there can be no such pruner: {problem.__cause__ or problem}") from problem


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.sweeps.replay",
        description="What a pruner would have spared in a search that ran with pruner=none.",
    )
    parser.add_argument("folder", type=Path, help="of the search")
    parser.add_argument(
        "--pruner", default="median", help="of conf/hydra/sweeper/pruner (default: median)"
    )
    parser.add_argument(
        "settings", nargs="*", default=[], help="of the pruner, as in n_warmup_steps=0"
    )
    parser.add_argument("--orders", type=int, default=0, help="random orders to try beside its own")
    arguments = parser.parse_intermixed_args(argv)
    from omegaconf import OmegaConf

    from siamese_oneshot.cli import conf_dir

    folder = arguments.folder.absolute()
    chosen = conf_dir() / "hydra/sweeper/pruner" / f"{arguments.pruner}.yaml"
    try:
        if not (folder / FILE).is_file():
            raise UserError(f"{folder} holds no {FILE}: name the folder of a search")
        if not chosen.is_file():
            raise UserError(f"there is no pruner {arguments.pruner} in {chosen.parent}")
        described = OmegaConf.load(chosen).pruner
        if described is None:
            raise UserError(f"--pruner {arguments.pruner} prunes nothing: try median or hyperband")
        pruner = _made(OmegaConf.merge(described, OmegaConf.from_dotlist(arguments.settings)))
        study = open_study(storage_of(None, folder), folder.name, only=True)
        print(replay(study, pruner))
        if arguments.orders > 0:
            print(in_orders([replay(study, pruner, seed) for seed in range(arguments.orders)]))
    except UserError as problem:
        sys.exit(f"Error: {problem}")


if __name__ == "__main__":
    main()
