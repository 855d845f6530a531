"""Whatever is typed: settings are taken as they are or refused, and paths come back unchanged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from siamese_oneshot.cli.overrides import unquoted, with_paths
from siamese_oneshot.models.siamese import per_layer
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import quoted

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=200),
    st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
# What a command line can hold: no null byte, and bytes that are no text as Python keeps them.
TYPED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@given(ANYTHING)
def test_a_setting_is_taken_as_it_is_or_named(value: Any) -> None:
    checks = {
        "number": lambda: check.number("a.b", value, 0, 10),
        "fraction": lambda: check.fraction("a.b", value),
        "integer": lambda: check.integer("a.b", value, 1),
        "integers": lambda: check.integers("a.b", value, 1),
        "numbers": lambda: check.numbers("a.b", value, 2, 0, below=1),
        "boolean": lambda: check.boolean("a.b", value),
        "choice": lambda: check.choice("a.b", value, ("x", None)),
    }
    for ask in checks.values():
        try:
            assert ask() == value
        except UserError as refused:
            first = str(refused)
            assert first.startswith("a.b=")
            assert ": it must be " in first
            assert len(first) < 250


@given(st.one_of(st.booleans(), st.text(), st.none(), st.just(math.nan), st.just(math.inf)))
def test_what_is_no_number_is_never_one(value: Any) -> None:
    for ask in (check.number, check.integer, check.fraction):
        with pytest.raises(ValueError, match="must be"):
            ask("key", value)


@given(st.dictionaries(st.sampled_from(["conv1", "conv2", "dense", "default", "x"]), ANYTHING))
def test_settings_a_layer(setting: dict[str, Any]) -> None:
    layers = ["conv1", "conv2", "dense"]
    try:
        found = per_layer("lr", setting, layers)
    except UserError as refused:
        said = str(refused)
    else:
        said = ""
    if said:
        assert said.startswith("lr")
        return
    assert found == {name: setting.get(name, setting.get("default")) for name in layers}
    assert "x" not in setting


@given(TYPED)
def test_a_path_is_read_back_as_it_was_typed(text: str) -> None:
    read = OverridesParser.create().parse_overrides([f"out={quoted(text)}"])[0].value()
    assert read == text
    (line,) = with_paths([f"out={text}"], ["out"])
    if line.startswith("out='"):
        found = OverridesParser.create().parse_overrides([line])[0].value()
        assert found == unquoted(text)
