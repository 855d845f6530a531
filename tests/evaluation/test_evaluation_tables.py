"""Cells against the results that they show."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev

import pytest
from eval_models import COMPUTE, CONFIG, chance, network, pixels

from siamese_oneshot.evaluation.evaluator import confusions
from siamese_oneshot.evaluation.model_evaluation import ModelResults, TaskProvider, evaluate_model
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest
from siamese_oneshot.evaluation.tables import (
    alphabets_table,
    confusions_table,
    paired_table,
    protocols_table,
    published_tables,
    result_tables,
    scores_table,
    seeds_table,
    ways_table,
)


@pytest.fixture
def all_results(with_mnist: TaskProvider) -> list[ModelResults]:
    models = [network("a", 0), network("b", 1), pixels(), pixels("slow", limit=15)]
    return [evaluate_model(one, with_mnist, COMPUTE, {"half": lambda _: 0.5}) for one in models]


def score(model_results: ModelResults, key: str, split: str = "test") -> Score:
    (found,) = [one for one in model_results.scores if (one.split, one.key) == (split, key)]
    return found


def test_every_table_has_a_key_of_its_own(all_results: list[ModelResults]) -> None:
    keys = [table.key for table in result_tables(all_results, [])]
    assert keys == [
        "scores", "seeds", "accuracy_vs_way", "per_alphabet", "confusions_one_shot",
        "confusions_within_alphabet",
    ]  # fmt: skip
    tests = [PairedTest("a", "b", "lake_runs", 400, 30, 10, 0.00221)]
    assert [one.key for one in result_tables(all_results[1:], tests)][1::4] == [
        "accuracy_vs_way", "paired_tests",
    ]  # fmt: skip


def test_one_model_has_its_protocols_in_full(all_results: list[ModelResults]) -> None:
    table = protocols_table(all_results[0])
    assert table.title == "a, trained on 2 alphabets, split ratio_60_20_20"
    rows = {row[0]: row for row in table.rows}
    for key in ("within_alphabet", "cross_alphabet", "mnist", "open_set", "few_shot_5way_1shot"):
        one = score(all_results[0], key)
        assert rows[one.name] == (one.name, one.percent, f"{one.n:,}", one.protocol)
    verification = score(all_results[0], "verification")
    assert rows[verification.name][3].startswith(f"AUROC {verification.auroc:.4f}, EER ")
    assert rows["half"] == ("half", "0.5", "-", "summary metric")
    assert not any("6-way, test" in name for name in rows)  # way curves have their own table


def test_several_models_stand_side_by_side(all_results: list[ModelResults]) -> None:
    table = scores_table(all_results)
    assert table.headings == ["task", ">n", ">a", ">b", ">pixels", ">slow"]
    rows = {row[0]: row for row in table.rows}
    row = rows[score(all_results[0], "cross_alphabet").name]
    assert row[1] == "60"
    assert row[2:5] == tuple(
        score(model_results, "cross_alphabet").percent for model_results in all_results[:3]
    )
    assert row[5] == score(all_results[3], "cross_alphabet").percent + " n=15"
    assert rows["test verification, AUROC and EER"][2] == score(
        all_results[0], "verification"
    ).auroc_and_eer  # fmt: skip
    assert rows["half"][2:] == ("0.5",) * 4


def test_scores_of_another_list_are_marked(all_results: list[ModelResults]) -> None:
    one, two = all_results[:2]
    changed = [
        replace(each, digest="other") if each.key == "cross_alphabet" else each
        for each in two.scores
    ]
    table = scores_table([one, replace(two, scores=changed)])
    marked = {row[0] for row in table.rows if row[3].endswith(" *")}
    assert marked == {score(one, "cross_alphabet").name}
    assert "*: not the list of the first model" in table.note


def test_seeds_of_one_setting_have_a_mean(all_results: list[ModelResults]) -> None:
    table = seeds_table(all_results)
    assert table is not None
    (row,) = [row for row in table.rows if row[1] == score(all_results[0], "cross_alphabet").name]
    values = [
        100 * score(model_results, "cross_alphabet").value for model_results in all_results[:2]
    ]
    assert row[0] == "tiny, split ratio_60_20_20"
    assert row[2:4] == ("2", f"{fmean(values):.2f}")
    assert row[5] == f"{stdev(values):.2f}"
    assert row[6] == ", ".join(f"{value:.2f}" for value in values)
    assert seeds_table(all_results[1:]) is None  # one network and baselines


def test_a_seed_counts_once_and_other_settings_not_at_all(all_results: list[ModelResults]) -> None:
    def changed(**metadata: object) -> list[ModelResults]:
        trained = all_results[1].model.trained
        assert trained is not None
        other = replace(trained, metadata={**trained.metadata, **metadata})
        return [
            all_results[0],
            replace(all_results[1], model=replace(all_results[1].model, trained=other)),
        ]

    assert seeds_table(changed()) is not None
    assert seeds_table(changed(seed=all_results[0].model.metadata["seed"])) is None
    assert seeds_table(changed(overrides=["optimizer.lr=1"])) is None
    assert seeds_table(changed(data_digest="another")) is None


def test_unfinished_runs_are_in_no_mean(all_results: list[ModelResults]) -> None:
    stopped = replace(all_results[1], model=replace(network("c", 2), finished=False))
    table = seeds_table([*all_results[:2], stopped])
    assert table is not None
    assert {row[2] for row in table.rows} == {"2"}
    assert table.note.endswith(" Left out, not finished: c.")
    assert seeds_table([all_results[0], stopped]) is None


def test_an_interval_stays_within_0_and_100(all_results: list[ModelResults]) -> None:
    scores = [replace(all_results[0].scores[0], value=value) for value in (0.1, 0.9)]
    table = seeds_table(
        [replace(one, scores=[own]) for one, own in zip(all_results, scores, strict=False)]
    )
    assert table is not None
    assert table.rows[0][4] == "0.00-100.00"


def test_ways(all_results: list[ModelResults]) -> None:
    table = ways_table(all_results[:3])
    assert table.headings[1:] == [
        ">a, test", ">a, training", ">b, test", ">b, training", ">pixels, test", ">chance",
    ]  # fmt: skip
    assert [row[0] for row in table.rows] == [str(way) for way in range(1, 7)]
    expected = [
        score(model_results, f"way_curve_{name}_04").percent
        for model_results in all_results[:3]
        for name in ("test", "train")
    ]
    assert table.rows[3] == ("4", *expected[:5], "25.00")


def test_alphabets(all_results: list[ModelResults]) -> None:
    table = alphabets_table(all_results[:3])
    (row,) = table.rows  # one test alphabet
    assert row[0] == "AlphabetD"
    assert row[1] == score(all_results[0], "within_alphabet").percent
    assert "5-way" in table.title


def test_paired_rows() -> None:
    table = paired_table(
        [
            PairedTest("a", "b", "lake_runs", 400, 30, 10, 0.00221),
            PairedTest("a", "c", "x", 9, 9, 0, 1e-9),
        ]
    )
    assert table.rows == [
        ("lake_runs", "a - b", "+5.00", "30 : 10", "400", "0.0022"),
        ("x", "a - c", "+100.00", "9 : 0", "9", "< 0.0001"),
    ]


def test_5_way_scores_on_other_data_stand_beside_mnist_alone(with_mnist: TaskProvider) -> None:
    model_results = evaluate_model(chance(), with_mnist, COMPUTE)
    (table,) = published_tables([model_results])
    assert table.key == "published_mnist_10way"
    assert "here: chance, MNIST 10-way" in [row[0] for row in table.rows]
    assert any(row[1] == "70.3" for row in table.rows)


@pytest.mark.parametrize("within", [False, True])
def test_pairs_within_one_alphabet_say_so(task_provider: TaskProvider, within: bool) -> None:
    task_provider.config = replace(CONFIG, pairs_within_alphabet=within)
    verification = score(evaluate_model(pixels(), task_provider, COMPUTE), "verification")
    assert ("different pairs within one alphabet" in verification.protocol) is within


def test_confused_classes(all_results: list[ModelResults]) -> None:
    model_results = all_results[0]
    for results in model_results.confused_lists:
        table = confusions_table(model_results, results, count=3)
        found = confusions(results, model_results.dataset.classes)
        names = model_results.dataset.class_names
        assert results.task.title in table.title
        assert len(table.rows) == min(3, len(found))
        total = 0
        for row, one in zip(table.rows, found, strict=False):
            total += one.times
            share = total / (results.n - results.correct)
            assert row[:4] == (names[one.first], names[one.second], str(one.times), str(one.n))
            assert row[4] == f"{100 * share:.1f}"
