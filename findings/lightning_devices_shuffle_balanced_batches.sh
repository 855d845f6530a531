#!/usr/bin/env bash
# pytorch-lightning 2.6.6 with pytorch-metric-learning 2.9.0: with two devices MPerClassSampler's batches are random.
#
# MPerClassSampler lists images so that each batch of 32 has 4 images of 8 classes, since metric learning needs
# positives in the batch. Lightning wraps a loader's sampler for several devices, and one expects each device to get its
# share of that order. But for training it wraps with shuffle=True, documented as what is added "by default", and that
# goes for samplers that bring an order of their own, too: the list is shuffled whole before it is dealt out, so only
# its class frequencies are left of it. Below a batch has 22 classes in place of 8, and 45% of the images have no
# positive in their batch. Nothing warns, the loss falls, and one device does not show it. An episodic batch
# sampler stops with an error that says what to do; use_distributed_sampler=False keeps the order (each process then
# draws for itself, so seed them differently). Open upstream (21131, 21447).
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): 16 batches of 32
#   1 device: MPerClassSampler, all batches 8 classes of 4: True, more than a tenth without a positive: False
#   2 devices: DistributedSamplerWrapper, all batches 8 classes of 4: False, more than a tenth without a positive: True
#   unwrapped: MPerClassSampler, all batches 8 classes of 4: True, more than a tenth without a positive: False
#   2 devices, batch sampler: TypeError: Lightning can't inject a (distributed) sampler into your batch sampler
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-metric-learning==2.9.0" "pytorch-lightning==2.6.6"
cd "$folder"
cat > devices.py <<'PYTHON'
import logging
import warnings
from collections import Counter

import pytorch_lightning as pl
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import DataLoader, Sampler, TensorDataset

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Episodes(Sampler):
    """A batch sampler, as episodic samplers are."""

    def __iter__(self):
        return iter([list(range(32))] * 4)

    def __len__(self):
        return 4


class Embedding(pl.LightningModule):
    def __init__(self, text):
        super().__init__()
        self.layer, self.text, self.counts = torch.nn.Linear(1, 1), text, []

    def training_step(self, batch, index):
        self.counts.append(Counter(batch[1].tolist()))
        return self.layer(batch[0]).mean()

    def on_train_end(self):
        if self.global_rank:
            return
        balanced = all(sorted(counts.values()) == [4] * 8 for counts in self.counts)
        lone = sum(number == 1 for counts in self.counts for number in counts.values())
        name = type(self.trainer.train_dataloader.sampler).__name__
        print(
            f"{self.text}: {name}, all batches 8 classes of 4: {balanced},",
            f"more than a tenth without a positive: {lone > 0.1 * 32 * len(self.counts)}", flush=True,
        )

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(text, devices, wrapped=True, episodes=False):
    pl.seed_everything(0)
    labels = torch.arange(50).repeat_interleave(20)
    data = TensorDataset(torch.randn(1000, 1), labels)
    sampler = MPerClassSampler(labels, 4, batch_size=32, length_before_new_iter=512 * devices)
    loader = DataLoader(data, batch_sampler=Episodes()) if episodes else DataLoader(data, 32, sampler=sampler)
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_spawn" if devices > 1 else "auto", max_epochs=1,
        use_distributed_sampler=wrapped, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Embedding(text), loader)


if __name__ == "__main__":
    fit("1 device", 1)
    fit("2 devices", 2)
    fit("unwrapped", 2, wrapped=False)
    try:
        fit("2 devices, batch sampler", 2, episodes=True)
    except Exception as error:
        print(f"2 devices, batch sampler: {str(error).strip().splitlines()[-1].replace('  ', ' ').split(',')[0]}")
PYTHON
OMP_NUM_THREADS=1 venv/bin/python devices.py 2>/dev/null | tee seen
diff seen - <<'SEEN'
1 device: MPerClassSampler, all batches 8 classes of 4: True, more than a tenth without a positive: False
2 devices: DistributedSamplerWrapper, all batches 8 classes of 4: False, more than a tenth without a positive: True
unwrapped: MPerClassSampler, all batches 8 classes of 4: True, more than a tenth without a positive: False
2 devices, batch sampler: TypeError: Lightning can't inject a (distributed) sampler into your batch sampler
SEEN
