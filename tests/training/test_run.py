"""The whole job on tiny generated alphabets: files, figures, resume, interruption, seeds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task

EPISODES = [*TINY, *BATCHES]
STEPS = ["sampler.steps_per_epoch=3", "trainer.max_steps=6", FULL_PRECISION]


def run(folder: Path, *overrides: str, validation_plots: bool = False) -> float:
    """Images take four times as long as the rest."""
    line = [*overrides, f"hydra.run.dir={folder}"]
    return run_hydra(
        train_task, argv=line if validation_plots else [*line, "callbacks.validation_plots=null"]
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, *EPISODES, *STEPS, validation_plots=True)


def logged(folder: Path, name: str) -> list[float]:
    """A metric of all csv files of a run, in order."""
    found = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        with open(path) as file:
            found += [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    return found


def test_the_folder_holds_everything(finished):
    folder, value = finished
    result = read_result(folder)
    assert result.status == "finished"
    assert (result.steps, result.seed, result.data_source) == (6, 0, "synthetic")
    assert result.val_accuracy == value == result.scores[0].value
    best = max(logged(folder, "val/one_shot_accuracy"))
    assert value == pytest.approx(best), "the best checkpoint is kept"
    assert any("generated alphabets" in warning for warning in result.warnings)
    for score in result.scores:
        assert score.low <= score.value <= score.high
        assert score.n > 0
    assert [score.split for score in result.scores] == ["validation"] * 2 + ["test"] * 4
    assert {score.digest for score in result.scores} == set(result.task_digests.values())
    assert result.machine["threads"] >= 1
    assert (folder / ".hydra/config.yaml").exists()
    assert logged(folder, "train/loss")
    assert logged(folder, "lr/conv1")
    assert [*(folder / "pictures").rglob("*.png")]
    (low,), (high,) = ({*logged(folder, f"val/one_shot_{end}")[:1]} for end in ("low", "high"))
    assert low < logged(folder, "val/one_shot_accuracy")[0] < high


def test_checkpoints_hold_plain_values_only(finished):
    folder, _ = finished
    for name in ("best", "last"):
        state = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
        json.dumps(state["siamese_oneshot"])


def test_the_log_says_how_convolutions_are_computed_and_results_differ_by_rounding(
    finished, tmp_path: Path
):
    folder, _ = finished
    run(tmp_path, *EPISODES, *STEPS, "model.encoder.conv_impl=fourier", "test=false")
    assert "in 32-true, convolutions direct; " in (folder / "train.log").read_text()
    said = "in 32-true, conv2, conv3, conv4 by Fourier transform; "  # conv1 has a stride
    assert said in (tmp_path / "train.log").read_text()
    ours, theirs = logged(tmp_path, "train/loss"), logged(folder, "train/loss")
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_the_same_seed_gives_the_same_run_and_another_does_not(finished, tmp_path: Path):
    folder, value = finished
    assert run(tmp_path / "again", *EPISODES, *STEPS) == value
    assert logged(tmp_path / "again", "train/loss") == logged(folder, "train/loss")
    run(tmp_path / "other", *EPISODES, *STEPS, "seed=1")
    assert logged(tmp_path / "other", "train/loss") != logged(folder, "train/loss")
    first, other = read_result(folder).scores, read_result(tmp_path / "other").scores
    assert first[0].digest == other[0].digest, "all seeds face the same episodes"


def test_ctrl_c_leaves_a_result_and_exits_with_130(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *EPISODES, *STEPS, "+callbacks.stop._target_=stoppers.PressCtrlC")
    assert stop.value.code == 130
    result = read_result(tmp_path)
    assert result.status == "interrupted"
    assert {score.split for score in result.scores} == {"validation"}, "the test stays closed"
    assert f"resume={tmp_path}" in capsys.readouterr().out.replace("\n", "")


def test_pairs_by_the_papers_optimizer_show_its_schedule(tmp_path: Path):
    run(
        tmp_path,
        "loss=bce_pairs",
        "optimizer=paper_sgd",
        "callbacks=paper",
        *TINY,
        *STEPS,
        "sampler.batch_size=8",
        "optimizer.momentum_epochs=2",
    )
    rates = logged(tmp_path, "lr/conv1")
    assert rates[0] == pytest.approx(1e-2)
    assert rates[-1] == pytest.approx(0.99e-2)
    momenta = logged(tmp_path, "momentum/conv1")
    assert (momenta[0], momenta[-1]) == (pytest.approx(0.5), pytest.approx(0.7))
    assert logged(tmp_path, "train/l2")


def test_a_training_shorter_than_an_epoch_is_examined_too(tmp_path: Path):
    value = run(tmp_path, *EPISODES, "sampler.steps_per_epoch=50", "trainer.max_steps=2")
    assert value == value, "nan: nothing was validated"
    assert read_result(tmp_path).checkpoint == "checkpoints/best.ckpt"


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *EPISODES, *STEPS, "optimizer.lr=1e30")
    assert stop.value.code == 1
    assert "lower optimizer.lr" in capsys.readouterr().err.replace("\n", " ")
    assert read_result(tmp_path).status == "failed"


def test_an_loss_and_batches_that_do_not_go_together_are_refused(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *TINY, "loss=bce_pairs", "sampler=episodic_ce")
    assert stop.value.code == 1
    assert "sampler=bce_pairs, not from sampler=episodic_ce" in capsys.readouterr().err


@pytest.mark.omniglot
@pytest.mark.usefixtures("omniglot")
def test_where_nothing_may_be_chosen_the_last_weights_are_kept(tmp_path: Path, capsys):
    real = [one for one in [*EPISODES, *STEPS] if one.partition("=")[0] != "data"]
    blind = [*real, "data.split=background", "test=false"]
    with pytest.raises(SystemExit):
        run(tmp_path, *blind)
    assert "nothing may be chosen by them: set callbacks=last" in " ".join(
        capsys.readouterr().err.split()
    )
    value = run(tmp_path, *blind, "callbacks=last")
    result = read_result(tmp_path)
    assert (result.status, result.steps, result.data_split) == ("finished", 6, "background")
    assert result.checkpoint == "checkpoints/last.ckpt"
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()
    assert any("trained on: choose nothing" in one for one in result.warnings)
    assert value == pytest.approx(logged(tmp_path, "val/one_shot_accuracy")[-1])


@pytest.mark.parametrize(("test", "opened"), [("true", ["test"]), ("false", [])])
def test_the_test_lists_are_opened_once_after_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str, opened: list[str]
):
    """Fault 8, in the whole job."""
    events: list[str] = []

    def noted(cls: type, name: str, event: str) -> None:
        whole = getattr(cls, name)
        monkeypatch.setattr(cls, name, lambda *given: (events.append(event), whole(*given))[1])

    noted(SiameseModule, "training_step", "step")
    noted(OneShotDataModule, "test_dataloader", "test")
    run(tmp_path, *EPISODES, *STEPS, f"test={test}")
    assert events == ["step"] * 6 + opened
