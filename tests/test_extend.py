"""What docs/extend.md tells people to write does what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tiny import FULL_PRECISION, TINY

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.train import train_task

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
SHORT = [
    "sampler.batch_size=8", "sampler.steps_per_epoch=2", "trainer.max_steps=2", "trainer.accelerator=cpu",
    "callbacks.validation_plots=null", "test=false",
]  # fmt: skip


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_an_loss_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("my_objectives.py").write_text(block("python"))
    conf = Path("my_conf/objective")
    conf.mkdir(parents=True)
    (conf / "squared.yaml").write_text(block("yaml"))
    line = re.search(r"train (--config-dir my_conf .*)", PAGE.read_text())
    assert line is not None
    run = tmp_path / "run"
    run_hydra(
        train_task, argv=[*line[1].split(), *TINY, FULL_PRECISION, *SHORT, f"hydra.run.dir={run}"]
    )
    sys.modules.pop("my_objectives")
    assert read_result(run).status == "finished"
    trained = load_trained(run)  # the network alone is needed
    assert "loss=squared" in trained.metadata["overrides"]
