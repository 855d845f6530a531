"""Preemption of a job of a sweep, with submitit's local executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.runs.result import read_result

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install -e '.[slurm]'")
LINE = [
    *TINY, *BATCHES, FULL_PRECISION, "sampler.steps_per_epoch=150", "trainer.max_steps=300",
    "test=false", "callbacks.validation_plots=null",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the job in /proc")
def test_a_preempted_job_saves_its_step_and_is_requeued(tmp_path: Path) -> None:
    """SIGTERM only saves, as submitit does; SIGUSR2 saves, ends and requeues the job.

    SIAMESE_ONESHOT_LONG=1 pytest tests/test_preemption.py
    """
    if not os.environ.get("SIAMESE_ONESHOT_LONG"):
        pytest.skip("takes minutes: SIAMESE_ONESHOT_LONG=1 runs it")
    command = [sys.executable, "-m", "siamese_oneshot.train", "-m", "seed=0", *LINE,
               "hydra/launcher=submitit_local", "hydra.sweeper.name=s"]  # fmt: skip
    job = tmp_path / "outputs" / "default" / "s" / "0"
    with (tmp_path / "output.txt").open("wb") as log:
        driver = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_for(lambda: lines(job / "csv/version_0/metrics.csv") > 20, driver)
        (process,) = [pid for pid in processes() if is_job(pid, tmp_path)]
        os.kill(process, signal.SIGTERM)
        wait_for(lambda: (job / "checkpoints" / "last.ckpt").exists(), driver)
        os.kill(process, signal.SIGUSR2)
        assert driver.wait(300) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    finally:
        driver.kill()
    assert (read_result(job).status, read_result(job).steps) == ("finished", 300)
    text = (job / "train.log").read_text()
    assert "SIGUSR2: stopping after this step" in text
    assert "resuming from" in text
    alone = [sys.executable, "-m", "siamese_oneshot.train", "seed=0", *LINE]
    subprocess.run([*alone, f"hydra.run.dir={tmp_path / 'alone'}"], check=True, cwd=tmp_path)
    assert read_result(tmp_path / "alone").scores == read_result(job).scores


def wait_for(condition: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def is_job(pid: int, folder: Path) -> bool:
    """Whether submitit runs the job of this folder in a process."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return "submitit.core._submit" in words and any(str(folder) in word for word in words)
