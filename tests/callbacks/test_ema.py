from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from siamese_oneshot.callbacks.ema import EMA


class Walk(pl.LightningModule):
    """Weights that walk; notes them after each step and as they are in validation."""

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


def slow(steps: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """The first weights, then a (1 + n) / (10 + n) share of the average up to the decay."""
    average = {name: value.double() for name, value in steps[0].items()}
    for n, weights in enumerate(steps[1:], start=1):
        keep = min(decay, (1 + n) / (10 + n))
        for name, value in weights.items():
            average[name] = keep * average[name] + (1 - keep) * value.double()
    counter = "1.num_batches_tracked"
    return average | {counter: steps[-1][counter].double()}


def loader() -> DataLoader[Tensor]:
    data: Any = list(torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(0)))
    return DataLoader(data, batch_size=None)


@pytest.mark.parametrize("decay", [0.999, 0.3])
def test_average_equals_a_slow_reference(decay: float) -> None:
    walk = Walk()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[EMA(decay)],
    )  # fmt: skip
    trainer.fit(walk, loader(), loader())
    assert len(walk.steps) == 16
    last = slow(walk.steps, decay)
    for name, value in walk.weights().items():  # after training, the average stays in the module
        torch.testing.assert_close(value.double(), last[name], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(walk.weights()["0.weight"], walk.steps[-1]["0.weight"])
    middle = slow(walk.steps[:8], decay)
    # The average must stand for the whole validation, its end too, where exams are scored.
    for seen in (walk.during[0], walk.after[0]):
        for name, value in seen.items():
            torch.testing.assert_close(value.double(), middle[name], rtol=1e-5, atol=1e-6)


def test_training_goes_on_with_its_own_weights() -> None:
    """The walk is the same with an average and without."""
    walks = []
    for callbacks in ([], [EMA(0.9)]):
        torch.manual_seed(3)
        walk = Walk()
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            callbacks=callbacks,
        )  # fmt: skip
        trainer.fit(walk, loader(), loader())
        walks.append(walk.steps)
    for plain, averaged in zip(*walks, strict=True):
        for name, value in plain.items():
            assert torch.equal(value, averaged[name])
