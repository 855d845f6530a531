"""Whole runs on tiny generated alphabets: files, scores, seeds, messages, the trainer's options."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock
from generated import made_up_templates
from omegaconf import OmegaConf
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.data import recombined
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.models.losses import EpisodicDistillationLoss
from siamese_oneshot.module import MONITOR, SiameseModule
from siamese_oneshot.runs.checkpoint import find_weights, load_trained
from siamese_oneshot.runs.job import JOB_LOCK
from siamese_oneshot.runs.result import read_result, write_result
from siamese_oneshot.train import train_task
from siamese_oneshot.training import command
from siamese_oneshot.training import run as training_run
from siamese_oneshot.training.run import begin_from, check_split, learn_from
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.errors import Busy, UserError

EPISODES = [*TINY, *BATCHES]
STEPS = ["sampler.steps_per_epoch=3", "trainer.max_steps=6", FULL_PRECISION]
SHORT = [*EPISODES, *STEPS, "test=false"]
STOP = "+callbacks.stop._target_=stoppers.StopAfterOneEpoch"


def run(folder: Path, *overrides: str, validation_plots: bool = False) -> float:
    """Train in a folder. Plots take four times as long as the rest."""
    line = [*overrides, f"hydra.run.dir={folder}"]
    return run_hydra(
        train_task, argv=line if validation_plots else [*line, "callbacks.validation_plots=null"]
    )


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], *overrides: str, code: int = 1
) -> str:
    """The message of a run that ends with an exit code, in one line."""
    with pytest.raises(SystemExit) as stop:
        run(folder, *overrides)
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return " ".join((captured.err if code == 1 else captured.out).split())


def logged(folder: Path, name: str) -> list[float]:
    """A metric of all CSV files of a run, in order."""
    values = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        with open(path) as file:
            values += [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    return values


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def test_alphabets_that_no_batch_takes_are_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["data.synthetic.n_alphabets=8", "data.synthetic.n_characters=[5,8]"]
    run(tmp_path, *SHORT, *small, "sampler.n_alphabets=1")
    said = " ".join(capsys.readouterr().out.split())
    (named,) = re.findall("not trained on, too small for a batch: (.*?) cpu, ", said)
    (count,) = re.findall(r"besides .*?(\d+) too small for a batch", said)
    assert len(named.split(", ")) == int(count) > 0
    assert not any("too small" in warning for warning in read_result(tmp_path).warnings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, *EPISODES, *STEPS, validation_plots=True)


def test_neither_a_training_nor_an_evaluation_loads_the_compiler(tmp_path: Path) -> None:
    """``torch._dynamo``, which Lightning and optimizers ask for, takes a second."""
    of_data = [text for text in TINY if text.startswith("data")]
    train = [*SHORT, "callbacks.validation_plots=null", f"hydra.run.dir={tmp_path}"]
    few = [f"protocols.{name}=2" for name in ("max_way", "episodes_per_way", "few_shot_episodes")]
    evaluate = [str(tmp_path), *of_data, *few, "mnist=false", "logger=none", "plots=false"]
    for command_name, line in (("train", train), ("evaluate", evaluate)):
        words = ["-X", "importtime", "-m", f"siamese_oneshot.{command_name}", *line]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
        assert "torch.optim" in imported
        assert not [name for name in imported if name.startswith("torch._dynamo")]


def test_the_folder_holds_everything(finished: tuple[Path, float]) -> None:
    folder, value = finished
    result = read_result(folder)
    assert result.status == "finished"
    assert (result.steps, result.epochs, result.seed) == (6, 2, 0)
    assert result.data_source == "synthetic"
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
    assert logged(folder, "lr")
    assert {path.parent.name for path in (folder / "plots").rglob("*.png")} == {"step_000006"}
    (low,), (high,) = ({*logged(folder, f"val/one_shot_ci_{end}")[:1]} for end in ("low", "high"))
    assert low < logged(folder, "val/one_shot_accuracy")[0] < high
    for name in ("best", "last"):
        state = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
        json.dumps(state["siamese_oneshot"])  # plain values


@pytest.mark.parametrize("is_known", [True, False])
def test_weights_that_were_just_validated_are_not_validated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """One epoch, so that the kept weights are those of its validation: the scores are the same."""
    validations = []
    original = SiameseModule.on_validation_epoch_end

    def counted(module: SiameseModule) -> None:
        original(module)
        assert module.eval_results is not None
        validations.append(module.eval_results.scores("validation"))
        if not is_known:
            module.validated_step = None

    monkeypatch.setattr(SiameseModule, "on_validation_epoch_end", counted)
    run(tmp_path, *SHORT, "trainer.max_steps=3")
    assert len(validations) == (1 if is_known else 2)
    assert all(list(read_result(tmp_path).scores) == scores for scores in validations)


def test_a_training_begins_from_the_weights_of_another(
    finished: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = finished
    begin = [*SHORT, f"init_from={folder}", "seed=1"]
    run(tmp_path / "still", *begin, "optimizer.lr=0")  # a rate of 0 leaves the weights as they are
    before = load_trained(folder).network.state_dict()
    weights = {
        key.removeprefix("network."): value
        for key, value in last(tmp_path / "still")["state_dict"].items()
        if "running" not in key and "num_batches" not in key  # statistics of batches still change
    }
    assert weights
    assert all(before[key].equal(value) for key, value in weights.items())
    known = last(tmp_path / "still")["siamese_oneshot"]["metadata"]["init_from"]
    assert (known["name"], known["seed"], known["split"]) == (str(folder), 0, "ratio_60_20_20")
    run(tmp_path / "still", f"resume={tmp_path / 'still'}", "trainer.max_steps=9")
    assert last(tmp_path / "still")["siamese_oneshot"]["metadata"]["init_from"] == known
    refusal = refused(tmp_path / "other", capsys, *begin, "model.encoder.embedding_dim=8")
    assert "another network than the one asked for (it differs in" in refusal
    assert "model.encoder.embedding_dim=16" in refusal, "what it was trained with"
    refusal = refused(tmp_path / "other", capsys, *SHORT, "init_from=pretrained")
    assert "choose the model of its training: model=medium_resnet_cross_attention" in refusal


def test_a_training_learns_from_the_answers_of_others(
    finished: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = finished
    line = [*SHORT, "loss=distillation", *BATCHES, f"teachers={tmp_path / 'teachers'}", "seed=1"]
    for name in ("0_seed=0", "1_seed=1"):  # as in a sweep's folder
        copytree(folder, tmp_path / "teachers" / name)
    run(tmp_path / "whole", *line)
    for name, known in zip(
        ("0_seed=0", "1_seed=1"),
        last(tmp_path / "whole")["siamese_oneshot"]["metadata"]["teachers"],
        strict=True,
    ):
        assert known["name"] == str(tmp_path / "teachers" / name)
        assert (known["seed"], known["split"]) == (0, "ratio_60_20_20")
    run(tmp_path / "student", *line, STOP)
    run(tmp_path / "student", f"resume={tmp_path / 'student'}")
    whole, resumed = (last(tmp_path / name)["state_dict"] for name in ("whole", "student"))
    assert all(whole[key].equal(resumed[key]) for key in whole)
    assert not any("teacher" in key for key in whole)
    own = [str(folder), *(str(tmp_path / "teachers" / name) for name in ("0_seed=0", "1_seed=1"))]
    for steps, *change in (  # what earlier teachers learned is not forgotten
        (9, f"teachers={folder}"),
        (12, "loss=episodic_ce_smooth", "teachers=null"),
    ):
        resume = [f"resume={tmp_path / 'student'}", f"trainer.max_steps={steps}"]
        run(tmp_path / "student", *resume, *change)
        known = last(tmp_path / "student")["siamese_oneshot"]["metadata"]["teachers"]
        assert [one["name"] for one in known] == own
    for text, settings in {
        "teachers are for loss=distillation": [*SHORT, f"teachers={folder}"],
        "learns from trained networks: teachers=FOLDER": [*SHORT, "loss=distillation", *BATCHES],
        "reads images of 52 pixels": [*line, "teachers=[pretrained]"],
    }.items():
        assert text in refused(tmp_path / "other", capsys, *settings)


def test_weights_are_not_tested_on_what_they_learned(
    finished: tuple[Path, float], dataset: CharacterDataset
) -> None:
    folder, _ = finished
    module = SiameseModule.load_from_checkpoint(folder / "checkpoints/last.ckpt")
    parts = split_dataset(dataset, "ratio_60_20_20")
    digest = load_trained(folder).metadata["data_digest"]
    same = SimpleNamespace(dataset=dataset, split=parts, digest=digest)
    assert begin_from(str(folder), module, same)["seed"] == 0
    turned = replace(parts, name="turned", test_all_drawers=parts.train)
    other = SimpleNamespace(dataset=dataset, split=turned, digest=digest)
    # a training has no setting `split` to leave out
    remedy = r"split=turned tests: choose data\.split=ratio_60_20_20, or other weights$"
    with pytest.raises(UserError, match=rf"init_from=.* or selected with split=ratio.*{remedy}"):
        begin_from(str(folder), module, other)
    module.loss = EpisodicDistillationLoss()
    with pytest.raises(UserError, match=r"teachers=.* was trained or selected with split=ratio"):
        learn_from([str(folder)], module, other)
    grown = SimpleNamespace(dataset=dataset, split=parts, digest="another")
    with pytest.raises(UserError, match="was trained on other synthetic images than these"):
        begin_from(str(folder), module, grown)


def test_weights_that_began_from_others_know_what_those_learned(
    finished: tuple[Path, float], dataset: CharacterDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    module = SiameseModule.load_from_checkpoint(folder / "checkpoints/last.ckpt")
    first = load_trained(folder)
    between = {"data_source": "folder", "split": "ratio_60_20_20", "init_from": first.metadata}
    between = replace(first, metadata=between)
    monkeypatch.setattr(training_run, "load_trained", lambda *_: between)
    parts = split_dataset(dataset, "ratio_60_20_20")
    turned = replace(parts, test_all_drawers=parts.train)
    data = SimpleNamespace(dataset=dataset, split=turned, digest=first.metadata["data_digest"])
    with pytest.raises(UserError, match="was trained or selected with split=ratio_60_20_20"):
        begin_from("between", module, data)


def test_strokes_of_what_is_tested_or_validates_are_minded(
    finished: tuple[Path, float], dataset: CharacterDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    module = SiameseModule.load_from_checkpoint(folder / "checkpoints/last.ckpt")
    first, warnings = load_trained(folder), []
    images = replace(dataset, source="omniglot")
    data = SimpleNamespace(dataset=images, digest="", warn=warnings.append)
    data.split = split_dataset(images, "fold_1_of_4")  # tests A, validates on B

    def begin(*names: str) -> None:
        known = replace(first, metadata={"stroke_alphabets": [*names]})
        monkeypatch.setattr(training_run, "load_trained", lambda *_: known)
        begin_from("strokes", module, data)

    begin("AlphabetC")
    assert warnings == []
    begin("AlphabetB")
    said = "init_from=strokes learned from AlphabetB, which validate here: their scores are not of "
    assert warnings == [f"{said}unseen alphabets"]
    with pytest.raises(
        UserError, match="=strokes was trained on strokes of AlphabetA, which split"
    ):
        begin("AlphabetA")


def test_a_resumed_run_remembers_the_strokes_of_all_its_legs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recombined, "templates", made_up_templates)
    extra = [
        "sampler.n_synthetic=1", "data.extra_synthetic.n_alphabets=2",
        "data.extra_synthetic.style=recombined", "data.extra_synthetic.stroke_alphabets=[Latin]",
    ]  # fmt: skip
    run(tmp_path, *SHORT, *extra)
    known = last(tmp_path)["siamese_oneshot"]["metadata"]
    assert known["stroke_alphabets"] == ["Latin"]
    greek = "data.extra_synthetic.stroke_alphabets=[Greek]"
    run(tmp_path, f"resume={tmp_path}", "trainer.max_steps=9", greek)
    known = last(tmp_path)["siamese_oneshot"]["metadata"]
    assert known["stroke_alphabets"] == ["Greek", "Latin"]


def test_convolutions_by_fourier_train_as_direct_ones(
    finished: tuple[Path, float], tmp_path: Path
) -> None:
    folder, _ = finished
    run(tmp_path, *EPISODES, *STEPS, "model.encoder.conv_impl=fourier", "test=false")
    losses = logged(tmp_path, "train/loss"), logged(folder, "train/loss")
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_equal_seeds_give_equal_runs_and_different_seeds_do_not(
    finished: tuple[Path, float], tmp_path: Path
) -> None:
    folder, value = finished
    assert run(tmp_path / "same", *EPISODES, *STEPS) == value
    assert logged(tmp_path / "same", "train/loss") == logged(folder, "train/loss")
    run(tmp_path / "other", *EPISODES, *STEPS, "seed=1")
    assert logged(tmp_path / "other", "train/loss") != logged(folder, "train/loss")
    digests = [read_result(path).scores[0].digest for path in (folder, tmp_path / "other")]
    assert digests[0] == digests[1], "all seeds have the same episodes"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.strategy=quantum"], "refuses its settings: You selected an invalid strategy"),
        (["callbacks.checkpoint.monitor=val/accuracy"], "val/accuracy"),
    ],
)
def test_settings_that_cannot_be_used_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    assert message in refused(tmp_path, capsys, *SHORT, *overrides)


@pytest.mark.parametrize(
    ("overrides", "steps", "epochs"),
    [
        (["trainer.limit_val_batches=1"], 6, 2),
        (["trainer.accumulate_grad_batches=2"], 6, 3),
        (["trainer.max_steps=-1", "trainer.max_epochs=2", "trainer.limit_train_batches=2"], 4, 2),
        (["trainer.val_check_interval=2", "trainer.gradient_clip_val=0.1"], 6, 2),
    ],
)
def test_options_of_the_trainer(
    tmp_path: Path, overrides: list[str], steps: int, epochs: int
) -> None:
    value = run(tmp_path, *SHORT, *overrides)
    result = read_result(tmp_path)
    assert (result.status, result.steps, result.epochs) == ("finished", steps, epochs)
    assert value == result.val_accuracy == result.scores[0].value, "of all batches"
    assert result.scores[0].n == 4 * 5


def test_a_fast_dev_run_writes_no_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, *SHORT, "trainer.fast_dev_run=true")
    assert not [*tmp_path.rglob("*.ckpt")]
    assert read_result(tmp_path).steps == 1


def test_three_best_checkpoints_by_another_metric(tmp_path: Path) -> None:
    settings = ["monitor=val/verification_auroc", "mode=max", "save_top_k=3"]
    changes = [f"callbacks.checkpoint.{setting}" for setting in settings]
    run(tmp_path, *SHORT, *changes, "trainer.max_steps=15")
    kept = sorted(path.stem for path in (tmp_path / "checkpoints").glob("best*.ckpt"))
    assert len(kept) == 3
    aurocs = logged(tmp_path, "val/verification_auroc")
    steps = sorted(range(5), key=lambda epoch: -aurocs[epoch])[:3]
    assert kept == sorted(f"best_step={3 * (epoch + 1):06d}" for epoch in steps)
    result = read_result(tmp_path)
    best = 3 * (aurocs.index(max(aurocs)) + 1)
    assert result.checkpoint == f"checkpoints/best_step={best:06d}.ckpt"
    assert find_weights(tmp_path).name == Path(result.checkpoint).name
    run(tmp_path, f"resume={tmp_path}", "trainer.max_steps=18")
    assert len([*(tmp_path / "checkpoints").glob("best*.ckpt")]) == 3


@pytest.mark.omniglot
@pytest.mark.usefixtures("omniglot")
def test_the_last_weights_are_kept_where_nothing_may_be_selected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = [override for override in SHORT if override.partition("=")[0] != "data"]
    overlapping = [*real, "data.split=background"]
    assert "no checkpoint can be selected on them: set callbacks=last" in refused(
        tmp_path, capsys, *overlapping
    )
    value = run(tmp_path, *overlapping, "callbacks=last")
    result = read_result(tmp_path)
    assert (result.status, result.steps, result.data_split) == ("finished", 6, "background")
    assert result.checkpoint == "checkpoints/last.ckpt"
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()
    assert any("trained on: do not select a model" in warning for warning in result.warnings)
    assert value == pytest.approx(logged(tmp_path, "val/one_shot_accuracy")[-1])


@pytest.mark.parametrize(
    ("callbacks", "remedy"),
    [
        ({"checkpoint": {"save_top_k": 1}}, "callbacks=last"),
        ({"early_stopping": {"patience": 1}}, "callbacks=last"),
        ({"pruning": {"folder": "x"}}, "callbacks.pruning=null"),
    ],
)
def test_nothing_is_selected_on_alphabets_that_are_trained_on(
    callbacks: dict[str, Any], remedy: str
) -> None:
    overlapping: Any = SimpleNamespace(trains_on_validation=True, name="background")
    disjoint: Any = SimpleNamespace(trains_on_validation=False, name="lake")
    none: dict[str, Any] = {"checkpoint": None, "early_stopping": None}
    selecting = OmegaConf.create({**none, **callbacks})
    with pytest.raises(UserError, match=remedy):
        check_split(overlapping, selecting)
    check_split(disjoint, selecting)
    check_split(overlapping, OmegaConf.create({**none, "pruning": None}))
    check_split(overlapping, OmegaConf.create(none))


@pytest.mark.parametrize(("test", "opened"), [("true", ["test"]), ("false", [])])
def test_the_test_data_are_opened_once_after_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str, opened: list[str]
) -> None:
    """Fault 8, in a whole run."""
    events: list[str] = []

    def note(cls: type, name: str, event: str) -> None:
        method = getattr(cls, name)
        monkeypatch.setattr(cls, name, lambda *args: (events.append(event), method(*args))[1])

    note(SiameseModule, "training_step", "step")
    note(OneShotDataModule, "test_dataloader", "test")
    run(tmp_path, *EPISODES, *STEPS, f"test={test}")
    assert events == ["step"] * 6 + opened


def test_a_folder_behind_a_link(tmp_path: Path) -> None:
    """Lightning resolves links in the paths of checkpoints, Hydra does not in the run's folder."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    run(tmp_path / "outputs/run", *SHORT)
    assert read_result(tmp_path / "disk/run").checkpoint == "checkpoints/best.ckpt"


