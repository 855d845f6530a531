"""A sweep's folder and its jobs: names, files, progress, locks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from made_jobs import result_of

from siamese_oneshot.runs.job import (
    JOB_LOCK,
    Job,
    JobProgress,
    await_orphan,
    command_of,
    jobs_in,
    open_sweep,
    sweep_of,
)
from siamese_oneshot.runs.result import write_result
from siamese_oneshot.utils.errors import UserError


def test_the_name_says_what_is_swept_in_short() -> None:
    job = Job(
        3, ["+sweep=x", "optimizer.lr=0.0020554062603827007", "seed=1"], ["optimizer.lr", "seed"]
    )
    assert job.name == "3_lr=0.002055,seed=1"
    assert Job(4, ["seed=1"], []).name == "4"


def test_a_long_name_fits_a_file_system_and_keeps_the_number() -> None:
    keys = [f"group.number{n}" for n in range(60)]
    name = Job(7, [f"{key}=1" for key in keys], keys).name
    assert name.startswith("7_number0=1")
    assert len(name.encode()) <= 120


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    job = Job(1, ["a=1"], ["a"], 2, "lost", {"storage": "s", "study": "t", "number": 1})
    job.write(tmp_path / "new")
    assert Job.read(tmp_path / "new") == job
    assert Job.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(UserError, match=r"job\.json (is damaged|has version)"):
        Job.read(tmp_path)


def test_a_checkpoint_resets_the_attempts(tmp_path: Path) -> None:
    job = Job(0, [], [])
    job.begin(tmp_path)
    job.begin(tmp_path)
    assert job.attempts == 2
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    later = (tmp_path / "job.json").stat().st_mtime + 1
    os.utime(last, (later, later))
    job.begin(tmp_path)
    assert job.attempts == 1


@pytest.mark.parametrize(
    ("status", "value", "expected", "complete"),
    [
        ("finished", 0.5, "finished", True),
        ("pruned", 0.5, "pruned", True),
        ("finished", None, "failed", False),
        ("failed", None, "failed", False),
        ("interrupted", 0.5, "unfinished", False),
    ],
)
def test_the_outcome_is_read_from_the_result(
    tmp_path: Path, status: str, value: float | None, expected: str, complete: bool
) -> None:
    assert JobProgress.of(tmp_path).status == "new"
    write_result(tmp_path, result_of(value, status=status))
    progress = JobProgress.of(tmp_path)
    assert (progress.status, progress.complete) == (expected, complete)
    for text in ('{"status": "fini', "[1]", ""):  # damaged
        (tmp_path / "result.json").write_text(text)
        assert JobProgress.of(tmp_path) == JobProgress("unfinished")


def test_the_same_sweep_may_be_opened_again_and_no_other(tmp_path: Path) -> None:
    """What it remembers is the latest command."""
    assert command_of(tmp_path) == ""
    for command in ("train a=1 hydra.sweeper.n_trials=2", "train a=1 hydra.sweeper.n_trials=3"):
        with open_sweep(tmp_path, ["a=1"], {"b": "1,2"}, command):
            assert command_of(tmp_path) == command
        # Of a killed driver, and of a job that may be running.
        ours, theirs = tmp_path / ".sweep.json.0.tmp", tmp_path / "0" / ".result.json.0.tmp"
        assert not ours.exists()
        theirs.parent.mkdir(exist_ok=True)
        for path in (ours, theirs):
            path.touch()
    assert theirs.exists()
    for arguments, params in ((["a=2"], {"b": "1,2"}), (["a=1"], {})):
        with (
            pytest.raises(UserError, match=r"holds another sweep(.|\n)*1(.|\n)*now"),
            open_sweep(tmp_path, arguments, params, "train a=2"),
        ):
            pass
    assert command_of(tmp_path) == "train a=1 hydra.sweeper.n_trials=3"


@pytest.mark.parametrize("end", ["}", ', "command": 1}', ""])
def test_a_sweep_without_a_command(tmp_path: Path, end: str) -> None:
    (tmp_path / "sweep.json").write_text('{"version": 1, "arguments": ["a=1"], "params": {}' + end)
    assert command_of(tmp_path) == ""
    if end:
        with open_sweep(tmp_path, ["a=1"], {}, "train a=1"):
            assert command_of(tmp_path) == "train a=1"
        return
    with pytest.raises(UserError, match=r"sweep\.json is damaged"), open_sweep(tmp_path, [], {}):
        pass


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    with (
        open_sweep(tmp_path, [], {}),
        pytest.raises(UserError, match="another process runs"),
        open_sweep(tmp_path, [], {}),
    ):
        pass


def test_a_job_that_still_runs_is_waited_for(tmp_path: Path) -> None:
    await_orphan(tmp_path)  # no process ever trained there
    assert not (tmp_path / JOB_LOCK).exists()
    lock = FileLock(tmp_path / JOB_LOCK, thread_local=False)
    lock.acquire()
    ended: list[bool] = []
    waiting = threading.Thread(target=lambda: ended.append(await_orphan(tmp_path) is None))
    waiting.start()
    waiting.join(0.3)
    assert not ended
    lock.release()
    waiting.join(10)
    assert ended == [True]


def test_jobs_are_found_by_number_and_damaged_ones_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (10, 2):
        Job(number, [], []).write(tmp_path / str(number))
    (tmp_path / "report").mkdir()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "job.json").write_text("{")
    assert [job.number for job, _, _ in jobs_in(tmp_path)] == [2, 10]
    assert "damaged" in caplog.text
    assert jobs_in(tmp_path / "nowhere") == []


def test_the_sweep_of_its_folder_and_of_a_jobs(tmp_path: Path) -> None:
    job = tmp_path / "s" / "0"
    job.mkdir(parents=True)
    assert sweep_of(job) is None
    (tmp_path / "s" / "sweep.json").touch()
    assert sweep_of(job) == sweep_of(tmp_path / "s") == tmp_path / "s"
