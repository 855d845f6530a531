"""A pruner tried on a search that ran without one."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from siamese_oneshot.sweeps.replay import Replay, main, replay, summarize
from siamese_oneshot.sweeps.search import open_study
from siamese_oneshot.utils.errors import UserError


def searched(folder: Path, *curves: list[float]) -> optuna.Study:
    """Trials that ended with the last of their validations."""
    study = open_study(f"sqlite:///{folder / 'study.db'}", folder.name, create=True)
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve):
            trial.report(value, step)
        study.tell(trial, curve[-1])
    return study


def test_the_median_rule_by_hand(tmp_path: Path) -> None:
    """At the second validation the median of 0.5 and 0.7 is 0.6, which the third is below."""
    study = searched(
        tmp_path, [0.4, 0.5, 0.8], [0.4, 0.7, 0.9], [0.4, 0.55, 0.95], [0.4, 0.65, 0.7]
    )
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
    assert replay(study, pruner) == Replay(
        trials=4, pruned=2, validations=12, spent=3 + 3 + 2 + 3, best=0.95, best_kept=0.9
    )


def test_a_pruner_that_prunes_nothing_keeps_the_best(tmp_path: Path) -> None:
    found = replay(searched(tmp_path, [0.1, 0.2], [0.3, 0.1]), optuna.pruners.NopPruner())
    assert (found.pruned, found.spent, found.best_kept) == (0, 4, 0.2)
    assert "0% of the training saved; best score kept 20.00%" in str(found)


def test_in_another_order_another_trial_is_pruned(tmp_path: Path) -> None:
    """Ascending curves save nothing; in any order with the best first, the others are pruned."""
    study = searched(tmp_path, *([0.1 * n, 0.1 * n] for n in range(1, 5)))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0)
    assert replay(study, pruner).pruned == 0
    orders = [replay(study, pruner, seed) for seed in range(20)]
    assert [replay(study, pruner, seed) for seed in range(20)] == orders
    assert len({one.pruned for one in orders}) > 1
    assert all(one.best_kept == 0.4 for one in orders)
    assert all(one.spent == 8 - one.pruned for one in orders)


def test_a_summary_of_several_orders() -> None:
    one = Replay(trials=4, pruned=2, validations=16, spent=8, best=0.9, best_kept=0.9)
    other = Replay(trials=4, pruned=1, validations=16, spent=12, best=0.9, best_kept=0.88)
    assert summarize([one, other]) == (
        "in 2 random orders of the trials: 38% of the training saved (25-50); best score kept in "
        "1, else up to 2.00 points less"
    )
    assert summarize([one]).endswith("best score kept in all")


def test_a_search_without_finished_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trial of this search"):
        replay(searched(tmp_path), optuna.pruners.NopPruner())


def test_the_command_in_a_folder_that_was_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    searched(tmp_path / "old", [0.1, 0.2, 0.3])
    (tmp_path / "old").rename(tmp_path / "new")
    main([str(tmp_path / "new"), "--pruner", "median", "--orders", "3"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("0 of 1 trials pruned, 3 of 3 validations")
    assert second.startswith("in 3 random orders of the trials: 0% of the training saved (0-0)")


def test_settings_of_the_pruner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path, [0.5, 0.6], [0.4, 0.3])
    main([str(tmp_path), "--pruner", "median", "n_startup_trials=1", "n_warmup_steps=0"])
    assert capsys.readouterr().out.startswith("1 of 2 trials pruned, 3 of 4 validations")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--pruner", "median", "warmup=0"], "no such pruner: .*unexpected keyword argument"),
        (["n_warmup_steps=-1"], "no such pruner: .*cannot be negative"),
        (["--pruner", "hatchet"], "no pruner hatchet"),
        (["--pruner", "none"], "prunes nothing"),
        (["elsewhere"], r"holds no study\.db"),
    ],
)
def test_a_wrong_line_is_refused(tmp_path: Path, line: list[str], message: str) -> None:
    searched(tmp_path, [0.1])
    with pytest.raises(SystemExit, match=message):
        main(line if line == ["elsewhere"] else [str(tmp_path), *line])