def test_a_new_run_does_not_replace_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, *SHORT, STOP)
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    assert f"{tmp_path} already holds a run" in refused(tmp_path, capsys, *SHORT, "seed=1")
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before


def test_settings_given_with_resume_hold_from_there_on(tmp_path: Path) -> None:
    """Three of six steps at each rate: the schedule continues, ten times lower."""
    run(tmp_path / "expected", *SHORT)
    folder = tmp_path / "run"
    run(folder, *SHORT, STOP)
    groups = last(folder)["optimizer_states"][0]["param_groups"]
    changes = [f"optimizer.lr={groups[0]['initial_lr'] / 10}", "optimizer.weight_decay=0.3"]
    run(folder, f"resume={folder}", "callbacks.stop=null", *changes)
    rates, expected = logged(folder, "lr"), logged(tmp_path / "expected", "lr")
    assert rates == pytest.approx([*expected[:3], *(rate / 10 for rate in expected[3:])])
    groups = last(folder)["optimizer_states"][0]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}


def test_a_larger_patience_continues_a_run_that_was_stopped_early(tmp_path: Path) -> None:
    never_better = "+callbacks.early_stopping.min_delta=2"
    patience = "callbacks.early_stopping.patience"
    run(tmp_path, *SHORT, "trainer.max_steps=12", never_better, f"{patience}=1")
    assert read_result(tmp_path).steps == 6
    run(tmp_path, f"resume={tmp_path}")
    assert read_result(tmp_path).steps == 6
    run(tmp_path, f"resume={tmp_path}", f"{patience}=2")
    assert read_result(tmp_path).steps == 9


