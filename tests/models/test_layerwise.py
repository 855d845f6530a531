from __future__ import annotations

import pytest

from siamese_oneshot.models.per_layer import by_layer
from siamese_oneshot.utils.errors import UserError

LAYERS = ["conv1", "conv2", "dense", "output"]


def test_one_number_for_all() -> None:
    assert by_layer(3, LAYERS, "optimizer.lr") == dict.fromkeys(LAYERS, 3.0)


def test_a_mapping_with_and_without_default() -> None:
    every = {"conv1": 1.0, "conv2": 2.0, "dense": 3.0, "output": 4.0}
    assert by_layer(every, LAYERS, "optimizer.lr") == every
    mixed = by_layer({"default": 9, "dense": 0}, LAYERS, "optimizer.lr")
    assert mixed == {"conv1": 9.0, "conv2": 9.0, "dense": 0.0, "output": 9.0}
    assert list(mixed) == LAYERS


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("cnov2", "conv2"), ("dens", "dense"), ("ouptut", "output"), ("Conv1", "conv1")],
)
def test_a_misspelt_layer_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"^optim\.lr\.{wrong}: .*Did you mean {near}\?"):
        by_layer({"default": 1.0, wrong: 2.0}, LAYERS, "optimizer.lr")


def test_a_layer_without_a_number() -> None:
    with pytest.raises(UserError, match=r"loss\.l2 .*conv2, output"):
        by_layer({"conv1": 1.0, "dense": 2.0}, LAYERS, "loss.l2")


def test_a_layer_that_is_no_text_is_refused_like_any_other() -> None:
    with pytest.raises(UserError, match=r"^optim\.lr\.1: no such layer"):
        by_layer({1: 0.1}, LAYERS, "optimizer.lr")  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_numbers_that_make_no_sense(value: float) -> None:
    with pytest.raises(UserError, match=r"optim\.lr\.dense="):
        by_layer({"default": 1.0, "dense": value}, LAYERS, "optimizer.lr")
    with pytest.raises(UserError, match=r"optim\.lr="):
        by_layer(value, LAYERS, "optimizer.lr")
