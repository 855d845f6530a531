"""A training that is killed at any moment and resumed ends bit for bit as if it had not been."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from disturbed import at_operation
from kills import (
    FORKED,
    LINE,
    SHAKE,
    SLOW,
    Forked,
    differences,
    finish,
    history,
    kill,
    needs_fork,
    output,
    resume,
    start,
    steps_logged,
    train,
    unequal,
    wait_until,
)
from tiny import BATCHES, SYNTHETIC

from siamese_oneshot import report
from siamese_oneshot.cli import run_hydra
from siamese_oneshot.evaluate import evaluate_task

pytestmark = needs_fork

SETTINGS = {
    # A checkpoint after every step; the last epoch is incomplete.
    "within epochs": [
        *BATCHES, "sampler.steps_per_epoch=6", "trainer.max_steps=20",
        "callbacks.last_checkpoint.every_n_minutes=0",
    ],
    "at epochs": [
        *BATCHES, "sampler.steps_per_epoch=5", "trainer.max_steps=-1", "trainer.max_epochs=4",
    ],
    "pairs": [
        "loss=bce_pairs", "optimizer=paper_sgd", "callbacks=paper",
        "callbacks.validation_plots=null", "optimizer.momentum_epochs=2", "sampler.batch_size=8",
        "sampler.n_fixed_pairs=40", "sampler.n_augmented_copies=1", "trainer.max_steps=24",
        "callbacks.last_checkpoint.every_n_minutes=0",
    ],
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_run_killed_twice_and_resumed_is_the_same(tmp_path: Path, settings: str) -> None:
    line = [*FORKED, *SETTINGS[settings], SHAKE, SLOW]
    expected, killed = tmp_path / "expected", tmp_path / "killed"
    finish(start(expected, *line), expected)
    process = start(killed, *line)
    for steps in (8, 15):
        wait_until(process, lambda least=steps: steps_logged(killed) >= least)
        kill(process)
        assert not (killed / "result.json").exists()
        process = resume(killed)
    assert "resuming from" in finish(process, killed)
    assert differences(expected, killed) == []
    trained = [row["step"] for row in history(killed) if "train/loss" in row]
    assert trained == [str(step) for step in range(len(trained))]


@pytest.mark.parametrize(
    "settings",
    [
        None,
        ["sampler.steps_per_epoch=4", "trainer.max_steps=8"],
        ["sampler.steps_per_epoch=2", "trainer.max_steps=20", "optimizer.lr=1e-9",
         "callbacks.early_stopping.patience=1"],
    ],
    ids=["incomplete epoch", "complete epochs", "stopped early"],
)  # fmt: skip
def test_a_run_killed_before_its_result_was_written_is_only_evaluated(
    uninterrupted: Path, tmp_path: Path, settings: list[str] | None
) -> None:
    expected, killed = tmp_path / "expected", tmp_path / "killed"
    if settings is None:
        expected = uninterrupted
    else:
        finish(start(expected, *FORKED, *BATCHES, *settings), expected)
    shutil.copytree(expected, killed)
    (killed / "result.json").unlink()
    finish(resume(killed), killed)
    assert differences(expected, killed) == []


def test_an_incomplete_epoch_continues_with_more_steps(tmp_path: Path) -> None:
    """Four of six steps, resumed for twelve: as twelve from the start, at a constant rate.

    The only difference is the validation after the fourth step, which was the last one.
    """
    line = [
        *FORKED, *BATCHES, "sampler.steps_per_epoch=6", "optimizer=adam", SHAKE,
        "callbacks=last",  # tested; the best may be of the fourth step
    ]  # fmt: skip
    expected, longer = tmp_path / "expected", tmp_path / "longer"
    finish(start(expected, *line, "trainer.max_steps=12"), expected)
    finish(start(longer, *line, "trainer.max_steps=4"), longer)
    finish(resume(longer, "trainer.max_steps=12"), longer)
    rows, steps, states = [], [], []
    for folder in (expected, longer):
        all_rows = history(folder)
        steps.append([row["step"] for row in all_rows if "val/one_shot_error" in row])
        rows.append([row for row in all_rows if row["step"] != "3" or "train/loss" in row])
        last = folder / "checkpoints" / "last.ckpt"
        states.append(torch.load(last, map_location="cpu", weights_only=True))
    assert steps == [["5", "11"], ["3", "5", "11"]]
    assert rows[0] == rows[1]
    for key in ("state_dict", "optimizer_states", "global_step", "epoch", "exact_resume"):
        assert unequal(states[0][key], states[1][key]) == [], key


def test_a_run_whose_folder_was_moved_is_exact(uninterrupted: Path, tmp_path: Path) -> None:
    killed, moved = tmp_path / "killed", tmp_path / "moved"
    process = start(killed, *LINE, SLOW)
    wait_until(process, lambda: steps_logged(killed) >= 7)
    kill(process)
    killed.rename(moved)
    finish(resume(moved), moved)
    assert differences(uninterrupted, moved) == []


def test_the_number_of_workers_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    workers = tmp_path / "workers"
    finish(start(workers, *LINE, "data.num_workers=2"), workers)
    assert differences(uninterrupted, workers) == []


@pytest.mark.parametrize(
    "settings", [["trainer.accumulate_grad_batches=3"], ["trainer.limit_train_batches=3"]]
)
def test_a_resumed_run_is_exact_with_options_of_the_trainer(
    tmp_path: Path, settings: list[str]
) -> None:
    line = [*FORKED, *BATCHES, SHAKE, SLOW, *settings, "sampler.steps_per_epoch=8"]
    line += ["trainer.max_steps=10", "callbacks.last_checkpoint.every_n_minutes=0"]
    expected, killed = tmp_path / "expected", tmp_path / "killed"
    finish(start(expected, *line), expected)
    process = start(killed, *line)
    wait_until(process, lambda: steps_logged(killed) >= 5)
    kill(process)
    finish(resume(killed), killed)
    assert differences(expected, killed) == []


def evaluate(line: Sequence[str]) -> None:
    run_hydra(evaluate_task, "evaluate", argv=line, words="models")


FEW = [*FORKED, *BATCHES, SHAKE, "sampler.steps_per_epoch=2", "trainer.max_steps=4"]
EVALUATION = [
    *SYNTHETIC, "mnist=false",
    "plots=false", "protocols.max_way=5", "protocols.episodes_per_way=10",
    "protocols.few_shot_episodes=10",
]  # fmt: skip


def content(folder: Path) -> str:
    """A digest of what stands in a folder: names, bytes, and which names are one file."""
    digest, numbers = hashlib.sha256(), dict[int, int]()
    for path in sorted(folder.rglob("*")):
        number = numbers.setdefault(path.stat().st_ino, len(numbers))
        digest.update(f"{path.relative_to(folder)} {number} ".encode())
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return digest.hexdigest()


def copy(folder: Path, to: Path) -> None:
    """With its hard links."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", folder, to], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "resume", "sweep", "evaluate", "report"])
