"""Values as they are read, compared and shown."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from siamese_oneshot.reports.value import (
    cut,
    identity,
    numeric,
    of_plain,
    of_text,
    shown,
    uncalled,
    wide,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("12", 12),
        ("-3.5", -3.5),
        ("True", True),
        ("null", None),
        ("'a, b'", "a, b"),
        ("[64, 64]", "[64,64]"),
        ("nan", "nan"),
        ("adamw", "adamw"),
    ],
)
def test_text(text: str, value: object) -> None:
    assert identity(of_text(text)) == identity(value)


def test_a_list_is_the_same_from_text_and_from_a_configuration() -> None:
    assert of_plain([64, 64.0, None, [True]]) == of_text("[64, 64, null, [true]]")
    assert of_plain(float("inf")) == "inf"


def test_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUE_SECRET", "hunter2")
    written = {
        "a": "${oc.env:VALUE_SECRET}",
        "b": ["x ${oc.env:VALUE_SECRET} ${c}", "${a}", "${c}"],
        "c": 5,
        "d": r"\${oc.env:VALUE_SECRET}",
        "e": {"f": "${oc.env:${g}}", "h": "12:30 at ${c}"},
        "g": "VALUE_SECRET",
    }
    found = OmegaConf.to_container(OmegaConf.create(uncalled(written)), resolve=True)
    assert found == {**written, "b": [written["b"][0], written["a"], 5]}


def test_identity_and_kinds() -> None:
    assert identity(1) == identity(1.0)
    assert identity(1) != identity(True)
    assert numeric([1, 2.5])
    assert not numeric([1, True])
    assert not numeric([1, "a"])
    assert wide([0.001, 0.1])
    assert not wide([0.001, 0.09])
    assert not wide([0, 100])


def test_shown() -> None:
    texts = [shown(value) for value in (0.000123456, True, None, 4096, 0.5)]
    assert texts == ["0.0001235", "true", "null", "4096", "0.5"]
    assert cut("abcdefghij", 10) == "abcdefghij"
    assert cut("abcdefghijk", 10) == "abcde…hijk"
