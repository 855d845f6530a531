#!/usr/bin/env bash
# PyTorch 2.13.0: the ONNX exporter takes a dimension named in dynamic_shapes as fixed, and says nothing, if the network calls len().
#
# An encoder that averages over views stacks them into one batch and takes it apart by the number of images. With
# images.shape[0] the exported network reads any number of images. With len(images), the same number, Python makes a
# plain integer of it, and the dimension is fixed at the example's. torch.export.export refuses that: the caller had
# named the dimension. torch.onnx.export(dynamo=True) with the same arguments reports that torch.export.export has
# succeeded, warns of nothing, and writes a network for exactly as many images as the example has. PyTorch and
# onnxruntime agree on that example, so a comparison on it shows nothing; any other number of images is refused when
# the network runs.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0)
#   shape[0]: torch.export.export succeeds
#   shape[0]: torch.onnx.export succeeds, images n; 2 images are read, 3 images are read
#   len: torch.export.export raises UserError
#   len: torch.onnx.export succeeds, images 2; 2 images are read, 3 images are refused
#   len: warnings of dynamic shapes or constraints in all that the exporter prints: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6" "onnx==1.23.2" \
    "onnxscript==0.7.2" "onnxruntime==1.32.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/errors" | tee "$folder/all" | { grep "^shape\[0\]:\|^len:" || true; } | tee "$folder/seen"
import onnxruntime
import torch


class TwoViews(torch.nn.Module):
    """The mean embedding of images and of their mirror images."""

    def __init__(self, by_length):
        super().__init__()
        self.by_length, self.encoder = by_length, torch.nn.Linear(8, 4)

    def forward(self, images):
        count = len(images) if self.by_length else images.shape[0]
        return self.encoder(torch.cat([images, images.flip(1)])).view(2, count, 4).mean(0)


images = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
arguments = {"args": (images,), "dynamic_shapes": ({0: torch.export.Dim("n")},)}
for name, by_length in (("shape[0]", False), ("len", True)):
    network = TwoViews(by_length).eval()
    try:
        torch.export.export(network, **arguments)
        print(f"{name}: torch.export.export succeeds")
    except Exception as error:
        print(f"{name}: torch.export.export raises {type(error).__name__}")
    print("exporter begins", name)
    graph = torch.onnx.export(network, dynamo=True, **arguments).model_proto
    print("exporter ends")
    size = graph.graph.input[0].type.tensor_type.shape.dim[0]
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = []
    for n in (2, 3):
        given = torch.rand(n, 8, generator=torch.Generator().manual_seed(n))
        try:
            (answer,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
            assert torch.allclose(torch.from_numpy(answer), network(given), atol=1e-6)
            found.append(f"{n} images are read")
        except Exception as error:
            assert "Got invalid dimensions" in str(error), error
            found.append(f"{n} images are refused")
    print(f"{name}: torch.onnx.export succeeds, images {size.dim_param or size.dim_value}; {', '.join(found)}")
PYTHON
printed=$(sed -n '/^exporter begins len/,/^exporter ends/p' "$folder/all"; grep -i "onnx" "$folder/errors" || true)
count=$(grep -ciE "constraint|specializ|dynamic|static" <<<"$printed" || true)
echo "len: warnings of dynamic shapes or constraints in all that the exporter prints: $count" | tee -a "$folder/seen"
diff "$folder/seen" - <<'SEEN'
shape[0]: torch.export.export succeeds
shape[0]: torch.onnx.export succeeds, images n; 2 images are read, 3 images are read
len: torch.export.export raises UserError
len: torch.onnx.export succeeds, images 2; 2 images are read, 3 images are refused
len: warnings of dynamic shapes or constraints in all that the exporter prints: 0
SEEN
