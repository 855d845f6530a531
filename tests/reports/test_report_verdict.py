"""The comparison with published results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.aggregate import group_runs
from siamese_oneshot.reports.read import DataInfo, read_sweep
from siamese_oneshot.reports.verdict import (
    Verdict,
    chosen,
    conclusion,
    next_of_sweep,
    published_tables,
    run_verdict,
    sweep_verdict,
)

LAKE = DataInfo("default", "omniglot", "d", "lake", "27 background alphabets")
KOCH = DataInfo("default", "omniglot", "d", "koch")


def lake_runs(right: int) -> list[Score]:
    return scores_of({"test/lake_runs": right}, n=400)


@pytest.mark.parametrize(
    ("right", "tone", "words"),
    [
        (398, "above", "above the paper's 92.0%, and above humans' 95.5%"),
        (384, "above", "above the paper's 92.0%, and not distinguishable from humans' 95.5% "
                       "(95% interval 93.6-97.5 contains 95.5)"),
        (366, "open", "not distinguishable from the paper's 92.0% (95% interval 88.4-93.9 contains "
                      "92.0), and below humans' 95.5%"),
        (300, "below", "below the paper's 92.0%, and below humans' 95.5%"),
    ],
)  # fmt: skip
def test_verdicts_of_a_run(right: int, tone: str, words: str) -> None:
    verdict = run_verdict(lake_runs(right), LAKE)
    assert verdict.tone == tone
    assert words in verdict.text
    assert f"{right / 4:.2f}% (95% interval" in verdict.text
    assert f"from the paper (Koch et al. 2015): {right / 4 - 92:+.1f} points." in verdict.text
    assert "on lake_runs list, test set, 400 episodes" in verdict.text
    assert "paper's value: 88.9-94.3, 400 episodes" in verdict.about, "Wilson, 368 of 400"
    apart = right in (300, 398)  # 70.5-79.0 and 98.2-99.9 beside it
    told = (
        "does not overlap ours: it can hardly be"
        if apart
        else "overlaps ours, so the difference may"
    )
    assert told in verdict.about
    assert "chosen by validation; the test set was read only then." in verdict.about
    last = run_verdict(lake_runs(right), DataInfo("default", "omniglot", "d", "background"))
    assert "The last checkpoint was kept;" in last.about, "it trained on its validation set"
    assert "this run on 27 background alphabets" in verdict.about
    assert "(split lake)" in verdict.about
    assert "split" not in run_verdict(lake_runs(right), KOCH).about


def test_folds_are_pooled_over_all_their_episodes(tmp_path: Path) -> None:
    for fold, right in enumerate((700, 900, 800), start=1):
        split = f"fold_{fold}_of_4"
        scores = scores_of({"validation/one_shot": 500, "test/within_alphabet": right})
        result = replace(result_of(0.5, scores=scores), data_split=split)
        made = make_job(tmp_path / "s", fold, {"data.split": split}, result)
        assert made.is_dir()
    text = sweep_verdict(group_runs(read_sweep([tmp_path / "s"]))[0]).text
    half = 100 * 4.302653 * 0.1 / 3**0.5  # Student's t of two degrees of freedom
    assert text == (
        f"80.00% on within_alphabet list, 3,000 episodes pooled over 3 of 4 folds; 95% interval of "
        f"the folds' mean {80 - half:.1f}-100.0."
    )


def test_a_score_that_follows_no_published_protocol_is_not_compared() -> None:
    synthetic = DataInfo("default", "synthetic", "d", "ratio_60_20_20")
    assert "synthetic cannot be compared" in run_verdict([], synthetic).text
    validation = scores_of({"validation/one_shot": 3}, n=4)
    text = run_verdict(validation, LAKE).text
    assert text.startswith("75.00% (95% interval 30.1-95.4) on one_shot list, 4 episodes.")
    assert "test set was not used" in text
    assert "no result yet" in run_verdict([], None).text
    other = run_verdict(scores_of({"test/koch_protocol": 300}), LAKE)
    assert (other.tone, "No test score follows" in other.text) == ("none", True)
    assert published_tables([("x", LAKE, scores_of({"test/koch_protocol": 300}))]) == []
    ((table, own),) = published_tables([("x", LAKE, lake_runs(400))])
    assert own == [0], "best first"
    assert table.rows[0][:2] == ("here: x, lake_runs list", "100.00 (99.0-100.0)")


def verdict_of(folder: Path, *rows: tuple[int, int, float, int | None]) -> Verdict:
    """Of runs with a learning rate, a seed, a validation score and right answers of 100."""
    for number, (lr, seed, validation, right) in enumerate(rows):
        scores = [] if right is None else scores_of({"test/lake_runs": right}, n=100)
        result = result_of(validation, seed, scores=scores)
        make_job(folder, number, {"lr": lr, "seed": seed}, result)
    return sweep_verdict(group_runs(read_sweep([folder]))[0])


def test_a_sweep_is_judged_by_the_best_on_validation(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, (1, 0, 0.505, 100), (2, 0, 0.55, 94), (2, 1, 0.54, 92))
    # validation 55 and 54: t(1) = 12.7062 standard errors of 0.5
    # test, Wilson: 94 of 100 87.5-97.2, 92 of 100 85.0-95.9
    assert verdict.text.startswith("Best validation score: lr=2 (jobs 1, 2) with 54.5% ± 6.4")
    assert "best settings overlaps those of 1 of 1 other settings, so the order" in verdict.text
    assert (
        "Test set, lake_runs list: mean 93.00%, 95% intervals of its 2 seeds within 85.0-97.2: not "
        "distinguishable from the paper's 92.0% (2 seeds are too few to tell), and not "
        "distinguishable from humans' 95.5% (2 seeds are too few to tell). Difference from the "
        "paper (Koch et al. 2015): +1.0 points." in verdict.text
    )
    assert verdict.tone == "open"
    assert verdict.about.endswith(
        "chosen by validation; the test set was read only then, by 3 jobs."
    )


@pytest.mark.parametrize(
    ("rights", "words", "tone"),
    [
        # Wilson of 100: 99 94.6-99.8, 98 93.0-99.4, 97 91.5-99.0, 84 75.6-89.9, 50 40.4-59.6
        ((99, 98), "98.50%, 95% intervals of its 2 seeds within 93.0-99.8: above", "above"),
        ((99, 97), "within 91.5-99.8: not distinguishable from the paper's 92.0% (2", "open"),
        ((84, 50, 50), "61.33%, 95% intervals of its 3 seeds within 40.4-89.9: below", "below"),
        # an interval over seeds of 40 to 160% would hold the paper's value
        ((99, 50), "within 40.4-99.8: not distinguishable from the paper's 92.0% (2 seeds", "open"),
    ],
)  # fmt: skip
def test_few_seeds_tell_if_all_of_them_do(
    tmp_path: Path, rights: tuple[int, ...], words: str, tone: str
) -> None:
    rows = [(1, seed, 0.5, right) for seed, right in enumerate(rights)]
    verdict = verdict_of(tmp_path, *rows)
    assert words in verdict.text
    assert verdict.tone == tone


def test_seeds_that_answer_the_same_runs_are_not_pooled(tmp_path: Path) -> None:
    """Each seed's interval is one over runs, as its list has them."""
    own = [replace(score, low=0.74, high=0.99) for score in lake_runs(380)]
    for seed in range(2):
        make_job(tmp_path, seed, {"lr": 1, "seed": seed}, result_of(0.5, seed, scores=own))
    verdict = sweep_verdict(group_runs(read_sweep([tmp_path]))[0])
    assert "95% intervals of its 2 seeds within 74.0-99.0: not dist" in verdict.text
    assert verdict.tone == "open", "800 independent episodes would be above: 93.3-96.3"


