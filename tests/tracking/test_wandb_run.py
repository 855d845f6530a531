"""W&B runs read back with the official client alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from siamese_oneshot.errors import UserError
from siamese_oneshot.tracking.wandb_mode import choose_mode
from siamese_oneshot.tracking.wandb_run import wandb_run


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    wandb.teardown()  # a login of an earlier test lasts as long as the process


@pytest.fixture
def silent_server(monkeypatch) -> Iterator[socket.socket]:
    """A server with a key for it, which takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


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
    ("problem", "code"), [(None, 0), (ValueError("broken"), 1), (KeyboardInterrupt(), 255)]
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


def test_a_silent_server_sends_the_run_offline(tmp_path: Path, silent_server, caplog):
    began = time.monotonic()
    with wandb_run(tmp_path, {}, project="p", init_timeout=1) as logger:
        logger.log_metrics({"train/loss": 1.0}, step=1)
    assert time.monotonic() - began < 20
    assert "cannot go online" in caplog.text
    assert summary(tmp_path)["state"] == "finished"


def test_looking_for_a_login_asks_no_server(silent_server):
    assert choose_mode("auto") == "online"
    with pytest.raises(TimeoutError):
        silent_server.accept()


@pytest.mark.parametrize("wish", ["online", "auto"])
def test_nobody_is_ever_asked_for_a_key(tmp_path: Path, monkeypatch, caplog, wish: str):
    asked = []
    prompt = "wandb.sdk.lib.wbauth.prompt.prompt_and_save_api_key"
    monkeypatch.setattr(prompt, lambda **options: asked.append(options))
    monkeypatch.setenv("WANDB_MODE", "online")
    with wandb_run(tmp_path, {}, project="p", mode=wish) as logger:
        assert logger is not None
    assert asked == []
    assert "there is no login" in caplog.text
    assert summary(tmp_path)["state"] == "finished"


def test_what_fails_while_logging_or_closing_is_said_once(tmp_path: Path, monkeypatch, caplog):
    def broken(*values: Any, **options: Any) -> None:
        raise BrokenPipeError("the service has died")

    with wandb_run(tmp_path, {}, project="p") as logger:
        monkeypatch.setattr(logger.experiment, "log", broken)
        monkeypatch.setattr(logger.experiment, "finish", broken)
        for step in range(3):
            logger.log_metrics({"train/loss": 1.0}, step=step)
    assert caplog.text.count("logs no more of this job") == 1
    assert caplog.text.count("could not be closed") == 1


def test_a_logger_that_cannot_be_made_is_done_without(tmp_path: Path, caplog):
    with wandb_run(tmp_path, {}, project="p", metrics={"val/loss": "worst"}) as logger:
        assert logger is None
    assert "going on without W&B" in caplog.text
    assert summary(tmp_path)["exit_code"] == 1


def test_an_id_that_cannot_be_kept_stops_nothing(tmp_path: Path, caplog):
    (tmp_path / "wandb_id.txt").mkdir()
    with wandb_run(tmp_path, {}, project="p") as logger:
        assert logger is not None
    assert "cannot be kept" in caplog.text


def test_an_empty_id_file_gets_an_id(tmp_path: Path):
    (tmp_path / "wandb_id.txt").write_text("")
    with wandb_run(tmp_path, {}, project="p") as logger:
        assert logger.experiment.id == (tmp_path / "wandb_id.txt").read_text().strip() != ""


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
