"""Sweeps of a task that ends at once: tests count which jobs run, how often, and what is kept."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cached_conf import UNCHANGED
from hydra.core.hydra_config import HydraConfig
from made_jobs import result_of
from omegaconf import DictConfig

from siamese_oneshot import cli
from siamese_oneshot.cli import conf_dir, run_hydra, suggest
from siamese_oneshot.runs.result import write_result

SETTINGS = {  # what these sweeps change, and what a sweeper reads
    "data": {"source": "omniglot", "split": "lake"},
    "optimizer": {"lr": 1e-3, "weight_decay": 0.05, "warmup": 0.1},
    "loss": {"smoothing": 0.1},
    "callbacks": {"ema": {"decay": 0.99}},
}
MODEL = {"encoder": {"_target_": "builtins.dict", "_partial_": True}}  # of any shape


class Killed(BaseException):
    """Ends the whole process, as no handler of a job would stop."""


class Bench:
    """Runs command lines with a task that leaves a result, and counts what was run."""

    killed = Killed

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.resumes: list[str | None] = []
        self.act: Callable[[DictConfig, Path], Any] = lambda cfg, folder: None
        self.score: Callable[[DictConfig], float] = lambda cfg: 0.5

    def task(self, cfg: DictConfig) -> float:
        folder = Path(HydraConfig.get().runtime.output_dir)
        self.begun[folder.name] += 1
        self.resumes.append(cfg.resume)
        status = self.act(cfg, folder) or "finished"
        value = self.score(cfg)
        write_result(folder, result_of(value, cfg.seed, status=status))
        self.finished[folder.name] += 1
        return value

    def run(self, *line: str) -> int:
        """The exit code."""
        try:
            run_hydra(self.task, argv=[*line])
        except SystemExit as end:
            return int(end.code or 0)
        return 0


@pytest.fixture(scope="session")
def small_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our sweeps, samplers and pruners on a config that takes a third of the time to compose."""
    folder = tmp_path_factory.mktemp("conf")
    for name in ("sweep", "hydra"):
        (folder / name).symlink_to(conf_dir() / name)
    real = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    own = {name: real[name] for name in ("name", "seed", "resume", "test", "hydra")}
    defaults = ["_self_", {"model": "small"}, {"override hydra/sweeper": "grid"}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"defaults": defaults, **own, **SETTINGS}))
    (folder / "model").mkdir()
    (folder / "model/small.yaml").write_text(yaml.safe_dump(MODEL))
    UNCHANGED.add(str(folder))
    return folder


@pytest.fixture
def real_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """With all of conf/."""
    monkeypatch.chdir(tmp_path)
    gc.freeze()  # a driver collects garbage after each job: not among all that was imported, too
    # It reads all groups for a +sweep=…; tests/cli sees to it.
    monkeypatch.setattr(suggest, "refuse_misspelt_additions", lambda *line: None)
    return Bench(tmp_path)


@pytest.fixture
def bench(real_bench: Bench, small_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(cli, "conf_dir", lambda: small_conf)
    return real_bench
