"""Errors that a user can correct name the configuration key, or what the machine refused."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli.explain import explain, explain_machine
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError, UserError


class Augmentation:
    """As in data.augmentation: two nodes have this target."""

    def __init__(self, scale: Any, rate: Any = 0.1) -> None:
        self.scale = check.numbers("scale", scale, 2)
        self.rate = rate

    def apply(self) -> None:
        check.number("rate", self.rate, 0)


def optimizer(parameters: list[int], lr: Any, seed: int = 0) -> None:
    for layer, rate in lr.items():
        check.number(f"lr.{layer}", rate, 0)
    check.seed("seed", seed)


def network(encoder: Any, seed: int) -> None:
    encoder()


class Encoder:
    def __init__(self, pool_sizes: Any, width: int = 1) -> None:
        check.integers("pool_sizes", pool_sizes, 1)
        if width > 9:
            raise UserError(f"a width of {width} does not fit")
        check.integer("depth", width, 1)


def tree(**changes: Any) -> DictConfig:
    cfg = OmegaConf.create(
        {
            "sampler": {
                "alphabet_augmentation": {"_target_": f"{__name__}.Augmentation", "scale": [1, 2]},
                "augmentation": {"_target_": f"{__name__}.Augmentation", "scale": [1, 2]},
            },
            "optimizer": {"lr": {"conv1": 0.1}, "_target_": f"{__name__}.optimizer"},
            "loss": {"l2": {"conv1": 0.1}},
            "model": {
                "_target_": f"{__name__}.network",
                "encoder": {"_target_": f"{__name__}.Encoder", "pool_sizes": [1], "width": 1},
                "seed": 3,
            },
            "data": {"eval": {"way": 5, "seed": 1}, "synthetic": {"seed": 2}},
            "seed": 0,
        }
    )
    cfg.optimizer._partial_ = cfg.model.encoder._partial_ = True
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value)
    return cfg


def explained(cfg: DictConfig, task: Any) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        task()
    message = explain(raised.value, cfg)
    assert message is not None
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["augmentation", "alphabet_augmentation"])
def test_an_argument_is_looked_for_below_the_node_that_was_built(name: str) -> None:
    cfg = tree(**{f"sampler.{name}.scale": 3})
    message = explained(cfg, lambda: instantiate(cfg.sampler))
    assert message.startswith(f"sampler.{name}.scale=3: it must be a list")


def test_an_error_of_a_built_object_is_traced_to_its_node_by_its_value() -> None:
    cfg = tree()
    cfg.sampler.augmentation.rate, cfg.sampler.alphabet_augmentation.rate = -1, 0.5
    built = instantiate(cfg.sampler)
    message = explained(cfg, built.augmentation.apply)
    assert message.startswith("sampler.augmentation.rate=-1: ")


def test_a_partial_target_that_is_called_later_is_recognized() -> None:
    cfg = tree(**{"optimizer.lr.conv1": -1})
    message = explained(cfg, lambda: instantiate(cfg.optimizer)([1]))
    assert message.startswith("optimizer.lr.conv1=-1: ")
    cfg = tree(**{"model.encoder.pool_sizes": [0]})
    assert explained(cfg, lambda: instantiate(cfg.model)).startswith("model.encoder.pool_sizes=[0]")
    cfg = tree(**{"model.encoder.width": 0})  # it refuses an argument that is no setting
    assert explained(cfg, lambda: instantiate(cfg.model)).startswith("model: depth=0: ")


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (ArgumentError("l2.conv1", 0.1, "x"), "loss.l2.conv1"),
        (ArgumentError("l2.conv9", 0.1, "x"), "loss.l2.conv9"),
        (ArgumentError("way", 5, "x"), "data.eval.way"),
        (ArgumentError("seed", 7, "x"), "seed"),  # the shortest
        (ArgumentError("seed", 2, "x"), "data.synthetic.seed"),  # the one with that value
        (ArgumentError("wa", 5, "x"), "wa"),
    ],
)
def test_an_error_of_no_node_is_found_in_the_whole_configuration(
    error: ArgumentError, key: str
) -> None:
    assert explain(error, tree()) == f"{key}={error.value}: it must be x"


@pytest.mark.parametrize("reference", ["${model.encoder.width}", "${..encoder.width}"])
def test_an_interpolated_argument_is_named_by_the_key_that_it_reads(reference: str) -> None:
    cfg = tree(**{"model.similarity.global_dim": reference, "data.size": "${data.eval.side}"})
    error = ArgumentError("global_dim", 1, "x")
    assert explain(error, cfg) == "model.encoder.width=1: it must be x"
    OmegaConf.update(cfg, "data.eval.side", "${.way}")
    assert explain(ArgumentError("size", 5, "x"), cfg) == "data.eval.way=5: it must be x"
    OmegaConf.update(cfg, "model.similarity.global_dim", 1)
    assert explain(error, cfg) == "model.similarity.global_dim=1: it must be x"


def test_other_user_errors_name_the_node_that_was_built() -> None:
    cfg = tree(**{"model.encoder.width": 10})
    message = explained(cfg, lambda: instantiate(cfg.model))
    assert message == "model: a width of 10 does not fit"
    assert explain(UserError("no data"), cfg) == "no data"


def test_a_sweepers_argument_is_named_without_a_configuration() -> None:
    cfg = tree(**{"sampler.augmentation.scale": 3})
    message = explained(None, partial(instantiate, cfg.sampler))  # type: ignore[arg-type]
    assert message.startswith("sampler.augmentation.scale=3")


# --- the machine


def refused(number: int, remedy: str) -> tuple[Exception, str]:
    reason = os.strerror(number)
    return OSError(number, reason, "a/b.png"), f"a/b.png: {reason}; {remedy}"


NO_MEMORY = "there is not enough memory: use a smaller batch"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        refused(errno.ENOSPC, "free some space"),
        refused(errno.EACCES, "look at that path and its permissions"),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "No usable temporary directory found in ['/tmp']; set TMPDIR to a folder",
        ),
        refused(errno.EROFS, "choose a folder on another disk"),
        (MemoryError(), NO_MEMORY),
        (
            RuntimeError("[enforce fail] CPUAllocator: can't allocate memory:\nfoo"),
            NO_MEMORY,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), NO_MEMORY),
    ],
)
def test_what_the_machine_refuses_is_said_with_a_remedy(error: Exception, says: str) -> None:
    hidden = RuntimeError("x")
    hidden.__cause__ = error
    message = explain_machine(hidden)
    assert message is not None
    assert message.startswith(says)
    assert "\n" not in message


def test_a_path_to_the_folder_of_no_user_is_said() -> None:
    with pytest.raises(RuntimeError) as caught:
        Path("~nobody there/x").expanduser()
    assert "~ and the name of no user" in (explain_machine(caught.value) or "")


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), ConnectionRefusedError(111, "x")])
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explain_machine(error) is None
    assert explain(error, tree()) is None
