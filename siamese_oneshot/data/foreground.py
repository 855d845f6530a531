"""Normalize any image of a drawn character to strokes and background as Omniglot has them.

Strokes are found by their color distance from the background, so that color, polarity,
transparency and lighting do not matter. Their skeleton is then redrawn with Omniglot's pen at
Omniglot's size and position, so that the image's size and the pen do not matter either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_oneshot.utils.errors import UserError

SIDE = 105
# Measured on 3,000 of the 19,280 background images: the smallest dot is a stamp of 5×5 pixels and
# the median stroke is 5 wide; the longer side of the strokes' bounding box is 68 at the median (5%
# below 44, 5% above 88), and the box is centered on row 50.5, column 51.
PEN = 5
EXTENT = 68
CENTER = (50.5, 51.0)

MIN_CONTRAST = 10 / 255  # smallest difference between strokes and background
_TERMS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # exponents of y and of x
_MAX_SAMPLES = 3000  # pixels that the surface of the background's color is fitted to
_WORK = 360  # longest side of the image that strokes are searched in
_DRAWN = 2 * EXTENT  # shortest bounding box that is skeletonized: halved later, so never blocky
_DOT = 1.7  # a component shorter than this many times its thickness is a dot
_MAX_PEN = 0.5  # of the skeleton's length: a wider pen makes a dot, not a stroke
_NOISE = 4.0  # times the 30% quantile of the distances from the background's color
_AT_BORDER = 0.2  # of the image's border: a thick component that covers more is a table or a shadow
_THICK = 3.0  # times the pen's width: such a component is thick
_MIN_REMAINDER = 0.002  # of the image: area of strokes that must remain without it
_SPECK = 0.3  # of the pen's width squared: the smallest area of a dot

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Polarity = Literal["dark on light", "light on dark", "on transparent"]


class NoForeground(UserError):
    """No strokes are visible in the image."""


@dataclass(frozen=True, eq=False)
class NormalizedImage:
    """The strokes of an image in Omniglot's convention, with measurements of the original.

    Attributes:
        strokes: uint8 ``(105, 105)``, 255 for strokes and 0 for background.
        box: Left, top, right and bottom of the strokes in the original image, in pixels.
        stroke: Estimated width of the pen in pixels of the original image.
        polarity: How strokes and background were told apart.
    """

    strokes: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    stroke: float
    polarity: Polarity


def normalize(rgba: NDArray[np.uint8]) -> NormalizedImage:
    """Normalize an image to Omniglot's convention: one stroke width, one size, one position.

    Args:
        rgba: uint8 ``(height, width, 4)`` of any size; colors are not premultiplied by alpha.

    Returns:
        The normalized image; equal images give equal results.

    Raises:
        ValueError: If ``rgba`` has another shape or dtype.
        NoForeground: If the image has one color, or nothing stands out from background and noise.
    """
    if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or 0 in rgba.shape:
        raise ValueError(f"rgba must be uint8 (height, width, 4), got {rgba.dtype} {rgba.shape}")
    image = Image.fromarray(rgba)
    zoom = min(1.0, _WORK / max(image.size))
    if zoom < 1:
        small = [max(1, round(edge * zoom)) for edge in image.size]
        # Pillow averages colors weighted by alpha.
        image = image.resize((small[0], small[1]), Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32) / np.float32(255)
    strength, threshold, polarity = _strength(pixels)
    mask = _without_specks(_without_surroundings(strength > threshold))
    top, bottom, left, right = _box(mask)
    skeleton, pen, enlargement = _skeleton(strength, mask, threshold, (top, bottom, left, right))
    scale = np.array([rgba.shape[1], rgba.shape[0]] * 2) / np.array([*image.size] * 2)
    box = np.rint(np.array([left, top, right, bottom]) * scale).astype(int).tolist()
    width = pen / enlargement * float(scale.max())
    return NormalizedImage(_draw(skeleton, pen), tuple(box), width, polarity)


def _strength(pixels: Floats) -> tuple[Floats, float, Polarity]:
    """How strongly each pixel differs from the background ``(h, w)``, threshold and polarity.

    If transparency marks the strokes, alpha is the strength. Otherwise the opaque region is a
    sheet: a solid opaque region with something drawn on it, else a bold stroke.
    """
    alpha = pixels[..., 3]
    if alpha.max() < MIN_CONTRAST:
        raise NoForeground("it is wholly transparent")
    opaque = alpha > alpha.max() / 2
    if not opaque.all():
        top, bottom, left, right = _box(opaque)
        if opaque[top:bottom, left:right].mean() > 0.5:
            try:
                return _on_background(pixels[..., :3], opaque)
            except NoForeground:
                pass
        return alpha, float(alpha.max()) / 2, "on transparent"
    return _on_background(pixels[..., :3], opaque)


def _on_background(colors: Floats, sheet: Mask) -> tuple[Floats, float, Polarity]:
    """``_strength`` of the pixels of a sheet: their distance from the background's color."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    residual = colors - _background_color(colors, sheet)
    strength = np.sqrt(np.einsum("hwc,hwc->hw", residual, residual) / 3)
    strength[~sheet] = 0
    if max(strength.shape) > _WORK // 2:  # smoothing would blur the strokes of small images
        strength = gaussian_filter(strength, 0.8)
    noise = max(_NOISE * _quantile(strength[sheet], 0.3), MIN_CONTRAST)
    if not (strength > noise).any():
        raise NoForeground("it has one color, or nothing stands out from the background")
    threshold = max(noise, float(threshold_otsu(strength[sheet])))
    mask = strength > threshold
    if not mask.any():
        raise NoForeground("nothing stands out from the background")
    light = residual[mask].mean() > 0
    return strength, threshold, "light on dark" if light else "dark on light"


