"""Means over seeds and importance of settings."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from made_jobs import make_job, result_of, scores_of, swept

from siamese_oneshot.reports.aggregate import group_runs, importance_of
from siamese_oneshot.reports.read import DataInfo, read_sweep


def test_mean_and_interval_over_seeds(tmp_path: Path) -> None:
    rows = ((0.1, 0, 0.80, 960), (0.2, 0, 0.95, 910), (0.1, 1, 0.82, 970), (0.1, 2, 0.81, 965))
    for number, (lr, seed, validation, right) in enumerate(rows):
        scores = scores_of({"validation/one_shot": 500, "test/lake_runs": right})
        result = result_of(validation, seed, scores=scores)
        make_job(tmp_path, number, {"optimizer.lr": lr, "seed": seed}, result)
    make_job(tmp_path, 4, {"optimizer.lr": 0.1, "seed": 3}, result_of(0.1, 3, status="pruned"))
    best, rest = group_runs(read_sweep([tmp_path]))[0]
    assert (best.settings, [run.number for run in best.runs]) == ({"optimizer.lr": "0.2"}, [1])
    mean = best.val_accuracy
    assert (mean.value, mean.margin, mean.n) == (0.95, None, 1)
    assert [run.number for run in rest.runs] == [0, 2, 3]
    # mean 81, standard deviation 1, t(2) = 4.3027: 81 ± 4.3027 / √3
    assert rest.val_accuracy.value == pytest.approx(0.81)
    assert rest.val_accuracy.margin == pytest.approx(0.0248414, abs=1e-6)
    # 96, 97, 96.5: mean 96.5, standard deviation 0.5
    lake_runs = rest.score("test/lake_runs")
    assert lake_runs is not None
    assert lake_runs.value == pytest.approx(0.965)
    assert lake_runs.margin == pytest.approx(0.0124207, abs=1e-6)
    assert rest.score("test/none") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"data_split": "koch"},
        {"data_source": "synthetic"},
        {"data_digest": "other"},
        {"experiment": "paper"},
        {"scores": scores_of({"test/lake_runs": 500}, digest="other")},
    ],
)
def test_runs_of_different_data_or_lists_are_never_averaged(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    plain: dict[str, Any] = {"scores": scores_of({"test/lake_runs": 500})}
    for seed in (0, 1):
        make_job(tmp_path, seed, {"a": 1}, result_of(0.5, seed, **plain))
    make_job(tmp_path, 2, {"a": 1}, result_of(0.6, 2, **(plain | changes)))
    groups, _ = group_runs(read_sweep([tmp_path]))
    assert [[run.number for run in group.runs] for group in groups] == [[2], [0, 1]]


def test_equal_values_are_grouped(tmp_path: Path) -> None:
    for number, value in enumerate(("1", "1.0", "true", "other")):
        make_job(tmp_path, number, {"a": value}, result_of(0.5 + number / 10, number))
    groups, _ = group_runs(read_sweep([tmp_path]))
    assert [[run.number for run in group.runs] for group in groups] == [[3], [2], [0, 1]]


def test_a_seed_run_twice_counts_once_and_the_tested_run_counts(tmp_path: Path) -> None:
    for number, (seed, tested) in enumerate(((0, False), (1, False), (1, True), (1, True))):
        scores = scores_of({"test/lake_runs": 900}) if tested else []
        make_job(tmp_path, number, {"a": 1}, result_of(0.5, seed, scores=scores))
    (group,), repeated = group_runs(read_sweep([tmp_path]))
    assert [run.number for run in group.runs] == [0, 2]
    assert [(what, "job 2: counted once" in why) for what, why in repeated] == [
        ("1_job", True),
        ("3_job", True),
    ]


def test_settings_that_change_no_result_do_not_separate_seeds(tmp_path: Path) -> None:
    elsewhere = {"data.root": "/b", "data.num_workers": 2, "callbacks.validation_plots": "null"}
    for seed in (0, 1, 2):
        settings = {"a": 1, "seed": seed} | (elsewhere if seed == 2 else {})
        make_job(tmp_path, seed, settings, result_of(0.5 + seed / 10, seed), job_json=False)
    sweep = read_sweep([tmp_path])
    assert sweep.keys == []
    (group,), _ = group_runs(sweep)
    assert len(group.runs) == 3


@pytest.mark.parametrize("kind", ["number", "logarithm", "word"])
def test_the_setting_that_matters_comes_first(kind: str) -> None:
    rng = random.Random(1)
    rows: list[tuple[dict[str, Any], float | None]] = []
    for _ in range(24):
        level = rng.random()
        values: dict[str, Any] = {"number": level, "logarithm": 10 ** (-6 * level)}
        matters = values.get(kind, f"w{level:.1f}")
        noise = {"one": rng.random(), "two": rng.choice("ab"), "three": rng.randrange(9)}
        rows.append(({"first": rng.random(), **noise, "matters": matters, "fixed": 3}, level))
    found = importance_of(swept(rows))
    assert next(iter(found.shares)) == "matters"
    assert found.shares["matters"] > 0.5
    assert found.shares.keys() == {"first", "one", "two", "three", "matters"}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.why == ""
    assert importance_of(swept(rows)) == found, "deterministic"


def test_a_rate_counts_by_its_logarithm() -> None:
    rng = random.Random(2)
    levels = [(rng.random(), rng.random()) for _ in range(20)]

    def shares(rate: float) -> dict[str, float]:
        rows = [({"a": 10 ** (-rate * a) if rate else a, "b": b}, a + b) for a, b in levels]
        return importance_of(swept(rows)).shares  # type: ignore[arg-type]

    assert shares(rate=6) == pytest.approx(shares(rate=0), abs=1e-3)


def test_ten_jobs_are_enough_and_settings_that_some_lack_are_not_ranked() -> None:
    rows: list[Any] = [({"a": n % 2, "b": n}, 0.5 + 0.3 * (n % 2) + 0.001 * n) for n in range(10)]
    rows[0][0]["rare"] = 1
    found = importance_of(swept(rows))
    assert [*found.shares] == ["a", "b"]
    assert found.why == "not ranked, because some jobs lack them: rare"


TEN = [({"a": n}, 0.01 * n) for n in range(10)]


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        (TEN[:9], {}, "too few jobs to rank settings: 9 finished, 10 needed"),
        (TEN, {"status": "pruned"}, "too few jobs to rank settings: 9 finished"),
        (TEN, {"val_accuracy": None}, "too few jobs to rank settings: 9 finished"),
        ([(dict.fromkeys("abcdef", n), 0.01 * n) for n in range(11)], {}, "11 finished, 12 needed"),
        ([({"a": 1}, 0.01 * n) for n in range(10)], {}, "no setting differs"),
        ([({"a": n}, 0.5) for n in range(10)], {}, "does not stand out"),
        (TEN, {"data": DataInfo("a", "b", "c", "d")}, "differ in experiment, data"),
        ([({"a": n}, 0.1 if n else 0.9) for n in range(12)], {}, "does not stand out"),
    ],
)  # fmt: skip
def test_why_settings_are_not_ranked(rows: list[Any], changes: dict[str, Any], words: str) -> None:
    found = importance_of(swept(rows, **changes))
    assert found.shares == {}
    assert words in found.why
