#!/usr/bin/env bash
# pytorch-lightning 2.6.6 with wandb 0.31.0: images of 0 to 1, as networks see them, are logged black.
#
# WandbLogger.log_image takes tensors, NumPy arrays and PIL images, and one expects a tensor of 0 to 1 to look like the
# same drawing as a PIL image. wandb.Image used to multiply such values by 255. Since 0.29 it takes every array for
# values of 0 to 255 and cuts the fractions off: paper of 1.0 becomes 1 of 255, everything below 1.0 becomes 0, and
# a boolean image is as dark. Lightning passes the images on as they come, and nothing warns. The docstring of
# wandb.Image does say that values are expected to be from 0 to 255 already, and its argument normalize is gone; uint8
# and PIL images are right in both versions.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): gray levels in the PNG that is sent
#   wandb 0.28.2, tensor of 0 to 1: paper 255, gray 127, ink 0
#   wandb 0.28.2, NumPy array of 0 to 1: paper 255, gray 127, ink 0
#   wandb 0.28.2, boolean tensor: paper 255, ink 0
#   wandb 0.28.2, uint8 tensor: paper 255, gray 127, ink 0
#   wandb 0.28.2, PIL image: paper 255, gray 127, ink 0
#   wandb 0.31.0, tensor of 0 to 1: paper 1, gray 0, ink 0
#   wandb 0.31.0, NumPy array of 0 to 1: paper 1, gray 0, ink 0
#   wandb 0.31.0, boolean tensor: paper 1, ink 0
#   wandb 0.31.0, uint8 tensor: paper 255, gray 127, ink 0
#   wandb 0.31.0, PIL image: paper 255, gray 127, ink 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-lightning==2.6.6" "numpy==2.4.6" "pillow==13.0.0"
cd "$folder"
cat > log.py <<'PYTHON'
from pathlib import Path

import numpy as np
import torch
import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger

drawing = torch.ones(1, 28, 28)
drawing[:, 5:20, 12:15] = 0.0
drawing[:, 5:20, 15] = 0.5
levels = (drawing * 255).to(torch.uint8)
kinds = {
    "tensor of 0 to 1": drawing,
    "NumPy array of 0 to 1": drawing[0].numpy(),
    "boolean tensor": drawing > 0.5,
    "uint8 tensor": levels,
    "PIL image": Image.fromarray(levels[0].numpy()),
}
logger = WandbLogger("demo", save_dir=".", offline=True)
for number, (kind, image) in enumerate(kinds.items()):
    logger.log_image(f"image{number}", [image])
    (path,) = Path("wandb").glob(f"offline-run*/files/media/images/image{number}_*.png")
    seen = np.asarray(Image.open(path))
    gray = "" if kind == "boolean tensor" else f" gray {seen[10, 15]},"
    print(f"wandb {wandb.__version__}, {kind}: paper {seen[0, 0]},{gray} ink {seen[10, 13]}")
PYTHON
for version in 0.28.2 0.31.0; do
    "$folder/venv/bin/pip" install --quiet "wandb==$version"
    rm -rf wandb
    WANDB_MODE=offline WANDB_SILENT=true "$folder/venv/bin/python" log.py 2>/dev/null
done | grep "^wandb 0" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
wandb 0.28.2, tensor of 0 to 1: paper 255, gray 127, ink 0
wandb 0.28.2, NumPy array of 0 to 1: paper 255, gray 127, ink 0
wandb 0.28.2, boolean tensor: paper 255, ink 0
wandb 0.28.2, uint8 tensor: paper 255, gray 127, ink 0
wandb 0.28.2, PIL image: paper 255, gray 127, ink 0
wandb 0.31.0, tensor of 0 to 1: paper 1, gray 0, ink 0
wandb 0.31.0, NumPy array of 0 to 1: paper 1, gray 0, ink 0
wandb 0.31.0, boolean tensor: paper 1, ink 0
wandb 0.31.0, uint8 tensor: paper 255, gray 127, ink 0
wandb 0.31.0, PIL image: paper 255, gray 127, ink 0
SEEN
