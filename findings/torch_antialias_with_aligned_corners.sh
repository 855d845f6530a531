#!/usr/bin/env bash
# PyTorch 2.13.0: with antialias=True, interpolate(align_corners=True) aligns no corner and moves the image.
#
# align_corners=True is documented to keep the values of the corner pixels, and antialias is one flag more, so one
# expects the same positions with a wider filter, and equal results where nothing is to be smoothed. But the filters
# begin half a pixel in, as without aligned corners, and advance by the steps of aligned corners. So a reduced image
# moves left and up by half of (ratio - 1) pixels, 1.43 of 105 below, and an enlarged one right and down by up to
# half a pixel. A mirrored image that is resized is not the mirror of the resized image, so a network sees it
# elsewhere than its mirror. With align_corners=False all is well, and the documentation describes that case
# alone. A developer upstream calls it a quirk that is not very well documented (pull request 145526).
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): the row 0 1 2 3 4 5 6 7
#   8 to 4, align_corners True: 0.000 2.333 4.667 7.000
#   8 to 4, align_corners True, antialias: 0.857 3.000 5.375 6.714
#   8 to 4, align_corners False, antialias: 0.714 2.500 4.500 6.286
#   8 to 15, align_corners True: 0.00 0.50 1.00 1.50 2.00 2.50 3.00 3.50 4.00 4.50 5.00 5.50 6.00 6.50 7.00
#   8 to 15, align_corners True, antialias: 0.00 0.25 0.75 1.25 1.75 2.25 2.75 3.25 3.75 4.25 4.75 5.25 5.75 6.25 6.75
#   mirrored before or after, align_corners True: same True, bicubic True
#   mirrored before or after, align_corners True, antialias: same False, bicubic False
#   mirrored before or after, align_corners False, antialias: same True, bicubic True
#   105 to 28, antialias, moved by pixels of 105: align_corners True 1.43, align_corners False 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import torch
from torch.nn.functional import interpolate


def resize(rows, width, align, antialias, mode="bilinear"):
    return interpolate(rows, (rows.shape[2], width), mode=mode, align_corners=align, antialias=antialias)


def ramp(width):
    """Return an image (1, 1, 4, width) whose values are the columns' numbers."""
    return torch.arange(width, dtype=torch.float64).expand(1, 1, 4, width).contiguous()


kinds = {
    "align_corners True": (True, False), "align_corners True, antialias": (True, True),
    "align_corners False, antialias": (False, True),
}
for width, digits in ((4, 3), (15, 2)):
    for kind, options in kinds.items():
        if width == 4 or options[0]:
            row = resize(ramp(8), width, *options)[0, 0, 0]
            print(f"8 to {width}, {kind}:", *[f"{value:.{digits}f}" for value in row])
torch.manual_seed(0)
image = torch.rand(1, 1, 8, 8, dtype=torch.float64)
for kind, options in kinds.items():
    same = [
        torch.allclose(resize(image.flip(3), 4, *options, mode).flip(3), resize(image, 4, *options, mode))
        for mode in ("bilinear", "bicubic")
    ]
    print(f"mirrored before or after, {kind}: same {same[0]}, bicubic {same[1]}")
moved = [
    float((resize(ramp(105), 28, align, True) - resize(ramp(105), 28, align, False))[..., 4:-4].mean())
    for align in (True, False)
]
print(
    "105 to 28, antialias, moved by pixels of 105:",
    f"align_corners True {moved[0]:.2f}, align_corners False {abs(moved[1]):.2f}",
)
PYTHON
diff "$folder/seen" - <<'SEEN'
8 to 4, align_corners True: 0.000 2.333 4.667 7.000
8 to 4, align_corners True, antialias: 0.857 3.000 5.375 6.714
8 to 4, align_corners False, antialias: 0.714 2.500 4.500 6.286
8 to 15, align_corners True: 0.00 0.50 1.00 1.50 2.00 2.50 3.00 3.50 4.00 4.50 5.00 5.50 6.00 6.50 7.00
8 to 15, align_corners True, antialias: 0.00 0.25 0.75 1.25 1.75 2.25 2.75 3.25 3.75 4.25 4.75 5.25 5.75 6.25 6.75
mirrored before or after, align_corners True: same True, bicubic True
mirrored before or after, align_corners True, antialias: same False, bicubic False
mirrored before or after, align_corners False, antialias: same True, bicubic True
105 to 28, antialias, moved by pixels of 105: align_corners True 1.43, align_corners False 0.00
SEEN
