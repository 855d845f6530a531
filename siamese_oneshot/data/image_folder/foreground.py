"""Any image of a drawn character → ink and paper as Omniglot has them.

The ink is found by its distance in color from the paper, so that color, polarity, transparency
and lighting do not matter; its path is then drawn again with Omniglot's pen at Omniglot's size and
place, so that the image's size and the pen used do not matter either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from siamese_oneshot.data.image_folder.background import (
    FAINTEST,
    Floats,
    Mask,
    paper_color,
    quantile,
)
from siamese_oneshot.utils.errors import UserError

SIDE = 105
# Measured on 3,000 of the 19,280 background images: the smallest dot is a stamp of 5×5 pixels and
# the median stroke is 5 wide; the longer side of the ink's box is 68 at the median (5% below 44, 5%
# above 88), and that box is centred on row 50.5, column 51.
PEN = 5
EXTENT = 68
CENTRE = (50.5, 51.0)

_WORK = 360  # longest side that ink is looked for in
_DRAWN = 2 * EXTENT  # shortest box that a path is taken from: halved afterwards, so never blocky
_DOT = 1.7  # times its thickness: what is shorter is no stroke
_FATTEST = 0.5  # of the path's length: a pen beyond this makes a dot, not a stroke
_NOISE = 4.0  # times the 30% quantile of distances from the paper's color: nothing below is ink
_BESIDE = 0.2  # of the image's rim: a thick part that takes more of it is a desk or a shadow
_THICK = 3.0  # times the pen's width: that thick
_NOTABLE = 0.002  # of the image: ink that is left if the desk is taken away
_SPECK = 0.3  # of the pen's width squared: the least area of a dot

Polarity = Literal["dark on light", "light on dark", "on transparent"]


class NoForeground(UserError):
    """Nothing is drawn in this image, as far as can be seen."""


@dataclass(frozen=True, eq=False)
class NormalizedImage:
    """An image in the network's convention, and what was found on the way.

    Attributes:
        ink: uint8 ``(side, side)``: 255 ink, 0 paper; at side 105 nothing between.
        box: left, top, right, bottom of the ink in the given image, in its pixels.
        stroke: width of the pen that was found, in pixels of the given image.
        polarity: how ink and paper were told apart.
    """

    ink: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    stroke: float
    polarity: Polarity


def normalise(rgba: NDArray[np.uint8], side: int = SIDE) -> NormalizedImage:
    """Bring an image to Omniglot's convention: thin strokes of one width, one size, one place.

    Args:
        rgba: uint8 ``(height, width, 4)``, of any size; color not multiplied by alpha.
        side: of the result; other than 105, it is the image of 105 averaged over areas, as
            ``CharacterDataset.resized`` does it.

    Returns:
        The image and what was found. Equal images give equal images.

    Raises:
        ValueError: another shape or type.
        NoForeground: one color, or nothing that stands out from paper and noise.
    """
    if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or 0 in rgba.shape:
        raise ValueError(f"rgba must be uint8 (height, width, 4), got {rgba.dtype} {rgba.shape}")
    image = Image.fromarray(rgba)
    zoom = min(1.0, _WORK / max(image.size))
    if zoom < 1:
        small = [max(1, round(edge * zoom)) for edge in image.size]
        # PIL averages colors by their alpha.
        image = image.resize((small[0], small[1]), Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32) / np.float32(255)
    strength, threshold, polarity = _strength(pixels)
    mask = _without_specks(_without_surroundings(strength > threshold))
    top, bottom, left, right = _box(mask)
    path, pen, enlarged = _path(strength, mask, threshold, (top, bottom, left, right))
    ink = _draw(path, pen)
    scale = np.array([rgba.shape[1], rgba.shape[0]] * 2) / np.array([*image.size] * 2)
    box = np.rint(np.array([left, top, right, bottom]) * scale).astype(int).tolist()
    if side != SIDE:
        averaged = F.adaptive_avg_pool2d(torch.from_numpy(ink)[None, None].float(), side)
        ink = averaged[0, 0].round().byte().numpy()
    return NormalizedImage(ink, tuple(box), pen / enlarged * float(scale.max()), polarity)


def _strength(pixels: Floats) -> tuple[Floats, float, Polarity]:
    """How much ink each pixel has ``(h, w)``, the amount from which it is ink, and how it differs.

    Where transparency says what is drawn, alpha is the ink. Else an opaque card is looked at; a
    part that is solid is a card if anything is drawn on it, else a bold stroke.
    """
    alpha = pixels[..., 3]
    if alpha.max() < FAINTEST:
        raise NoForeground("it is wholly transparent")
    opaque = alpha > alpha.max() / 2
    if not opaque.all():
        top, bottom, left, right = _box(opaque)
        if opaque[top:bottom, left:right].mean() > 0.5:
            try:
                return _on_paper(pixels[..., :3], opaque)
            except NoForeground:
                pass
        return alpha, float(alpha.max()) / 2, "on transparent"
    return _on_paper(pixels[..., :3], opaque)


def _on_paper(colors: Floats, card: Mask) -> tuple[Floats, float, Polarity]:
    """``_strength`` of the pixels of a card by their distance from the paper's color."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    residual = colors - paper_color(colors, card)
    strength = np.sqrt(np.einsum("hwc,hwc->hw", residual, residual) / 3)
    strength[~card] = 0
    if max(strength.shape) > _WORK // 2:  # a small image has no pixel to spare
        strength = gaussian_filter(strength, 0.8)
    floor = max(_NOISE * quantile(strength[card], 0.3), FAINTEST)
    if not (strength > floor).any():
        raise NoForeground("it has one color, or nothing that stands out from the paper")
    threshold = max(floor, float(threshold_otsu(strength[card])))
    marked = strength > threshold
    if not marked.any():
        raise NoForeground("nothing stands out from the paper")
    light = residual[marked].mean() > 0
    return strength, threshold, "light on dark" if light else "dark on light"


