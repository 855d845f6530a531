"""Trainings that are killed at any moment and resumed end as if they had not been, bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from kills import (
    FORKED,
    LINE,
    SHAKE,
    begin,
    differences,
    done,
    go_on,
    history,
    kill,
    steps_logged,
    undisturbed,
    unlike,
    wait_until,
)
from tiny import BATCHES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="makes its trainings by fork")

SLOW = "+callbacks.slow._target_=stoppers.Slow"
WAYS = {
    # Kept after every step; the last epoch is not whole.
    "within epochs": ["sampler.steps_per_epoch=6", "trainer.max_steps=20", "callbacks.last_checkpoint.every_n_minutes=0"],
    "at epochs": ["sampler.steps_per_epoch=5", "trainer.max_steps=-1", "trainer.max_epochs=4"],
    "pairs": [
        "loss=bce_pairs", "optimizer=paper_sgd", "callbacks=paper", "callbacks.validation_plots=null",
        "optimizer.momentum_epochs=2", "sampler.batch_size=8", "sampler.n_fixed_pairs=40", "sampler.n_augmented_copies=1",
        "trainer.max_steps=24", "callbacks.last_checkpoint.every_n_minutes=0",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(tmp_path_factory)


@pytest.mark.parametrize("way", WAYS)
def test_killed_twice_and_resumed_a_run_is_the_same(tmp_path: Path, way: str) -> None:
    line = [*FORKED, *(BATCHES if way != "pairs" else []), *WAYS[way], SHAKE, SLOW]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done(begin(whole, *line), whole)
    process = begin(killed, *line)
    for steps in (8, 15):
        wait_until(process, lambda least=steps: steps_logged(killed) >= least)
        kill(process)
        assert not (killed / "result.json").exists()
        process = go_on(killed)
    assert "going on from" in done(process, killed)
    assert differences(whole, killed) == []
    trained = [row["step"] for row in history(killed) if "train/loss" in row]
    assert trained == [str(step) for step in range(len(trained))]


@pytest.mark.parametrize(
    "settings",
    [
        ["sampler.steps_per_epoch=4", "trainer.max_steps=8"],
        ["sampler.steps_per_epoch=2", "trainer.max_steps=20", "optimizer.lr=1e-9",
         "callbacks.early_stopping.patience=1"],
    ],
    ids=["whole epochs", "stopped early"],
)  # fmt: skip
def test_killed_before_the_result_was_written_a_run_is_only_examined(
    tmp_path: Path, settings: list[str]
) -> None:
    line = [*FORKED, *BATCHES, *settings]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done(begin(whole, *line), whole)
    shutil.copytree(whole, killed)
    (killed / "result.json").unlink()
    done(go_on(killed), killed)
    assert differences(whole, killed) == []


def test_killed_so_after_an_epoch_that_was_not_whole(whole: Path, tmp_path: Path) -> None:
    killed = shutil.copytree(whole, tmp_path / "killed")
    (killed / "result.json").unlink()
    done(go_on(killed), killed)
    assert differences(whole, killed) == []


def test_an_epoch_that_was_not_whole_goes_on_with_more_steps(tmp_path: Path) -> None:
    """Four of six steps, resumed for twelve: as twelve from the start, at a rate that stays.

    What ended with step four was validated there, as every training's last step is.
    """
    line = [
        *FORKED, *BATCHES, "sampler.steps_per_epoch=6", "optimizer=adam", SHAKE, "callbacks.early_stopping=null",
    ]  # fmt: skip
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    done(begin(whole, *line, "trainer.max_steps=12"), whole)
    done(begin(longer, *line, "trainer.max_steps=4"), longer)
    done(go_on(longer, "trainer.max_steps=12"), longer)
    looks = [
        [row["step"] for row in history(one) if "val/one_shot_error" in row]
        for one in (whole, longer)
    ]
    assert looks == [["5", "11"], ["3", "5", "11"]]
    both = [
        [row for row in history(one) if row["step"] != "3" or "train/loss" in row]
        for one in (whole, longer)
    ]
    assert both[0] == both[1]
    last = [
        torch.load(one / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
        for one in (whole, longer)
    ]
    for key in ("state_dict", "optimizer_states", "global_step", "epoch", "continuity"):
        assert unlike(last[0][key], last[1][key]) == [], key


def test_a_run_whose_folder_was_moved_goes_on_exactly(whole: Path, tmp_path: Path) -> None:
    killed, moved = tmp_path / "killed", tmp_path / "moved"
    process = begin(killed, *LINE, SLOW)
    wait_until(process, lambda: steps_logged(killed) >= 7)
    kill(process)
    killed.rename(moved)
    done(go_on(moved), moved)
    assert differences(whole, moved) == []


def test_the_number_of_workers_changes_nothing(whole: Path, tmp_path: Path) -> None:
    """The whole run has none."""
    two = tmp_path / "workers"
    done(begin(two, *LINE, "data.num_workers=2"), two)
    assert differences(whole, two) == []


@pytest.mark.slow
@pytest.mark.omniglot
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    """The default experiment, 50 steps of small batches, 20 times killed and resumed exactly.

    SIAMESE_ONESHOT_LONG=1 pytest -s tests/training/test_kills.py -k twenty; SIAMESE_ONESHOT_KILLS
    is another number of kills, SIAMESE_ONESHOT_KILLS_SEED another seed of their moments.
    """
    if not os.environ.get("SIAMESE_ONESHOT_LONG"):
        pytest.skip("takes a quarter of an hour: SIAMESE_ONESHOT_LONG=1 runs it")
    line = [
        "logger=none", "sampler.steps_per_epoch=15", "trainer.max_steps=50", "sampler.n_alphabets=2",
        "sampler.n_way=6", "sampler.n_drawers=2", "data.eval.val_runs=2",
        "data.eval.n_pairs=200", "data.eval.test_runs=2", "data.eval.koch_runs=2",
        "data.eval.n_cross_episodes=100", "trainer.log_every_n_steps=1", "callbacks.validation_plots=null",
        "callbacks.last_checkpoint.every_n_minutes=0.02",
    ]  # fmt: skip
    seed = int(os.environ.get("SIAMESE_ONESHOT_KILLS_SEED", "0"))
    kills = int(os.environ.get("SIAMESE_ONESHOT_KILLS", "20"))
    rng, whole = random.Random(seed), tmp_path / "whole"
    process = begin(whole, *line)
    wait_until(process, lambda: steps_logged(whole) > 0)
    began = time.monotonic()
    done(process, whole)
    lasts = time.monotonic() - began
    number = 0
    while number < kills:
        killed = tmp_path / f"killed{number}"
        shutil.rmtree(killed, ignore_errors=True)
        process = begin(killed, *line)
        wait_until(process, lambda folder=killed: steps_logged(folder) > 0)
        time.sleep(rng.uniform(0, lasts))
        if process.poll() is not None:
            continue  # it was faster than the first: that is no kill
        kill(process)
        steps, kept = steps_logged(killed), (killed / "checkpoints" / "last.ckpt").exists()
        done(go_on(killed), killed)
        found = differences(whole, killed)
        print(
            f"kill {number} after {steps} steps, checkpoint {kept}: {found or 'exact'}", flush=True
        )
        assert found == []
        number += 1
