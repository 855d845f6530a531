#!/usr/bin/env bash
# optuna 5.0.0: PatientPruner never ends a trial that stands still, and min_delta makes it more patient.
#
# Patience and min_delta are known from early stopping: training ends when the score has not improved by more than
# min_delta for some steps. The documentation says the same here, "if the improvement ... is less than a
# threshold", and that without a wrapped pruner it is early stopping. But a trial ends only once the best score of
# the last steps is worse than the best before them by more than min_delta. A network that has collapsed and
# stays at the level of chance is never ended, neither is one that improves by a thousandth, and where early stopping
# with a larger min_delta ends sooner, this ends later or not at all. A wrapped MedianPruner, which would end the
# trial at its first step, is not even asked. An issue upstream (3835) was closed as stale.
#
# Output seen (2026-11-29, Python 3.11, step at which a trial of 10 with patience 2 is pruned):
#   stands still: min_delta 0 None, min_delta 0.05 None, early stopping 3 3
#   improves by 0.001: min_delta 0 None, min_delta 0.05 None, early stopping None 3
#   falls by 0.01: min_delta 0 3, min_delta 0.05 8, early stopping 3 3
#   at chance, MedianPruner: 0
#   at chance, PatientPruner(MedianPruner): None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "optuna==5.0.0" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import optuna
from optuna.pruners import MedianPruner, PatientPruner


def pruned_at(pruner, curves):
    """The step at which the last curve is pruned; those before it are complete trials."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for curve in curves[:-1]:
        trial = study.ask()
        for step, score in enumerate(curve):
            trial.report(score, step)
        study.tell(trial, curve[-1])
    trial = study.ask()
    for step, score in enumerate(curves[-1]):
        trial.report(score, step)
        if trial.should_prune():
            return step
    return None


def stopped_at(patience, min_delta, curve):
    """Early stopping as in Keras, Ignite and Lightning, with patience + 1 steps without improvement."""
    best, since = curve[0], 0
    for step, score in enumerate(curve[1:], start=1):
        best, since = (score, 0) if score > best + min_delta else (best, since + 1)
        if since > patience:
            return step
    return None


curves = {
    "stands still": [0.5] * 10,
    "improves by 0.001": [0.5 + step / 1000 for step in range(10)],
    "falls by 0.01": [0.5 - step / 100 for step in range(10)],
}
for name, curve in curves.items():
    found = [f"min_delta {delta} {pruned_at(PatientPruner(None, 2, delta), [curve])}" for delta in (0, 0.05)]
    print(f"{name}: {', '.join(found)}, early stopping", *[stopped_at(2, delta, curve) for delta in (0, 0.05)])
trials = [[0.5 + step / 20 for step in range(10)]] * 5 + [[0.05] * 10]
print("at chance, MedianPruner:", pruned_at(MedianPruner(), trials))
print("at chance, PatientPruner(MedianPruner):", pruned_at(PatientPruner(MedianPruner(), 2), trials))
PYTHON
diff "$folder/seen" - <<'SEEN'
stands still: min_delta 0 None, min_delta 0.05 None, early stopping 3 3
improves by 0.001: min_delta 0 None, min_delta 0.05 None, early stopping None 3
falls by 0.01: min_delta 0 3, min_delta 0.05 8, early stopping 3 3
at chance, MedianPruner: 0
at chance, PatientPruner(MedianPruner): None
SEEN
