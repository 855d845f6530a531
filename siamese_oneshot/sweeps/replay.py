"""What a pruner would have saved in a search that ran without one.

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

from siamese_oneshot.sweeps.search import STUDY_FILE, open_study, storage_url
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Replay:
    """How a search would have gone with a pruner, with the same settings drawn.

    Attributes:
        trials: Number of trials that were trained to the end.
        pruned: How many of them the pruner would have stopped early.
        validations: Validations of all trials; the training between any two is equally long.
        spent: Validations that would have been reached.
        best: Highest score of all trials.
        best_kept: Highest score of the trials not pruned; None if none is left.
    """

    trials: int
    pruned: int
    validations: int
    spent: int
    best: float
    best_kept: float | None

    @property
    def saved(self) -> float:
        """Percentage of the training that would have been saved."""
        return 100 * (1 - self.spent / self.validations)

    def __str__(self) -> str:
        """One sentence."""
        kept = "none" if self.best_kept is None else f"{100 * self.best_kept:.2f}%"
        return (
            f"{self.pruned} of {self.trials} trials pruned, {self.spent} of {self.validations} "
            f"validations reached: {self.saved:.0f}% of the training saved; best score kept "
            f"{kept}, of all {100 * self.best:.2f}%"
        )


def replay(
    study: optuna.Study, pruner: optuna.pruners.BasePruner, shuffle: int | None = None
) -> Replay:
    """Go through the finished trials, asking the pruner after each validation.

    Args:
        study: A search whose trials reported their validations. Its settings are kept: what the
            sampler would have drawn after pruned trials is not known.
        pruner: The pruner to try.
        shuffle: Seed of another order of the trials; None for their own. A sampler that learns
            draws better and better settings, so that fewer trials fall behind earlier ones.

    Raises:
        UserError: No trial was trained to the end.
    """
    import optuna
    from optuna.trial import TrialState

    states = [TrialState.COMPLETE]
    trials = [trial for trial in study.get_trials(states=states) if trial.intermediate_values]
    if not trials:
        raise UserError("no trial of this search was trained to its end")
    if shuffle is not None:
        random.Random(shuffle).shuffle(trials)  # noqa: S311  # not for security
    again = optuna.create_study(study_name=study.study_name, direction="maximize", pruner=pruner)
    kept: list[float] = []
    spent = 0
    for old in trials:
        trial = again.ask()
        for step, value in sorted(old.intermediate_values.items()):
            trial.report(value, step)
            spent += 1
            if trial.should_prune():
                again.tell(trial, state=TrialState.PRUNED)
                break
        else:
            again.tell(trial, old.value)
            kept.append(old.value or 0.0)
    return Replay(
        trials=len(trials),
        pruned=len(trials) - len(kept),
        validations=sum(len(trial.intermediate_values) for trial in trials),
        spent=spent,
        best=max(trial.value or 0.0 for trial in trials),
        best_kept=max(kept, default=None),
    )


def summarize(replays: Sequence[Replay]) -> str:
    """Summarize replays of one search in several orders of its trials, in one sentence."""
    saved = [result.saved for result in replays]
    best = replays[0].best
    lost = [100 * (best - (r.best_kept or 0.0)) for r in replays if r.best_kept != best]
    kept = f"{len(replays) - len(lost)}, else up to {max(lost):.2f} points less" if lost else "all"
    return (
        f"in {len(replays)} random orders of the trials: {statistics.mean(saved):.0f}% of the "
        f"training saved ({min(saved):.0f}-{max(saved):.0f}); best score kept in {kept}"
    )


def _pruner(name: str, settings: list[str]) -> optuna.pruners.BasePruner:
    """A pruner of ``conf/hydra/sweeper/pruner`` with changed settings; a UserError if refused."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    file = conf_dir() / "hydra/sweeper/pruner" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(f"there is no pruner {name} in {file.parent}")
    described = OmegaConf.load(file).pruner
    if described is None:
        raise UserError(f"--pruner {name} prunes nothing: try median or hyperband")
    try:
        return instantiate(OmegaConf.merge(described, OmegaConf.from_dotlist(settings)))
    except InstantiationException as error:
        raise UserError(f"there can be no such pruner: {error.__cause__ or error}") from error


@entry_point()
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.sweeps.replay",
        description="What a pruner would have saved in a search with hydra/sweeper/pruner=none.",
    )
    add = parser.add_argument
    add("folder", type=Path, help="folder of the search")
    add("--pruner", default="median", help="option of conf/hydra/sweeper/pruner (default: median)")
    add("settings", nargs="*", help="settings of the pruner, such as n_warmup_steps=0")
    add("--orders", type=int, default=0, help="number of random orders to try too")
    arguments = parser.parse_intermixed_args(argv)
    folder = arguments.folder.absolute()
    try:
        if not (folder / STUDY_FILE).is_file():
            raise UserError(f"{folder} holds no {STUDY_FILE}: name the folder of a search")
        pruner = _pruner(arguments.pruner, arguments.settings)
        study = open_study(storage_url(None, folder), folder.name, only=True)
        print(replay(study, pruner))
        if arguments.orders > 0:
            print(summarize([replay(study, pruner, seed) for seed in range(arguments.orders)]))
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