def test_nothing_is_chosen_by_scores_of_alphabets_that_were_trained_on(tmp_path: Path) -> None:
    def judged(folder: Path, *jobs: tuple[str, int]) -> tuple[str, tuple[str, str], bool]:
        for number, (split, seed) in enumerate(jobs):
            scores = scores_of({"test/lake_runs": 95}, n=100)
            result = replace(result_of(0.9, seed, scores=scores), data_split=split)
            make_job(folder, number, {"data.split": split, "seed": seed}, result)
        sweep = read_sweep([folder])
        groups, _ = group_runs(sweep)
        is_chosen = chosen(groups) is not None
        return sweep_verdict(groups).text, next_of_sweep(sweep, groups), is_chosen

    two = judged(tmp_path / "two", ("lake", 0), ("background", 0))
    assert two == (
        "No settings are named best: data.split=background trains on its validation alphabets, so "
        "their scores cannot choose settings; to choose, sweep with data.split=lake "
        "callbacks=default.",
        ("", ""),
        False,
    )
    assert conclusion(tmp_path / "two") == two[0]
    text, (_, command), is_chosen = judged(tmp_path / "one", ("background", 0), ("background", 1))
    assert text.startswith("Score on validation alphabets that were trained on: ")
    assert "Test set, lake_runs list: mean 95.00%" in text, "seeds of one setting are no choice"
    assert command
    assert is_chosen


