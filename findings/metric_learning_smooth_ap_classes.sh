#!/usr/bin/env bash
# pytorch-metric-learning 2.9.0: SmoothAPLoss ignores which label an image has.
#
# The documentation says that the positive sets come from the labels, which may have any order. The release
# takes consecutive groups of the batch instead. It divides the batch size by the number of classes and takes
# the quotient, which is the number of images of a class, for the number of groups: 20 classes of 2 images
# become 2 groups of 20. Only sorted batches with as many classes as images of each are right. All others train on wrong
# positives, silently: embeddings that separate the classes perfectly have a high loss instead of 0, and
# embeddings that join the wrong groups have a loss of 0. MPerClassSampler makes such batches.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   4 classes of 4, sorted: perfect 0.000
#   4 classes of 4, shuffled: perfect 0.571
#   16 classes of 4, sorted: perfect 0.522
#   20 classes of 2, sorted: perfect 0.419
#   2 classes of 20, sorted: perfect 0.857
#   20 classes of 2, sorted, embeddings of 2 classes of 20: 0.000
#   20 classes of 2 by MPerClassSampler: perfect 0.419
#   FastAPLoss, 20 classes of 2, shuffled: perfect 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-metric-learning==2.9.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from pytorch_metric_learning.losses import FastAPLoss, SmoothAPLoss
from pytorch_metric_learning.samplers import MPerClassSampler


def loss(labels, clusters=None, kind=SmoothAPLoss):
    """The loss of embeddings that are one-hot in the labels, or in other clusters."""
    return f"{abs(float(kind()(torch.eye(64)[labels if clusters is None else clusters], labels))):.3f}"


def labels(classes, images):
    return torch.arange(classes).repeat_interleave(images)


torch.manual_seed(0)
print("4 classes of 4, sorted: perfect", loss(labels(4, 4)))
print("4 classes of 4, shuffled: perfect", loss(labels(4, 4)[torch.randperm(16)]))
for classes, images in ((16, 4), (20, 2), (2, 20)):
    print(f"{classes} classes of {images}, sorted: perfect", loss(labels(classes, images)))
print("20 classes of 2, sorted, embeddings of 2 classes of 20:", loss(labels(20, 2), labels(2, 20)))
known = labels(20, 5)
batch = known[list(MPerClassSampler(known, m=2, batch_size=40, length_before_new_iter=40))]
print("20 classes of 2 by MPerClassSampler: perfect", loss(batch))
print("FastAPLoss, 20 classes of 2, shuffled: perfect", loss(labels(20, 2)[torch.randperm(40)], kind=FastAPLoss))
PYTHON
diff "$folder/seen" - <<'SEEN'
4 classes of 4, sorted: perfect 0.000
4 classes of 4, shuffled: perfect 0.571
16 classes of 4, sorted: perfect 0.522
20 classes of 2, sorted: perfect 0.419
2 classes of 20, sorted: perfect 0.857
20 classes of 2, sorted, embeddings of 2 classes of 20: 0.000
20 classes of 2 by MPerClassSampler: perfect 0.419
FastAPLoss, 20 classes of 2, shuffled: perfect 0.000
SEEN
