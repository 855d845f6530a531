"""Settings without Hydra give what Hydra gives."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import siamese_oneshot
from siamese_oneshot.utils import config
from siamese_oneshot.utils.config import (
    conf_dir,
    describe,
    group_defaults,
    group_options,
    instantiate_plain,
    is_trusted,
    targets,
)
from siamese_oneshot.utils.errors import ArgumentError

LOSS = "siamese_oneshot.models.losses.PairBCELoss"
GROUPS = ("model", "loss", "optimizer", "sampler")


def test_conf_is_inside_a_wheel_and_beside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert conf_dir() == Path(siamese_oneshot.__file__).resolve().parent.parent / "conf"
    package = tmp_path / "siamese_oneshot"
    monkeypatch.setattr(config, "__file__", str(package / "utils" / "config.py"))
    assert conf_dir() == tmp_path / "conf"
    (package / "conf").mkdir(parents=True)
    assert conf_dir() == package / "conf"


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_as_hydra_composes_it(group: str) -> None:
    for option in group_options(group):
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("config", [f"{group}={option}"])
        expected = OmegaConf.to_container(cfg[group], resolve=True)
        assert group_defaults(group, option) == expected


def test_changes_are_merged_before_interpolations_are_resolved() -> None:
    changed = group_defaults("model", "cross_attention", {"encoder": {"local_dim": 32}})
    assert changed["encoder"]["local_dim"] == changed["similarity"]["local_dim"] == 32
    assert changed["encoder"]["embedding_dim"] == 2048
    assert group_defaults("model", "cross_attention")["similarity"]["local_dim"] == 64


def test_short_forms() -> None:
    usual = group_defaults("loss", "bce_pairs")
    assert describe("loss", "bce_pairs") == describe("loss", {"name": "bce_pairs"}) == usual
    changed = {**usual, "l2": 1e-4}
    assert describe("loss", "bce_pairs", l2=1e-4) == changed
    assert describe("loss", {"name": "bce_pairs", "l2": 1e-4}) == changed
    own = {"_target_": LOSS, "l2": 0.5}
    assert describe("loss", own) == own


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("bce", "^loss=bce: .*one of bce_all_pairs, bce_pairs"),
        ({"name": "bce"}, "^loss=bce: .*one of bce_all_pairs"),
        ({"l2": 1.0}, "^loss=.*it needs name .*bce_pairs.* or _target_"),
    ],
)
def test_an_unknown_option_lists_the_known_ones(spec: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        describe("loss", spec)  # type: ignore[arg-type]


def test_nested_and_partial_descriptions() -> None:
    description = {
        "_target_": "fractions.Fraction",
        "_convert_": "all",
        "numerator": {"_target_": "builtins.int", "_args_": ["7"]},
        "denominator": 2,
    }
    assert instantiate_plain(description) == 3.5
    later = instantiate_plain({**description, "_partial_": True})
    assert isinstance(later, partial)
    assert later() == 3.5
    assert targets(description) == ["fractions.Fraction", "builtins.int"]
    assert instantiate_plain({"a": [description, 1], "b": "x"}) == {"a": [3.5, 1], "b": "x"}


@pytest.mark.parametrize("name", ["siamese_oneshot.nothing.X", f"{LOSS}es", "X", "a..b"])
def test_a_target_that_does_not_exist(name: str) -> None:
    for trusted in (None, ["siamese_oneshot"]):
        with pytest.raises(ArgumentError, match=rf"^_target_={name}: "):
            instantiate_plain({"_target_": name}, trusted)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "siamese_oneshot.models.losses.torch.hub.load",  # reachable, but not ours
        "siamese_oneshot.models.losses.Tensor",
        "siamese_oneshot.models.losses.F",
        "siamese_oneshot.models_of_others.X",
        "siamese_oneshot.utils.config.instantiate_plain",
    ],
)
def test_what_is_not_trusted_is_neither_called_nor_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_trusted(name)
    with pytest.raises(ArgumentError, match=rf"^_target_={name}: "):
        instantiate_plain({"_target_": LOSS, "l2": [{"_target_": name}]}, config.TRUSTED)
    with pytest.raises(ArgumentError, match="interpolations"):
        instantiate_plain({"_target_": LOSS, "l2": ["${oc.env:HOME}"]}, config.TRUSTED)
    assert is_trusted(LOSS)

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_untrusted.py").write_text("raise SystemExit('imported')")
    assert not is_trusted("my_untrusted.X")
    (tmp_path / "my_trusted.py").write_text("class X:\n    pass\n")
    assert not is_trusted("my_trusted.X")
    assert "my_trusted" not in sys.modules
    assert is_trusted("my_trusted.X", ["my_trusted"])
    assert not is_trusted("my_trusted.Y", ["my_trusted"])
    sys.modules.pop("my_trusted")
