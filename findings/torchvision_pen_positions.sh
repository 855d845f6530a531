#!/usr/bin/env bash
# torchvision 0.28.0: a pen's positions leave their drawing: elastic distortion cuts them to whole pixels.
#
# KeyPoints carry positions through the same transforms as their image; the documentation names polylines and Bezier
# curves, so one expects the strokes of a drawing to stay on its ink. Flips, crops and pads take the position 0 for the
# middle of the first pixel, rotations, affine transforms and Resize for its edge. Whichever of the two a file means,
# half of the transforms miss: an image turned by 180 degrees is the one flipped twice, its positions are a pixel
# apart, and a position on the ink is half a pixel of 28 away after Resize. ElasticTransform looks the displacement
# up at the whole pixel and returns that pixel's new place, not the position's: a stroke of sixteen positions
# becomes one of four, even if nothing is displaced, and in float64 too. KeyPoints are called a beta.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): a spot in 105 x 105 pixels, and a position on its middle
#   before: spot 40.25 60.50, position 40.25 60.50
#   flipped left to right: spot 63.75 60.50, position 63.75 60.50
#   center crop of 85: spot 30.25 50.50, position 30.25 50.50
#   turned by 90 degrees: spot 60.50 63.75, position 60.50 64.75
#   turned by 180 degrees: spot 63.75 43.50, position 64.75 44.50
#   flipped twice: spot 63.75 43.50, position 63.75 43.50
#   enlarged by 1.6: spot 33.20 65.60, position 32.90 65.30
#   resized to 28: spot 10.37 15.77, position 10.73 16.13
#   elastic, no displacement: spot 40.25 60.50, position 40.00 60.00
#   images equal: turned by 180 degrees and flipped twice True, before and after no displacement True
#   stroke in steps of 0.25: 16 positions, after no displacement 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "torchvision==0.28.0" "numpy==2.4.6" "pillow==13.0.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch

try:
    import torchvision
except RuntimeError:  # its compiled part is for PyTorch with CUDA; nothing here needs it, only that its names exist
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision import tv_tensors
from torchvision.transforms import v2

bilinear = v2.InterpolationMode.BILINEAR
pixels = torch.arange(105, dtype=torch.float64)
middle = (40.25, 60.5)
spot = torch.exp(-((pixels - middle[0]) ** 2 + (pixels[:, None] - middle[1]) ** 2) / 18)
spot = tv_tensors.Image(spot[None])


def positions(points):
    return tv_tensors.KeyPoints(torch.as_tensor(points, dtype=torch.float64), canvas_size=(105, 105))


twice = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0)])
half_turn = v2.RandomRotation((180, 180), bilinear)
still = v2.ElasticTransform(alpha=0.0)
kinds = {
    "before": v2.Identity(),
    "flipped left to right": v2.RandomHorizontalFlip(1.0),
    "center crop of 85": v2.CenterCrop(85),
    "turned by 90 degrees": v2.RandomRotation((90, 90), bilinear),
    "turned by 180 degrees": half_turn,
    "flipped twice": twice,
    "enlarged by 1.6": v2.RandomAffine(0, scale=(1.6, 1.6), interpolation=bilinear),
    "resized to 28": v2.Resize((28, 28)),
    "elastic, no displacement": still,
}
for kind, transform in kinds.items():
    image, (point,) = transform(spot, positions([middle]))
    weights = image[0] / image.sum()
    x = (weights.sum(0) * pixels[: weights.shape[1]]).sum()
    y = (weights.sum(1) * pixels[: weights.shape[0]]).sum()
    print(f"{kind}: spot {x:.2f} {y:.2f}, position {point[0]:.2f} {point[1]:.2f}")
noise = tv_tensors.Image(torch.rand(1, 105, 105, generator=torch.Generator().manual_seed(0)))
equal = [torch.allclose(half_turn(noise), twice(noise), atol=1e-3), torch.allclose(still(noise), noise, atol=1e-3)]
print(f"images equal: turned by 180 degrees and flipped twice {equal[0]}, before and after no displacement {equal[1]}")
stroke = positions([(20 + step / 4, 30 + step / 4) for step in range(16)])
print(
    "stroke in steps of 0.25:", len(stroke.unique(dim=0)),
    "positions, after no displacement", len(still(stroke).round(decimals=6).unique(dim=0)),
)
PYTHON
diff "$folder/seen" - <<'SEEN'
before: spot 40.25 60.50, position 40.25 60.50
flipped left to right: spot 63.75 60.50, position 63.75 60.50
center crop of 85: spot 30.25 50.50, position 30.25 50.50
turned by 90 degrees: spot 60.50 63.75, position 60.50 64.75
turned by 180 degrees: spot 63.75 43.50, position 64.75 44.50
flipped twice: spot 63.75 43.50, position 63.75 43.50
enlarged by 1.6: spot 33.20 65.60, position 32.90 65.30
resized to 28: spot 10.37 15.77, position 10.73 16.13
elastic, no displacement: spot 40.25 60.50, position 40.00 60.00
images equal: turned by 180 degrees and flipped twice True, before and after no displacement True
stroke in steps of 0.25: 16 positions, after no displacement 4
SEEN
