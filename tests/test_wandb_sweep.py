"""The sweep's definition as W&B's own agent reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.wandb_sweep import wandb_sweep


def agents_line(definition, values):
    """The command line of one run, put together by W&B's functions as its agent does."""
    run = {"args": {key: {"value": value} for key, value in values.items()}}
    filled = {
        **create_sweep_command_args(run),
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [definition["program"]],
    }
    line = []
    for part in create_sweep_command(definition["command"]):
        macro = part.startswith("${") and part.endswith("}")
        line += filled[part[2:-1]] if macro else [part]
    return line


def test_the_papers_search() -> None:
    definition = wandb_sweep(["+experiment=paper", "+sweep=paper_all", "hydra.sweeper.n_trials=30"])
    assert (definition["method"], definition["run_cap"]) == ("bayes", 30)
    assert definition["metric"] == {"name": "best_val/one_shot_accuracy", "goal": "maximize"}
    parameters = definition["parameters"]
    assert len(parameters) == 6 * 3 + 4 + 4 + 1
    assert parameters["model.encoder.embedding_dim"] == {
        "distribution": "q_uniform", "min": 128, "max": 4096, "q": 16,
    }  # fmt: skip


def test_an_agents_command_line_is_one_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    definition = wandb_sweep(["+experiment=paper", "+sweep=paper_all"])
    values = {
        key: found.get("min", found.get("values", [0])[0])
        for key, found in definition["parameters"].items()
    }
    line = agents_line(definition, values)
    assert line[:4] == ["/usr/bin/env", "python", "-m", "siamese_oneshot.train"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", line[4:], return_hydra_config=True)
    assert cfg.hydra.mode.name == "RUN"
    assert cfg.hydra.run.dir == "outputs/paper/abc123"
    assert list(cfg.model.encoder.kernels) == [3, 3, 3, 3]
    assert cfg.optimizer.lr.conv1 == 1e-4
    assert cfg.test is False


def test_lists_are_a_grid() -> None:
    definition = wandb_sweep(["seed=0,1,2", "optimizer.lr=1e-3"])
    assert definition["method"] == "grid"
    assert definition["parameters"] == {"seed": {"values": [0, 1, 2]}}
    assert "optimizer.lr=1e-3" in definition["command"]
    assert "run_cap" not in definition


@pytest.mark.parametrize(
    "text", ["null", "true", "False", "3", "0.5", "1e-5", "yes", "'a b'", "'null'", "[1,null]"]
)
def test_an_agent_passes_on_each_value_of_a_list_as_it_was_meant(text: str) -> None:
    definition = yaml.safe_load(
        yaml.safe_dump(wandb_sweep([f"sampler.alphabet_augmentation={text},other"]))
    )
    (value, _) = definition["parameters"]["sampler.alphabet_augmentation"]["values"]
    meant, passed = OverridesParser.create().parse_overrides(
        [
            f"sampler.alphabet_augmentation={text}",
            agents_line(definition, {"sampler.alphabet_augmentation": value})[-1],
        ]
    )
    assert passed.value() == meant.value()


@pytest.mark.parametrize("line", [["+sweep=ablation"], ["+ablation=glob(a*)", "seed=0,1"]])
def test_all_options_of_a_group(line: list[str]) -> None:
    definition = wandb_sweep(line)
    assert definition["method"] == "grid"
    assert {*definition["parameters"]} == {"+ablation", "seed"}
    options = definition["parameters"]["+ablation"]["values"]
    assert "affine" in options
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for name in options:
            cfg = compose("config", agents_line(definition, {"+ablation": name, "seed": 2})[4:])
            assert cfg.seed == 2


def test_the_command_lines_range_wins() -> None:
    definition = wandb_sweep(["+sweep=optimizer", "optimizer.lr=interval(0,1)"])
    assert definition["parameters"]["optimizer.lr"]["max"] == 1.0
    assert len(definition["parameters"]) == 4
    parameters = wandb_sweep(["+sweep=ablation", "++ablation=affine,elastic"])["parameters"]
    assert {*parameters} == {"++ablation", "seed"}


def test_a_team_is_named_where_there_is_one() -> None:
    assert "entity" not in wandb_sweep(["seed=0,1"])
    assert wandb_sweep(["seed=0,1", "logger.wandb.entity=team"])["entity"] == "team"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["optimizer.lr=interval(1e-4,1e-2)"], r"optimizer\.lr: .*add \+sweep=search"),
        (["+experiment=modern", "+sweep=optimizer"], r"data\.split=lake"),
        (["seed=1"], "nothing varies"),
    ],
)
def test_what_cannot_be_swept_is_refused(line: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        wandb_sweep(line)


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (["+sweep=search", "optimizer.lr=interval(1e-4,1e-2)"], "bayes"),
        (["+experiment=modern", "+sweep=seeds"], "grid"),
    ],
)
def test_a_search_may_have_intervals_and_a_grid_any_split(line: list[str], method: str) -> None:
    assert wandb_sweep(line)["method"] == method


def test_what_is_printed_is_yaml_and_mistakes_are_a_line() -> None:
    command = [sys.executable, "-m", "siamese_oneshot.wandb_sweep"]
    printed = subprocess.run([*command, "+sweep=default"], capture_output=True, text=True)
    assert yaml.safe_load(printed.stdout) == wandb_sweep(["+sweep=default"])
    wrong = subprocess.run([*command, "+sweep=nonsense"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("Error: ")
    assert "Traceback" not in wrong.stderr
