#!/usr/bin/env bash
# onnxruntime 1.32.0: a sigmoid below -10 is wrong by percents, out of order, and 0 from -18 on.
#
# float32 has seven digits for small numbers, too, so one expects a probability of 1e-7 to be right to about 1e-6 of
# itself, and a larger logit never to give a smaller probability. onnxruntime computes the sigmoid on a CPU as a
# quotient of polynomials plus one half: the error is small beside one half, and near -16 as large as the
# probability. So the unlikely pairs of a Siamese network come out in another order than by their logits. PyTorch
# exports logsigmoid and binary_cross_entropy_with_logits as the logarithm of that sigmoid, which is infinite
# from -18 on, where PyTorch gives -18: a network that is rightly sure that two images differ has an infinite loss.
# The graph is not the cause (onnx's reference evaluator is right) but the combination; Softplus is right in
# onnxruntime. Upstream knows the errors (onnxruntime 22557 and 26281, pytorch 147508).
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU, onnx 1.23.2, on an x86 CPU): logits from -20 to 20
#   nodes: Log Sigmoid Softplus
#   PyTorch: relative error from -14 to -12 above 1% False, ordered by logit True
#   PyTorch, -19: sigmoid 5.6e-09, logsigmoid -19.0, loss of a different pair 0.0e+00, softplus 5.6e-09
#   onnx's reference: relative error from -14 to -12 above 1% False, ordered by logit True
#   onnx's reference, -19: sigmoid 5.6e-09, logsigmoid -19.0, loss of a different pair 0.0e+00, softplus 5.6e-09
#   onnxruntime: relative error from -14 to -12 above 1% True, ordered by logit False
#   onnxruntime, -19: sigmoid 0.0e+00, logsigmoid -inf, loss of a different pair inf, softplus 5.6e-09
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6" "onnx==1.23.2" "onnxscript==0.7.2" \
    "onnxruntime==1.32.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | grep "^|" | cut -c3- | tee "$folder/seen"
import numpy as np
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch.nn import functional


class Network(torch.nn.Module):
    def forward(self, logits):
        loss = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
        return logits.sigmoid(), functional.logsigmoid(logits), loss, functional.softplus(logits)


network, logits = Network().eval(), torch.linspace(-20, 20, 4001)
exported = torch.onnx.export(network, (logits,), dynamo=True, verbose=False).model_proto
session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: logits.numpy()}
exact = logits.double().sigmoid().numpy()
at = {logit: round((logit + 20) * 100) for logit in (-19, -14, -12)}
print("| nodes:", *sorted({node.op_type for node in exported.graph.node} & {"Log", "Sigmoid", "Softplus"}))
for name, (probability, logarithm, loss, softplus) in {
    "PyTorch": [output.numpy() for output in network(logits)],
    "onnx's reference": ReferenceEvaluator(exported).run(None, feed),
    "onnxruntime": session.run(None, feed),
}.items():
    error = np.abs(probability / exact - 1)[at[-14] : at[-12]].max()
    ordered = bool((np.diff(probability) >= 0).all())
    print(f"| {name}: relative error from -14 to -12 above 1% {error > 0.01}, ordered by logit {ordered}")
    print(f"| {name}, -19: sigmoid {probability[at[-19]]:.1e}, logsigmoid {logarithm[at[-19]]:.1f},", end=" ")
    print(f"loss of a different pair {loss[at[-19]]:.1e}, softplus {softplus[at[-19]]:.1e}")
PYTHON
diff "$folder/seen" - <<'SEEN'
nodes: Log Sigmoid Softplus
PyTorch: relative error from -14 to -12 above 1% False, ordered by logit True
PyTorch, -19: sigmoid 5.6e-09, logsigmoid -19.0, loss of a different pair 0.0e+00, softplus 5.6e-09
onnx's reference: relative error from -14 to -12 above 1% False, ordered by logit True
onnx's reference, -19: sigmoid 5.6e-09, logsigmoid -19.0, loss of a different pair 0.0e+00, softplus 5.6e-09
onnxruntime: relative error from -14 to -12 above 1% True, ordered by logit False
onnxruntime, -19: sigmoid 0.0e+00, logsigmoid -inf, loss of a different pair inf, softplus 5.6e-09
SEEN
