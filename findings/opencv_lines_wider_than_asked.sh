#!/usr/bin/env bash
# OpenCV 4.12.0: lines are up to two pixels wider than their thickness, and how much depends on their direction.
#
# Whoever renders pen strokes to images, as for Omniglot's stroke files or Quick, Draw!, takes cv2.line or polylines
# and a thickness of two or three pixels. One expects that many pixels across, or one more where an even number cannot
# lie around a row of pixels. A level or upright line of thickness 3 has 5 rows, one of 5 has 7, one of 7 has 9;
# thickness 3 and 4 draw the same line, and so do 5 and 6. A diagonal of thickness 2, 3 or 4 is one and the same line
# of 3.5 pixels, so strokes of 3 pixels are 40% thicker when level than when diagonal, and augmentation by rotated
# control points changes the pen. LINE_AA and coordinates in sixteenths of a pixel (shift=4) do not help. Pillow's
# ImageDraw.line has the asked number of rows. The same in 4.10.0, 4.11.0, 4.13.0 and 5.0.0.
#
# Output seen (2026-11-30, Python 3.11): pixels across, for thicknesses 1, 2, 3, 4, 5, 6 and 7
#   level: 1 3 5 5 7 7 9
#   upright: 1 3 5 5 7 7 9
#   diagonal: 0.7 3.5 3.5 3.5 6.4 6.4 9.2
#   level, polylines: 1 3 5 5 7 7 9
#   level, shift=4: 1 3 5 5 7 7 9
#   level, LINE_AA, sum of gray: 1.3 3.4 5.4 5.4 7.4 7.4 9.4
#   level, Pillow: 1 2 3 4 5 6 7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "opencv-python-headless==4.12.0.88" "numpy==2.2.6" "pillow==13.0.0"
"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/seen"
import math

import cv2
import numpy as np
from PIL import Image, ImageDraw


def across(draw, start, end, gray=False):
    """Pixels across the middle of a line, at right angles to it, for each thickness."""
    widths = []
    for thickness in range(1, 8):
        image = np.zeros((60, 60), np.uint8)
        image = draw(image, start, end, thickness)
        upright = start[0] == end[0]
        middle = image[30] if upright else image[:, 30]
        slope = 0 if upright else math.atan2(end[1] - start[1], end[0] - start[0])
        count = middle.sum() / 255 if gray else (middle > 0).sum()
        widths.append(f"{count * math.cos(slope):.1f}".removesuffix(".0"))
    return " ".join(widths)


def line(image, start, end, thickness):
    return cv2.line(image, start, end, 255, thickness)


def polylines(image, start, end, thickness):
    return cv2.polylines(image, [np.array([start, end])], False, 255, thickness)


def finer(image, start, end, thickness):
    start, end = ([16 * x for x in point] for point in (start, end))
    return cv2.line(image, start, end, 255, thickness, cv2.LINE_8, 4)


def smooth(image, start, end, thickness):
    return cv2.line(image, start, end, 255, thickness, cv2.LINE_AA)


def pillow(image, start, end, thickness):
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).line([start, end], 255, thickness)
    return np.array(picture)


level = (10, 30), (50, 30)
print("level:", across(line, *level))
print("upright:", across(line, (30, 10), (30, 50)))
print("diagonal:", across(line, (10, 10), (50, 50)))
print("level, polylines:", across(polylines, *level))
print("level, shift=4:", across(finer, *level))
print("level, LINE_AA, sum of gray:", across(smooth, *level, gray=True))
print("level, Pillow:", across(pillow, *level))
PYTHON
diff "$folder/seen" - <<'SEEN'
level: 1 3 5 5 7 7 9
upright: 1 3 5 5 7 7 9
diagonal: 0.7 3.5 3.5 3.5 6.4 6.4 9.2
level, polylines: 1 3 5 5 7 7 9
level, shift=4: 1 3 5 5 7 7 9
level, LINE_AA, sum of gray: 1.3 3.4 5.4 5.4 7.4 7.4 9.4
level, Pillow: 1 2 3 4 5 6 7
SEEN
