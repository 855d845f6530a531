"""Where a training begins: new, resumed with other settings, in folders behind links or taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_run import EPISODES, STEPS, logged, run

from siamese_oneshot.callbacks.checkpoints import starting_point
from siamese_oneshot.runs.checkpoint import find_weights
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.training import checkpoints
from siamese_oneshot.training import run as training_run

SHORT = [*EPISODES, *STEPS, "test=false"]
STOP = "+callbacks.stop._target_=stoppers.StopAfterOneEpoch"


def groups(folder: Path) -> list[dict[str, float]]:
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return state["optimizer_states"][0]["param_groups"]


def test_a_folder_behind_a_link(tmp_path: Path) -> None:
    """Lightning follows links in the paths of checkpoints, Hydra does not in the run's folder."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    run(tmp_path / "outputs/run", *SHORT)
    assert read_result(tmp_path / "disk/run").checkpoint == "checkpoints/best.ckpt"


def test_a_run_is_not_trained_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, *SHORT, STOP)
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(SystemExit):
        run(tmp_path, *SHORT, "seed=1")
    assert f"{tmp_path} holds a run already" in capsys.readouterr().err
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before


def test_settings_that_come_with_the_resume_hold_from_there_on(tmp_path: Path) -> None:
    """Three of six steps at each rate: the schedule goes on, ten times lower."""
    run(tmp_path / "whole", *SHORT)
    run(tmp_path / "run", *SHORT, STOP)
    rate, decay = groups(tmp_path / "run")[0]["initial_lr"], "optimizer.weight_decay=0.3"
    again = [
        f"resume={tmp_path / 'run'}",
        "callbacks.stop=null",
        f"optimizer.lr={rate / 10}",
        decay,
    ]
    run(tmp_path / "run", *again)
    ours, theirs = logged(tmp_path / "run", "lr/conv1"), logged(tmp_path / "whole", "lr/conv1")
    assert ours == pytest.approx([*theirs[:3], *(one / 10 for one in theirs[3:])])
    (heavy,) = {group["weight_decay"] for group in groups(tmp_path / "run")} - {0.0}
    assert heavy == 0.3


def test_more_patience_goes_on_where_less_had_ended(tmp_path: Path) -> None:
    never_better = "+callbacks.early_stopping.min_delta=2"
    line = [*SHORT, "trainer.max_steps=12", never_better, "callbacks.early_stopping.patience=1"]
    run(tmp_path, *line)
    assert read_result(tmp_path).steps == 6
    run(tmp_path, f"resume={tmp_path}")
    assert read_result(tmp_path).steps == 6
    run(tmp_path, f"resume={tmp_path}", "callbacks.early_stopping.patience=2")
    assert read_result(tmp_path).steps == 9


def test_what_a_run_says_that_it_kept_is_what_others_take(tmp_path: Path) -> None:
    run(tmp_path, *SHORT, STOP)
    assert find_weights(tmp_path).name == "best.ckpt"
    run(tmp_path, f"resume={tmp_path}", "callbacks=last", "callbacks.stop=null")
    assert read_result(tmp_path).checkpoint == "checkpoints/last.ckpt"
    assert (tmp_path / "checkpoints/best.ckpt").exists()
    assert find_weights(tmp_path).name == "last.ckpt"


def test_without_callbacks_that_keep_anything_the_end_is_kept(tmp_path: Path) -> None:
    none = ["callbacks.checkpoint=null", "callbacks.last_checkpoint=null"]
    run(tmp_path, *SHORT, STOP, *none)
    run(tmp_path, f"resume={tmp_path}", "callbacks.stop=null")
    state = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == read_result(tmp_path).steps == 6


def test_queued_again_by_slurm_a_run_goes_on_from_its_own_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not from another's that its command names, again and again."""
    other, own = tmp_path / "other.ckpt", tmp_path / "checkpoints/last.ckpt"
    own.parent.mkdir()
    for path in (other, own):
        torch.save({}, path)
    assert starting_point(str(other), tmp_path) == other
    assert starting_point(None, tmp_path) is None
    monkeypatch.setattr(checkpoints.slurm, "is_restarted", lambda: True)
    assert starting_point(str(other), tmp_path) == own
    assert starting_point(None, tmp_path) == own
    own.unlink()
    assert starting_point(str(other), tmp_path) == other


def test_the_score_of_a_run_that_chooses_nothing_is_its_last_one() -> None:
    trainer: Any = SimpleNamespace(checkpoint_callbacks=[])
    trainer.callback_metrics = {checkpoints.ERROR: torch.tensor(0.25)}
    assert checkpoints.best_validation(trainer) == 0.75
    trainer.callback_metrics = {}
    assert checkpoints.best_validation(trainer) is None


def test_only_the_first_process_ends_by_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning kills the first where another fails, and it may still be writing."""
    monkeypatch.setattr(training_run, "is_first_process", lambda: False)
    run(tmp_path, *SHORT, "+callbacks.stop._target_=stoppers.PressCtrlC")
