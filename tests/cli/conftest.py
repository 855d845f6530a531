"""A small configuration tree, a folder to run in, and ways to run a command line there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import siamese_oneshot
from siamese_oneshot import cli
from siamese_oneshot.cli import run_hydra

TREE = {
    "config.yaml": """
        defaults:
          - model: paper
          - optimizer: sgd
          - _self_
          - override hydra/job_logging: disabled
          - override hydra/hydra_logging: disabled
        seed: 0
        resume: null
        needed: ???
        trainer: {max_steps: 10, accelerator: cpu}
        sampler: {n_way: 16}
        wrapper: {_target_: textwrap.TextWrapper, width: 70}
        hydra:
          run: {dir: outputs/run}
          sweep: {dir: outputs/sweep, subdir: "${hydra.job.num}"}
    """,
    "model/paper.yaml": "{width: 64}",
    "model/conv4_small.yaml": "{width: 8, depth: 2}",
    "optimizer/sgd.yaml": "{lr: 0.1}",
    "optimizer/adam.yaml": "{lr: 0.001}",
    "experiment/paper.yaml": "# @package _global_\ntrainer: {max_steps: 99}",
    "sweep/pair.yaml": """
        # @package _global_
        hydra: {mode: MULTIRUN, sweeper: {params: {seed: "1,2"}}}
    """,
    "experiment/replication.yaml": "# @package _global_\nseed: 5",
}

DRIVER = """
import signal
# Tests that run in the background may inherit a process that ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys, time
from pathlib import Path
from siamese_oneshot import cli
cli.conf_dir = lambda: Path({conf!r})
def task(cfg):
    print("started", flush=True)
    if cfg.seed == 7:
        time.sleep(30)
    return 0.5
try:
    cli.run_hydra(task)
finally:
    print("heavy:", [name for name in ("torch", "pytorch_lightning") if name in sys.modules])
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write the tree, and change to an empty folder, without stack traces."""
    for name, text in TREE.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        file.write_text("\n".join(line[indent:] for line in lines) + "\n")
    monkeypatch.setattr(cli, "conf_dir", lambda: tmp_path / "conf")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("HYDRA_FULL_ERROR", "SIAMESE_ONESHOT_TRACE"):
        monkeypatch.delenv(name, raising=False)
    GlobalHydra.instance().clear()
    hydra_config = HydraConfig.instance().cfg
    yield tmp_path / "conf"
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = hydra_config


@pytest.fixture
def refused(conf: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a failing command line: exit code and standard error."""

    def call(*line: str, task: Callable[[DictConfig], Any] = lambda cfg: None) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            run_hydra(task, argv=line)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, capsys.readouterr().err

    return call


@pytest.fixture
def driver(conf: Path, tmp_path: Path) -> list[str]:
    """Return a command that runs the task in a process of its own."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(conf=str(conf)))
    return [sys.executable, str(script)]


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the environment of a process that must import this package."""
    package = Path(siamese_oneshot.__file__).parent.parent
    return {**os.environ, "PYTHONPATH": str(package)}
