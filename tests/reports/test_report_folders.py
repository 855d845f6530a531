"""Jobs are found, each once; what holds none is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_jobs import make_job, result_of

from siamese_oneshot.reports.folders import find_jobs, natural
from siamese_oneshot.utils.errors import UserError


def test_found_once_in_order(tmp_path: Path) -> None:
    for number in (10, 9):
        make_job(tmp_path / "sweep", number, {}, result_of(0.5))
    (tmp_path / "sweep" / "9_job" / "checkpoints").mkdir()
    (tmp_path / "sweep" / "linked").symlink_to(tmp_path / "sweep" / "9_job")
    sweep = tmp_path / "sweep"
    found, left_out = find_jobs([sweep, sweep / "10_job"])
    assert [job.name for _, job in found] == ["9_job", "10_job"]
    assert left_out == []
    assert natural("2_x") < natural("10_a")


def test_what_holds_no_job_is_named(tmp_path: Path) -> None:
    make_job(tmp_path / "a" / "b", 0, {}, None)
    (tmp_path / "a" / "empty" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "wandb" / "run").mkdir(parents=True)
    (tmp_path / "a" / ".cache").mkdir()
    (tmp_path / "a" / "report").mkdir()
    (tmp_path / "a" / "report" / "report.json").touch()
    (tmp_path / "a" / "evaluation").mkdir()
    (tmp_path / "a" / "evaluation" / "evaluation.json").touch()
    (tmp_path / "c").mkdir()
    found, left_out = find_jobs([tmp_path / "a", tmp_path / "c"])
    assert [job.name for _, job in found] == ["0_job"]
    assert [Path(one.what).name for one in left_out] == ["empty", "c"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no folder"):
        find_jobs([tmp_path / "nowhere"])
