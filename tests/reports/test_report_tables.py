"""The texts of the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.reports.aggregate import Importance, Report
from siamese_oneshot.reports.read import read_sweep
from siamese_oneshot.reports.tables import (
    first_rows,
    importance_table,
    jobs_table,
    scores_table,
    settings_table,
    settings_text,
)
from siamese_oneshot.utils.tables import Table


def rows_of(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [list(row) for row in table.rows]


def test_settings_table(tmp_path: Path) -> None:
    for number, (lr, validation) in enumerate(((0.1, 0.8), (0.2, 0.95), (0.1, 0.82))):
        scores = scores_of({"test/lake_runs": 960 + 10 * number, "validation/one_shot": 1})
        result = result_of(validation, number // 2, scores=scores)
        make_job(tmp_path, number, {"optimizer.lr": lr}, result)
    make_job(tmp_path, 3, {"optimizer.lr": 0.3}, None)
    sweep = read_sweep([tmp_path])
    table = settings_table(Report(sweep))
    headings = ["settings", ">validation %", ">seeds", "jobs", ">lake_runs list %"]
    assert list(table.headings) == headings
    # 80 and 82: t(1) = 12.7062 standard errors of 1; 96 and 98 likewise
    assert rows_of(table) == [
        ["lr=0.2", "95.00", "1", "1", "97.00"],
        ["lr=0.1", "81 ± 13", "2", "0, 2", "97 ± 13"],
    ]
    assert "split lake" in table.title
    assert table.note == "Not counted: 1 job that did not finish training."


def test_scores_say_which_of_them_compares_with_the_paper() -> None:
    """Of two splits: one where the paper's rule gives other drawers, and the paper's own."""
    lake, other = scores_of({"test/lake_runs": 900, "test/koch_protocol": 700})
    measured = replace(other, auroc=0.9, eer=0.1, comparable_with="verification")
    assert "equal error rate" in scores_table("", [measured]).note, "what a column is"
    note = scores_table("", [lake, other]).note
    assert note.startswith("Only Lake's runs compare with the paper's 20-way accuracy.")
    assert scores_table("", [lake]).note == ""
    own = replace(other, comparable_with=lake.comparable_with)
    assert scores_table("", [lake, own]).note == ""


def test_a_mean_of_fewer_seeds_says_so(tmp_path: Path) -> None:
    for seed in range(3):
        scores = scores_of({"test/lake_runs": 960 + 10 * seed}) if seed else []
        make_job(tmp_path, seed, {"a": 1}, result_of(0.8, seed, scores=scores))
    sweep = read_sweep([tmp_path])
    (row,) = rows_of(settings_table(Report(sweep)))
    assert row[1:] == ["80.00 ± 0.00", "3", "0, 1, 2", "97.5 ± 6.4 (2 seeds)"]


def test_different_splits_and_lists_are_shown(tmp_path: Path) -> None:
    for number, (split, digest) in enumerate((("lake", "x"), ("koch", "x"), ("lake", "other"))):
        scores = scores_of({"test/lake_runs": 500}, digest=digest)
        result = result_of(0.9 - number / 10, scores=scores, data_split=split)
        make_job(tmp_path, number, {"a": 1}, result)
    sweep = read_sweep([tmp_path])
    assert [row[0] for row in rows_of(settings_table(Report(sweep)))] == [
        "default, omniglot, split lake, test/lake_runs list x-lake_r",
        "default, omniglot, split koch",
        "default, omniglot, split lake, test/lake_runs list other-la",
    ]
    jobs = jobs_table(sweep)
    texts = [row[jobs.headings.index("experiment and data")] for row in jobs.rows]
    assert texts == [f"default, omniglot, split {name}" for name in ("lake", "koch", "lake")]


def test_jobs_table(tmp_path: Path) -> None:
    scores = scores_of({"test/lake_runs": 960})
    make_job(tmp_path, 0, {"optimizer.lr": 0.1}, result_of(0.8, 5, scores=scores))
    make_job(tmp_path, 1, {"optimizer.lr": 0.2}, None, error="ValueError: bad\n  | shape",
             logged=[0.5])  # fmt: skip
    assert rows_of(jobs_table(read_sweep([tmp_path]))) == [
        ["0", "80.00", "0.1", "5", "96.00 (94.6-97.0)", "75.0", "finished", ""],
        ["1", "50.00", "0.2", "-", "-", "-", "failed", "ValueError: bad | shape"],
    ]
    make_job(tmp_path / "long", 0, {"a": 1}, result_of(0.5, train_seconds=1200.0))
    long = jobs_table(read_sweep([tmp_path / "long"]))
    assert rows_of(long)[0][long.headings.index(">training, min")] == "20.0"
    finished = jobs_table(read_sweep([tmp_path / "0_job"]))
    assert "status" not in finished.headings, "it says nothing: all are finished"
    assert "error" not in finished.headings


def test_importance() -> None:
    table = importance_table(Importance({"optimizer.lr": 0.75, "units": 0.25}))
    assert rows_of(table) == [["1", "optimizer.lr", "75.0"], ["2", "units", "25.0"]]
    assert importance_table(Importance(why="so")) is None


def test_the_terminal_shows_the_first_rows() -> None:
    table = Table("t", ["a"], [[str(n)] for n in range(15)], note="so.")
    short = first_rows(table)
    assert rows_of(short) == [[str(n)] for n in range(12)]
    assert short.note == "3 more rows are in report.md. so."
    assert first_rows(short) is short


def test_texts() -> None:
    assert settings_text({}, ["a"]) == "-"
    settings = {"m.a": "true", "m.b": "1.23456e-05"}
    assert settings_text(settings, ["m.b", "m.c", "m.a"]) == "b=1.235e-05, a=true"
    assert settings_text({"a": "x" * 99}, ["a"]) == f"a={'x' * 20}…{'x' * 19}"
