from __future__ import annotations

import pytest

from siamese_oneshot.data.splits import RULES
from siamese_oneshot.evaluation.published import PROTOCOLS, Published, published


@pytest.mark.parametrize(
    ("who", "source", "protocol", "value"),
    [
        ("convolutional Siamese net", "Koch et al. 2015", "within", 92.0),
        ("fully connected Siamese net", "Koch et al. 2015", "within", 58.3),
        ("convolutional Siamese net", "Koch et al. 2015", "mnist", 70.3),
        ("humans", "Lake et al. 2019", "within", 100 - 4.5),
        ("Bayesian program learning", "Lake et al. 2019", "within", 100 - 3.3),
        ("recursive cortical network", "Lake et al. 2019", "within", 100 - 7.3),
        ("simple convnet", "Lake et al. 2019", "within", 100 - 13.5),
        ("prototypical net", "Lake et al. 2019", "within", 100 - 13.7),
        ("variational homoencoder", "Lake et al. 2019", "within", 100 - 18.7),
        ("attentive recurrent comparators", "Lake et al. 2019", "within", 100 - 1.5),
        ("matching nets", "Lake et al. 2019", "cross_alphabet", 100 - 6.2),
        ("prototypical nets", "Lake et al. 2019", "cross_alphabet", 100 - 4.0),
        ("modified Hausdorff distance", "the official task's demo", "within", 61.2),
        ("the replication", "the 2019 Keras replication", "cross_alphabet", 81.0),
    ],
)
def test_values(who: str, source: str, protocol: str, value: float) -> None:
    found = [one for one in published(protocol) if (one.who, one.source) == (who, source)]
    assert value in [pytest.approx(one.value) for one in found]


def test_the_replications_figure_says_what_it_is_the_mean_of() -> None:
    (one,) = [one for one in published("cross_alphabet") if one.who == "the replication"]
    assert "81 on average over 1 to 21 ways, 78 to 80 near 20-way" in one.note


def test_verification_by_training_size() -> None:
    values = [one.value for one in published("verification")]
    assert values == [90.61, 91.90, 91.54, 93.15, 91.63, 93.42]


def test_minimal_background() -> None:
    small = [one for one in published("within") if one.split == "small1"]
    assert [one.value for one in small] == [95.8, 76.8, 69.9]
    assert [one.uncertain for one in small] == [False, False, True]
    assert "not checked" in small[2].note
    assert all("5 background" in one.trained_on for one in small)


def test_every_row_says_where_it_comes_from_and_what_it_was_trained_on() -> None:
    rows = published()
    assert len(rows) == len({(one.who, one.source, one.protocol, one.split) for one in rows})
    assert {one.protocol for one in rows} == set(PROTOCOLS)
    for one in rows:
        assert one.source in one.note
        assert one.source.strip()
        assert one.trained_on.strip()
        assert one.split in {*RULES, "none", "other"}


@pytest.mark.parametrize(
    ("protocol", "value"), [("within", 0.92 - 1), ("withn", 92), ("mnist", 101)]
)
def test_what_is_no_accuracy(protocol: str, value: float) -> None:
    with pytest.raises(ValueError, match="no accuracy"):
        Published("x", "y", protocol, value, "z", "lake")
