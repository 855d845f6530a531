from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from tiny_siamese import trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from siamese_oneshot.callbacks.ema import EMA


class Probe(pl.LightningModule):
    """Keeps its weights after each step, during validation and at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.steps: list[dict[str, Tensor]] = []
        self.during: list[dict[str, Tensor]] = []
        self.after: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.layer(batch) ** 2).sum() + self.layer[0].weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.during.append(self.weights())

    def on_validation_epoch_end(self) -> None:
        self.after.append(self.weights())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps.append(self.weights())

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.layer.state_dict().items()}


def fit(*callbacks: pl.Callback, precision: Any = "32-true") -> Probe:
    """Two epochs of 8 steps."""
    torch.manual_seed(3)
    probe, rng = Probe(), torch.Generator().manual_seed(0)
    batches: Any = list(torch.randn(8, 4, 2, generator=rng))
    loader: DataLoader[Tensor] = DataLoader(batches, batch_size=None)
    trainer(callbacks, precision=precision).fit(probe, loader, loader)
    assert len(probe.steps) == 16
    return probe


def slow_average(steps: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """The first weights, of which step n keeps a share of (1 + n) / (10 + n), up to the decay."""
    average = {name: value.double() for name, value in steps[0].items()}
    for n, weights in enumerate(steps[1:], start=1):
        keep = min(decay, (1 + n) / (10 + n))
        for name, value in weights.items():
            average[name] = keep * average[name] + (1 - keep) * value.double()
    counter = "1.num_batches_tracked"
    return average | {counter: steps[-1][counter].double()}


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_the_average_has_the_precision_of_the_weights(precision: str) -> None:
    probe = fit(EMA(0.3), precision=precision)
    weight = probe.weights()["0.weight"]
    assert weight.dtype == (torch.float64 if precision == "64-true" else torch.bfloat16)
    tolerance = 1e-12 if precision == "64-true" else 0.02
    expected = slow_average(probe.steps, 0.3)["0.weight"]
    torch.testing.assert_close(weight.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("decay", [0.999, 0.3])
def test_the_average_equals_a_slow_reference(decay: float) -> None:
    probe = fit(EMA(decay))
    assert not torch.allclose(probe.weights()["0.weight"], probe.steps[-1]["0.weight"])
    middle, end = slow_average(probe.steps[:8], decay), slow_average(probe.steps, decay)
    # The average is in place during the whole validation, and stays in the module after training.
    for weights, expected in (
        (probe.during[0], middle), (probe.after[0], middle), (probe.weights(), end),
    ):  # fmt: skip
        for name, value in weights.items():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_training_continues_with_its_own_weights() -> None:
    """The steps are the same with an average and without."""
    for precision in ("32-true", "64-true"):
        steps = (fit(precision=precision).steps, fit(EMA(0.9), precision=precision).steps)
        for plain, averaged in zip(*steps, strict=True):
            assert all(value.equal(averaged[name]) for name, value in plain.items())