def test_a_kill_before_every_operation_on_a_file(tmp_path: Path, command: str) -> None:
    """Started again from what a kill before each operation leaves: the same in the end.

    That is the folder as it stands at this moment, copied by one process before each operation;
    states that are equal to the one before are tried once.

    SIAMESE_ONESHOT_LONG=1 pytest -s tests/training/test_kills.py -k every_operation
    """
    if not os.environ.get("SIAMESE_ONESHOT_LONG"):
        pytest.skip("takes half an hour: SIAMESE_ONESHOT_LONG=1 runs it")
    expected, given, work = tmp_path / "expected", tmp_path / "given", tmp_path / "work"
    states = tmp_path / "states"
    sweep = [*FEW, "-m", "seed=0,1", "hydra.sweeper.name=s", "test=false"]

    def begin(folder: Path, **options: Any) -> Forked:
        if command == "run":
            return start(folder, *FEW, **options)
        if command == "resume":
            return resume(folder, "trainer.max_steps=8", **options)
        if command == "sweep":
            return Forked(output(folder), [*sweep, f"hydra.sweep.dir={folder}"], **options)
        if command == "evaluate":
            line = [str(folder), *EVALUATION]
            return Forked(output(folder), line, command=evaluate, **options)
        line = [str(folder)]
        return Forked(output(folder), line, command=report.main, **options)

    def keep() -> None:
        copy(work, states / f"{len(list(states.iterdir())):04}")

    train([*FEW, f"hydra.run.dir={tmp_path / 'warm'}"])  # its imports and configs last in forks
    states.mkdir()
    given.mkdir()
    if command not in ("run", "sweep"):
        given.rmdir()
        finish(start(given, *FEW), given)
    copy(given, expected)
    finish(begin(expected), expected)
    copy(given, work)
    finish(begin(work, prepare=at_operation(work, 1, keep)), work)
    tried, before = 0, ""
    for state in sorted(states.iterdir()):
        if content(state) == before:
            continue
        before, tried = content(state), tried + 1
        copy(state, work)
        recorded = (work / ".hydra" / "overrides.yaml").exists()
        again = resume(work) if command == "run" and recorded else begin(work)
        assert "Traceback" not in finish(again, work), state
        if command == "sweep":
            found = [
                differences(path, work / "s" / path.name) for path in (expected / "s").glob("*_*")
            ]
            assert [one for one in found if one] == [], state
        else:
            assert differences(expected, work) == [], state
        stray = [path for path in work.rglob("*.tmp") if command in ("run", "resume", "sweep")]
        assert not stray, state
        for path in work.rglob("*.json"):
            json.loads(path.read_text())
        names = [{str(one.relative_to(top)) for one in top.rglob("*")} for top in (expected, work)]
        assert names[0] <= names[1], state
    operations = len(list(states.iterdir()))
    print(f"{command}: {operations} operations, {tried} states, all complete", flush=True)
    assert tried > 3


