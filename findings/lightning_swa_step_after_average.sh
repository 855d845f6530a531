#!/usr/bin/env bash
# pytorch-lightning 2.6.6: with batch normalization, StochasticWeightAveraging steps away from the average.
#
# After the last epoch the callback puts the average into the network and runs one epoch more without backward
# passes, to measure the batch statistics, where torch.optim.swa_utils.update_bn would leave the weights alone. A
# comment in the callback, too, says that no optimizer step is needed there. The trainer makes one nevertheless, at the
# end of that epoch, with the gradient of the last training batch, which belongs to other weights.
# So the trained network is not the average but a full step away from it, with any optimizer, and global_step
# is one too high. A network without batch normalization ends with the average.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   without batch normalization, SGD: 32 steps in 32 batches, weights are the average
#   with batch normalization, SGD: 33 steps in 32 batches, weights are the average less lr times the last gradient
#   with batch normalization, AdamW: 33 steps in 32 batches, weights are not the average
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pytorch-lightning==2.6.6" "torch==2.13.0"
cd "$folder"
cat > average.py <<'PYTHON'
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import StochasticWeightAveraging

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Regression(pl.LightningModule):
    def __init__(self, normalize, optimizer):
        super().__init__()
        middle = torch.nn.BatchNorm1d(4) if normalize else torch.nn.ReLU()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), middle, torch.nn.Linear(4, 1))
        self.optimizer = optimizer

    def training_step(self, batch, index):
        return (self.layers(batch) - 3).pow(2).mean()

    def on_before_optimizer_step(self, optimizer):
        if self.trainer.current_epoch == 3:  # the last epoch; what stays is the last batch's
            self.last = [parameter.grad.clone() for parameter in self.parameters()]

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), 0.01)


def fit(normalize, optimizer):
    torch.manual_seed(0)
    module = Regression(normalize, optimizer)
    average = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2)
    trainer = pl.Trainer(
        max_epochs=4, callbacks=[average], logger=False, accelerator="cpu", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.randn(32, 3), 4))
    pairs = [*zip(module.parameters(), average._average_model.parameters(), module.last, strict=True)]
    kind = f"{'with' if normalize else 'without'} batch normalization, {optimizer.__name__}"
    kept = all(torch.equal(weight, mean) for weight, mean, _ in pairs)
    step = all(torch.allclose(weight, mean - 0.01 * gradient, atol=1e-7) for weight, mean, gradient in pairs)
    found = "the average" if kept else "the average less lr times the last gradient" if step else "not the average"
    print(f"{kind}: {trainer.global_step} steps in 32 batches, weights are {found}")


fit(False, torch.optim.SGD)
fit(True, torch.optim.SGD)
fit(True, torch.optim.AdamW)
PYTHON
venv/bin/python average.py 2>/dev/null | tee seen
diff seen - <<'SEEN'
without batch normalization, SGD: 32 steps in 32 batches, weights are the average
with batch normalization, SGD: 33 steps in 32 batches, weights are the average less lr times the last gradient
with batch normalization, AdamW: 33 steps in 32 batches, weights are not the average
SEEN
