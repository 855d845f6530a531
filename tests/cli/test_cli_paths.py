from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from siamese_oneshot.cli.overrides import unquoted, with_paths
from siamese_oneshot.utils.text import quoted

NAMES = ["a b", "β (x)", "a=1,b=[2]", "it's", 'say "hi"', "c:\\d", "${x}", "1_lr=0.1,seed=2", "~x"]


@pytest.mark.parametrize("name", NAMES)
def test_hydra_reads_a_typed_path_back(name: str) -> None:
    if name != "${x}":
        (argument,) = with_paths([f"query={name}"], ["query"])
        (override,) = OverridesParser.create().parse_overrides([argument])
        assert (override.key_or_group, override.value()) == ("query", name)
    assert unquoted(quoted(name)) == name


def test_bare_words_become_a_list() -> None:
    line = with_paths(["pretrained", "pictures=false", "a run/x"], ["run"], "run")
    assert line[1:] == ["pictures=false"]
    (override,) = OverridesParser.create().parse_overrides(line[:1])
    assert override.value() == ["pretrained", "a run/x"]


def test_a_folder_named_like_an_override_is_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0_seed=0").mkdir()
    assert with_paths(["0_seed=0", "split=koch"], ["run"], "run") == [
        "run=['0_seed=0']",
        "split=koch",
    ]


def test_what_is_too_long_for_a_file_is_an_override() -> None:
    long = f"data.val_alphabets=[{','.join(['Alphabet_of_the_Magi'] * 15)}]"
    assert with_paths([long, "pretrained"], ["run"], "run") == [long, "run=['pretrained']"]
    root = "data.root=" + ",".join(["omniglot"] * 40)
    assert with_paths([root], ["data.root"], sweeps=True) == [root]


def test_what_is_hydras_is_left_alone() -> None:
    line = ["run=[a,b]", "out=null", "run=false", "--help", "+x=1", "~y", "-m", "seed=0,1"]
    assert with_paths(line, ["run", "out"], "run") == line


def test_quotes_that_were_typed_are_not_doubled() -> None:
    assert with_paths(["run='a b'"], ["run"]) == with_paths(["run=a b"], ["run"]) == ["run='a b'"]


@pytest.mark.parametrize("flag", ["--cfg", "-c"])
def test_the_value_of_a_flag_is_no_word(flag: str) -> None:
    """And the list stands among the other overrides, which Hydra wants side by side."""
    line = with_paths(["pretrained", "views=4", flag, "job"], ["run"], "run")
    assert line == ["run=['pretrained']", "views=4", flag, "job"]
    line = with_paths([flag, "job", "views=4", "pretrained", "dense"], ["run"], "run")
    assert line == [flag, "job", "views=4", "run=['pretrained','dense']"]


@pytest.mark.parametrize("root", ["/data/omniglot", "one,two", "null", "[a,b]", "x-1_2+3"])
def test_what_hydra_reads_is_left_to_it_where_values_are_swept(root: str) -> None:
    assert with_paths([f"data.root={root}"], ["data.root"], sweeps=True) == [f"data.root={root}"]


@pytest.mark.parametrize("root", ["~/omniglot", "my images", "a=1,b", "β"])
def test_what_hydra_cannot_read_is_quoted_where_values_are_swept(root: str) -> None:
    (argument,) = with_paths([f"data.root={root}"], ["data.root"], sweeps=True)
    (override,) = OverridesParser.create().parse_overrides([argument])
    assert override.value() == root
    assert not override.is_sweep_override()


def test_a_folder_with_a_comma_is_one_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one,two").mkdir()
    (argument,) = with_paths(["data.root=one,two"], ["data.root"], sweeps=True)
    assert argument == "data.root='one,two'"
