#!/usr/bin/env bash
# PyTorch 2.13.0: attention that is fully masked gives zeros, and exported to ONNX the mean of everything, or NaN.
#
# A support set that is padded to K shots is masked in attention, and an empty one is masked wholly.
# scaled_dot_product_attention then returns zeros, for boolean masks and for masks of -inf alike, and one expects
# the exported network to do the same. Up to opset 22, and so by default, the exporter writes the attention out. A
# boolean mask becomes the lowest finite number, beside which all scores are equal, so the query gets the mean of
# all the values that it must not see; the graph replaces NaN by zero for this very case (onnxscript 2479), but there is
# no NaN. A mask of -inf gives NaN, and nothing replaces it. From opset 23 on attention is one operator, and
# right. Queries that see anything are right everywhere, so comparing outputs on full support sets shows nothing.
# onnx's reference agrees with onnxruntime: the graph differs.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0)
#   boolean, PyTorch: sees nothing zeros, sees all right True
#   boolean, default opset 20, onnxruntime: sees nothing the mean of all, sees all right True
#   boolean, default opset 20, onnx's reference: sees nothing the mean of all, sees all right True
#   boolean, opset 22, onnxruntime: sees nothing the mean of all, sees all right True
#   boolean, opset 22, onnx's reference: sees nothing the mean of all, sees all right True
#   boolean, opset 23, onnxruntime: sees nothing zeros, sees all right True
#   boolean, opset 23, onnx's reference: sees nothing zeros, sees all right True
#   -inf, PyTorch: sees nothing zeros, sees all right True
#   -inf, default opset 20, onnxruntime: sees nothing NaN, sees all right True
#   -inf, default opset 20, onnx's reference: sees nothing NaN, sees all right True
#   -inf, opset 22, onnxruntime: sees nothing NaN, sees all right True
#   -inf, opset 22, onnx's reference: sees nothing NaN, sees all right True
#   -inf, opset 23, onnxruntime: sees nothing zeros, sees all right True
#   -inf, opset 23, onnx's reference: sees nothing zeros, sees all right True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6" "onnx==1.23.2" \
    "onnxscript==0.7.2" "onnxruntime==1.32.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import contextlib
import io
import warnings

import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch.nn.functional import scaled_dot_product_attention

warnings.filterwarnings("ignore")


class Attention(torch.nn.Module):
    def forward(self, query, support, mask):
        return scaled_dot_product_attention(query, support, support, attn_mask=mask)


def show(text, answer):
    none, full = torch.as_tensor(answer)[0, 0]
    kind = (
        "zeros" if torch.equal(none, torch.zeros(4)) else "NaN" if none.isnan().all()
        else "the mean of all" if torch.allclose(none, support[0, 0].mean(0), atol=1e-5) else str(none)
    )
    print(f"{text}: sees nothing {kind}, sees all right {torch.allclose(full, expected[0, 0, 1], atol=1e-5)}")


torch.manual_seed(0)
query, support = torch.randn(1, 1, 2, 4), torch.randn(1, 1, 3, 4)
seen = torch.tensor([[False] * 3, [True] * 3])
expected = scaled_dot_product_attention(query, support, support)
for name, mask in (("boolean", seen), ("-inf", torch.zeros(2, 3).masked_fill(~seen, -torch.inf))):
    inputs = (query, support, mask)
    show(f"{name}, PyTorch", Attention()(*inputs))
    for opset in (None, 22, 23):
        with contextlib.redirect_stdout(io.StringIO()):
            graph = torch.onnx.export(Attention(), inputs, dynamo=True, opset_version=opset).model_proto
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {place.name: tensor.numpy() for place, tensor in zip(session.get_inputs(), inputs, strict=True)}
        text = f"{name}, {'default ' if opset is None else ''}opset {graph.opset_import[0].version}"
        show(f"{text}, onnxruntime", session.run(None, feed)[0])
        show(f"{text}, onnx's reference", ReferenceEvaluator(graph).run(None, feed)[0])
PYTHON
diff "$folder/seen" - <<'SEEN'
boolean, PyTorch: sees nothing zeros, sees all right True
boolean, default opset 20, onnxruntime: sees nothing the mean of all, sees all right True
boolean, default opset 20, onnx's reference: sees nothing the mean of all, sees all right True
boolean, opset 22, onnxruntime: sees nothing the mean of all, sees all right True
boolean, opset 22, onnx's reference: sees nothing the mean of all, sees all right True
boolean, opset 23, onnxruntime: sees nothing zeros, sees all right True
boolean, opset 23, onnx's reference: sees nothing zeros, sees all right True
-inf, PyTorch: sees nothing zeros, sees all right True
-inf, default opset 20, onnxruntime: sees nothing NaN, sees all right True
-inf, default opset 20, onnx's reference: sees nothing NaN, sees all right True
-inf, opset 22, onnxruntime: sees nothing NaN, sees all right True
-inf, opset 22, onnx's reference: sees nothing NaN, sees all right True
-inf, opset 23, onnxruntime: sees nothing zeros, sees all right True
-inf, opset 23, onnx's reference: sees nothing zeros, sees all right True
SEEN
