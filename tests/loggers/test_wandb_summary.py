"""How a run's end stands on W&B: figures, literature, checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_jobs import result_of, scores_of
from wandb_files import ReadBack, parts_of, wandb_run, without_account

from siamese_oneshot.evaluation.published import papers_figure
from siamese_oneshot.loggers.run_summary import check_choice, compared, log_result, summary_of
from siamese_oneshot.runs.result import RunResult
from siamese_oneshot.utils.errors import UserError

RIGHT = {
    "validation/one_shot": 880, "validation/verification": 970, "test/lake_runs": 960,
    "test/cross_alphabet": 950, "test/paper": 930, "test/verification": 930,
}  # fmt: skip


def ended(**changes: Any) -> RunResult:
    return result_of(0.88, scores=scores_of(RIGHT), **changes)


def test_the_papers_own_figures() -> None:
    assert (papers_figure("within"), papers_figure("verification")) == (0.92, 0.9342)


def test_the_summary_says_who_beats_the_paper() -> None:
    found = summary_of(ended())
    assert found["delta_vs_koch2015/one_shot"] == pytest.approx(4.0)
    assert found["delta_vs_koch2015/verification"] == pytest.approx(-0.42)
    assert found["published/koch2015_one_shot_accuracy"] == 0.92
    assert found["best_val/one_shot_accuracy"] == 0.88
    assert found["test/lake_runs_low"] < found["test/lake_runs_accuracy"] == 0.96
    assert found["status"] == "finished"


def test_episodes_of_fewer_ways_are_not_set_against_the_paper() -> None:
    scores = [
        replace(one, protocol="5-way within one alphabet")
        for one in scores_of({"test/paper": 990, "test/cross_alphabet": 990})
    ]
    found = result_of(0.88, scores=scores, data_split="koch")
    assert "delta_vs_koch2015/one_shot" not in summary_of(found)
    assert not [row for row in compared(found) if row.ours]
    full = replace(found, scores=[replace(one, protocol="20-way from …") for one in scores])
    assert "delta_vs_koch2015/one_shot" in summary_of(full)
    assert len([row for row in compared(full) if row.ours]) == 2


def test_other_dataset_are_not_set_against_the_paper() -> None:
    found = summary_of(ended(data_source="synthetic"))
    assert not [name for name in found if "paper/" in name and not name.startswith("test/")]
    assert compared(ended(data_source="synthetic")) == []


def test_a_pruned_run_has_its_best_validation_and_no_comparison() -> None:
    pruned = result_of(0.5, status="pruned")
    assert summary_of(pruned)["best_val/one_shot_accuracy"] == 0.5
    assert "delta_vs_koch2015/one_shot" not in summary_of(pruned)
    assert compared(pruned) == []


def test_a_run_stands_among_the_published_by_its_figure() -> None:
    rows = compared(ended(data_split="koch"))
    within = [row for row in rows if row.protocol.startswith("20-way one-shot within")]
    assert [row.value for row in within] == sorted((row.value for row in within), reverse=True)
    ours = [(row.who, row.value) for row in within if row.ours]
    assert ours == [("here: default, official list", 96.0), ("here: default, paper list", 93.0)]
    assert any(row.who == "humans" and row.low is None for row in within)
    lake = [row.who for row in compared(ended()) if row.ours]
    assert not [who for who in lake if "paper list" in who], "the paper's rule is of its split"


def test_a_wrong_choice_is_refused() -> None:
    check_choice("auto")
    with pytest.raises(UserError, match=r"logger\.checkpoint=sometimes"):
        check_choice("sometimes")


def test_the_end_of_a_run_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    with without_account(tmp_path):
        for checkpoint in ("auto", "always"):
            with wandb_run(tmp_path / checkpoint, {}, project="p") as logger:
                log_result(logger, ended(), tmp_path, checkpoint)
        auto, always = (ReadBack(*parts_of(tmp_path / name)) for name in ("auto", "always"))
    assert auto.summary["delta_vs_koch2015/one_shot"] == pytest.approx(4.0)
    (table,) = [name for name in auto.files if name.startswith("media/table/comparison")]
    content = json.loads((auto.folder / "files" / table).read_text())
    assert content["columns"][:4] == ["protocol", "who", "value", "n"]
    assert len(content["data"]) == len(compared(ended()))
    models = [[one for one in back.artifacts if one["type"] == "model"] for back in (auto, always)]
    assert [len(found) for found in models] == [0, 1], "auto stages nothing offline"
    assert json.loads(models[1][0]["metadata"])["test/lake_runs_accuracy"] == 0.96


def test_a_checkpoint_that_is_gone_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with without_account(tmp_path), wandb_run(tmp_path, {}, project="p") as logger:
        log_result(logger, ended(), tmp_path, "always")
    assert "W&B logs no more of this job" in caplog.text
