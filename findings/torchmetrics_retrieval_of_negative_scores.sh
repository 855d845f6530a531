#!/usr/bin/env bash
# torchmetrics 1.9.0: retrieval metrics count no document whose score is zero or less.
#
# A retrieval metric depends on the order of the scores alone, and similarities are often negative: negated
# distances, cosines, logits. In torchmetrics average precision, reciprocal rank, precision and recall take every
# document with a score of 0 or less as irrelevant, whatever its target. With negated distances every ranking
# gets 0.0, and when a constant moves only some scores below zero the value may rise. Hit rate, R-precision and
# the discounted gain of the same scores stay right. Nothing warns, and the documentation takes any floats.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   similarities above zero: MAP 0.833 MRR 1.0 precision@3 0.667 recall@3 1.0 hit rate@3 1.0 nDCG 0.92
#   the same less 0.65: MAP 1.0 MRR 1.0 precision@3 0.333 recall@3 0.5 hit rate@3 1.0 nDCG 0.92
#   the same less 1 (negated distances): MAP 0.0 MRR 0.0 precision@3 0.0 recall@3 0.0 hit rate@3 1.0 nDCG 0.92
#   scikit-learn, the last: average precision 0.833
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "scikit-learn==1.9.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from sklearn.metrics import average_precision_score
from torchmetrics import retrieval

scores = torch.tensor([0.9, 0.7, 0.6, 0.4])
relevant = torch.tensor([True, False, True, False])
query = torch.zeros(4, dtype=torch.long)
metrics = {
    "MAP": retrieval.RetrievalMAP(),
    "MRR": retrieval.RetrievalMRR(),
    "precision@3": retrieval.RetrievalPrecision(top_k=3),
    "recall@3": retrieval.RetrievalRecall(top_k=3),
    "hit rate@3": retrieval.RetrievalHitRate(top_k=3),
    "nDCG": retrieval.RetrievalNormalizedDCG(),
}
for text, offset in (
    ("similarities above zero", 0.0), ("the same less 0.65", 0.65), ("the same less 1 (negated distances)", 1.0)
):
    found = {name: float(metric(scores - offset, relevant, indexes=query)) for name, metric in metrics.items()}
    print(f"{text}:", *[f"{name} {round(value, 3)}" for name, value in found.items()])
print(f"scikit-learn, the last: average precision {average_precision_score(relevant, scores - 1):.3f}")
PYTHON
diff "$folder/seen" - <<'SEEN'
similarities above zero: MAP 0.833 MRR 1.0 precision@3 0.667 recall@3 1.0 hit rate@3 1.0 nDCG 0.92
the same less 0.65: MAP 1.0 MRR 1.0 precision@3 0.333 recall@3 0.5 hit rate@3 1.0 nDCG 0.92
the same less 1 (negated distances): MAP 0.0 MRR 0.0 precision@3 0.0 recall@3 0.0 hit rate@3 1.0 nDCG 0.92
scikit-learn, the last: average precision 0.833
SEEN
