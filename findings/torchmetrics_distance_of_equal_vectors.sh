#!/usr/bin/env bash
# torchmetrics 1.9.0: the Euclidean distance of two equal vectors is often NaN.
#
# pairwise_euclidean_distance takes the root of |x|^2 + |y|^2 - 2xy. Rounding makes that a little negative for 1 to
# 40% of the pairs of equal vectors (by type and length), although it computes in float64, and nothing clamps it. So a
# query that equals its support image, or a drawing that a data set has twice, is at distance NaN instead of
# 0. A mean over the distances is then NaN, and a comparison with a threshold says that equal images differ. The
# diagonal is set to 0 only where one argument is given, and rows repeated within that argument still give NaN. The
# documented formula is the root of a sum of squares. torch.cdist and scikit-learn give no NaN.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   torchmetrics, float32: NaN True, all below 0.5 False
#   cdist, float32: NaN False, all below 0.5 True
#   scikit-learn, float32: NaN False, all below 0.5 True
#   torchmetrics, float64: NaN True, all below 0.5 False
#   cdist, float64: NaN False, all below 0.5 True
#   scikit-learn, float64: NaN False, all below 0.5 True
#   one argument, rows repeated: NaN True
#   mean distance: nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "scikit-learn==1.9.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from sklearn.metrics.pairwise import euclidean_distances
from torchmetrics.functional import pairwise_euclidean_distance

torch.manual_seed(0)
for dtype in (torch.float32, torch.float64):
    support = torch.nn.functional.normalize(torch.randn(1000, 64, dtype=dtype))
    for name, distance in (
        ("torchmetrics", pairwise_euclidean_distance), ("cdist", torch.cdist), ("scikit-learn", euclidean_distances)
    ):
        found = torch.as_tensor(distance(support, support.clone())).diagonal()
        print(f"{name}, {str(dtype)[6:]}: NaN {bool(found.isnan().any())}, all below 0.5 {bool((found < 0.5).all())}")
twice = torch.cat([support[:100], support[:100]])
print("one argument, rows repeated: NaN", bool(pairwise_euclidean_distance(twice).isnan().any()))
print("mean distance:", pairwise_euclidean_distance(twice, reduction="mean").mean().item())
PYTHON
diff "$folder/seen" - <<'SEEN'
torchmetrics, float32: NaN True, all below 0.5 False
cdist, float32: NaN False, all below 0.5 True
scikit-learn, float32: NaN False, all below 0.5 True
torchmetrics, float64: NaN True, all below 0.5 False
cdist, float64: NaN False, all below 0.5 True
scikit-learn, float64: NaN False, all below 0.5 True
one argument, rows repeated: NaN True
mean distance: nan
SEEN