def _without_specks(mask: Mask) -> Mask:
    """``mask`` without the components that are smaller than a dot of the same pen."""
    from scipy.ndimage import label

    parts, count = label(mask, np.ones((3, 3)))
    if count == 1:
        return mask
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    largest = areas.max()
    pen = _width(parts == areas.argmax())
    # An image of dots alone has a pen as wide as its dots; none of them is a speck of another.
    least = min(max(_SPECK * pen * pen, 0.003 * largest), 0.3 * largest)
    return (areas >= max(least, 1))[parts]


def _without_surroundings(mask: Mask) -> Mask:
    """``mask`` without the desk beside the paper: thick, along the rim, and not all there is."""
    from scipy.ndimage import label

    parts, count = label(mask, np.ones((3, 3)))
    rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    beside = np.bincount(rim, minlength=count + 1) > _BESIDE * len(rim)
    beside[0] = True
    areas = np.where(beside, 0, np.bincount(parts.ravel()))
    if beside.sum() == 1 or areas.max() < _NOTABLE * mask.size:
        return mask
    pen = _width(parts == areas.argmax())
    for number in np.flatnonzero(beside)[1:]:
        beside[number] = _width(parts == number) > _THICK * pen
    return ~beside[parts]


def _width(part: Mask) -> float:
    """About how wide a line is."""
    from skimage.morphology import skeletonize

    return float(part.sum() / max(1, skeletonize(np.pad(part, 1)).sum()))


def _path(
    strength: Floats, mask: Mask, threshold: float, box: tuple[int, int, int, int]
) -> tuple[Mask, float, float]:
    """Where the middle of the pen went, the pen's width there, and by how much it was enlarged.

    Parts filled in with many strokes stay filled.
    """
    from scipy.ndimage import distance_transform_edt, find_objects, label, maximum_filter
    from skimage.morphology import skeletonize

    margin = 2
    near = np.where(maximum_filter(mask, 2 * margin + 1), strength, 0)
    top, bottom, left, right = box
    near = np.pad(near, margin)[top : bottom + 2 * margin, left : right + 2 * margin]
    zoom = max(1.0, _DRAWN / max(bottom - top, right - left))
    if zoom > 1:
        size = (round(near.shape[1] * zoom), round(near.shape[0] * zoom))
        near = np.asarray(Image.fromarray(near).resize(size, Image.Resampling.BICUBIC))
    whole = _without_specks(near > threshold)
    whole = np.pad(whole, 1)  # a stroke cut by the image's edge ends there
    distance = distance_transform_edt(whole)
    path = skeletonize(whole)
    pen = 2 * float(np.median(distance[path])) - 1
    path |= distance > 0.8 * pen
    parts, _ = label(whole, np.ones((3, 3)))
    for number, where in enumerate(find_objects(parts), 1):
        own = parts[where] == number
        thickness = 2 * float(distance[where][own].max()) - 1
        # The skeleton of a round dot by a pen of about that width is a fork of no meaning, that of
        # two by two pixels is empty.
        dot = thickness < 2 * pen and max(own.shape) < _DOT * thickness
        if dot or not path[where][own].any():
            path[where] &= ~own
            path[tuple((edge.start + edge.stop - 1) // 2 for edge in where)] = True
    return path, pen, zoom


def _draw(path: Mask, pen: float) -> NDArray[np.uint8]:
    """The path in Omniglot's size and place, drawn with Omniglot's pen: uint8 (105, 105)."""
    from scipy.ndimage import maximum_filter

    rows, columns = np.nonzero(path)
    points = np.stack([rows, columns], 1).astype(np.float64)
    low, high = points.min(0), points.max(0)
    scale = (EXTENT - PEN) / max((high - low).max(), pen / _FATTEST)
    placed = np.rint((points - (low + high) / 2) * scale + CENTRE).astype(int)
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[placed[:, 0], placed[:, 1]] = 255
    tip = np.ones((PEN, PEN), bool)
    tip[:: PEN - 1, :: PEN - 1] = False
    return maximum_filter(ink, footprint=tip)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """The first and one past the last row, and likewise column, with a True."""
    rows, columns = (np.flatnonzero(mask.max(axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
