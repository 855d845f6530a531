"""Means over seeds: hand-computed, and never over what does not belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.reports.groups import group_jobs, shared_scores
from siamese_oneshot.reports.sweep import read_sweep


def test_mean_and_interval_over_seeds(tmp_path: Path) -> None:
    for number, (lr, seed, validation, right) in enumerate(
        ((0.1, 0, 0.80, 960), (0.2, 0, 0.95, 910), (0.1, 1, 0.82, 970), (0.1, 2, 0.81, 965))
    ):
        scores = scores_of({"validation/one_shot": 500, "test/lake_runs": right})
        result = result_of(validation, seed, scores=scores)
        make_job(tmp_path, number, {"optimizer.lr": lr, "seed": seed}, result)
    make_job(tmp_path, 4, {"optimizer.lr": 0.1, "seed": 3}, result_of(0.1, 3, status="pruned"))
    best, rest = group_jobs(read_sweep([tmp_path]))[0]
    assert (best.settings, [job.number for job in best.jobs]) == ({"optimizer.lr": 0.2}, [1])
    assert (best.validation.value, best.validation.margin, best.validation.count) == (0.95, None, 1)
    assert [job.number for job in rest.jobs] == [0, 2, 3]
    # mean 81, standard deviation 1, t(2) = 4.3027: 81 ± 4.3027 / √3
    assert rest.validation.value == pytest.approx(0.81)
    assert rest.validation.margin == pytest.approx(0.0248414, abs=1e-6)
    # 96, 97, 96.5: mean 96.5, standard deviation 0.5
    lake_runs = rest.score("test/lake_runs")
    assert lake_runs is not None
    assert (lake_runs.value, lake_runs.margin) == (
        pytest.approx(0.965),
        pytest.approx(0.0124207, abs=1e-6),
    )
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
def test_different_data_or_lists_are_rows_of_their_own(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    plain: dict[str, Any] = {"scores": scores_of({"test/lake_runs": 500})}
    for seed in (0, 1):
        make_job(tmp_path, seed, {"a": 1}, result_of(0.5, seed, **plain))
    make_job(tmp_path, 2, {"a": 1}, result_of(0.6, 2, **(plain | changes)))
    groups, _ = group_jobs(read_sweep([tmp_path]))
    assert [[job.number for job in group.jobs] for group in groups] == [[2], [0, 1]]


def test_kinds_of_values_and_jobs_without_tests(tmp_path: Path) -> None:
    for number, value in enumerate(("1", "1.0", "true", "other")):
        scores = scores_of({"test/a": 500}) if number == 0 else []
        make_job(
            tmp_path, number, {"a": value}, result_of(0.5 + number / 10, number, scores=scores)
        )
    groups, _ = group_jobs(read_sweep([tmp_path]))
    assert [[job.number for job in group.jobs] for group in groups] == [[3], [2], [0, 1]]
    assert shared_scores(groups) == {"test/a": "a list"}, "rows without any are no hindrance"


def test_columns_that_not_all_could_have_are_left_out(tmp_path: Path) -> None:
    for number, names in enumerate((("test/a", "test/b"), ("test/b", "test/c", "validation/x"))):
        scores = scores_of(dict.fromkeys(names, 500))
        make_job(tmp_path, number, {"a": number}, result_of(0.5, scores=scores))
    groups, _ = group_jobs(read_sweep([tmp_path]))
    assert shared_scores(groups) == {"test/b": "b list"}
    assert shared_scores([]) == {}


def test_a_seed_run_twice_counts_once(tmp_path: Path) -> None:
    for number, seed in enumerate((0, 1, 1)):
        make_job(tmp_path, number, {"a": 1}, result_of(0.5 + number / 10, seed))
    (group,), repeated = group_jobs(read_sweep([tmp_path]))
    assert [job.number for job in group.jobs] == [0, 1]
    assert [(one.what, "job 1: counted once" in one.why) for one in repeated] == [("2_job", True)]


def test_of_a_seed_run_twice_the_one_with_test_scores_counts(tmp_path: Path) -> None:
    tested = scores_of({"test/lake_runs": 900})
    for number, scores in enumerate(([], tested, tested)):
        make_job(tmp_path, number, {"a": 1}, result_of(0.5, scores=scores))
    (group,), repeated = group_jobs(read_sweep([tmp_path]))
    assert [job.number for job in group.jobs] == [1]
    assert [one.what for one in repeated] == ["0_job", "2_job"]


def test_what_changes_nothing_learned_tells_no_runs_apart(tmp_path: Path) -> None:
    """Seeds that were trained on two machines are seeds of one setting."""
    there = {"data.root": "/b", "data.num_workers": 2, "callbacks.validation_plots": "null"}
    for seed in (0, 1, 2):
        settings = {"a": 1, "seed": seed} | (there if seed == 2 else {})
        make_job(tmp_path, seed, settings, result_of(0.5 + seed / 10, seed), told=False)
    sweep = read_sweep([tmp_path])
    assert list(sweep.keys) == []
    (group,), _ = group_jobs(sweep)
    assert len(group.jobs) == 3
