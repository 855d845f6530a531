#!/usr/bin/env bash
# pytorch-metric-learning 2.9.0: a resumed CrossBatchMemory holds its embeddings and ignores them.
#
# CrossBatchMemory compares each batch with the embeddings of many earlier ones. Both the embeddings and
# their labels are in the loss's state_dict, and one expects a training that loads it to go on as if it had not
# stopped. How full the memory is and where the next batch goes are plain attributes, which no state_dict has. So the
# loss, loaded without complaint and with all keys matched, takes its full memory as empty: the first batch after
# a resume is compared with itself alone, and it takes as many batches as at the start until the memory counts again.
# A Lightning module with such a loss resumes in the same way, through the same state_dict: below, weights after
# eight epochs in one go and after four and four differ by hundredths, and are equal once the two attributes
# are carried over.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU)
#   in the state_dict: embedding_memory, label_memory; loading: <All keys matched successfully>
#   memory equal True
#   loss 1 after it: went on 1.546, resumed 1.618
#   loss 2 after it: went on 1.631, resumed 1.609
#   loss 3 after it: went on 1.569, resumed 1.525
#   with queue_idx and has_been_filled: equal True
#   Lightning, resumed as it is: weights equal False, to 0.005 False
#   Lightning, resumed with both attributes: weights equal True, to 0.005 True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-metric-learning==2.9.0" "pytorch-lightning==2.6.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
torch.manual_seed(0)
batches = [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(8)]


def memory():
    return CrossBatchMemory(ContrastiveLoss(), embedding_size=4, memory_size=32)


loss = memory()
for batch in batches[:5]:
    loss(*batch)
resumed = memory()
print(f"in the state_dict: {', '.join(loss.state_dict())}; loading: {resumed.load_state_dict(loss.state_dict())}")
print(f"memory equal {torch.equal(loss.embedding_memory, resumed.embedding_memory)}")
for number, batch in enumerate(batches[5:], 1):
    went_on, loaded = loss(*batch), resumed(*batch)
    print(f"loss {number} after it: went on {went_on:.3f}, resumed {loaded:.3f}")
moved, loaded = memory(), memory()
for batch in batches[:5]:
    moved(*batch)
loaded.load_state_dict(moved.state_dict())
loaded.queue_idx, loaded.has_been_filled = moved.queue_idx, moved.has_been_filled
print(f"with queue_idx and has_been_filled: equal {bool(moved(*batches[5]) == loaded(*batches[5]))}")


class Embedding(pl.LightningModule):
    """A linear embedding with the loss; `carry` also saves where its memory stands."""

    def __init__(self, carry):
        super().__init__()
        torch.manual_seed(1)
        self.layer, self.loss, self.carry = torch.nn.Linear(6, 4), memory(), carry

    def training_step(self, batch, index):
        return self.loss(self.layer(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["memory"] = (self.loss.queue_idx, self.loss.has_been_filled)

    def on_load_checkpoint(self, checkpoint):
        if self.carry:
            self.loss.queue_idx, self.loss.has_been_filled = checkpoint["memory"]


data = torch.utils.data.TensorDataset(torch.randn(16, 6), torch.arange(16) % 4)


def fit(epochs, carry, checkpoint=None):
    module = Embedding(carry)
    trainer = pl.Trainer(
        max_epochs=epochs, logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, 8), ckpt_path=checkpoint)
    trainer.save_checkpoint("last.ckpt")
    return module.layer.weight.detach()


for carry in (False, True):
    whole = fit(8, carry)
    fit(4, carry)
    difference = (fit(8, carry, "last.ckpt") - whole).abs().max()
    text = "with both attributes" if carry else "as it is"
    print(f"Lightning, resumed {text}: weights equal {bool(difference == 0)}, to 0.005 {bool(difference < 0.005)}")
PYTHON
diff "$folder/seen" - <<'SEEN'
in the state_dict: embedding_memory, label_memory; loading: <All keys matched successfully>
memory equal True
loss 1 after it: went on 1.546, resumed 1.618
loss 2 after it: went on 1.631, resumed 1.609
loss 3 after it: went on 1.569, resumed 1.525
with queue_idx and has_been_filled: equal True
Lightning, resumed as it is: weights equal False, to 0.005 False
Lightning, resumed with both attributes: weights equal True, to 0.005 True
SEEN
