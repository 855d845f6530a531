#!/usr/bin/env bash
# PyTorch 2.13.0: on a CPU FlopCounterMode counts a Transformer layer with 42, 34 or 0 million operations.
#
# A network's operations follow from its shapes, and one expects the counter to give the same for training and
# evaluation, with and without dropout, on every device. It knows matrix products, convolutions and the fused attention
# of GPUs. On a CPU attention is another fused operator, which it passes over, forward and backward, unless dropout
# makes PyTorch write attention out. In evaluation without gradients a whole TransformerEncoderLayer or
# MultiheadAttention is one operator, and all of it is missing; so is an LSTM, but no GRU. Nothing warns, and in a
# comparison the network of attention is the cheap one. Right are the meta device, and the MATH backend with
# torch.backends.mha.set_fastpath_enabled(False). Upstream has a report of attention alone (195460).
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): millions of operations, the first by hand
#   attention: 8.4, on a CPU 0.0, with backward 0.0, MATH 8.4, meta 8.4
#   layer, training: 41.9, dropout 0.1 41.9, dropout 0 33.6
#   layer, evaluation: 41.9, with gradients 33.6, without 0.0, on meta 41.9, MATH and no fast path 41.9
#   MultiheadAttention, evaluation: 25.2, with gradients 16.8, without 0.0
#   LSTM: 12.6, on a CPU 0.0
#   GRU: 9.4, on a CPU 9.4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode


def millions(call, gradients=False):
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(gradients):
        call()
    return f"{counter.get_total_flops() / 1e6:.1f}"


def by_hand(*products):
    """Count matrix products of (rows, inner, columns), two operations for each product of numbers."""
    return f"{sum(2 * rows * inner * columns for rows, inner, columns in products) / 1e6:.1f}"


images, heads, places, channels, hidden = 8, 4, 64, 64, 128
query = torch.randn(images, heads, places, channels // heads)
rows = images * places
attention = [(rows * heads, channels // heads, places), (rows * heads, places, channels // heads)]
projections = [(rows, channels, 4 * channels)]
feed_forward = [(rows, channels, hidden), (rows, hidden, channels)]


def backward():
    leaf = query.clone().requires_grad_()
    scaled_dot_product_attention(leaf, leaf, leaf).sum().backward()


def attend(device="cpu"):
    scaled_dot_product_attention(*[query.to(device)] * 3)


with sdpa_kernel(SDPBackend.MATH):
    written_out = millions(attend)
print(
    f"attention: {by_hand(*attention)}, on a CPU {millions(attend)}, with backward {millions(backward, True)},",
    f"MATH {written_out}, meta {millions(lambda: attend('meta'))}",
)
batch = torch.randn(images, places, channels)
layer = nn.TransformerEncoderLayer(channels, heads, hidden, batch_first=True)
undropped = nn.TransformerEncoderLayer(channels, heads, hidden, dropout=0.0, batch_first=True)
expected = by_hand(*attention, *projections, *feed_forward)
print(
    f"layer, training: {expected}, dropout 0.1 {millions(lambda: layer(batch), True)},",
    f"dropout 0 {millions(lambda: undropped(batch), True)}",
)
layer.eval()
seen = millions(lambda: layer(batch), True), millions(lambda: layer(batch))
torch.backends.mha.set_fastpath_enabled(False)
with sdpa_kernel(SDPBackend.MATH):
    written_out = millions(lambda: layer(batch))
torch.backends.mha.set_fastpath_enabled(True)
layer.to("meta")
print(
    f"layer, evaluation: {expected}, with gradients {seen[0]}, without {seen[1]},",
    f"on meta {millions(lambda: layer(batch.to('meta')))}, MATH and no fast path {written_out}",
)
module = nn.MultiheadAttention(channels, heads, batch_first=True).eval()


def attend_by_module():
    module(batch, batch, batch, need_weights=False)


print(
    f"MultiheadAttention, evaluation: {by_hand(*attention, *projections)},",
    f"with gradients {millions(attend_by_module, True)}, without {millions(attend_by_module)}",
)
for kind, gates in ((nn.LSTM, 4), (nn.GRU, 3)):
    recurrent = kind(channels, 32, batch_first=True)
    products = [(rows, channels, gates * 32), (rows, 32, gates * 32)]
    print(f"{kind.__name__}: {by_hand(*products)}, on a CPU {millions(lambda: recurrent(batch), True)}")
PYTHON
diff "$folder/seen" - <<'SEEN'
attention: 8.4, on a CPU 0.0, with backward 0.0, MATH 8.4, meta 8.4
layer, training: 41.9, dropout 0.1 41.9, dropout 0 33.6
layer, evaluation: 41.9, with gradients 33.6, without 0.0, on meta 41.9, MATH and no fast path 41.9
MultiheadAttention, evaluation: 25.2, with gradients 16.8, without 0.0
LSTM: 12.6, on a CPU 0.0
GRU: 9.4, on a CPU 9.4
SEEN
