"""Names of runs, and the end of a training and of an evaluation on loggers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_jobs import result_of
from wandb_files import ReadBack, parts_of, wandb_run, without_account

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.run_summary import (
    RunName,
    compared,
    log_evaluation,
    log_result,
    name_of,
    rounded,
    summary_of,
)
from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger
from siamese_oneshot.runs.job import Job
from siamese_oneshot.runs.result import RunResult
from siamese_oneshot.utils.tables import Table


def score(key: str, correct: int, split: str = "test", **fields: Any) -> Score:
    return Score.from_counts(key, split, f"{key} list", "how", correct, 1000, "d", **fields)


SCORES = [
    score("one_shot", 880, "validation", way=20),
    score("verification", 970, "validation", kind="verification", auroc=0.99, eer=0.03),
    score("lake_runs", 960, way=20, comparable_with="within_alphabet_20way"),
    score("koch_protocol", 930, way=20, comparable_with="within_alphabet_20way"),
    score("cross_alphabet", 950, way=20, comparable_with="cross_alphabet_20way"),
    score(
        "verification", 930, kind="verification", auroc=0.98, eer=0.07,
        comparable_with="verification",
    ),
]  # fmt: skip


def ended(**changes: Any) -> RunResult:
    return result_of(0.88, **{"scores": SCORES, **changes})


def test_the_summary_compares_with_koch_et_al() -> None:
    summary = summary_of(ended())
    assert summary["published/koch2015_one_shot_accuracy"] == 0.92
    assert summary["published/koch2015_verification_accuracy"] == 0.9342
    assert summary["delta_vs_koch2015/one_shot"] == pytest.approx(4.0)  # Lake's runs come first
    assert summary["delta_vs_koch2015/verification"] == pytest.approx(-0.42)


def test_the_summary_has_intervals_auroc_and_eer() -> None:
    summary = summary_of(ended())
    assert (summary["status"], summary["train_seconds"]) == ("finished", 75.0)
    assert summary["best_val/one_shot_accuracy"] == 0.88
    assert (summary["best_val/verification_auroc"], summary["best_val/verification_eer"]) == (
        0.99, 0.03,
    )  # fmt: skip
    assert (summary["test/verification_auroc"], summary["test/verification_eer"]) == (0.98, 0.07)
    for group in ("best_val/one_shot", "test/lake_runs", "test/koch_protocol"):
        low, value, high = (summary[f"{group}_{end}"] for end in ("ci_low", "accuracy", "ci_high"))
        assert low < value < high
    assert "test/lake_runs_auroc" not in summary


def test_only_comparable_scores_stand_beside_published_ones() -> None:
    others = [replace(one, comparable_with=None) for one in SCORES]
    result = ended(scores=others)
    assert not [name for name in summary_of(result) if name.startswith("delta_vs_koch2015/")]
    assert compared(result) == []
    synthetic = ended(data_source="synthetic", scores=others)
    assert not [name for name in summary_of(synthetic) if "koch2015" in name]
    pruned = result_of(0.5, status="pruned")
    assert summary_of(pruned)["best_val/one_shot_accuracy"] == 0.5
    assert compared(pruned) == []


def test_a_run_stands_among_published_rows_by_its_accuracy() -> None:
    rows = [row for row in compared(ended()) if row.protocol.startswith("20-way one-shot within")]
    values = [row.value for row in rows if "second hand" not in row.note]
    assert values == sorted(values, reverse=True)
    ours = [(row.method, row.value) for row in rows if row.ours]
    assert ours == [
        ("here: default, lake_runs list", 96.0), ("here: default, koch_protocol list", 93.0),
    ]  # fmt: skip
    assert any(row.method == "humans" and row.low is None for row in rows)


def test_the_end_of_a_run_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    with without_account(tmp_path):
        for checkpoint in ("auto", "always"):
            with wandb_run(tmp_path / checkpoint, {}, checkpoint=checkpoint) as logger:
                log_result([logger], ended(experiment="a b/c"), tmp_path)
        auto, always = (ReadBack(*parts_of(tmp_path / name)) for name in ("auto", "always"))
    assert auto.summary["delta_vs_koch2015/one_shot"] == pytest.approx(4.0)
    (table,) = [name for name in auto.files if name.startswith("media/table/tables/comparison")]
    content = json.loads((auto.folder / "files" / table).read_text())
    assert content["columns"][:4] == ["protocol", "method", "value", "n"]
    assert len(content["data"]) == len(compared(ended()))
    models = [[one for one in back.artifacts if one["type"] == "model"] for back in (auto, always)]
    assert [len(found) for found in models] == [0, 1], "auto uploads nothing offline"
    assert models[1][0]["name"].startswith("a-b-c-")
    assert json.loads(models[1][0]["metadata"])["test/lake_runs_accuracy"] == 0.96


def test_a_missing_checkpoint_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with without_account(tmp_path), wandb_run(tmp_path, {}, checkpoint="always") as logger:
        log_result([logger], ended(), tmp_path)
    assert "W&B logging is off for the rest of this run" in caplog.text


class Recorder(ResilientWandbLogger):
    """Keeps in memory what a W&B run would get."""

    def __init__(self) -> None:
        self.broken = False
        self.logged: dict[str, Any] = {}

    def log_table(self, key: str, columns: list[str], data: list[list[str]], **_: Any) -> None:
        assert key not in self.logged, f"{key} would be overwritten"
        assert all(len(row) == len(columns) for row in data)
        self.logged[key] = data

    def log_image(self, key: str, images: list[str], **_: Any) -> None:
        self.logged[key] = images

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged |= metrics


def test_an_evaluation_is_logged(tmp_path: Path) -> None:
    all_results: Any = [
        SimpleNamespace(
            model=SimpleNamespace(name=name),
            dataset=SimpleNamespace(source="synthetic"),
            scores=[replace(one, value=value) for one in SCORES],
            summary={"mine": value},
            compared=(name, "background", SCORES),
        )
        for name, value in (("a", 0.5), ("b", 0.6))
    ]
    tables = [Table("Scores", ["model", ">%"], [["a", key]], key=key) for key in "xy"]
    recorder = Recorder()
    log_evaluation([recorder], all_results, tables, {"mistakes": tmp_path / "mistakes.png"})
    assert {"tables/x", "tables/comparison"} <= recorder.logged.keys()
    expected = {
        "tables/y": [["a", "y"]], "plots/mistakes": [str(tmp_path / "mistakes.png")],
        "a/test/lake_runs_accuracy": 0.5, "b/test/lake_runs_accuracy": 0.6,
        "b/test/verification_auroc": 0.98, "a/summary/mine": 0.5,
    }  # fmt: skip
    assert {key: recorder.logged[key] for key in expected} == expected
    log_evaluation([Recorder(), recorder := Recorder()], all_results[:1], [], {})
    assert recorder.logged["test/lake_runs_accuracy"] == 0.5, "one model needs no prefix"


def test_a_job_is_named_by_what_is_swept(tmp_path: Path) -> None:
    job = Job(
        3,
        ["+experiment=paper", "optimizer.lr=0.001", "seed=2", "test=false"],
        ["optimizer.lr", "seed"],
    )
    job.write(tmp_path / "my sweep" / "3_lr")
    label = RunName.of(tmp_path / "my sweep" / "3_lr", "paper", 2, ["not=mine"])
    assert label == RunName("paper · lr 1e-3 · seed 2", "my sweep", tmp_path / "my sweep")


def test_a_single_run_is_named_by_its_command_line(tmp_path: Path) -> None:
    line = [
        "+experiment=paper",
        "model=conv4_small",
        "++optimizer.lr=3e-3",
        "resume=x",
        "logger.wandb.mode=offline",
    ]
    label = RunName.of(
        tmp_path, "paper", 0, [*line, "hydra.run.dir=x", "seed=0", "~callbacks.validation_plots"]
    )
    assert label == RunName("paper · model conv4_small · lr 3e-3 · seed 0", None, tmp_path)


def test_a_damaged_job_is_a_single_run(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    assert RunName.of(tmp_path, "default", 1, []).name == "default · seed 1"


def test_many_settings_are_cut_and_the_jobs_number_keeps_names_apart() -> None:
    settings = {f"optimizer.lr.layer{n}": "0.0123456789" for n in range(20)}
    one, other = (name_of("paper", settings, 0, number) for number in (7, 8))
    assert one.startswith("paper · job 7 · layer0 0.01235 · ")
    assert one.endswith(" · … · seed 0")
    assert len(one) <= 110
    assert one != other


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.001", "1e-3"), ("0.0020554062603827007", "2.055e-3"), ("0.05", "0.05"), ("256", "256"),
        ("0.12345678901", "0.1235"), ("[8,8,16,16]", "[8,8,16,16]"), ("0", "0"), ("false", "false"),
    ],
)  # fmt: skip
def test_numbers_read(value: str, shown: str) -> None:
    assert rounded(value) == shown
