"""Every table of a training, a report and a prediction on terminals of 80, 100 and 140 columns.

Those of an evaluation are in tests/evaluation/test_evaluation_tables.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_jobs import make_job, result_of, scores_of
from rendered import WIDTHS, check_fits

from siamese_oneshot.prediction.output import as_table
from siamese_oneshot.reports.aggregate import Importance, Report
from siamese_oneshot.reports.read import Sweep, read_sweep
from siamese_oneshot.reports.tables import (
    importance_table,
    jobs_table,
    left_out_table,
    scores_table,
    settings_table,
)
from siamese_oneshot.runs.result import result_text

NAMES = ("lake_runs", "within_alphabet", "cross_alphabet", "koch_protocol", "verification")
LONG = "model.encoder.of.my.own.with.a.long.name"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Jobs with every score, long settings and long errors."""
    folder = tmp_path_factory.mktemp("sweep")
    scores = scores_of({f"test/{name}": 9_876 for name in NAMES}, n=10_000)
    scores = [replace(one, auroc=0.98765, eer=0.01234, protocol="how " * 30) for one in scores]
    for number in range(3):
        settings = {"optimizer.lr": 0.123456 * 10**-number, LONG: f"{number}{'x' * 90}"}
        result = result_of(0.9, number % 2, scores=scores, warnings=["a note " * 30])
        make_job(folder, number, settings, result)
    make_job(folder, 3, {"optimizer.lr": 1}, None, error="ValueError: " + "no " * 90)
    return read_sweep([folder])


def test_tables_of_a_report(sweep: Sweep) -> None:
    report = Report(sweep)
    importance = Importance({"optimizer.lr": 0.875, LONG: 0.125})
    left_out = [("a/long/path/to/a/folder" * 6, "it has none of these files, " * 9)]
    (run, *_) = sweep.runs
    scores = scores_table("scores " * 30, [*run.scores.values()])
    others = [importance_table(importance), left_out_table(left_out)]
    for table in [jobs_table(sweep), settings_table(report), scores, *others]:
        assert table is not None
        check_fits(table)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_at_the_end_of_a_training(
    sweep: Sweep, width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = sweep.runs[0].result
    assert result is not None
    named = [replace(one, name=f"{one.name}, the split's drawers") for one in result.scores]
    result = replace(result, scores=named, trained_on="25 alphabets by 20 drawers " * 5)
    table = result_text(result, tmp_path).partition("note: ")[0]
    assert max(map(len, table.splitlines())) <= width
    assert table.count("98.76") == table.count("10,000") == len(NAMES)


@pytest.mark.parametrize("top_k", [1, 5])
def test_the_table_of_predictions(top_k: int) -> None:
    classes = [SimpleNamespace(name=f"class {n} {'y' * 40}", probability=0.2, score=-1.23)
               for n in range(5)]  # fmt: skip
    answers = [
        SimpleNamespace(path=Path(f"q/{'photo' * 12}{n}.png"), expected="e" * 50, right=True,
                        is_class=True, verdict="unknown",
                        prediction=SimpleNamespace(classes=classes))
        for n in range(3)
    ]  # fmt: skip
    model: Any = SimpleNamespace(name="outputs/default/" + "run" * 20, temperature=None)
    classifier = SimpleNamespace(classes=classes, reject_threshold=-2.5, model=model)
    results: Any = SimpleNamespace(answers=answers, classifier=classifier, settings={"query": "q"})
    check_fits(as_table(results, top_k))
