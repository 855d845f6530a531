"""Whole trainings read back from their offline W&B runs by the official client alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from test_run import EPISODES, STEPS
from wandb_files import ReadBack, parts_of, without_account

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.plots import figures
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task

LOGGED = [*(one for one in EPISODES if one != "logger=none"), *STEPS]
PLOTS = {
    "attention",
    "episode", "mistakes", "confusions", "per_alphabet", "accuracy_vs_way", "verification_scores",
    "filters", "augmentations",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path) -> Iterator[None]:
    with without_account(tmp_path):
        yield


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two jobs of one process that finish, between them one that crashes; the last has one plot."""
    folder = tmp_path_factory.mktemp("wandb")
    counts, every = iter([len(PLOTS), 1]), figures.validation_figures
    line = [
        "-m", "optimizer.lr=1e-3,1e30,2e-3", "seed=2", *LOGGED, f"hydra.sweep.dir={folder}",
        "hydra.sweeper.name=my sweep", "logger.wandb.checkpoint=always", "logger.wandb.tags=[mine]",
    ]  # fmt: skip
    with without_account(folder / "home") as patch:
        patch.setattr(figures, "validation_figures", lambda *g: islice(every(*g), next(counts)))
        with pytest.raises(SystemExit) as stop:
            run_hydra(train_task, argv=line)
    assert stop.value.code == 1, "a job failed"
    return folder / "my sweep"


@pytest.fixture(scope="module")
def runs(sweep: Path) -> list[ReadBack]:
    """In the order of the jobs: they share a folder, which `wandb leet` shows as a whole."""
    rates = [1e-3, 1e30, 2e-3]  # folders have the time of the start, by which two may be equal
    return sorted(
        map(ReadBack, parts_of(sweep)), key=lambda one: rates.index(one.config["optimizer"]["lr"])
    )


def test_each_job_is_a_run_of_the_group(sweep: Path, runs: list[ReadBack]) -> None:
    assert [one.run["display_name"] for one in runs] == [
        "default · lr 1e-3 · seed 2", "default · lr 1e+30 · seed 2", "default · lr 2e-3 · seed 2",
    ]  # fmt: skip
    for one in runs:
        assert (one.run["run_group"], one.run["job_type"]) == ("my sweep", "train")
        assert one.run["tags"] == ["default", "synthetic", "ratio_60_20_20", "mine"]
    assert [one.config["optimizer"]["lr"] for one in runs] == [1e-3, 1e30, 2e-3]


def test_states_are_those_of_the_jobs(runs: list[ReadBack]) -> None:
    assert [(one.end["state"], one.exit_code) for one in runs] == [
        ("finished", 0), ("failed", 1), ("finished", 0),
    ]  # fmt: skip
    assert [one.summary["status"] for one in runs] == ["finished", "failed", "finished"]


def test_the_configuration_has_the_metadata(sweep: Path, runs: list[ReadBack]) -> None:
    result = read_result(sweep / "0_lr=0.001")
    metadata = runs[0].config["metadata"]
    assert metadata["data_digest"] == result.data_digest
    assert metadata["commit"] == result.commit
    assert (metadata["experiment"], metadata["seed"], metadata["split"]) == (
        "default",
        2,
        "ratio_60_20_20",
    )
    assert metadata["parameters"] > 1000


def test_metrics_have_their_steps_and_their_best(runs: list[ReadBack]) -> None:
    one = runs[0]
    for name in ("train/loss", "lr", "gradient_norm/all"):
        assert [step for step, _ in one.points(name)] == [*range(1, 7)], name
    assert one.points("momentum") == [], "a constant is in the summary, and no chart"
    assert one.summary["momentum"] == pytest.approx(0.9)
    assert [step for step, _ in one.points("speed/data_wait")] == [*range(1, 7)]
    scores = one.points("val/one_shot_accuracy")
    assert [step for step, _ in scores] == [3, 6], "as the terminal and the plots count"
    for (_, low), (_, value), (_, high) in zip(
        one.points("val/one_shot_ci_low"), scores, one.points("val/one_shot_ci_high"), strict=True
    ):
        assert low < value < high
    assert one.summary["val/one_shot_accuracy"] == {"max": max(value for _, value in scores)}
    assert one.summary["train/loss"] == {"min": min(value for _, value in one.points("train/loss"))}
    assert one.metrics["*"]["step_metric"] == "trainer/global_step"
    assert all("trainer/global_step" in row for row in one.history)


def test_the_summary_is_the_result(sweep: Path, runs: list[ReadBack]) -> None:
    result = read_result(sweep / "0_lr=0.001")
    found = runs[0].summary
    assert found["best_val/one_shot_accuracy"] == result.val_accuracy
    assert found["best_val/step"] == result.checkpoint_step in (3, 6)
    for score in result.scores:
        group = "best_val" if score.split == "validation" else "test"
        names = [f"{group}/{score.key}_{end}" for end in ("accuracy", "ci_low", "ci_high")]
        assert [found[name] for name in names] == [score.value, score.low, score.high]


def test_plots_are_logged_once(runs: list[ReadBack]) -> None:
    one = runs[0]
    images = Counter(
        Path(name).stem.rsplit("_", 2)[0]
        for name in one.files
        if name.startswith("media/images/plots")
    )
    assert images == dict.fromkeys(PLOTS, 1)
    for name in one.files:
        assert (one.folder / "files" / name).is_file(), name
    drawn = [row for row in one.history if "plots/episode._type" in row]
    assert [row["trainer/global_step"] for row in drawn] == [6]
    assert not any("plots" in name for name in runs[1].files), "the failed run has no plots"


def test_the_best_checkpoint_is_an_artifact(runs: list[ReadBack]) -> None:
    (model,) = [one for one in runs[0].artifacts if one["type"] == "model"]
    assert sorted(model["aliases"]) == ["best", "latest", "seed-2"]
    assert [one["path"] for one in model["manifest"]["contents"]] == ["best.ckpt"]
    assert '"best_val/one_shot_accuracy"' in model["metadata"]
    assert not [one for one in runs[1].artifacts if one["type"] == "model"]


def test_ctrl_c_and_resume_are_one_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = figures.validation_figures
    monkeypatch.setattr(figures, "validation_figures", lambda *given: islice(every(*given), 1))
    line = [
        *LOGGED,
        "callbacks.validation_plots.every_n_epochs=1",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    stop = "+callbacks.stop._target_=stoppers.PressCtrlC"
    with pytest.raises(SystemExit):
        run_hydra(train_task, argv=[*line, stop])
    time.sleep(1.1)  # W&B names folders by the second
    run_hydra(train_task, argv=[f"resume={tmp_path / 'run'}", "callbacks.stop=null"])
    first, second = map(ReadBack, parts_of(tmp_path / "run"))
    assert (first.exit_code, second.exit_code) == (255, 0), "W&B's code for Ctrl-C, then none"
    assert first.run["run_id"] == second.run["run_id"]
    rows = [*first.history, *second.history]
    assert [row["_step"] for row in rows] == [*range(len(rows))]
    steps = [step for one in (first, second) for step, _ in one.points("train/loss")]
    assert steps == [*range(1, 7)]
    seen = Counter(
        (key, row["trainer/global_step"]) for row in rows for key in row if key.endswith("._type")
    )
    assert set(seen.values()) == {1}, "no image twice"
    assert {step for _, step in seen} == {3, 6}
    scores = [value for one in (first, second) for _, value in one.points("val/one_shot_accuracy")]
    assert second.summary["val/one_shot_accuracy"] == {"max": pytest.approx(max(scores))}
