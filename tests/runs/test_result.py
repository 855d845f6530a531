"""result.json is whole, honest and readable again; the table shows its figures."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.runs.result import (
    RunResult,
    read_result,
    result_text,
    write_result,
)
from siamese_oneshot.utils.errors import UserError


@pytest.fixture
def result() -> RunResult:
    score = Score.from_counts("lake_runs", "test", "Lake's runs", "how", 368, 400, "abc", way=20)
    return RunResult(
        status="finished",
        experiment="paper",
        seed=0,
        data_source="omniglot",
        data_digest="d",
        data_split="koch",
        scores=[score],
        val_accuracy=0.9,
        checkpoint="checkpoints/best.ckpt",
        steps=10,
        epochs=1,
        train_seconds=1.5,
        total_seconds=2.5,
        precision="bf16-mixed",
        warnings=["made of noise"],
    )


def test_what_is_written_is_read_back(tmp_path: Path, result: RunResult):
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"], "a temporary file is left"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, result: RunResult):
    write_result(tmp_path, result)
    with pytest.raises(TypeError):
        write_result(tmp_path, replace(result, checkpoint=object()))  # type: ignore[arg-type]
    assert read_result(tmp_path) == result
    assert len(list(tmp_path.iterdir())) == 1
    path = write_result(tmp_path, replace(result, val_accuracy=float("nan")))
    assert json.loads(path.read_text())["val_accuracy"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"), ("[]", "is damaged"), ('{"version": 2}', "is damaged"),
        ('{"version": 2, "scores": 3}', "is damaged"), ('{"version": 99}', "version 99"),
    ],
)  # fmt: skip
def test_a_missing_damaged_or_newer_file_is_named(tmp_path: Path, content: str, message: str):
    with pytest.raises(UserError, match="does not exist"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match=rf"result\.json.*{message}"):
        read_result(tmp_path)


@pytest.mark.parametrize("width", [80, 200])
def test_figures_warnings_and_brackets_are_shown_and_the_command_survives_a_shell(
    result: RunResult, tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(width))
    folder = tmp_path / "0_alphabets=[latin,greek] x"
    score = replace(result.scores[0], name="[bold]runs")
    spoken = replace(result, status="failed", scores=[score], warnings=["no [italic] files"])
    text = result_text(replace(spoken, checkpoint_step=8), folder)
    for expected in ("92.00", "88.9-94.3", "400", "[bold]runs", "note: no [italic] files",
                     "failed after 10 steps and 1.5 s with validation",
                     "best checkpoint of step 8: checkpoints/best.ckpt\n"):  # fmt: skip
        assert expected in text
    monkeypatch.chdir(tmp_path)
    assert "evaluate run" in result_text(result, tmp_path / "run"), "from the working directory"
    elsewhere = replace(result, checkpoint="../mine/best.ckpt")
    assert "evaluate run/../mine/best.ckpt" in result_text(elsewhere, tmp_path / "run")
    names = ["within-alphabet 20-way", "test verification"]
    tested = [replace(score, split="test", name=name) for name in names]
    text_of_test = result_text(replace(result, scores=tested), folder)
    assert "test within-alphabet 20-way" in text_of_test
    assert "test test" not in text_of_test
    command = next(line for line in text.splitlines() if "resume with" in line)
    assert shlex.split(command)[-1] == f"resume={folder}"
