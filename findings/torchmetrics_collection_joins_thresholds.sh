#!/usr/bin/env bash
# torchmetrics 1.9.0: a MetricCollection gives one threshold's accuracy for another, depending on the first batch.
#
# A collection is documented to give several metrics at once, also several of one class with different arguments, and
# one expects the values that each metric gives alone. To save time it joins metrics into groups that share what they
# have counted. Which ones may share is not read from their classes or arguments: they are those whose counts are
# equal after the first batch. If no score of that batch lies between two thresholds, or none of its images has the
# class that one metric ignores, all later batches are counted for one of the two alone. So the same batches in
# another order have other values, and small first batches and confident networks are wrong most often.
# Calling the collection (forward) in place of update, or compute_groups=False, is right. Upstream has had reports since
# 2023 (1890, 2596, 2916); the comparison of states remains.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU):
#   each alone: at 50% 0.667, at 90% 1.000
#   collection, confident batch first: at 50% 0.667, at 90% 0.667
#   collection, confident batch last: at 50% 0.667, at 90% 1.000
#   collection without groups: at 50% 0.667, at 90% 1.000
#   collection, called: at 50% 0.667, at 90% 1.000
#   each alone: all 0.500, known 0.800
#   collection, batch without class 2 first: all 0.500, known 0.500
#   collection, batch without class 2 last: all 0.500, known 0.800
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchmetrics==1.9.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy


def collect(metrics, batches, called=False, groups=True):
    collection = MetricCollection({name: metric.clone() for name, metric in metrics.items()}, compute_groups=groups)
    for scores, truth in batches:
        (collection if called else collection.update)(scores, truth)
    return collection.compute()


def alone(metrics, batches):
    found = {}
    for name, metric in metrics.items():
        for scores, truth in batches:
            metric.update(scores, truth)
        found[name] = metric.compute()
        metric.reset()
    return found


def show(text, found):
    print(f"{text}:", ", ".join(f"{name} {float(found[name]):.3f}" for name in sorted(found)))


same = {f"at {threshold:.0%}": BinaryAccuracy(threshold) for threshold in (0.5, 0.9)}
batches = [
    (torch.tensor([0.99, 0.01]), torch.tensor([1, 0])),
    (torch.tensor([0.7, 0.6, 0.95, 0.1]), torch.tensor([0, 0, 1, 0])),
]
show("each alone", alone(same, batches))
show("collection, confident batch first", collect(same, batches))
show("collection, confident batch last", collect(same, batches[::-1]))
show("collection without groups", collect(same, batches, groups=False))
show("collection, called", collect(same, batches, called=True))

known = {
    "all": MulticlassAccuracy(3, average="micro"), "known": MulticlassAccuracy(3, average="micro", ignore_index=2)
}
batches = [
    (torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0])),
    (torch.tensor([0, 1, 1, 0]), torch.tensor([2, 2, 2, 0])),
]
show("each alone", alone(known, batches))
show("collection, batch without class 2 first", collect(known, batches))
show("collection, batch without class 2 last", collect(known, batches[::-1]))
PYTHON
diff "$folder/seen" - <<'SEEN'
each alone: at 50% 0.667, at 90% 1.000
collection, confident batch first: at 50% 0.667, at 90% 0.667
collection, confident batch last: at 50% 0.667, at 90% 1.000
collection without groups: at 50% 0.667, at 90% 1.000
collection, called: at 50% 0.667, at 90% 1.000
each alone: all 0.500, known 0.800
collection, batch without class 2 first: all 0.500, known 0.500
collection, batch without class 2 last: all 0.500, known 0.800
SEEN
