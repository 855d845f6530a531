"""A job's folder: its name, its file, its outcome."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from siamese_oneshot.sweeps.job import Job, Outcome
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import bare_key, folder_name, short_keys


def test_the_name_says_what_is_swept_in_short() -> None:
    job = Job(
        3, ["+sweep=x", "optimizer.lr=0.0020554062603827007", "seed=1"], ["optimizer.lr", "seed"]
    )
    assert job.name == "3_lr=0.002055,seed=1"
    assert Job(4, ["seed=1"], []).name == "4"


def test_short_keys_are_as_long_as_it_takes() -> None:
    keys = ["a.conv1.kernel", "a.conv2.kernel", "a.units"]
    assert list(short_keys(keys).values()) == ["conv1.kernel", "conv2.kernel", "units"]
    assert short_keys(["optimizer.lr", "lr", "units2"]) == {
        "optimizer.lr": "optimizer.lr",
        "lr": "lr",
        "units2": "units2",
    }


def test_a_long_name_fits_a_file_system_and_keeps_the_number() -> None:
    keys = [f"group.number{n}" for n in range(60)]
    name = Job(7, [f"{key}=1" for key in keys], keys).name
    assert name.startswith("7_number0=1")
    assert len(name.encode()) <= 120


def test_other_overrides_never_share_a_folder() -> None:
    texts = [["a=1/2"], ["a=1-2"], ["a=1 2"], ["a=" + "x" * 200], ["a=" + "x" * 201], ["a='1'"]]
    names = [folder_name(text) for text in texts]
    assert len(set(names)) == len(names)
    assert all(len(name) < 120 and "/" not in name for name in names)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    job = Job(1, ["a=1"], ["a"], 2, "lost", {"storage": "s", "study": "t", "number": 1})
    job.write(tmp_path / "new")
    assert Job.read(tmp_path / "new") == job
    assert Job.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(UserError, match=r"job\.json is damaged"):
        Job.read(tmp_path)


def test_attempts_count_from_anew_after_a_checkpoint(tmp_path: Path) -> None:
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
    ("text", "status", "complete"),
    [
        ('{"status": "finished", "val_accuracy": 0.5}', "finished", True),
        ('{"status": "pruned", "val_accuracy": 0.5}', "pruned", True),
        ('{"status": "finished", "val_accuracy": null}', "failed", False),
        ('{"status": "failed", "val_accuracy": null}', "failed", False),
        ('{"status": "interrupted", "val_accuracy": 0.5}', "unfinished", False),
        ('{"status": "fini', "unfinished", False),
        ("[1]", "unfinished", False),
        ("", "unfinished", False),
    ],
)
def test_the_outcome_is_the_results(tmp_path: Path, text: str, status: str, complete: bool) -> None:
    assert Outcome.of(tmp_path).status == "new"
    (tmp_path / "result.json").write_text(text)
    outcome = Outcome.of(tmp_path)
    assert (outcome.status, outcome.complete) == (status, complete)


@pytest.mark.parametrize(
    "text", ["optimizer.lr=1", "+optimizer.lr=a=b", "++optimizer.lr=1", "~optimizer.lr"]
)
def test_the_bare_key(text: str) -> None:
    assert bare_key(text) == "optimizer.lr"
