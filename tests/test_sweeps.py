"""Whole sweeps of real trainings: killed, in parallel, on launchers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from kills import Forked, kill, needs_fork
from tiny import BATCHES, FULL_PRECISION, SYNTHETIC, TINY

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.runs.job import jobs_in
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.sweeps.search import JOB
from siamese_oneshot.train import train_task

SMALL = [
    *TINY, *BATCHES, FULL_PRECISION, "sampler.steps_per_epoch=3", "trainer.max_steps=6",
    "test=false",
    "callbacks.validation_plots=null",
]  # fmt: skip
PAPER = [
    "+experiment=paper", "+sweep=paper_all", *SYNTHETIC, FULL_PRECISION, "test=false",
    "data.split=ratio_60_20_20", "model.encoder.image_size=64",
    "sampler.batch_size=4", "sampler.n_fixed_pairs=null", "sampler.n_augmented_copies=0",
    "sampler.steps_per_epoch=2",
    "trainer.max_steps=6",
    *[f"shape.conv{n}.kernel=range(3,12)" for n in (1, 2, 3, 4)],
    *[f"shape.conv{n}.filters=range(8,17,8)" for n in (1, 2, 3, 4)],
    "model.encoder.embedding_dim=range(16,65,16)", "callbacks.validation_plots=null",
]  # fmt: skip
FULL = [  # all of the paper's ranges, on Omniglot, with a small budget for each trial
    "+experiment=paper", "+sweep=paper_all", "logger=none", "sampler.batch_size=16",
    "sampler.n_fixed_pairs=null",
    "sampler.n_augmented_copies=0", "sampler.steps_per_epoch=3", "trainer.max_steps=6",
    "data.eval.val_runs=4",
    "data.eval.n_pairs=200", "callbacks.validation_plots=null",
]  # fmt: skip


def start(folder: Path, *line: str) -> Forked:
    """Start a sweep, or a run, in a folder."""
    return Forked(folder / "printed.txt", [*line, "hydra.sweeper.name=s"], folder)


def finish(folder: Path, *line: str) -> int:
    return start(folder, *line).wait(timeout=1200)


def results(sweep: Path) -> dict[str, tuple[int, bytes]]:
    """Return when each result was written, and its content."""
    return {
        path.parent.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sweep.glob("*/result.json")
    }


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("line", [pytest.param(PAPER, id="narrow"), pytest.param(FULL, id="full")])
def test_a_search_of_the_papers_space_killed_twice(tmp_path: Path, line: list[str]) -> None:
    """After the third start exactly 7 trials, none run twice to the end, none lost."""
    if line == FULL and not os.environ.get("SIAMESE_ONESHOT_LONG"):
        pytest.skip("takes ten minutes: SIAMESE_ONESHOT_LONG=1 runs it")
    sweep, rng = tmp_path / "outputs" / "paper" / "s", random.Random(5)
    kept: dict[str, tuple[int, bytes]] = {}
    for least in (2, 4):
        running = start(tmp_path, *line, "hydra.sweeper.n_trials=7")
        while len(list(sweep.glob("*/job.json"))) < least and running.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 0.5))
        assert running.poll() is None, (tmp_path / "printed.txt").read_text()[-2000:]
        kill(running)
        kept |= results(sweep)
    assert 0 < len(kept) < 7
    assert finish(tmp_path, *line, "hydra.sweeper.n_trials=7") == 0
    after = results(sweep)
    assert {name: after[name] for name in kept} == kept, "none was run again to the end"
    jobs = jobs_in(sweep)
    assert len(jobs) == len(after) == 7
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{sweep / 'study.db'}")
    trials = [trial for trial in study.trials if JOB in trial.user_attrs]
    assert [trial.number for trial in trials] == [job.number for job, _, _ in jobs]
    for trial, (_, folder, _) in zip(trials, jobs, strict=True):
        assert trial.state == optuna.trial.TrialState.COMPLETE
        result = read_result(folder)
        assert (result.steps, result.status) == (6, "finished")
        assert trial.value == result.val_accuracy


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> float | None:
    """The validation score of the second job, trained without a sweep."""
    folder = tmp_path_factory.mktemp("alone")
    run_hydra(train_task, argv=["seed=1", *SMALL, f"hydra.run.dir={folder}"])
    return read_result(folder).val_accuracy


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "seeds"), [("joblib", "0,1"), ("submitit_local", "1"), ("ray", "0,1")]
)
def test_the_same_sweep_on_each_launcher(
    tmp_path: Path, alone: float | None, launcher: str, seeds: str
) -> None:
    """Two jobs together, or one. Ray: pip install -e '.[ray]'."""
    if launcher == "ray":
        pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    line = ["-m", f"seed={seeds}", *SMALL, f"hydra/launcher={launcher}"]
    if launcher == "joblib":
        line += ["hydra.launcher.n_jobs=2", "data.num_workers=2"]  # PyTorch's within joblib's
    assert finish(tmp_path, *line) == 0, (tmp_path / "printed.txt").read_text()[-3000:]
    sweep = tmp_path / "outputs" / "default" / "s"
    jobs = sorted(results(sweep))
    assert jobs == (["0"] if seeds == "1" else ["0_seed=0", "1_seed=1"])
    assert read_result(sweep / jobs[-1]).val_accuracy == alone


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("how", ["driver killed", "Ctrl-C", "driver terminated"])
def test_workers_of_joblib_save_and_end_with_their_driver(tmp_path: Path, how: str) -> None:
    """The same command continues from their checkpoints; no job begins after a signal."""
    line = ["-m", "seed=0,1,2", *SMALL, "trainer.max_steps=100000", "hydra/launcher=joblib"]
    sweep = tmp_path / "outputs" / "default" / "s"
    driver = start(tmp_path, *line, "hydra.launcher.n_jobs=2")
    deadline = time.monotonic() + 300
    while len([*sweep.glob("*/csv/version_0/metrics.csv")]) < 2 and time.monotonic() < deadline:
        assert driver.poll() is None, (tmp_path / "printed.txt").read_text()[-3000:]
        time.sleep(0.05)
    if how == "Ctrl-C":  # a terminal sends it to all
        os.killpg(driver.pid, signal.SIGINT)
    else:
        os.kill(driver.pid, signal.SIGKILL if how == "driver killed" else signal.SIGTERM)
    code = driver.wait()
    with pytest.raises(ProcessLookupError):  # noqa: PT012
        while time.monotonic() < deadline:
            os.killpg(driver.pid, 0)
            time.sleep(0.1)
    for folder in (sweep / "0_seed=0", sweep / "1_seed=1"):
        assert read_result(folder).status == "interrupted"
        assert (folder / "checkpoints" / "last.ckpt").exists()
    if how != "driver killed":
        assert code == (130 if how == "Ctrl-C" else 143)
        assert not (sweep / "2_seed=2" / "result.json").exists()
        assert not (sweep / "2_seed=2" / "config.yaml").exists()
        last = (tmp_path / "printed.txt").read_text().rstrip().splitlines()[-1]
        assert last == ("interrupted" if how == "Ctrl-C" else "stopped")


@needs_fork
@pytest.mark.slow
def test_a_failed_job_of_submitit_says_so_in_its_own_log(tmp_path: Path) -> None:
    line = ["-m", "seed=1", *SMALL, "hydra/launcher=submitit_local", "trainer.strategy=quantum"]
    assert finish(tmp_path, *line) == 1
    assert "1 of 1 jobs failed" in (tmp_path / "printed.txt").read_text()
    (log,) = (tmp_path / "outputs/default/s/.submitit").glob("*/*_log.out")
    text = log.read_text()
    assert "the job failed" in text
    assert "invalid strategy" in text
    assert "Traceback" in text
    assert "success" not in text


@pytest.mark.parametrize(("environment", "code"), [({"SUBMITIT_FOLDER": "x"}, 1), ({}, 0)])
def test_a_failed_job_of_submitit_ends_with_a_non_zero_exit_code(
    environment: dict[str, str], code: int
) -> None:
    command = (
        "from siamese_oneshot.sweeps.worker import fail_visibly\n"
        "fail_visibly(ValueError('this setting'))\nprint('answered')"
    )
    plain = {name: value for name, value in os.environ.items() if "SUBMITIT" not in name}
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**plain, **environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (code, "answered\n")
    assert ("this setting" in done.stderr) == bool(code)


@pytest.mark.parametrize(("interval", "stops_at"), [(1.0, 6), (0.5, 3)])
def test_a_pruned_training_stops_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float, stops_at: int
) -> None:
    """At its first validation, also within an epoch."""
    monkeypatch.chdir(tmp_path)
    line = [
        "+sweep=search", *SMALL, "optimizer.lr=interval(1e-3,1e-2)", "hydra/sweeper/pruner=none",
        "hydra.sweeper.pruner={_target_:optuna.pruners.ThresholdPruner,lower:2.0}",
        "hydra.sweeper.n_trials=1", "hydra.sweeper.name=s", "sampler.steps_per_epoch=6",
        "trainer.max_steps=12", f"trainer.val_check_interval={interval}",
    ]  # fmt: skip
    run_hydra(train_task, argv=line)
    sweep = tmp_path / "outputs" / "default" / "s"
    ((_, folder, progress),) = jobs_in(sweep)
    result = read_result(folder)
    assert (result.status, result.steps, result.scores) == ("pruned", stops_at, [])
    assert progress.complete
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{sweep / 'study.db'}")
    (trial,) = study.trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert trial.value == pytest.approx(result.val_accuracy)
    assert [*trial.intermediate_values] == [0]
