"""Sweeps of a task that scores at once: what is tested is who runs, how often, and what is kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.sweeping.grid import GridSweeper
from siamese_oneshot.sweeping.search import SearchSweeper


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
        content = {"status": status, "validation": None if math.isnan(value) else value}
        (folder / "result.json").write_text(json.dumps(content))
        self.finished[folder.name] += 1
        return value

    def run(self, *line: str) -> int:
        """The exit code."""
        try:
            run_hydra(self.task, argv=[*line], sweepers=(GridSweeper, SearchSweeper))
        except SystemExit as end:
            return int(end.code or 0)
        return 0


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)
