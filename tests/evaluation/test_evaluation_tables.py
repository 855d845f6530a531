"""Cells against the outcomes they stand for."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev

import pytest
from eval_models import COMPUTE, SIZE, guessing, network, pixels

from siamese_oneshot.evaluation.evaluator import confusions
from siamese_oneshot.evaluation.model_evaluation import Outcome, evaluate_model
from siamese_oneshot.evaluation.published import published
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest
from siamese_oneshot.evaluation.tables import (
    alphabets_table,
    confusions_table,
    scores_table,
    published_tables,
    paired_table,
    seeds_table,
    ways_table,
)
from siamese_oneshot.evaluation.model_evaluation import TaskProvider


@pytest.fixture
def outcomes(task_provider_with_mnist: TaskProvider) -> list[Outcome]:
    models = [network("a", 0), network("b", 1), pixels(), pixels("slow", most=15)]
    return [evaluate_model(one, task_provider_with_mnist, COMPUTE) for one in models]


def score(outcome: Outcome, key: str, split: str = "test") -> Score:
    (found,) = [one for one in outcome.scores if (one.split, one.key) == (split, key)]
    return found


def test_percent() -> None:
    one = Score("k", "test", "", "", 0.9, 9, 10, 0.5958, 0.98212, "")
    assert one.percent == "90.00 (59.6-98.2)"


def test_one_model_has_its_protocols_in_full(outcomes: list[Outcome]) -> None:
    table = scores_table(outcomes[:1])
    listed = {row[0]: row for row in table.rows}
    for key in ("within_alphabet", "cross_alphabet", "mnist", "open_set", "few_shot_5way_1shot"):
        one = score(outcomes[0], key)
        assert listed[one.name] == (one.name, one.percent, f"{one.episodes:,}", one.protocol)
    assert not any("6-way across" in name for name in listed)  # the ways have their own table


def test_several_models_stand_side_by_side(outcomes: list[Outcome]) -> None:
    assert score(outcomes[0], "cross_alphabet").percent in str(scores_table(outcomes[:3]).rows)
    table = scores_table(outcomes)
    assert table.headings == ["score", ">a", ">b", ">pixels", ">slow"]
    one = score(outcomes[0], "cross_alphabet")
    (row,) = [row for row in table.rows if row[0] == f"{one.name}, 60 episodes"]
    assert row[1:4] == tuple(score(outcome, "cross_alphabet").percent for outcome in outcomes[:3])
    assert row[4] == score(outcomes[3], "cross_alphabet").percent + " n=15"


def test_figures_of_another_list_are_marked(outcomes: list[Outcome]) -> None:
    one, two = outcomes[:2]
    changed = [replace(each, digest="other") if each.key == "cross_alphabet" else each
               for each in two.scores]  # fmt: skip
    table = scores_table([one, replace(two, scores=changed)])
    marked = {row[0].split(",")[0] for row in table.rows if row[2].endswith(" *")}
    assert marked == {score(one, "cross_alphabet").name}
    assert "*: another list than the first column's" in table.note


def test_seeds_of_one_setting_have_a_mean(outcomes: list[Outcome]) -> None:
    table = seeds_table(outcomes)
    assert table is not None
    (row,) = [row for row in table.rows if row[1] == score(outcomes[0], "cross_alphabet").name]
    values = [100 * score(outcome, "cross_alphabet").value for outcome in outcomes[:2]]
    assert row[0] == "tiny, split shares"
    assert row[2:4] == ("2", f"{fmean(values):.2f}")
    assert row[5] == f"{stdev(values):.2f}"
    assert row[6] == ", ".join(f"{value:.2f}" for value in values)
    assert seeds_table(outcomes[1:]) is None  # one network and baselines


def test_a_seed_counts_once_and_other_settings_not_at_all(outcomes: list[Outcome]) -> None:
    def changed(**metadata: object) -> list[Outcome]:
        trained = outcomes[1].model.trained
        assert trained is not None
        other = replace(trained, metadata={**trained.metadata, **metadata})
        return [
            outcomes[0],
            replace(outcomes[1], model=replace(outcomes[1].model, trained=other)),
        ]

    assert seeds_table(changed()) is not None
    assert seeds_table(changed(seed=outcomes[0].model.metadata["seed"])) is None
    assert seeds_table(changed(overrides=["optimizer.lr=1"])) is None
    assert seeds_table(changed(data_digest="another")) is None


def test_what_has_not_finished_is_in_no_mean(outcomes: list[Outcome]) -> None:
    stopped = replace(outcomes[1], model=replace(network("c", 2), finished=False))
    table = seeds_table([*outcomes[:2], stopped])
    assert table is not None
    assert {row[2] for row in table.rows} == {"2"}
    assert table.note.endswith(" Left out, as they have not finished: c.")
    assert seeds_table([outcomes[0], stopped]) is None


def test_an_interval_stays_within_what_an_accuracy_can_be(outcomes: list[Outcome]) -> None:
    scores = [replace(outcomes[0].scores[0], value=value) for value in (0.1, 0.9)]
    ends = [replace(one, scores=[mine]) for one, mine in zip(outcomes, scores, strict=False)]
    table = seeds_table(ends)
    assert table is not None
    assert table.rows[0][4] == "0.00-100.00"


def test_ways(outcomes: list[Outcome]) -> None:
    table = ways_table(outcomes[:2])
    assert [row[0] for row in table.rows] == [str(way) for way in range(1, 7)]
    assert table.rows[3] == (
        "4",
        *(
            score(outcome, f"ways_{whose}_04").percent
            for outcome in outcomes[:2]
            for whose in ("test", "train")
        ),
        "25.00",
    )


def test_alphabets(outcomes: list[Outcome]) -> None:
    (row,) = alphabets_table(outcomes[:3]).rows  # one test alphabet
    assert row[0] == "AlphabetD"
    assert row[1] == score(outcomes[0], "within_alphabet").percent


def test_paired_rows() -> None:
    table = paired_table(
        [
            PairedTest("a", "b", "lake_runs", 30, 10, 400, 0.00221),
            PairedTest("a", "c", "x", 9, 0, 9, 1e-9),
        ]
    )
    assert table.rows == [
        ("lake_runs", "a - b", "+5.00", "30 : 10", "400", "0.0022"),
        ("x", "a - c", "+100.00", "9 : 0", "9", "< 0.0001"),
    ]


def test_ours_stand_among_the_published_of_the_same_protocol(
    task_provider_with_mnist: TaskProvider,
) -> None:
    few = replace(evaluate_model(guessing(), task_provider_with_mnist, COMPUTE), split="koch")
    words = {one.protocol: one.protocol.replace("5-way", "20-way") for one in few.scores}
    scores = [replace(one, protocol=words[one.protocol]) for one in few.scores]
    outcome = replace(few, scores=scores)
    tables = {table.title: table for table in published_tables([outcome])}
    (within,) = [table for title, table in tables.items() if "within one alphabet" in title]
    everyone = [row[0] for row in within.rows]
    assert len(everyone) == len(published("within")) + 1
    values = [float(row[1].split()[0]) for row in within.rows]
    assert values == sorted(values, reverse=True)
    (ours,) = [row for row in within.rows if row[0].startswith("here: guessing")]
    assert ours[3] == "nothing"
    elsewhere = next(iter(published_tables([replace(outcome, split="lake")])))
    assert not any("here" in row[0] for row in elsewhere.rows)  # not the paper's alphabets
    for table in published_tables([few]):  # 5-way
        if "20-way" in table.title:
            assert not any("here" in row[0] for row in table.rows)
    (mnist,) = [table for title, table in tables.items() if "MNIST" in title]
    assert any(row[1] == "70.3" for row in mnist.rows)


def test_pairs_within_one_alphabet_stand_beside_no_published_ones(
    task_provider: TaskProvider,
) -> None:
    found = []
    for within in (False, True):
        task_provider.size = replace(SIZE, within_alphabet=within)
        task_provider._tasks.clear()
        outcome = evaluate_model(pixels(most=30), task_provider, COMPUTE)
        assert ("within one alphabet" in score(outcome, "verification").protocol) is within
        (table,) = [one for one in published_tables([outcome]) if one.title == "same or different"]
        found.append(any("here" in row[0] for row in table.rows))
    assert found == [True, False]


def test_classes_taken_for_each_other(outcomes: list[Outcome]) -> None:
    outcome = outcomes[0]
    for results in outcome.confused_lists:
        table = confusions_table(outcome, results, count=3)
        found = confusions(results, outcome.dataset.classes)
        names = outcome.dataset.class_names
        assert results.task.title in table.title
        assert len(table.rows) == min(3, len(found))
        so_far = 0
        for row, one in zip(table.rows, found, strict=False):
            so_far += one.times
            share = so_far / (results.n - results.correct)
            assert row[:4] == (names[one.first], names[one.second], str(one.times), str(one.n))
            assert row[4] == f"{100 * share:.1f}"
