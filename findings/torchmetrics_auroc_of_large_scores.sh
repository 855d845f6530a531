#!/usr/bin/env bash
# torchmetrics 1.9.0: AUROC and equal error rate of float32 similarities depend on their offset.
#
# Both depend on the order of the scores alone, so a constant added to all scores must not change them.
# torchmetrics takes scores outside [0, 1] for logits and applies a sigmoid first. In float32 that is 1.0
# for every score above 17, so scores that separate the classes perfectly become equal: AUROC 0.5, without
# a warning. Logits that sum thousands of terms, as those of a Siamese network, are of this size. The same
# scores in float64, or their ranks divided by the largest, give 1.0; scikit-learn gives 1.0 for all.
# Scores that happen to lie in [0, 1] are taken as they are.
#
# Output seen (2026-11-28, Python 3.11, torch 2.13.0 CPU):
#   offset 0.0: AUROC 1.0 EER 0.0 scikit-learn 1.0
#   offset 20.0: AUROC 0.5 EER 0.5 scikit-learn 1.0
#   ranks: AUROC 1.0 EER 0.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "scikit-learn==1.9.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_auroc, binary_eer

same = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
scores = torch.arange(8.0)
for offset in (0.0, 20.0):
    moved = scores + offset
    ours = [round(float(metric(moved, same)), 3) for metric in (binary_auroc, binary_eer)]
    print(f"offset {offset}: AUROC {ours[0]} EER {ours[1]} scikit-learn {roc_auc_score(same, moved)}")
ranks = scores / scores.max()
print(f"ranks: AUROC {float(binary_auroc(ranks, same))} EER {float(binary_eer(ranks, same))}")
PYTHON
diff "$folder/seen" - <<'SEEN'
offset 0.0: AUROC 1.0 EER 0.0 scikit-learn 1.0
offset 20.0: AUROC 0.5 EER 0.5 scikit-learn 1.0
ranks: AUROC 1.0 EER 0.0
SEEN
