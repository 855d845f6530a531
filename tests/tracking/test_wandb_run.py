"""W&B runs read back with the official client alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb

from siamese_oneshot.errors import UserError
from siamese_oneshot.tracking.wandb_run import choose_mode, wandb_run


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    wandb.teardown()  # a login of an earlier test lasts as long as the process


def inspect(folder: Path, *flags: str) -> str:
    """The records of the only offline run below a folder, a JSON object a line."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *flags, str(run)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def records(folder: Path) -> list[str]:
    return inspect(folder).splitlines()


def summary(folder: Path) -> dict[str, Any]:
    """How a run ended."""
    return json.loads(inspect(folder, "--summary"))


def test_without_a_login_a_run_is_offline_and_holds_everything(tmp_path: Path):
    before = os.environ.get("WANDB_MODE")
    with wandb_run(
        tmp_path,
        {"seed": 0, "optim": {"lr": 0.1}},
        project="p",
        group="sweep",
        name="a name",
        tags=["paper"],
        metrics={"val/one_shot_accuracy": "max"},
    ) as logger:
        for step, value in ((1, 0.5), (2, 0.9), (3, 0.7)):
            logger.log_metrics({"val/one_shot_accuracy": value}, step=step)
    assert os.environ.get("WANDB_MODE") == before, "a later job could not go online"
    (run,) = [one["run"] for one in map(json.loads, records(tmp_path)) if one["type"] == "run"]
    assert (run["run_group"], run["job_type"], run["tags"]) == ("sweep", "train", ["paper"])
    end = summary(tmp_path)
    assert (end["name"], end["state"], end["exit_code"]) == ("a name", "finished", 0)
    assert end["config"] == {"seed": 0, "optim": {"lr": 0.1}}
    assert end["summary"]["val/one_shot_accuracy"] == {"max": 0.9}, "the best, not the last"
    history = [
        one["history"]["item"] for one in map(json.loads, records(tmp_path)) if "history" in one
    ]
    assert [(item["trainer/global_step"], item["val/one_shot_accuracy"]) for item in history] == [
        (1, 0.5),
        (2, 0.9),
        (3, 0.7),
    ]


def test_two_jobs_of_one_process_are_two_runs(tmp_path: Path):
    for job in ("one", "two"):
        with wandb_run(tmp_path / job, {"job": job}, project="p") as logger:
            logger.log_metrics({f"train/{job}": 1.0}, step=1)
    for job, other in (("one", "two"), ("two", "one")):
        text = inspect(tmp_path / job)
        assert f"train/{job}" in text
        assert f"train/{other}" not in text
    assert (tmp_path / "one/wandb_id.txt").read_text() != (
        tmp_path / "two/wandb_id.txt"
    ).read_text()


@pytest.mark.parametrize(
    ("problem", "code"), [(None, 0), (ValueError("broken"), 1), (KeyboardInterrupt(), 130)]
)
def test_the_state_of_the_job_is_the_state_of_the_run(tmp_path: Path, problem, code: int):
    def job() -> None:
        with wandb_run(tmp_path, {}, project="p"):
            if problem is not None:
                raise problem

    if problem is None:
        job()
    else:
        with pytest.raises(type(problem)):
            job()
    assert summary(tmp_path)["exit_code"] == code


def test_the_id_is_kept_for_resume(tmp_path: Path):
    with wandb_run(tmp_path, {}, project="p") as logger:
        first = logger.experiment.id
    with wandb_run(tmp_path, {}, project="p") as logger:
        assert logger.experiment.id == first == (tmp_path / "wandb_id.txt").read_text().strip()


def test_a_dead_server_sends_the_run_offline(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with wandb_run(tmp_path, {}, project="p", init_timeout=1) as logger:
        logger.log_metrics({"train/loss": 1.0}, step=1)
    assert "cannot go online" in caplog.text
    assert summary(tmp_path)["state"] == "finished"


def test_no_failure_of_wandb_reaches_the_job(tmp_path: Path, monkeypatch, caplog):
    def broken(**options):
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    with wandb_run(tmp_path, {}, project="p") as logger:
        assert logger is None
    assert "going on without W&B" in caplog.text


def test_only_the_first_process_logs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with wandb_run(tmp_path, {}, project="p") as logger:
        assert logger is None
    assert not (tmp_path / "wandb").exists()


def test_modes(monkeypatch):
    assert choose_mode("auto") == "offline"
    assert choose_mode("online") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert choose_mode("auto") == "disabled"
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert choose_mode("auto") == "online"
    with pytest.raises(UserError, match=r"logger\.mode"):
        choose_mode("onlin")
