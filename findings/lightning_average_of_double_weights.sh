#!/usr/bin/env bash
# pytorch-lightning 2.6.6: with precision="64-true" the averaged weights have float32 precision.
#
# Trainer(precision="64-true") trains a float64 network, and one expects its moving average in float64.
# WeightAveraging and EMAWeightAveraging copy the network in setup, before the precision plugin converts it, so the
# average is kept in float32 (with "bf16-true" likewise, where that is better than expected). Nothing
# warns. When training ends the average becomes the weights: of type float64, but rounded to float32.
#
# Output seen (2026-11-29, Python 3.11, pytorch-lightning 2.6.6, torch 2.13.0 CPU):
#   64-true none: network float64, weights after training: float64, not rounded
#   64-true WeightAveraging: network float64, average float32, weights after training: float64, rounded to float32
#   64-true EMAWeightAveraging: network float64, average float32, weights after training: float64, rounded to float32
#   bf16-true EMAWeightAveraging: network bfloat16, average float32, weights after training: bfloat16, rounded to float32
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
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, index):
        return self.layer(batch.to(self.layer.weight)).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def on_train_start(self):
        self.first = self.layer.weight.dtype


def name(dtype):
    return str(dtype).removeprefix("torch.")


def fit(precision, average):
    torch.manual_seed(0)
    module = Regression()
    trainer = pl.Trainer(
        max_steps=4, precision=precision, callbacks=[average] if average else [], logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(8, 3), 1))
    seen = f"{precision} {type(average).__name__ if average else 'none'}: network {name(module.first)}, "
    if average:
        seen += f"average {name(average._average_model.module.layer.weight.dtype)}, "
    weights = module.layer.weight.detach()
    rounded = torch.equal(weights, weights.float().to(weights.dtype))
    print(f"{seen}weights after training: {name(weights.dtype)}, {'' if rounded else 'not '}rounded" + " to float32" * rounded)


fit("64-true", None)
fit("64-true", WeightAveraging())
fit("64-true", EMAWeightAveraging(decay=0.9))
fit("bf16-true", EMAWeightAveraging(decay=0.9))
PYTHON
venv/bin/python average.py 2>/dev/null | tee seen
diff seen - <<'SEEN'
64-true none: network float64, weights after training: float64, not rounded
64-true WeightAveraging: network float64, average float32, weights after training: float64, rounded to float32
64-true EMAWeightAveraging: network float64, average float32, weights after training: float64, rounded to float32
bf16-true EMAWeightAveraging: network bfloat16, average float32, weights after training: bfloat16, rounded to float32
SEEN