def _without_specks(mask: Mask) -> Mask:
    """Remove the components that are smaller than a dot of the same pen."""
    from scipy.ndimage import label

    components, count = label(mask, np.ones((3, 3)))
    if count == 1:
        return mask
    areas = np.bincount(components.ravel())
    areas[0] = 0
    largest = areas.max()
    pen = _width(components == areas.argmax())
    # In an image of dots the pen is as wide as the dots, and none of them is a speck.
    smallest = min(max(_SPECK * pen * pen, 0.003 * largest), 0.3 * largest)
    return (areas >= max(smallest, 1))[components]


def _without_surroundings(mask: Mask) -> Mask:
    """Remove what surrounds a sheet: thick components along the border, unless nothing remains."""
    from scipy.ndimage import label

    components, count = label(mask, np.ones((3, 3)))
    border = np.concatenate([components[0], components[-1], components[:, 0], components[:, -1]])
    beside = np.bincount(border, minlength=count + 1) > _AT_BORDER * len(border)
    beside[0] = True
    areas = np.where(beside, 0, np.bincount(components.ravel()))
    if beside.sum() == 1 or areas.max() < _MIN_REMAINDER * mask.size:
        return mask
    pen = _width(components == areas.argmax())
    for number in np.flatnonzero(beside)[1:]:
        beside[number] = _width(components == number) > _THICK * pen
    return ~beside[components]


def _width(component: Mask) -> float:
    """Approximate width of a line."""
    from skimage.morphology import skeletonize

    return float(component.sum() / max(1, skeletonize(np.pad(component, 1)).sum()))


