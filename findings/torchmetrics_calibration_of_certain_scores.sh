#!/usr/bin/env bash
# torchmetrics 1.9.0: the calibration error has a bin of its own for probabilities of exactly 1.
#
# With n_bins=10 the last bin is [0.9, 1) and 1.0 falls into an eleventh, so over- and underconfidence at
# 0.95 and at 1.0 do not cancel, as they do where the last bin is closed (scikit-learn's calibration_curve,
# and the usual definition of the expected calibration error). In float32 a sigmoid is exactly 1.0 for every
# logit above 17, which a Siamese network's sum of differences reaches, so the two definitions differ for
# real verification scores. The same holds for BinaryCalibrationError, and for the multiclass version, where the
# top softmax probability becomes exactly 1.0 alike.
#
# Output seen (2026-11-28, Python 3.11, torch 2.13.0 CPU):
#   torchmetrics, sigmoid of 30 and 0.95: 0.525
#   torchmetrics, 0.99 and 0.95: 0.47
#   scikit-learn, sigmoid of 30 and 0.95: 0.475
#   multiclass, softmax of 30 and of 2.9: 0.526
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "scikit-learn==1.9.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

same = torch.tensor([0, 0, 1, 1])
sure = torch.tensor(30.0).sigmoid().item()
for text, high in (("sigmoid of 30", sure), ("0.99", 0.99)):
    scores = torch.tensor([high, high, 0.95, 0.95])
    error = binary_calibration_error(scores, same, n_bins=10)
    print(f"torchmetrics, {text} and 0.95: {float(error):.3g}")
scores = torch.tensor([sure, sure, 0.95, 0.95])
truth, mean = calibration_curve(same, scores, n_bins=10)
print(f"scikit-learn, sigmoid of 30 and 0.95: {abs(truth - mean).item():.3g}")
logits = torch.tensor([[30.0, 0.0], [30.0, 0.0], [2.9, 0.0], [2.9, 0.0]])
error = multiclass_calibration_error(logits, torch.tensor([1, 1, 0, 0]), num_classes=2, n_bins=10)
print(f"multiclass, softmax of 30 and of 2.9: {float(error):.3g}")
PYTHON
diff "$folder/seen" - <<'SEEN'
torchmetrics, sigmoid of 30 and 0.95: 0.525
torchmetrics, 0.99 and 0.95: 0.47
scikit-learn, sigmoid of 30 and 0.95: 0.475
multiclass, softmax of 30 and of 2.9: 0.526
SEEN
