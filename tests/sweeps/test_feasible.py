"""Shapes that cannot be built are found without building them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.sweeps.search import why_infeasible


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", ["+experiment=paper", *overrides])


def test_the_papers_network_is_feasible() -> None:
    assert why_infeasible(composed()) is None
    assert torch.empty(1).device.type == "cpu", "the default device is as it was"


def test_a_process_that_has_asked_can_train() -> None:
    """Nothing that is imported on the way may stay on the device without numbers."""
    script = """
        import torch
        from hydra import compose, initialize_config_dir
        from hydra.utils import instantiate
        from siamese_oneshot.cli import conf_dir
        from siamese_oneshot.sweeps.search import why_infeasible

        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("config", ["model=conv4_small"])
        assert why_infeasible(cfg) is None
        from siamese_oneshot.models.fourier import fourier_conv2d

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