def _skeleton(
    strength: Floats, mask: Mask, threshold: float, box: tuple[int, int, int, int]
) -> tuple[Mask, float, float]:
    """The center line of the strokes, the pen's width in it, and the enlargement of both.

    Areas that are filled with many strokes stay filled.
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
    large = _without_specks(near > threshold)
    large = np.pad(large, 1)  # a stroke that the image's edge cuts ends there
    distance = distance_transform_edt(large)
    skeleton = skeletonize(large)
    pen = 2 * float(np.median(distance[skeleton])) - 1
    skeleton |= distance > 0.8 * pen
    components, _ = label(large, np.ones((3, 3)))
    for number, window in enumerate(find_objects(components), 1):
        component = components[window] == number
        thickness = 2 * float(distance[window][component].max()) - 1
        # The skeleton of a round dot of about the pen's width is a meaningless fork; that of two
        # by two pixels is empty.
        dot = thickness < 2 * pen and max(component.shape) < _DOT * thickness
        if dot or not skeleton[window][component].any():
            skeleton[window] &= ~component
            skeleton[tuple((edge.start + edge.stop - 1) // 2 for edge in window)] = True
    return skeleton, pen, zoom


def _draw(skeleton: Mask, pen: float) -> NDArray[np.uint8]:
    """The skeleton at Omniglot's size and position, drawn with Omniglot's pen: uint8 (105, 105)."""
    from scipy.ndimage import maximum_filter

    points = np.stack(np.nonzero(skeleton), 1).astype(np.float64)
    low, high = points.min(0), points.max(0)
    scale = (EXTENT - PEN) / max((high - low).max(), pen / _MAX_PEN)
    rows, columns = np.rint((points - (low + high) / 2) * scale + CENTER).astype(int).T
    strokes = np.zeros((SIDE, SIDE), np.uint8)
    strokes[rows, columns] = 255
    tip = np.ones((PEN, PEN), bool)
    tip[:: PEN - 1, :: PEN - 1] = False
    return maximum_filter(strokes, footprint=tip)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """The first row, one past the last row, and likewise the columns, that hold a True."""
    rows, columns = (np.flatnonzero(mask.max(axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _quantile(values: Floats, q: float) -> float:
    """The value at fraction ``q`` of the sorted values; several times faster than NumPy's."""
    index = int(q * (values.size - 1))
    return float(np.partition(values, index, axis=None)[index])


def _background_color(colors: Floats, region: Mask) -> Floats:
    """Fit a quadratic surface to the background's color ``(h, w, 3)``, robust to strokes.

    Iteratively reweighted least squares: first a constant, then a plane through the border of
    ``region``, the sheet that is drawn on, then the surface. Pixels far from the current fit get
    little weight.
    """
    from scipy.ndimage import minimum_filter

    x_powers, y_powers = (
        np.linspace(-1, 1, length, dtype=np.float32)[:, None] ** [0, 1, 2]
        for length in (region.shape[1], region.shape[0])
    )
    size = 2 * max(1, min(region.shape) // 20) + 1
    border = region & ~minimum_filter(region, size, mode="constant")
    surface = np.zeros((len(_TERMS), 3))
    surface[0] = _initial_color(colors, region, border)
    for pixels, n_terms, n_fits, q in ((border, 3, 4, 0.15), (region, len(_TERMS), 6, 0.3)):
        rows, columns = np.nonzero(pixels)
        rows, columns = (index[:: len(rows) // _MAX_SAMPLES + 1] for index in (rows, columns))
        basis = np.stack([y_powers[rows, i] * x_powers[columns, j] for i, j in _TERMS[:n_terms]], 1)
        samples = colors[rows, columns]
        for _ in range(n_fits):
            squared = ((samples - basis @ surface[:n_terms]) ** 2).sum(1)
            scale = max(4e-4, 6 * _quantile(squared, q))
            weight = 1 / (1 + squared / scale) ** 2
            weighted = (basis * weight[:, None]).T
            # A small ridge penalty keeps the fit to a few pixels well-posed.
            ridge = np.diag([0.0, *[1e-3 * weight.sum()] * (n_terms - 1)])
            surface[:n_terms] = np.linalg.solve(weighted @ basis + ridge, weighted @ samples)
    coefficients = np.zeros((3, 3, 3))  # exponent of y, exponent of x, channel
    for term, (i, j) in enumerate(_TERMS):
        coefficients[i, j] = surface[term]
    channels = [y_powers @ coefficients[..., k] @ x_powers.T for k in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _initial_color(colors: Floats, region: Mask, border: Mask) -> Floats:
    """The median color of the region or that of its border, whichever is likelier the background.

    Each pixel is assigned to the nearer of the two. The background covers more of the region, more
    of the border, and has wider parts than strokes. Two of these three signs suffice, since bold
    strokes or a tight crop remove one.
    """
    from scipy.ndimage import distance_transform_cdt

    center, rim = np.median(colors[region], axis=0), np.median(colors[border], axis=0)
    direction = center - rim
    if np.abs(direction).max() < MIN_CONTRAST:
        return center
    nearer = (colors - (center + rim) / 2) @ direction > 0  # to the region's median
    widest = [int(distance_transform_cdt(part & region).max()) for part in (nearer, ~nearer)]
    evidence = nearer[region].mean() + nearer[border].mean() + widest[0] / sum(widest)
    return center if evidence > 1.5 else rim
