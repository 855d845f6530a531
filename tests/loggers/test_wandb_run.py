"""W&B runs read back with the official client alone."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_files import ReadBack, parts_of, sync_command, wandb_run, without_account

from siamese_oneshot.loggers import wandb_logger
from siamese_oneshot.loggers.wandb_run import WandbRun, choose_mode
from siamese_oneshot.utils.errors import UserError


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path) -> Iterator[None]:
    with without_account(tmp_path):
        yield


def read_back(folder: Path) -> ReadBack:
    """The only offline run below a folder."""
    (run,) = parts_of(folder)
    return ReadBack(run)


def test_without_a_login_a_run_is_offline_and_holds_everything(tmp_path: Path, monkeypatch):
    before = os.environ.get("WANDB_MODE")
    no_history = lambda *_: pytest.fail("a new run reads its own file, which takes a second")  # noqa: E731
    monkeypatch.setattr(wandb_logger, "_read_rows", no_history)
    with wandb_run(
        tmp_path,
        {"seed": 0, "optimizer": {"lr": 0.1}},
        project="p",
        group="sweep",
        name="a name",
        tags=["paper"],
        best={"val/one_shot_accuracy": "max"},
    ) as logger:
        for step, value in ((1, 0.5), (2, 0.9), (3, 0.7)):
            logger.log_metrics({"val/one_shot_accuracy": value}, step=step)
    assert os.environ.get("WANDB_MODE") == before, "a later job could not go online"
    back = read_back(tmp_path)
    run = back.run
    assert (run["run_group"], run["job_type"], run["tags"]) == ("sweep", "train", ["paper"])
    end = back.end
    assert (end["name"], end["state"], end["exit_code"]) == ("a name", "finished", 0)
    assert end["config"] == {"seed": 0, "optimizer": {"lr": 0.1}}
    assert end["summary"]["val/one_shot_accuracy"] == {"max": 0.9}, "the best, not the last"
    assert back.points("val/one_shot_accuracy") == [(1, 0.5), (2, 0.9), (3, 0.7)]


@pytest.mark.parametrize(
    ("problem", "code"),
    [(ValueError("broken"), 1), (KeyboardInterrupt(), 255), (SystemExit(-1), 255)],
)
def test_the_state_of_the_job_is_the_state_of_the_run(tmp_path: Path, problem, code: int):
    with pytest.raises(type(problem)), wandb_run(tmp_path, {}):
        raise problem
    assert read_back(tmp_path).end["exit_code"] == code


def test_a_server_that_is_not_there_sends_the_run_offline(
    tmp_path: Path, caplog, monkeypatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    waits, init = [], wandb.init

    def noted(**options: Any) -> Any:
        waits.append(options["settings"].init_timeout)
        return init(**options)

    monkeypatch.setattr(wandb, "init", noted)
    with wandb_run(tmp_path, {}, init_timeout=1) as logger:
        logger.log_metrics({"train/loss": 1.0}, step=1)
    assert waits[0] == 1, "W&B's own timeout is 90 seconds"
    assert "cannot go online" in caplog.text
    assert read_back(tmp_path).end["state"] == "finished"


def test_looking_for_a_login_asks_no_server(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert choose_mode("auto") == "online"
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_nobody_is_ever_asked_for_a_key(tmp_path: Path, monkeypatch, caplog):
    asked = []
    prompt = "wandb.sdk.lib.wbauth.prompt.prompt_and_save_api_key"
    monkeypatch.setattr(prompt, lambda **options: asked.append(options))
    with wandb_run(tmp_path, {}, mode="online") as logger:
        assert logger is not None
    assert asked == []
    assert "not logged in" in caplog.text
    assert read_back(tmp_path).end["state"] == "finished"


def test_what_fails_while_logging_or_closing_is_said_once(tmp_path: Path, monkeypatch, caplog):
    def broken(*values: Any, **options: Any) -> None:
        raise BrokenPipeError("the service has died")

    with wandb_run(tmp_path, {}) as logger:
        monkeypatch.setattr(logger.experiment, "log", broken)
        monkeypatch.setattr(logger.experiment, "finish", broken)
        for step in range(3):
            logger.log_metrics({"train/loss": 1.0}, step=step)
    assert caplog.text.count("logging is off for the rest of this run") == 1
    assert caplog.text.count("could not be closed") == 1


def test_a_logger_that_cannot_be_made_is_done_without(tmp_path: Path, caplog):
    with wandb_run(tmp_path, {}, best={"val/loss": "worst"}) as logger:
        assert logger is None
    assert "continuing without W&B" in caplog.text
    assert read_back(tmp_path).end["exit_code"] == 1


@pytest.mark.parametrize("kept", ["folder", "empty"])
def test_an_id_that_cannot_be_read_is_replaced(tmp_path: Path, caplog, kept: str):
    path = tmp_path / "wandb_id.txt"
    if kept == "folder":
        path.mkdir()
    else:
        path.write_text("")
    with wandb_run(tmp_path, {}) as logger:
        run_id = logger.experiment.id
    if kept == "folder":
        assert "cannot be kept" in caplog.text
    else:
        assert path.read_text().strip() == run_id != ""


def test_no_failure_of_wandb_reaches_the_job(tmp_path: Path, monkeypatch, caplog):
    def broken(**options):
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    with wandb_run(tmp_path, {}) as logger:
        assert logger is None
    assert "continuing without W&B" in caplog.text


def test_only_the_first_process_logs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with wandb_run(tmp_path, {}) as logger:
        assert logger is None
    assert not (tmp_path / "wandb").exists()


def test_settings_come_before_what_the_job_gives(tmp_path: Path):
    settings = WandbRun(name="mine", group="g", job_type="probe", tags=["mine", "a", "", "x" * 99])
    with settings.open(tmp_path, {}, name="job", group="sweep", tags=["a", "b"]):
        pass
    run = read_back(tmp_path).run
    assert (run["display_name"], run["run_group"], run["job_type"]) == ("mine", "g", "probe")
    assert run["tags"] == ["a", "b", "mine", "x" * 64], "W&B refuses longer tags"


def test_modes(monkeypatch):
    assert choose_mode("auto") == "offline"
    assert choose_mode("online") == "online"
    for value, mode in (("disabled", "disabled"), ("online", "online"), ("dryrun", "offline")):
        monkeypatch.setenv("WANDB_MODE", value)
        assert choose_mode("auto") == mode
    with pytest.raises(UserError, match="mode=onlin"):
        choose_mode("onlin")


def log_steps(folder: Path, first: int, last: int, **options: Any) -> str:
    """Log ``loss`` and ``score`` at these steps; the run's id."""
    with wandb_run(folder, {}, best={"score": "max"}, **options) as logger:
        for step in range(first, last):
            logger.log_metrics({"loss": 1 / (step + 1), "score": 0.9 - 0.1 * step}, step=step)
        return str(logger.experiment.id)


