"""Each experiment of conf/experiment: composed, and its parts built."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from siamese_oneshot.cli import conf_dir

EXPERIMENTS = sorted((conf_dir() / "experiment").glob("*.yaml"))


def test_all_are_found() -> None:
    assert {path.stem for path in EXPERIMENTS} == {
        "dense", "glyphs", "modern", "modern_gpu", "paper", "paper_modern", "quick", "replication",
    }  # fmt: skip


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_says_its_command_and_can_be_built(path: Path) -> None:
    first, command, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first == "# @package _global_"
    assert command == f"# python -m siamese_oneshot.train +experiment={path.stem}"
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", [f"+experiment={path.stem}"])
    assert cfg.name == path.stem
    data, objective = instantiate(cfg.data), instantiate(cfg.objective)
    assert data.batches.kind == objective.batches
    instantiate(cfg.optim)(instantiate(cfg.model).named_layers, 1)


OBJECTIVES = sorted(path.stem for path in (conf_dir() / "objective").glob("*.yaml"))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_brings_the_batches_that_it_learns_from(name: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", [f"objective={name}"])
    data, objective = instantiate(cfg.data), instantiate(cfg.objective)
    assert data.batches.kind == objective.batches


ABLATIONS = sorted(path.stem for path in (conf_dir() / "ablation").glob("*.yaml"))


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_leaves_something_out_and_can_be_built(name: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole, cfg = compose("config"), compose("config", [f"+ablation={name}"])
    assert (cfg == whole) is (name == "nothing")
    data, objective = instantiate(cfg.data), instantiate(cfg.objective)
    assert data.batches.kind == objective.batches
    instantiate(cfg.optim)(instantiate(cfg.model).named_layers, 1)
