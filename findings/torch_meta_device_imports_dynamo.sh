#!/usr/bin/env bash
# PyTorch 2.13.0: shape-only arithmetic on the meta device imports torch._dynamo and SymPy.
#
# Networks are built on the meta device to check a file's weights before memory is taken, and one expects this
# to cost nothing. A layer such as Linear does cost nothing, but arange imports SymPy, and the first elementwise
# operation on a meta tensor goes through PyTorch's Python decompositions and imports the compiler: seconds of a
# processor, in a program that compiles nothing. torch.broadcast_shapes imports SymPy, too, whatever the
# device; NumPy's broadcast_shapes gives the same answer without it.
#
# Output seen (2026-11-29, Python 3.11, torch 2.13.0 CPU):
#   Linear: nothing
#   arange(3): sympy
#   empty(3) * 2: sympy torch._dynamo
#   the same on a CPU: nothing
#   torch.broadcast_shapes: sympy
#   numpy.broadcast_shapes: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
imports() {
    "$folder/venv/bin/python" -c "
import sys, numpy, torch
assert not {'sympy', 'torch._dynamo'} & {*sys.modules}
$2
print('$1:', *sorted({'sympy', 'torch._dynamo'} & {*sys.modules}) or ['nothing'])" 2>/dev/null
}
{
    imports "Linear" "torch.nn.Linear(3, 4, device='meta')"
    imports "arange(3)" "torch.arange(3, device='meta')"
    imports "empty(3) * 2" "torch.empty(3, device='meta') * 2"
    imports "the same on a CPU" "torch.empty(3) * 2"
    imports "torch.broadcast_shapes" "torch.broadcast_shapes((3, 1), (4,))"
    imports "numpy.broadcast_shapes" "numpy.broadcast_shapes((3, 1), (4,))"
} | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
Linear: nothing
arange(3): sympy
empty(3) * 2: sympy torch._dynamo
the same on a CPU: nothing
torch.broadcast_shapes: sympy
numpy.broadcast_shapes: nothing
SEEN