def test_a_run_that_goes_on_is_one_history(tmp_path: Path, caplog):
    """Steps 3 and 4 are trained again after the last checkpoint, and are there once."""
    caplog.set_level("INFO")
    run_id = log_steps(tmp_path, 0, 5)
    damaged = tmp_path / "wandb" / f"offline-run-20000101_000000-{run_id}"
    damaged.mkdir()
    (damaged / f"run-{run_id}.wandb").write_bytes(b"nonsense" * 100)
    time.sleep(1.1)  # W&B names folders by the second
    with wandb_run(tmp_path, {}, best={"score": "max"}) as logger:
        assert logger.experiment.id == run_id == (tmp_path / "wandb_id.txt").read_text().strip()
        logger.log_metrics({"loss": 9.0}, step=3)
        logger.log_metrics({"loss": 9.0, "score": 0.1, "other": 2.0}, step=4)
        logger.log_metrics({"loss": 0.5, "score": 0.2}, step=5)
        logger.log_metrics({"end": 3.0})
    _, first, second = parts_of(tmp_path)
    back = ReadBack(second)
    rows = [*ReadBack(first).history, *back.history]
    assert [row["_step"] for row in rows] == list(range(8))
    names = [{*row} & {"loss", "score", "other", "end"} for row in back.history]
    assert names == [{"other"}, {"loss", "score"}, {"end"}], "only what was not logged before"
    assert [row["trainer/global_step"] for row in rows] == [0, 1, 2, 3, 4, 4, 5, 5]
    assert back.summary["score"] == {"max": 0.9}, "the best of the whole run"
    assert sync_command(caplog.messages) == ["wandb", "sync", *map(str, parts_of(tmp_path))]
    (said,) = [one for one in caplog.messages if "may show some steps twice" in one]
    assert damaged.name in said
    assert "bad header" in said


def test_runs_of_a_sweep_share_a_folder_for_leet(tmp_path: Path):
    ids = [log_steps(tmp_path / job, n, n + 1, wandb_dir=tmp_path) for n, job in enumerate("ab")]
    assert [(tmp_path / job / "wandb_id.txt").read_text().strip() for job in "ab"] == ids
    for number, run_id in enumerate(ids):
        (part,) = parts_of(tmp_path, run_id)
        assert [row["trainer/global_step"] for row in ReadBack(part).history] == [number]


def test_the_variables_of_wandb_count_where_nothing_else_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "PROJECT": "mine",
        "NAME": "my name",
        "RUN_GROUP": "g",
        "JOB_TYPE": "j",
        "TAGS": "a, b",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    with wandb_run(tmp_path / "one", {}, tags=["paper"]):
        pass
    back = read_back(tmp_path / "one")
    assert (back.run["project"], back.end["name"], back.run["run_group"]) == (
        "mine",
        "my name",
        "g",
    )
    assert (back.run["job_type"], back.run["tags"]) == ("j", ["paper", "a", "b"])
    with wandb_run(tmp_path / "two", {}, project="other", name="own"):
        pass
    back = read_back(tmp_path / "two")
    assert (back.run["project"], back.end["name"]) == ("other", "own")


def test_artifacts_and_tables_need_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with wandb_run(tmp_path, {}) as logger:
        assert logger is not None
        artifact = wandb.Artifact("weights", type="model")
        (tmp_path / "weights").write_text("weights")
        artifact.add_file(str(tmp_path / "weights"))
        logger.experiment.log_artifact(artifact)
        logger.experiment.log({"table": wandb.Table(columns=["a"], data=[[1]])})
    assert read_back(tmp_path).history[0]["table.nrows"] == 1
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def test_a_run_that_stopped_before_its_first_row_lacks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with wandb_run(tmp_path, {}):
            pass
    assert "is not in" not in caplog.text


def test_a_run_that_is_resumed_without_its_files_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        with wandb_run(tmp_path, {}) as logger:
            logger.log_metrics({"loss": 1.0}, step=step)
    assert "is not in" not in caplog.text
    shutil.rmtree(tmp_path / "wandb")
    with wandb_run(tmp_path, {}) as logger:
        logger.log_metrics({"loss": 1.0}, step=3)
    assert f"is not in {tmp_path / 'wandb'}" in caplog.text
