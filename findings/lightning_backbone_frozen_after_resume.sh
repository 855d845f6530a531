#!/usr/bin/env bash
# pytorch-lightning 2.6.6: a resumed BackboneFinetuning leaves the backbone frozen, whatever learning rate is shown.
#
# BackboneFinetuning trains the head, and from unfreeze_backbone_at_epoch on the backbone, too. It keeps the optimizer's
# groups in the checkpoint, and one expects a resumed training to end with the weights of one that did not stop. If it
# stopped before the unfreezing, it does. Later, the callback freezes the backbone in setup, as it does for every
# training, and puts the groups back, but unfreezes only in the epoch of that very number, which is over. So the
# optimizer lists the backbone, and its learning rate grows as planned in every log, but its weights get no
# gradients and stay as they were when the training stopped. Nothing warns. Open upstream (21901).
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): unfrozen in epoch 2 of 0 to 5
#   in one go: rates of head and backbone in the last epoch [0.05, 0.04]
#   resumed after epoch 0: rates [0.05, 0.04], requires_grad True, backbone as if not stopped
#   resumed after epoch 1: rates [0.05, 0.04], requires_grad True, backbone as if not stopped
#   resumed after epoch 2: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
#   resumed after epoch 3: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
#   resumed after epoch 4: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pytorch-lightning==2.6.6" "torch==2.13.0"
cd "$folder"
cat > finetune.py <<'PYTHON'
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BackboneFinetuning
from torch.utils.data import DataLoader

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
images = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


class Network(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.backbone = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh())
        self.head = torch.nn.Linear(6, 1)

    def training_step(self, batch, index):
        return (self.head(self.backbone(batch)) - batch.sum(1, keepdim=True)).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(filter(lambda weight: weight.requires_grad, self.parameters()), 0.05)

    def on_train_epoch_end(self):
        self.rates = [round(group["lr"], 3) for group in self.trainer.optimizers[0].param_groups]


def fit(epochs, checkpoint=None):
    network = Network()
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[BackboneFinetuning(unfreeze_backbone_at_epoch=2)], logger=False,
        accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(network, DataLoader(images, 16), ckpt_path=checkpoint)
    trainer.save_checkpoint("last.ckpt")
    return network


whole = fit(6)
print(f"in one go: rates of head and backbone in the last epoch {whole.rates}")
for stop in range(1, 6):
    stopped = fit(stop)
    resumed = fit(6, "last.ckpt")
    weights = resumed.backbone[0].weight
    print(
        f"resumed after epoch {stop - 1}: rates {resumed.rates}, requires_grad {weights.requires_grad}, backbone",
        "as if not stopped" if torch.equal(weights, whole.backbone[0].weight)
        else "as it was when stopped" if torch.equal(weights, stopped.backbone[0].weight) else "otherwise",
    )
PYTHON
venv/bin/python finetune.py 2>/dev/null | tee seen
diff seen - <<'SEEN'
in one go: rates of head and backbone in the last epoch [0.05, 0.04]
resumed after epoch 0: rates [0.05, 0.04], requires_grad True, backbone as if not stopped
resumed after epoch 1: rates [0.05, 0.04], requires_grad True, backbone as if not stopped
resumed after epoch 2: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
resumed after epoch 3: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
resumed after epoch 4: rates [0.05, 0.04], requires_grad False, backbone as it was when stopped
SEEN
