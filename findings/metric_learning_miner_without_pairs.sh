#!/usr/bin/env bash
# pytorch-metric-learning 2.9.0: a miner that finds nothing switches itself off for some losses.
#
# A miner names the hard pairs or triplets of a batch. When none is hard there is nothing to learn, and one expects
# a loss of 0; ContrastiveLoss and TripletMarginLoss give that. Losses that weight every image by how often it was
# mined (NCALoss, ArcFaceLoss, NormalizedSoftmaxLoss, ProxyAnchorLoss, and others) take an empty answer as "no
# miner", and every image counts fully. So a network that is trained well is trained on all images
# again: below, one misplaced image gives ArcFaceLoss 9.61, and the same batch without it 51.98.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   TripletMarginLoss: one misplaced, 42 triplets: 1.10; none, 0 triplets: 0.00; none, without a miner: 0.00
#   ContrastiveLoss: one misplaced, 42 triplets: 2.05; none, 0 triplets: 0.00; none, without a miner: 0.04
#   NCALoss: one misplaced, 42 triplets: 0.32; none, 0 triplets: 0.48; none, without a miner: 0.48
#   NormalizedSoftmaxLoss: one misplaced, 42 triplets: 1.30; none, 0 triplets: 8.14; none, without a miner: 8.14
#   ArcFaceLoss: one misplaced, 42 triplets: 9.61; none, 0 triplets: 51.98; none, without a miner: 51.98
#   ProxyAnchorLoss: one misplaced, 42 triplets: 16.40; none, 0 triplets: 15.95; none, without a miner: 15.95
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-metric-learning==2.9.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from pytorch_metric_learning import losses, miners

labels = torch.arange(4).repeat_interleave(3)
miner = miners.TripletMarginMiner(margin=0.2)


def embeddings(mixed):
    """Return four separate classes; if `mixed`, one image of the first lies in the second."""
    torch.manual_seed(0)
    found = torch.eye(8)[labels] + 0.01 * torch.randn(12, 8)
    if mixed:
        found[0] = found[3] + 0.1 * torch.eye(8)[0]
    return found


of_pairs = ("TripletMarginLoss", "ContrastiveLoss", "NCALoss")
for name in (*of_pairs, "NormalizedSoftmaxLoss", "ArcFaceLoss", "ProxyAnchorLoss"):
    torch.manual_seed(1)
    loss = getattr(losses, name)(**({} if name in of_pairs else {"num_classes": 4, "embedding_size": 8}))
    seen = []
    for mixed in (True, False):
        found = embeddings(mixed)
        mined = miner(found, labels)
        text = "one misplaced" if mixed else "none"
        seen.append(f"{text}, {len(mined[0])} triplets: {float(loss(found, labels, mined)):.2f}")
    print(f"{name}: {'; '.join(seen)}; none, without a miner: {float(loss(found, labels)):.2f}")
PYTHON
diff "$folder/seen" - <<'SEEN'
TripletMarginLoss: one misplaced, 42 triplets: 1.10; none, 0 triplets: 0.00; none, without a miner: 0.00
ContrastiveLoss: one misplaced, 42 triplets: 2.05; none, 0 triplets: 0.00; none, without a miner: 0.04
NCALoss: one misplaced, 42 triplets: 0.32; none, 0 triplets: 0.48; none, without a miner: 0.48
NormalizedSoftmaxLoss: one misplaced, 42 triplets: 1.30; none, 0 triplets: 8.14; none, without a miner: 8.14
ArcFaceLoss: one misplaced, 42 triplets: 9.61; none, 0 triplets: 51.98; none, without a miner: 51.98
ProxyAnchorLoss: one misplaced, 42 triplets: 16.40; none, 0 triplets: 15.95; none, without a miner: 15.95
SEEN
