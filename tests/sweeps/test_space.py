"""Hydra's ranges as Optuna and as W&B know them."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from siamese_oneshot.sweeps.search import space_of, wandb_parameters, written
from siamese_oneshot.utils.errors import UserError


def space(*texts: str):
    return space_of(OverridesParser.create().parse_overrides([*texts]))


@pytest.mark.parametrize(
    ("text", "expected", "wandb"),
    [
        (
            "interval(0,1)",
            FloatDistribution(0.0, 1.0),
            {"distribution": "uniform", "min": 0.0, "max": 1.0},
        ),
        (
            "tag(log,interval(1e-4,1e-1))",
            FloatDistribution(1e-4, 1e-1, log=True),
            {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        ),
        (
            "int(interval(1,8))",
            IntDistribution(1, 8),
            {"distribution": "int_uniform", "min": 1, "max": 8},
        ),
        (
            "range(16,257,16)",
            IntDistribution(16, 256, step=16),
            {"distribution": "q_uniform", "min": 16, "max": 256, "q": 16},
        ),
        (
            "range(5,26,10)",
            IntDistribution(5, 25, step=10),
            {"values": [5, 15, 25]},
        ),
        (
            "range(3,21)",
            IntDistribution(3, 20),
            {"distribution": "int_uniform", "min": 3, "max": 20},
        ),
        (
            "tag(log,int(interval(1,100)))",
            IntDistribution(1, 100, log=True),
            {"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 1},
        ),
        (
            "range(0.5,2.0,0.5)",
            FloatDistribution(0.5, 1.5, step=0.5),
            {"distribution": "q_uniform", "min": 0.5, "max": 1.5, "q": 0.5},
        ),
        (
            "a,null,true,yes,'1',[3,3]",
            CategoricalDistribution(["a", "null", "True", "yes", "'1'", "[3,3]"]),
            {"values": ["a", "null", True, "yes", "'1'", "[3,3]"]},
        ),
        (
            "choice(0.99,1e-3,1e-5)",
            CategoricalDistribution(["0.99", "0.001", "1e-05"]),
            {"values": [0.99, 0.001, 1e-5]},
        ),
    ],
)
def test_each_kind_of_range(text: str, expected, wandb) -> None:
    found = space(f"optimizer.lr={text}", "seed=1")
    assert found == {"optimizer.lr": expected}
    assert wandb_parameters(found) == {"optimizer.lr": wandb}


def test_a_grid_lists_every_value_of_a_range() -> None:
    found = wandb_parameters(space("a=range(3,6)", "b=range(0.5,2.0,0.5)", "c=x,y"), grid=True)
    assert found == {
        "a": {"values": [3, 4, 5]}, "b": {"values": [0.5, 1.0, 1.5]}, "c": {"values": ["x", "y"]},
    }  # fmt: skip
    with pytest.raises(UserError, match=r"^new: .*add \+sweep=search"):
        wandb_parameters(space("+new=interval(0,1)"), grid=True)


def test_an_added_key_keeps_its_plus() -> None:
    assert list(space("+new=1,2")) == ["+new"]
    assert written({"+new": "1", "a.b": 0.25}) == ["+new=1", "a.b=0.25"]


def test_an_impossible_range_is_named() -> None:
    with pytest.raises(UserError, match="a=tag"):
        space("a=tag(log,interval(0,1))")
