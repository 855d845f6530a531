"""The space of a search: Hydra's ranges for Optuna and W&B, feasible shapes, and the split."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.sweeps.driver import split_that_trains_on_validation
from siamese_oneshot.sweeps.search import check_search_split, space_of, why_infeasible, written
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.wandb_sweep import wandb_parameters


def space(*texts: str):
    return space_of(OverridesParser.create().parse_overrides([*texts]))


@pytest.mark.parametrize(
    ("text", "expected", "wandb"),
    [
        ("interval(0,1)", FloatDistribution(0.0, 1.0), ["uniform", 0.0, 1.0]),
        (
            "tag(log,interval(1e-4,1e-1))",
            FloatDistribution(1e-4, 1e-1, log=True),
            ["log_uniform_values", 1e-4, 1e-1],
        ),
        ("int(interval(1,8))", IntDistribution(1, 8), ["int_uniform", 1, 8]),
        ("range(16,257,16)", IntDistribution(16, 256, step=16), ["q_uniform", 16, 256, 16]),
        ("range(5,26,10)", IntDistribution(5, 25, step=10), {"values": [5, 15, 25]}),
        ("range(3,21)", IntDistribution(3, 20), ["int_uniform", 3, 20]),
        (
            "tag(log,int(interval(1,100)))",
            IntDistribution(1, 100, log=True),
            ["q_log_uniform_values", 1, 100, 1],
        ),
        (
            "range(0.5,2.0,0.5)",
            FloatDistribution(0.5, 1.5, step=0.5),
            ["q_uniform", 0.5, 1.5, 0.5],
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
    distributions = space(f"optimizer.lr={text}", "seed=1")
    assert distributions == {"optimizer.lr": expected}
    if isinstance(wandb, list):
        wandb = dict(zip(("distribution", "min", "max", "q"), wandb, strict=False))
    assert wandb_parameters(distributions) == {"optimizer.lr": wandb}


def test_a_grid_lists_every_value_of_a_range() -> None:
    parameters = wandb_parameters(space("a=range(3,6)", "b=range(0.5,2.0,0.5)", "c=x,y"), grid=True)
    assert parameters == {
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


def of(source: str, split: str) -> DictConfig:
    return OmegaConf.create({"data": {"source": source, "split": split}})


@pytest.mark.parametrize(
    ("split", "instead"), [("background", "lake"), ("minimal1", "small1"), ("minimal2", "small2")]
)
def test_a_split_that_trains_on_its_validation_is_refused(split: str, instead: str) -> None:
    assert split_that_trains_on_validation(of("omniglot", split)) == split
    with pytest.raises(UserError, match=f"data.split={split} .*search with data.split={instead}"):
        check_search_split(of("omniglot", split))


@pytest.mark.parametrize("cfg", [of("omniglot", "lake"), of("synthetic", "background")])
def test_other_data_may_be_searched(cfg: DictConfig) -> None:
    """Only Omniglot is divided by a split of that name."""
    assert split_that_trains_on_validation(cfg) is None
    check_search_split(cfg)


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", ["+experiment=paper", *overrides])


def test_the_papers_network_is_feasible() -> None:
    assert why_infeasible(composed()) is None
    assert torch.empty(1).device.type == "cpu", "the default device is as it was"


def test_a_process_can_train_after_a_check() -> None:
    """No module may keep tensors on the meta device."""
    script = """
        import torch
        from hydra import compose, initialize_config_dir
        from hydra.utils import instantiate
        from siamese_oneshot.cli import conf_dir
        from siamese_oneshot.sweeps.search import why_infeasible

        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("config", ["model=conv4_small"])
        assert why_infeasible(cfg) is None
        from siamese_oneshot.models.convolution import fourier_conv2d

        images, kernels = torch.rand(2, 3, 9, 9), torch.rand(4, 3, 3, 3)
        plain = torch.nn.functional.conv2d(images, kernels)
        torch.testing.assert_close(fourier_conv2d(images, kernels, None, 0), plain)
        assert instantiate(cfg.model.encoder)()(torch.rand(1, 1, 52, 52)).device.type == "cpu"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


@pytest.mark.parametrize(
    ("kernels", "layer"),
    [("[20,20,20,20]", "conv3"), ("[10,7,4,10]", "conv4"), ("[106,3,3,3]", "conv1")],
)
def test_kernels_that_do_not_fit_are_named(kernels: str, layer: str) -> None:
    """By hand: 105 → 86/2 = 43 → 24/2 = 12 < 20; 105 → 48 → 21 → 9 < 10."""
    assert layer in (why_infeasible(composed(f"model.encoder.kernels={kernels}")) or "")


def test_another_error_is_not_hidden() -> None:
    with pytest.raises(Exception, match="no_such_setting"):
        why_infeasible(composed("+model.encoder.no_such_setting=1"))
