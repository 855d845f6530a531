#!/usr/bin/env bash
# torchvision 0.28.0: a 1-bit image that ToImage reads and Resize reduces comes out blank.
#
# Omniglot's drawings are PNG files of one bit per pixel: mode "1" in Pillow, black on white. v2.ToImage, Resize and
# ToDtype(scale=True) are the documented way from a file to a float tensor, and one expects a reduced drawing in grays,
# or at least rounded. ToImage turns mode "1" into booleans, the only mode where it does. Resize interpolates them as
# floats and turns the result back: integers are rounded first, booleans not, and whatever is not exactly 0 is True. So
# a pixel stays black only if all that the filter sees is black, and strokes of three pixels vanish at 28 and at 52
# pixels, silently. Inverted drawings get strokes four times as thick. RandomResizedCrop and the old Resize do the
# same; rotations round, masks use the nearest pixel, and ToTensor, Grayscale before ToImage, ToDtype
# before Resize and images of 8 bits are right. torchvision's own Omniglot converts to 8 bits.
#
# Output seen (2026-11-30, Python 3.11, torch 2.13.0 CPU): black of 105 x 105 pixels, then of those it is resized to
#   ToImage: torch.bool, black 3.5%
#   ToImage, Resize, ToDtype: black at 28 pixels 0.0%, at 52 0.0%, at 84 1.3%
#   ToImage, ToDtype, Resize: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
#   Grayscale, ToImage, Resize, ToDtype: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
#   ToTensor, Resize: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
#   PILToTensor, Resize and ConvertImageDtype of v1: black at 28 pixels 0.0%, at 52 0.0%, at 84 1.3%
#   white on black, ToImage, Resize, ToDtype: white at 28 pixels 14.2%, at 52 8.4%, at 84 6.0%
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
from PIL import Image, ImageChops, ImageDraw
from torchvision import transforms
from torchvision.transforms import v2

drawing = Image.new("1", (105, 105), 1)
ImageDraw.Draw(drawing).line([(20, 20), (80, 30), (40, 90)], fill=0, width=3)
drawing.save("drawing.png")
drawing = Image.open("drawing.png")
scaled = v2.ToDtype(torch.float32, scale=True)
read = v2.ToImage()(drawing)
print(f"ToImage: {read.dtype}, black {1 - read.float().mean():.1%}")


def show(text, image, steps, color="black"):
    shares = []
    for size in (28, 52, 84):
        tensor = v2.Compose([step((size, size)) if step in resizing else step for step in steps])(image)
        assert tensor.dtype == torch.float32 and tensor.shape == (1, size, size)
        shares.append(float(tensor.mean() if color == "white" else 1 - tensor.mean()))
    print(f"{text}: {color} at 28 pixels {shares[0]:.1%}, at 52 {shares[1]:.1%}, at 84 {shares[2]:.1%}")


resizing = (v2.Resize, transforms.Resize)
show("ToImage, Resize, ToDtype", drawing, [v2.ToImage(), v2.Resize, scaled])
show("ToImage, ToDtype, Resize", drawing, [v2.ToImage(), scaled, v2.Resize])
show("Grayscale, ToImage, Resize, ToDtype", drawing, [v2.Grayscale(), v2.ToImage(), v2.Resize, scaled])
show("ToTensor, Resize", drawing, [transforms.ToTensor(), transforms.Resize])
show(
    "PILToTensor, Resize and ConvertImageDtype of v1", drawing,
    [transforms.PILToTensor(), transforms.Resize, transforms.ConvertImageDtype(torch.float32)],
)
show("white on black, ToImage, Resize, ToDtype", ImageChops.invert(drawing), [v2.ToImage(), v2.Resize, scaled], "white")
PYTHON
diff "$folder/seen" - <<'SEEN'
ToImage: torch.bool, black 3.5%
ToImage, Resize, ToDtype: black at 28 pixels 0.0%, at 52 0.0%, at 84 1.3%
ToImage, ToDtype, Resize: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
Grayscale, ToImage, Resize, ToDtype: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
ToTensor, Resize: black at 28 pixels 3.5%, at 52 3.5%, at 84 3.5%
PILToTensor, Resize and ConvertImageDtype of v1: black at 28 pixels 0.0%, at 52 0.0%, at 84 1.3%
white on black, ToImage, Resize, ToDtype: white at 28 pixels 14.2%, at 52 8.4%, at 84 6.0%
SEEN
