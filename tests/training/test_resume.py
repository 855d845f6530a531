"""A run's record is sacred: what is refused changes no file of it, and no result loses a score."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hydra import compose, initialize_config_dir
from stoppers import Told
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.cli import conf_dir, run_hydra
from siamese_oneshot.runs.checkpoint import find_weights
from siamese_oneshot.runs.job import JOB_LOCK
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task
from siamese_oneshot.training import command

LINE = [
    *TINY, *BATCHES, FULL_PRECISION, "callbacks.validation_plots=null",
    "sampler.steps_per_epoch=3", "trainer.max_steps=6",
]  # fmt: skip


def run(*line: str) -> Any:
    return run_hydra(train_task, argv=line)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished and tested run."""
    folder = tmp_path_factory.mktemp("original") / "run"
    run(*LINE, f"hydra.run.dir={folder}")
    return folder


@pytest.fixture
def finished(original: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(original, tmp_path / "run")


def test_a_strangers_run_says_what_it_would_call(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot say itself that it is trusted."""
    monkeypatch.setattr(command, "_KNOWN", ("siamese_oneshot", "pytorch_lightning"))
    path = finished / ".hydra" / "overrides.yaml"
    path.write_text(f"{path.read_text()}- +callbacks.x._target_=stoppers.Shake\n- trust=true\n")
    before = contents(finished)
    with pytest.raises(SystemExit):
        run(f"resume={finished}")
    assert "call stoppers.Shake, which is neither" in capsys.readouterr().err
    assert contents(finished) == before
    run(f"resume={finished}", "trust=true")
    assert read_result(finished).status == "finished"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != JOB_LOCK)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["hydra.run.dir={run}", "optimizer.lr=0.5"], "already holds a run"),
        (["resume={run}", "optimizer.lr=abc"], "optimizer.lr=abc"),
        (["resume={run}", "trainer.max_steps=0"], "trainer.max_steps=0"),
        (["resume={run}", "seed=1"], "seed: "),
        (["resume={run}", "data.split=one_drawer"], "data.split"),
        (["resume={run}", "data.eval.val_runs=5"], "(data.eval.val_runs: 4 → 5). Resume"),
        (["resume={run}", "data.eval.n_pairs=100"], "other validation episodes or pairs"),
        (["resume={run}", "data.synthetic.n_alphabets=6"], "data: "),
        (["resume={run}", "optimizer=adam"], "state of siamese_oneshot.models.optimizers.adamw"),
        (["resume={run}", "model.encoder.filters=[8,8,4]"], "other layers"),
        (["resume={run}", "model=resnet"], "other layers"),
        (["resume={run}", "+callbacks.late._target_=stoppers.FailsToLoad"], "no such thing"),
        (["resume={run}", "+callbacks.x._target_=json.dumps"], "call json.dumps, which is neither"),
        (["resume={run}", "+callbacks.x._target_=pytorch_lightning.os.getpid"], "getpid, which is"),
        (["resume={run}", "init_from={run}"], "init_from is for a new run"),
        (["resume={run}", "trust=maybe"], "trust=maybe: it must be true or false"),
    ],
)
def test_what_is_refused_leaves_a_finished_run_as_it_was(
    finished: Path, capsys: pytest.CaptureFixture[str], line: list[str], says: str
) -> None:
    before = contents(finished)
    own = LINE if "hydra" in line[0] else []
    with pytest.raises(SystemExit) as stop:
        run(*own, *(text.format(run=finished) for text in line))
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 1
    assert says in shown
    after = contents(finished)
    for log in ("train.log",):  # what was said is in the log; nothing else is touched
        assert after.pop(log, b"").startswith(before.pop(log))
    assert after == before


def test_what_trains_no_step_is_not_recorded(finished: Path) -> None:
    before = contents(finished)
    run(f"resume={finished}", "loss.smoothing=0.2", "optimizer.lr=0.5")
    after = contents(finished)
    assert after.pop("train.log").startswith(before.pop("train.log"))
    assert after == before
    (finished / "result.json").unlink()  # as if it was killed in the evaluation
    first = json.loads(before["result.json"])
    run(f"resume={finished}", "loss.smoothing=0.2")
    again = read_result(finished)
    assert len(again.scores) == len(first["scores"])
    assert (again.legs, again.overrides) == (first["legs"], first["overrides"])


def test_a_damaged_result_is_named_and_kept(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = finished / "result.json"
    version = path.read_text().replace('"version": 2', '"version": 3')
    path.write_text(version)
    before = contents(finished)
    with pytest.raises(SystemExit):
        run(f"resume={finished}", "trainer.max_steps=9")
    assert "has version 3; this package reads 2: resume" in capsys.readouterr().err
    after = contents(finished)
    assert after.pop("train.log").startswith(before.pop("train.log"))
    assert after == before
    path.write_text("{")
    run(f"resume={finished}", "trainer.max_steps=9")
    assert (finished / "result.previous.json").read_text() == "{"
    (warning,) = [text for text in read_result(finished).warnings if "is damaged" in text]
    assert warning.endswith("kept as result.previous.json")


@pytest.mark.parametrize("what", ["checkpoints/best.ckpt", ""])
def test_a_run_is_forked_into_an_empty_folder_only(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    other = shutil.copytree(finished, tmp_path / "other")
    before = contents(other)
    with pytest.raises(SystemExit):
        run(f"resume={finished / what}", f"hydra.run.dir={other}", "trainer.max_steps=9")
    assert f"{other} already holds a run" in capsys.readouterr().err
    after = contents(other)
    assert after.pop("train.log").startswith(before.pop("train.log"))
    assert after == before
    shutil.rmtree(other)
    if what:
        run(f"resume={finished / what}", f"hydra.run.dir={other}", "trainer.max_steps=9")
        assert read_result(other).steps == 9


def test_loggers_are_told_settings_that_something_is_trained_with(finished: Path) -> None:
    line = [f"resume={finished}", "loss.smoothing=0.2", "logger=tensorboard"]
    line.append("logger.tensorboard._target_=stoppers.Told")
    Told.settings.clear()
    run(*line)
    assert Told.settings == []
    run(*line, "trainer.max_steps=9")
    assert [settings["loss"]["smoothing"] for settings in Told.settings] == [0.2]


def test_what_came_after_an_older_checkpoint_is_kept(finished: Path) -> None:
    """Six steps of three an epoch; the state of the third becomes the one to go on from."""
    first, second = finished / "checkpoints" / "first.ckpt", finished.parent / "half"
    run(*LINE, "trainer.max_steps=3", f"hydra.run.dir={second}")
    shutil.copy(second / "checkpoints" / "last.ckpt", first)
    last = finished / "checkpoints" / "last.ckpt"
    history = finished / "csv" / "version_0" / "metrics.csv"
    before = last.read_bytes(), history.read_bytes()
    ctrl_c = "+callbacks.stop._target_=stoppers.PressCtrlC"
    with pytest.raises(SystemExit):  # at once
        run(f"resume={first}", "trainer.max_steps=9", "test=false", ctrl_c)
    result = read_result(finished)
    assert result.steps == 3
    kept = last.with_name("last.replaced.ckpt"), history.with_name("metrics.replaced.csv")
    assert (kept[0].read_bytes(), kept[1].read_bytes()) == before
    (warning,) = [text for text in result.warnings if "goes on from first.ckpt" in text]
    assert "last.replaced.ckpt, metrics.replaced.csv" in warning
    run(f"resume={finished}", "callbacks.stop=null")
    assert read_result(finished).steps == 9
    with open(history, newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == list(range(9))


def test_scores_that_stay_keep_the_digests_of_their_lists(finished: Path) -> None:
    before = read_result(finished)
    run(f"resume={finished}", "trainer.max_steps=9", "test=false", "data.eval.test_runs=5")
    after = read_result(finished)
    assert after.earlier_scores == {"test": 6}
    assert after.task_digests == before.task_digests


def test_an_interrupted_run_keeps_the_result_before_it(finished: Path) -> None:
    """Its own is written twice: at once, and with the validation scores."""
    before = (finished / "result.json").read_bytes()
    ctrl_c = "+callbacks.stop._target_=stoppers.PressCtrlCLate"
    with pytest.raises(SystemExit):
        run(f"resume={finished}", "trainer.max_steps=30", ctrl_c)
    assert (finished / "result.previous.json").read_bytes() == before


@pytest.mark.parametrize("left", ["checkpoints/best.ckpt", "result.json"])
def test_a_folder_with_anything_of_a_run_is_no_place_for_another(
    finished: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    shutil.copy(finished / left, finished.parent / "kept")
    shutil.rmtree(finished)
    path = finished / left
    path.parent.mkdir(parents=True)
    shutil.copy(finished.parent / "kept", path)
    with pytest.raises(SystemExit):
        run(*LINE, f"hydra.run.dir={finished}")
    assert "already holds a run" in capsys.readouterr().err


def test_a_busy_folder_stays_as_it_is(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be a copy of a lock, where the file system has none."""
    monkeypatch.setattr(command, "_LOCK_TIMEOUT", 0.0)
    before = contents(finished)
    with FileLock(finished / JOB_LOCK), pytest.raises(SystemExit):
        run(f"resume={finished}", "trainer.max_steps=9")
    assert contents(finished) == before
    assert "cannot be locked, remove run.lock" in capsys.readouterr().err


def test_a_copy_without_hidden_files_is_resumed_and_its_record_restored(finished: Path) -> None:
    before = contents(finished)
    shutil.rmtree(finished / ".hydra")
    run(f"resume={finished}", "trainer.max_steps=9", "loss.smoothing=0.2")
    result = read_result(finished)
    assert (result.status, result.steps) == ("finished", 9)
    assert set(contents(finished)) >= set(before)
    first, second = result.legs
    assert (first["step"], second["step"], first["changes"]) == (0, 6, {})
    assert set(second["changes"]) == {"trainer.max_steps", "loss.smoothing"}
    assert second["changes"]["trainer.max_steps"] == "6 → 9"
    assert "loss.smoothing=0.2" in second["overrides"]
    kept = (finished / "result.previous.json").read_bytes()
    assert kept == before["result.json"], "the result before is kept beside it"


def test_a_prolonged_run_that_is_stopped_keeps_its_test_scores(finished: Path) -> None:
    before = read_result(finished)
    ctrl_c = "+callbacks.stop._target_=stoppers.PressCtrlCLate"
    with pytest.raises(SystemExit) as stop:
        run(f"resume={finished}", "trainer.max_steps=30", ctrl_c)
    assert stop.value.code == 130
    result = read_result(finished)
    assert (result.status, result.steps) == ("interrupted", 9)
    tested = [score for score in before.scores if score.split == "test"]
    assert [score for score in result.scores if score.split == "test"] == tested != []
    assert result.scores[0].split == "validation"
    assert result.earlier_scores == {"test": 6}
    assert any("the test scores are of step 6" in text for text in result.warnings)
    with pytest.raises(SystemExit):  # and once more
        run(f"resume={finished}", "trainer.max_steps=60")
    assert read_result(finished).earlier_scores == {"test": 6}
    run(f"resume={finished}", "trainer.max_steps=12", "callbacks.stop=null")
    assert read_result(finished).earlier_scores == {}


def test_a_failure_while_training_keeps_scores_and_the_kept_checkpoint(finished: Path) -> None:
    before = read_result(finished)
    poison = ["+callbacks.poison._target_=stoppers.Poison", "+callbacks.poison.step=7"]
    with pytest.raises(SystemExit):
        run(f"resume={finished}", "trainer.max_steps=30", *poison)
    result = read_result(finished)
    assert (result.status, result.scores) == ("failed", before.scores)
    assert result.earlier_scores == {"validation": 6, "test": 6}
    assert find_weights(finished).name == "best.ckpt"


def test_defaults_that_have_changed_since_are_named(finished: Path) -> None:
    path = finished / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["exact_resume"]["settings"]["loss.smoothing"] = 0.7
    torch.save(state, path)
    run(f"resume={finished}", "trainer.max_steps=9", "test=false")
    (warning,) = [text for text in read_result(finished).warnings if "conf/" in text]
    assert warning.startswith("from step 6 on, loss.smoothing: 0.7 → ")
    assert "trainer.max_steps" not in " ".join(read_result(finished).warnings), "it was given"


def test_trainings_that_start_in_one_second_have_folders_of_their_own() -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        one, two = (compose("config", return_hydra_config=True) for _ in range(2))
    assert one.hydra.run.dir == one.hydra.run.dir != two.hydra.run.dir
    assert os.path.dirname(one.hydra.run.dir) == os.path.dirname(two.hydra.run.dir)
