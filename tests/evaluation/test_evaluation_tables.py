"""Cells against the results that they show."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import pytest
from eval_models import COMPUTE, CONFIG, chance, mnist_like, network, pixels
from eval_models import PROTOCOLS as LISTS
from rendered import check_fits

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.evaluator import confusions
from siamese_oneshot.evaluation.model_evaluation import ModelResults, TaskProvider, evaluate_model
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest
from siamese_oneshot.evaluation.tables import (
    CORE,
    alphabets_table,
    answer,
    confusions_table,
    paired_table,
    protocols_table,
    published_tables,
    result_tables,
    scores_table,
    seeds_table,
    ways_table,
)


@pytest.fixture(scope="module")
def all_results(dataset: CharacterDataset) -> list[ModelResults]:
    """Two seeds of a network, the pixels, and the pixels on the first 15 episodes."""
    loaded = LoadedData(dataset, None)
    provider = TaskProvider(loaded, mnist_like(), "ratio_60_20_20", None, CONFIG, LISTS)
    models = [network("a", 0), network("b", 1), pixels(), pixels("slow", limit=15)]
    return [evaluate_model(one, provider, COMPUTE, {"half": lambda _: 0.5}) for one in models]


def score(model_results: ModelResults, key: str, split: str = "test") -> Score:
    (found,) = [one for one in model_results.scores if (one.split, one.key) == (split, key)]
    return found


def changed(results: ModelResults, finished: bool = True, **metadata: Any) -> ModelResults:
    """The results of a network with other metadata."""
    trained = results.model.trained
    assert trained is not None
    trained = replace(trained, metadata={**trained.metadata, **metadata})
    return replace(results, model=replace(results.model, trained=trained, finished=finished))


TESTS = [
    PairedTest("a", "b", "lake_runs", 400, 30, 10, 0.00221),
    PairedTest("a", "c", "x", 9, 9, 0, 1e-9),
]


def test_every_table_has_a_key_of_its_own(all_results: list[ModelResults]) -> None:
    keys = ["scores", "seeds", "accuracy_vs_way", "per_alphabet", "confusions_one_shot",
            "confusions_within_alphabet", "reliability", "paired_tests"]  # fmt: skip
    assert [table.key for table in result_tables(all_results, TESTS)] == keys
    assert [table.key for table in result_tables(all_results[1:], [])] == [keys[0], *keys[2:7]]


@pytest.mark.parametrize("models", [slice(1), slice(None), slice(2, None)])
def test_every_table_fits_a_terminal(all_results: list[ModelResults], models: slice) -> None:
    shown = all_results[models]
    _, tables = answer(shown, TESTS)
    for one in [*tables, *result_tables(shown, TESTS), *published_tables(shown)]:
        check_fits(one)


def test_an_answer_is_a_sentence_and_six_rows_with_ours_marked(
    all_results: list[ModelResults],
) -> None:
    sentence, (table,) = answer(all_results[2:])
    within = all_results[2].results["within_alphabet"].score("test")
    assert sentence.startswith(f"pixels: {within.in_words} on within-alphabet 5-way, ")
    assert sentence.endswith(" of synthetic images: no published result is comparable.")
    assert table.headings[1:] == [
        f">{score.name}, n={score.n:,}" for score in all_results[2].scores if score.key in CORE
    ]
    assert [row[0] for row in table.rows] == ["pixels", "slow"]
    lake = Score.from_counts(
        "lake_runs", "test", "Lake's runs", "how", 389, 400, "d",
        comparable_with="within_alphabet_20way",
    )  # fmt: skip
    sentence, (table,) = answer([replace(all_results[0], scores=[lake])])
    assert sentence == (
        "a: 97.25% (95% interval 95.1-98.5) on Lake's runs, 400 episodes: above the paper's 92.0%, "
        "and not distinguishable from humans' 95.5% (95% interval 95.1-98.5 contains 95.5). "
        "The paper is Koch et al. 2015; difference +5.2 points."
    )
    assert len(table.rows) == 6
    assert [row for row in table.rows if row[0]] == [
        ("→", "a, Lake's runs", "97.25", "95.1-98.5", "400", "this evaluation")
    ]
    methods = [row[1] for row in table.rows]
    assert {"humans", "convolutional Siamese net"} < set(methods)
    assert len(set(methods)) == 6
    values = [float(row[2]) for row in table.rows]
    assert values == sorted(values, reverse=True)


def test_several_models_are_answered_by_a_row_each_the_mean_of_seeds_and_tests(
    all_results: list[ModelResults],
) -> None:
    _, (models, tests) = answer(all_results, TESTS)
    keys = [one.key for one in all_results[0].scores if one.key in CORE]
    column = 1 + keys.index("cross_alphabet")
    cells = {row[0]: row[column] for row in models.rows}
    for one in all_results:
        fewer = " n=15" if one.model.name == "slow" else ""
        assert cells.pop(one.model.name) == score(one, "cross_alphabet").percent + fewer
    values = [100 * score(one, "cross_alphabet").value for one in all_results[:2]]
    (mean,) = cells.items()
    assert mean[0] == "mean of 2 seeds: tiny, split ratio_60_20_20"
    assert mean[1].startswith(f"{fmean(values):.2f} (")
    assert tests.rows == paired_table(TESTS[:1]).rows  # of the lists that are shown
    koch, protocol = score(all_results[0], "koch_protocol"), "within_alphabet_20way"
    lake = replace(koch, key="lake_runs", comparable_with=protocol)
    _, (_, models, _) = answer(
        [replace(all_results[0], scores=[*all_results[0].scores, lake]), *all_results[1:]], TESTS
    )
    assert [row[-1] for row in models.rows] == [lake.percent, "-", "-", "-", "-"]


def test_one_model_has_its_protocols_in_full(all_results: list[ModelResults]) -> None:
    table = protocols_table(all_results[0])
    assert table.title == (
        "a, trained on 2 alphabets, tested on synthetic images, split ratio_60_20_20"
    )
    rows = {row[0]: row for row in table.rows}
    for key in ("within_alphabet", "cross_alphabet", "mnist", "open_set", "few_shot_5way_1shot"):
        one = score(all_results[0], key)
        assert rows[one.name] == (one.name, one.percent, f"{one.n:,}", one.protocol)
    verification = score(all_results[0], "verification")
    assert rows[verification.name][3].startswith(f"AUROC {verification.auroc:.4f}, EER ")
    assert rows["half"] == ("half", "0.5", "-", "summary metric")
    assert not any("6-way, test" in name for name in rows)  # way curves have their own table


def test_several_models_stand_side_by_side(all_results: list[ModelResults]) -> None:
    one, two, *others = all_results
    scores = [
        replace(each, digest="other") if each.key == "koch_protocol" else each
        for each in two.scores
    ]
    table = scores_table([one, replace(two, scores=scores), *others])
    assert table.headings == ["task", ">n", ">a", ">b", ">pixels", ">slow"]
    rows = {row[0]: row for row in table.rows}
    cells = [score(each, "cross_alphabet").percent for each in all_results]
    name = score(one, "cross_alphabet").name
    assert rows[name] == (name, "60", *cells[:3], f"{cells[3]} n=15")
    assert rows["test verification, AUROC and EER"][2] == score(one, "verification").auroc_and_eer
    assert rows["half"][2:] == ("0.5",) * 4
    assert {row[0] for row in table.rows if row[3].endswith(" *")} == {
        score(one, "koch_protocol").name
    }
    assert "*: not the list of the first model" in table.note
    assert "typical drawers" not in table.note


def test_that_lakes_runs_are_easier_is_said_beside_them(all_results: list[ModelResults]) -> None:
    lake = replace(score(all_results[0], "koch_protocol"), key="lake_runs")
    two = [replace(one, scores=[*one.scores, lake]) for one in all_results[:2]]
    note = scores_table(two).note
    assert "four typical drawers of each alphabet, characters picked for diversity" in note


def test_seeds_of_one_setting_have_a_mean(all_results: list[ModelResults]) -> None:
    stopped = changed(all_results[1], finished=False, seed=2)
    table = seeds_table([*all_results, replace(stopped, model=replace(stopped.model, name="c"))])
    assert table is not None
    (row,) = [row for row in table.rows if row[1] == score(all_results[0], "cross_alphabet").name]
    values = [100 * score(one, "cross_alphabet").value for one in all_results[:2]]
    assert row[0] == "tiny, split ratio_60_20_20"
    assert row[2:4] == ("2", f"{fmean(values):.2f}")
    assert row[5] == f"{stdev(values):.2f}"
    assert row[6] == ", ".join(f"{value:.2f}" for value in values)
    assert table.note.endswith(" Left out, not finished: c.")
    scores = [replace(all_results[0].scores[0], value=value) for value in (0.1, 0.9)]
    far = [replace(one, scores=[own]) for one, own in zip(all_results, scores, strict=False)]
    table = seeds_table(far)
    assert table is not None
    assert table.rows[0][4] == "0.00-100.00"  # the interval stays within that range


@pytest.mark.parametrize(
    "other",
    [{"seed": 0}, {"overrides": ["optimizer.lr=1"]}, {"data_digest": "x"}, {"finished": False}],
)
def test_a_seed_counts_once_and_other_settings_not_at_all(
    all_results: list[ModelResults], other: dict[str, Any]
) -> None:
    first, second = all_results[:2]
    assert seeds_table([first, changed(second)]) is not None
    assert seeds_table([first, changed(second, **other)]) is None
    assert seeds_table([first, *all_results[2:]]) is None  # one network and baselines


def test_ways_and_alphabets(all_results: list[ModelResults]) -> None:
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
    table = alphabets_table(all_results[:3])
    (row,) = table.rows  # one test alphabet
    assert row[:2] == ("AlphabetD", score(all_results[0], "within_alphabet").percent)
    assert "5-way" in table.title


def test_paired_rows() -> None:
    assert paired_table(TESTS).rows == [
        ("lake_runs", "a - b", "+5.00", "30 : 10", "400", "0.0022"),
        ("x", "a - c", "+100.00", "9 : 0", "9", "< 0.0001"),
    ]


def test_5_way_scores_on_other_data_stand_beside_mnist_alone(with_mnist: TaskProvider) -> None:
    model_results = evaluate_model(chance(), with_mnist, COMPUTE)
    (table,) = published_tables([model_results])
    assert table.key == "published_mnist_10way"
    assert "here: chance, MNIST 10-way" in [row[0] for row in table.rows]
    assert any(row[1] == "70.3" for row in table.rows)


def test_pairs_within_one_alphabet_say_so(task_provider: TaskProvider) -> None:
    task_provider.config = replace(CONFIG, pairs_within_alphabet=True)
    verification = score(evaluate_model(pixels(), task_provider, COMPUTE), "verification")
    assert "different pairs within one alphabet" in verification.protocol


def test_confused_classes(all_results: list[ModelResults]) -> None:
    model_results = all_results[0]
    names = model_results.dataset.class_names
    for results in model_results.confused_lists:
        table = confusions_table(model_results, results, count=3)
        found = confusions(results, model_results.dataset.classes)
        assert results.task.title in table.title
        assert len(table.rows) == min(3, len(found))
        for row, one in zip(table.rows, found, strict=False):
            assert row[:4] == (names[one.first], names[one.second], str(one.times), str(one.n))
            assert row[4] == f"{100 * one.times / one.n:.0f}"