def test_a_sweep_without_test_scores_has_one_number(tmp_path: Path) -> None:
    rows = ((1, 0, 0.50, None), (1, 1, 0.51, None), (2, 0, 0.51, None), (2, 1, 0.50, None))
    text = verdict_of(tmp_path, *rows).text
    assert text.startswith("Best validation score: lr=1 (jobs 0, 1) with 50.5% ± 6.4 (mean")
    assert text.endswith("so no score can be compared with published results.")
    assert text.count("%") == 2, "the mean, and the name of its interval"


def test_chance_stands_beside_a_sweeps_score(tmp_path: Path) -> None:
    scores = [replace(one, way=20) for one in scores_of({"validation/one_shot": 500})]
    make_job(tmp_path, 0, {"lr": 1}, result_of(0.5, scores=scores))
    assert "50.00%, chance 5%. " in sweep_verdict(group_runs(read_sweep([tmp_path]))[0]).text


def test_a_lead_of_one_seed_may_be_chance_and_distant_settings_are_told_apart(
    tmp_path: Path,
) -> None:
    single = verdict_of(tmp_path / "a", (1, 0, 0.50, None), (2, 0, 0.60, None))
    assert "lr=2 (job 1) with 60.00%. The best settings have one seed: their lead may be" in (
        single.text
    )
    # margins of 1.27 points each, 12.7062 standard errors of 0.1
    rows = ((1, 0, 0.500, None), (1, 1, 0.502, None), (2, 0, 0.600, None), (2, 1, 0.602, None))
    apart = verdict_of(tmp_path / "b", *rows)
    assert "is above those of all other settings." in apart.text


@pytest.mark.parametrize(
    ("rights", "words", "tone"),
    [
        # mean 98, standard error 0.3162, t(4) = 2.7764; Wilson 91.5-99.0, 94.6-99.8, 3 of 93.0-99.4
        ((97, 98, 99, 98, 98), "98.00%, 95% interval 97.1-98.9 over 5 seeds, 93.0-99.4", "above"),
        # equal seeds do not make the episodes more: Wilson of 97
        ((97,) * 5, "97.00%, 95% interval 97.0-97.0 over 5 seeds, 91.5-99.0", "open"),
        # standard error 4, 94 +- 11.1; Wilson 68.9-85.0 and 4 of 93.0-99.4
        ((98, 98, 98, 98, 78), "94.00%, 95% interval 82.9-100.0 over 5 seeds, 88.2-96.6", "open"),
    ],
)  # fmt: skip
def test_five_seeds_have_an_interval_over_seeds_and_one_over_episodes(
    tmp_path: Path, rights: tuple[int, ...], words: str, tone: str
) -> None:
    verdict = verdict_of(tmp_path, *((1, seed, 0.5, n) for seed, n in enumerate(rights)))
    assert f"mean {words} over episodes: " in verdict.text
    assert verdict.tone == tone


def test_one_tested_seed_of_several_speaks_for_itself(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, (1, 0, 0.50, None), (1, 1, 0.51, 93), (1, 2, 0.52, None))
    assert "of 3 seeds). Job 1: 93.00% (95% interval 86.3-96.6)" in verdict.text
    assert verdict.tone == "open"
    assert sweep_verdict([]) == Verdict("No job has finished yet.", "none")


def test_lakes_runs_count_before_the_paper_s_protocol(tmp_path: Path) -> None:
    for seed in (0, 1):
        scores = [*scores_of({"test/lake_runs": 90}, n=100), *scores_of({"test/other": 10}, n=100)]
        scores[1] = replace(scores[1], comparable_with=scores[0].comparable_with)
        make_job(tmp_path, seed, {"seed": seed}, result_of(0.5, seed, scores=scores))
    groups, _ = group_runs(read_sweep([tmp_path]))
    assert "lake_runs list: mean 90.00%" in sweep_verdict(groups).text