@pytest.mark.slow
@pytest.mark.omniglot
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    """The default experiment, 50 steps of small batches, killed 20 times and resumed exactly.

    SIAMESE_ONESHOT_LONG=1 pytest -s tests/training/test_kills.py -k twenty; SIAMESE_ONESHOT_KILLS
    is another number of kills, SIAMESE_ONESHOT_KILLS_SEED another seed of their moments.
    """
    if not os.environ.get("SIAMESE_ONESHOT_LONG"):
        pytest.skip("takes a quarter of an hour: SIAMESE_ONESHOT_LONG=1 runs it")
    line = [
        *BATCHES, "logger=none", "sampler.steps_per_epoch=15", "trainer.max_steps=50",
        "trainer.log_every_n_steps=1", "callbacks.validation_plots=null",
        "callbacks.last_checkpoint.every_n_minutes=0.02", "data.eval.n_pairs=200",
        "data.eval.val_runs=2", "data.eval.test_runs=2", "data.eval.koch_runs=2",
        "data.eval.n_cross_episodes=100",
    ]  # fmt: skip
    seed = int(os.environ.get("SIAMESE_ONESHOT_KILLS_SEED", "0"))
    kills = int(os.environ.get("SIAMESE_ONESHOT_KILLS", "20"))
    rng, expected = random.Random(seed), tmp_path / "expected"
    process = start(expected, *line)
    wait_until(process, lambda: steps_logged(expected) > 0)
    started = time.monotonic()
    finish(process, expected)
    duration = time.monotonic() - started
    number = 0
    while number < kills:
        killed = tmp_path / f"killed{number}"
        shutil.rmtree(killed, ignore_errors=True)
        process = start(killed, *line)
        wait_until(process, lambda folder=killed: steps_logged(folder) > 0)
        time.sleep(rng.uniform(0, duration))
        if process.poll() is not None:
            continue  # it had finished already
        kill(process)
        steps, kept = steps_logged(killed), (killed / "checkpoints" / "last.ckpt").exists()
        finish(resume(killed), killed)
        found = differences(expected, killed)
        print(
            f"kill {number} after {steps} steps, checkpoint {kept}: {found or 'exact'}", flush=True
        )
        assert found == []
        number += 1