def test_a_finished_run_has_nothing_left_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, *SHORT)
    first = read_result(tmp_path)
    assert first.checkpoint_step == torch.load(tmp_path / "checkpoints/best.ckpt")["global_step"]
    write_result(tmp_path, replace(first, train_seconds=1000.0))  # as after its last checkpoint
    before = (tmp_path / "result.json").read_bytes()
    capsys.readouterr()
    run(tmp_path, f"resume={tmp_path}")
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing is left to do" in said
    assert (tmp_path / "result.json").read_bytes() == before
    run(tmp_path, f"resume={tmp_path}", "test=true")
    tested = read_result(tmp_path)
    assert {score.split for score in tested.scores} == {"validation", "test"}
    run(tmp_path, f"resume={tmp_path}", "trainer.max_steps=9")
    longer = read_result(tmp_path)
    assert longer.steps == 9
    assert 1000 < tested.train_seconds < longer.train_seconds < 1100, "summed over the legs"


def test_others_load_the_checkpoint_that_the_result_names(tmp_path: Path) -> None:
    run(tmp_path, *SHORT, STOP)
    assert find_weights(tmp_path).name == "best.ckpt"
    run(tmp_path, f"resume={tmp_path}", "callbacks=last", "callbacks.stop=null")
    assert read_result(tmp_path).checkpoint == "checkpoints/last.ckpt"
    assert (tmp_path / "checkpoints/best.ckpt").exists()
    assert find_weights(tmp_path).name == "last.ckpt"


