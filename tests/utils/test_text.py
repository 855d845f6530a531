"""Hints for messages, and the spelling of overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_oneshot.utils.text import (
    bare_key,
    did_you_mean,
    duration,
    folder_name,
    near,
    short_keys,
    shorten,
    some_of,
)


def test_the_most_similar_choice_is_offered() -> None:
    assert did_you_mean("denze", ["conv1", "dense", "output"]) == " Did you mean dense?"
    assert did_you_mean("xyz", ["conv1", "dense"]) == ""
    assert did_you_mean("xyz", ["conv1", "dense"], cutoff=0.0) != ""
    assert did_you_mean(3, []) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.16, "0.2 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"),
        (60, "1 min"), (2926, "48 min 46 s"), (3600, "1 h"), (7500, "2 h 5 min"),
        (7199.9, "2 h"), (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_paths_below_the_working_directory_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "a" / "b") == "a/b"
    assert near(tmp_path.parent) == str(tmp_path.parent)


def test_the_first_of_many_are_named() -> None:
    assert some_of(["a", 2], 2) == "a; 2"
    assert some_of(list("abc") * 1000, 1, ", ") == "a, and 2,999 more"


@pytest.mark.parametrize(
    "text", ["optimizer.lr=1", "+optimizer.lr=a=b", "++optimizer.lr=1", "~optimizer.lr"]
)
def test_the_bare_key(text: str) -> None:
    assert bare_key(text) == "optimizer.lr"


@pytest.mark.parametrize(
    ("keys", "short"),
    [
        (["a.conv1.kernel", "a.conv2.kernel", "a.dim"], ["conv1.kernel", "conv2.kernel", "dim"]),
        (["optimizer.lr", "lr", "dim2"], ["optimizer.lr", "lr", "dim2"]),
        (["data.synthetic.seed", "seed"], ["synthetic.seed", "seed"]),
        (["data.eval.seed"], ["eval.seed"]),
    ],
)
def test_short_keys_are_as_long_as_it_takes(keys: list[str], short: list[str]) -> None:
    assert short_keys(keys) == dict(zip(keys, short, strict=True))


def test_different_overrides_never_share_a_folder() -> None:
    texts = [["a=1/2"], ["a=1-2"], ["a=1 2"], ["a=" + "x" * 200], ["a=" + "x" * 201], ["a='1'"]]
    names = [folder_name(text) for text in texts]
    assert len(set(names)) == len(names)
    assert all(len(name) < 120 and "/" not in name for name in names)


def test_shortened_in_the_middle() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcde…hijk"
