"""Published accuracies, and which of our scores stand beside them."""

from __future__ import annotations

import pytest

from siamese_oneshot.data.splits import RULES
from siamese_oneshot.evaluation.published import (
    PROTOCOLS,
    comparison,
    comparison_table,
    published,
    reference,
)
from siamese_oneshot.evaluation.scores import Score

KOCH, LAKE = "Koch et al. 2015", "Lake et al. 2019"
WITHIN, CROSS, MNIST = "within_alphabet_20way", "cross_alphabet_20way", "mnist_10way"


@pytest.mark.parametrize(
    ("method", "source", "protocol", "value"),
    [
        ("convolutional Siamese net", KOCH, WITHIN, 92.0),
        ("fully connected Siamese net", KOCH, WITHIN, 58.3),
        ("convolutional Siamese net", KOCH, MNIST, 70.3),
        ("humans", LAKE, WITHIN, 100 - 4.5),
        ("Bayesian program learning", LAKE, WITHIN, 100 - 3.3),
        ("recursive cortical network", LAKE, WITHIN, 100 - 7.3),
        ("simple convnet", LAKE, WITHIN, 100 - 13.5),
        ("prototypical net", LAKE, WITHIN, 100 - 13.7),
        ("variational homoencoder", LAKE, WITHIN, 100 - 18.7),
        ("attentive recurrent comparators", LAKE, WITHIN, 100 - 1.5),
        ("matching nets", LAKE, CROSS, 100 - 6.2),
        ("prototypical nets", LAKE, CROSS, 100 - 4.0),
        ("modified Hausdorff distance", "the demo of Lake's task", WITHIN, 61.2),
        ("convolutional Siamese net", "a Keras replication of 2019", CROSS, 81.0),
        ("convolutional Siamese net of Koch et al.", "Vinyals et al. 2016", CROSS, 88.1),
        ("MAML", "MAML, Finn et al. 2017", CROSS, 95.8),
        ("SSN", "SSN, 2022", CROSS, 97.81),
        ("DooD", "DooD, 2022", WITHIN, 73.5),
        ("relation nets", "Sung et al. 2018", "rotated_20way_1shot", 97.6),
        ("prototypical nets", "Snell et al. 2017", "rotated_5way_5shot", 99.7),
        ("matching nets", "Vinyals et al. 2016", "rotated_5way_1shot", 98.1),
        ("MAML", "MAML, Finn et al. 2017", "rotated_20way_5shot", 98.9),
        ("generative neuro-symbolic model (GNS)", "Feinman & Lake 2020", WITHIN, 94.3),
    ],
)
def test_values(method: str, source: str, protocol: str, value: float) -> None:
    rows = [one for one in published(protocol) if (one.method, one.source) == (method, source)]
    assert value in [pytest.approx(one.value) for one in rows]


def test_remarks_that_a_comparison_needs() -> None:
    notes = {(one.source, one.method): one.note for one in published()}
    keras = notes["a Keras replication of 2019", "convolutional Siamese net"]
    assert "81 on average over 1 to 21 ways, 78 to 80 near 20-way" in keras
    assert "cosine similarity" in next(one.note for one in published(WITHIN) if one.value == 21.7)
    (attention,) = [one for one in published(WITHIN) if one.value == 100]
    assert "protocol not seen" in attention.note
    assert "prior work on comparing locations by cross-attention" in attention.note
    assert "quoted at second hand" in attention.note


def test_verification_by_training_size_and_minimal_background() -> None:
    values = [one.value for one in published("verification")]
    assert values == [90.61, 91.90, 91.54, 93.15, 91.63, 93.42]
    small = [one for one in published(WITHIN) if one.split == "small1"]
    assert [one.value for one in small] == [95.8, 76.8, 69.9]
    assert not any(one.uncertain for one in small)
    assert all("5 background" in one.trained_on for one in small)


def test_every_row_has_a_source_and_training_data() -> None:
    rows = published()
    assert len(rows) == len({(one.method, one.source, one.protocol, one.split) for one in rows})
    assert {one.protocol for one in rows} == set(PROTOCOLS)
    for one in rows:
        assert 0 < one.value <= 100
        assert one.source.strip()
        assert one.source in one.note
        assert one.trained_on.strip()
        assert one.split in {*RULES, "none", "other"}


def test_references() -> None:
    assert reference(WITHIN, "koch2015").value == 92.0
    assert reference("verification", "koch2015").value == 93.42
    assert reference(WITHIN, "humans").value == 95.5


def test_scores_stand_beside_the_protocol_that_they_follow_and_no_other() -> None:
    def score(key: str, correct: int, follows: str | None) -> Score:
        return Score.from_counts(
            key, "test", key, "how", correct, 400, "d", comparable_with=follows
        )

    scores = [
        score("koch_protocol", 390, WITHIN),
        score("within_alphabet", 391, None),
        score("assigned_lake_runs", 392, None),
    ]
    tables = comparison([("mine", "25 alphabets", scores)])
    assert list(tables) == [WITHIN]
    rows = tables[WITHIN]
    assert [row.method for row in rows if row.ours] == ["here: mine, koch_protocol"]
    last = sum(one.uncertain for one in published(WITHIN))  # quoted at second hand
    for part in rows[:-last], rows[-last:]:
        assert [row.value for row in part] == sorted((row.value for row in part), reverse=True)
    assert all("second hand" in row.note for row in rows[-last:])
    assert len(rows) == len(published(WITHIN)) + 1
    table = comparison_table(WITHIN, rows)
    assert (table.title, table.key) == (PROTOCOLS[WITHIN], "published_within_alphabet_20way")
    low, high = 100 * scores[0].low, 100 * scores[0].high
    mine = ("here: mine, koch_protocol", f"97.50 ({low:.1f}-{high:.1f})", "400", "25 alphabets")
    assert mine in [row[:4] for row in table.rows]
    assert ("convolutional Siamese net", "92.0", "400") in [row[:3] for row in table.rows]
