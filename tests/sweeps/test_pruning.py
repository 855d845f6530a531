"""Validation scores reach the trial, and a pruned training stops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch

from siamese_oneshot.callbacks.pruning import Pruning
from siamese_oneshot.runs.job import Job
from siamese_oneshot.sweeps.search import open_study


class Validated:
    """The parts of a trainer that the callback reads."""

    def __init__(self) -> None:
        self.is_global_zero, self.sanity_checking, self.should_stop = True, False, False
        self.current_epoch = self.global_step = 0
        self.val_check_batch = self.num_training_batches = 9
        self.fit_loop = SimpleNamespace(batch_idx=8)
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.strategy = SimpleNamespace(broadcast=lambda value: value)

    def validate(self, callback: Pruning, epoch: int, value: float) -> None:
        self.current_epoch = epoch
        self.callback_metrics = {"val/one_shot_accuracy": torch.tensor(value)}
        callback.on_validation_end(self, None)  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three trials of one study."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study(url, "s", create=True)
    for number in range(3):
        study.ask()
        trial = {"storage": None, "study": "s", "number": number}
        Job(number, [], [], trial=trial).write(tmp_path / str(number))
    return [tmp_path / str(number) for number in range(3)]


def trained(folder: Path, values: list[float], pruner=None) -> tuple[Pruning, Validated]:
    callback, trainer = Pruning(str(folder), pruner), Validated()
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    for epoch, value in enumerate(values):
        if not trainer.should_stop:
            trainer.validate(callback, epoch, value)
    return callback, trainer


def test_the_median_rule_ends_the_third(folders: list[Path]) -> None:
    """By hand: at epoch 1 the median of 0.5 and 0.7 is 0.6, and the third has 0.55."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    for folder, values in zip(folders, ([0.4, 0.5, 0.8], [0.4, 0.7, 0.8]), strict=False):
        callback, trainer = trained(folder, values, pruner)
        assert not callback.pruned
        assert not trainer.should_stop
        open_study(f"sqlite:///{folder.parent / 'study.db'}", "s").tell(
            int(folder.name), values[-1]
        )
    callback, trainer = trained(folders[2], [0.4, 0.55, 0.9], pruner)
    assert callback.pruned
    assert trainer.should_stop
    study = open_study(f"sqlite:///{folders[0].parent / 'study.db'}", "s")
    found = study.trials[2].intermediate_values
    assert found == pytest.approx({0: 0.4, 1: 0.55})


def test_a_resumed_run_reports_no_epoch_twice(folders: list[Path]) -> None:
    trained(folders[0], [0.1, 0.2])
    trained(folders[0], [0.1, 0.9, 0.3])
    study = open_study(f"sqlite:///{folders[0].parent / 'study.db'}", "s")
    assert study.trials[0].intermediate_values == pytest.approx({0: 0.1, 1: 0.2, 2: 0.3})


def test_validations_within_an_epoch_have_numbers_of_their_own(folders: list[Path]) -> None:
    """Four for each epoch of 9 batches: after 2, 4, 6 and 8; at the end of the training after 9."""
    callback, trainer = Pruning(str(folders[0])), Validated()
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    trainer.val_check_batch = 2
    for epoch in range(2):
        for batch in (2, 4, 6, 8):
            trainer.fit_loop.batch_idx = batch - 1
            trainer.validate(callback, epoch, epoch + batch / 10)
    trainer.fit_loop.batch_idx = 8
    trainer.validate(callback, 1, 0.0)
    study = open_study(f"sqlite:///{folders[0].parent / 'study.db'}", "s")
    expected = {4 * epoch + n: epoch + (n + 1) / 5 for epoch in range(2) for n in range(4)}
    assert study.trials[0].intermediate_values == pytest.approx(expected)


def test_a_job_whose_trial_has_ended_goes_on_without_it(folders: list[Path]) -> None:
    trained(folders[0], [0.1])
    study = open_study(f"sqlite:///{folders[0].parent / 'study.db'}", "s")
    study.tell(0, state=optuna.trial.TrialState.FAIL)
    callback, trainer = trained(folders[0], [0.1, 0.2], optuna.pruners.ThresholdPruner(lower=0.5))
    assert not callback.pruned
    assert not trainer.should_stop
    assert study.trials[0].intermediate_values == pytest.approx({0: 0.1})


def test_a_moved_sweeps_trial_is_found_and_a_search_that_is_gone_is_not_waited_for(
    folders: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    there = folders[0].parent.rename(folders[0].parent.with_name("moved"))
    trained(there / "0", [0.1])
    study = open_study(f"sqlite:///{there / 'study.db'}", "s")
    assert study.trials[0].intermediate_values == pytest.approx({0: 0.1})
    (there / "study.db").unlink()
    callback, _ = trained(there / "0", [0.1, 0.0], optuna.pruners.ThresholdPruner(lower=0.5))
    assert not callback.pruned
    assert "this job's search was not found" in caplog.text
    assert not (there / "study.db").exists()


def test_a_run_of_no_search_is_left_alone(tmp_path: Path) -> None:
    callback, trainer = trained(tmp_path, [0.1, 0.0], optuna.pruners.ThresholdPruner(lower=0.5))
    assert not callback.pruned
    assert not trainer.should_stop


def test_all_processes_are_pruned(folders: list[Path]) -> None:
    callback, trainer = Pruning(str(folders[0])), Validated()
    trainer.is_global_zero = False
    trainer.strategy.broadcast = lambda value: True  # what the first process found
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    trainer.validate(callback, 0, 0.5)
    assert callback.pruned
    study = open_study(f"sqlite:///{folders[0].parent / 'study.db'}", "s")
    assert study.trials[0].intermediate_values == {}


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_study_that_cannot_be_used_costs_only_the_pruning(
    folders: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=2.0)
    if when == "before":
        (folders[0].parent / "study.db").write_bytes(b"no database")
    else:

        def locked(*values: object) -> None:
            raise optuna.exceptions.StorageInternalError("database is locked")

        monkeypatch.setattr(optuna.trial.Trial, "report", locked)
    callback, trainer = trained(folders[0], [0.4, 0.5], pruner)
    assert not callback.pruned
    assert not trainer.should_stop
    assert caplog.text.count("without pruning") == 1