def test_the_end_is_kept_without_checkpoint_callbacks(tmp_path: Path) -> None:
    run(tmp_path, *SHORT, STOP, "callbacks.checkpoint=null", "callbacks.last_checkpoint=null")
    run(tmp_path, f"resume={tmp_path}", "callbacks.stop=null")
    assert last(tmp_path)["global_step"] == read_result(tmp_path).steps == 6


def test_a_requeued_run_continues_its_own_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the checkpoint of another run that its command names, again and again."""
    other, own = tmp_path / "other.ckpt", tmp_path / "checkpoints/last.ckpt"
    own.parent.mkdir()
    for path in (other, own):
        torch.save({}, path)
    start = training_run.checkpoint_to_resume
    assert start(str(other), tmp_path) == other
    assert start(None, tmp_path) is None
    monkeypatch.setattr(slurm, "is_restarted", lambda: True)
    assert start(str(other), tmp_path) == own
    assert start(None, tmp_path) == own
    own.unlink()
    assert start(str(other), tmp_path) == other


def test_the_score_of_a_run_without_selection_is_its_last_one() -> None:
    trainer: Any = SimpleNamespace(checkpoint_callbacks=[])
    trainer.callback_metrics = {MONITOR: torch.tensor(0.25)}
    assert training_run.best_validation(trainer) == 0.75
    trainer.callback_metrics = {}
    assert training_run.best_validation(trainer) is None


def test_only_the_first_process_ends_by_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning kills the first process if another fails, and it may still be writing."""
    monkeypatch.setattr(training_run, "is_first_process", lambda: False)
    run(tmp_path, *SHORT, "+callbacks.stop._target_=stoppers.PressCtrlC")


def test_a_folder_in_which_another_process_trains_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_LOCK_TIMEOUT", 0.0)
    with (
        FileLock(tmp_path / JOB_LOCK),
        pytest.raises(Busy, match="another process is training"),
        command._locked(tmp_path),
    ):
        pass
    with command._locked(tmp_path):
        pass
