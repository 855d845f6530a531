"""Normalize any image of a drawn character to strokes and background as Omniglot has them.

Strokes are found by their color distance from the background, so that color, polarity,
transparency and lighting do not matter. Their skeleton is then redrawn with Omniglot's pen at
Omniglot's size and position, so that the image's size and the pen do not matter either. An image
that has Omniglot's size, two levels and pen already keeps its strokes, their size and position.
This module takes a second to import, so others import it where they need it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from siamese_oneshot.utils.errors import UserError

SIDE = 105
# Measured on 3,000 of the 19,280 background images: the smallest dot is a stamp of 5×5 pixels and
# the median stroke is 5 wide; the longer side of the strokes' bounding box is 68 at the median (5%
# below 44, 5% above 88), and the box is centered on row 50.5, column 51.
PEN = 5
EXTENT = 68
CENTER = (50.5, 51.0)

# What an image in Omniglot's convention has; more than 98% of the background images have all.
_PENS = (2.5, 8.5)  # median width of its strokes
_EXTENTS = (19, 100)  # longer side of their box
_CENTERS = (28, 77)  # of their box: row and column
_INK = 0.18  # of the image, at most

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
_SMALL = 0.45  # of the reduced image: a smaller drawing is sought again, with all of its pixels
_AROUND = 0.6  # of its extent, at each side
_MIN_SHEET = 60  # pixels along the shorter side of the image
_MIN_SHEET_SHARE = 0.15  # of the image that a sheet covers
_RECTANGLE = 0.85  # of its smallest rectangle that a sheet or a frame covers: an ellipse has 0.79
_PAPER = 0.6  # of a sheet that is paper
_NARROW = 8  # a stroke is narrower than the image's shorter side divided by this
_SHADE = 0.03  # of the sheet's border that a shadow or the light covers at least
_DARKER = 0.8  # of the brightness in a shadow: strokes in it are darker
_SLIT = 0.08  # of the sheet's side: a stroke of the table's color is thinner
_FRAME = 0.8  # of the image's sides that a frame spans
_HOLLOW = 0.3  # of a frame's rectangle that it covers
_FULL = 0.72  # of the image's width that a line from side to side covers
_MAX_SLANT = 0.036  # rows per column, either way: two degrees
_MAX_LINE = 0.03  # of the image's height: thickness of a line
_NEAR_BORDER = 0.15  # of the image's height
_SOLID = 0.42  # of the drawing's longer side: a wider part makes it a filled shape
_MIN_SOLID = 0.15  # of the image's shorter side: a smaller drawing may be a dot
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
        removed: What stood out, too, and was taken for no stroke, such as ``a frame``.
    """

    strokes: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    stroke: float
    polarity: Polarity
    removed: tuple[str, ...] = ()


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
    whole = Image.fromarray(rgba)
    image, found = _find(whole)
    kept = None if found.removed else _in_convention(rgba)
    if kept is not None:
        ink, pen = kept
        corners = np.concatenate(_corners(ink)).tolist()
        return NormalizedImage(np.uint8(255) * ink, tuple(corners), pen, found.polarity)
    zoom = np.array(whole.size) / image.size
    left, top = 0, 0
    low, high = _corners(found.mask)
    if (extent := (high - low).max()) < _SMALL * max(image.size) and zoom.max() > 1:
        # A small drawing on a large page: the same again with all of its pixels.
        box = np.concatenate([low - _AROUND * extent, high + _AROUND * extent])
        box = np.clip(box, 0, [*image.size] * 2) * np.tile(zoom, 2)
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        with contextlib.suppress(NoForeground):
            part = whole.crop((left, top, right, bottom))
            place = (left / zoom[0], top / zoom[1], right / zoom[0], bottom / zoom[1])
            sheet = Image.fromarray(found.sheet).resize(part.size, Image.Resampling.NEAREST, place)
            image, closer = _find(part, np.asarray(sheet))
            zoom = np.array(part.size) / image.size
            found = replace(closer, removed=tuple(dict.fromkeys(found.removed + closer.removed)))
            low, high = _corners(found.mask)
    extent = (high - low).max() * zoom.max()
    may_be_solid = extent > _MIN_SOLID * min(whole.size)
    skeleton, pen, enlargement = _skeleton(found, low, high, may_be_solid)
    corners = np.concatenate([low, high]) * np.tile(zoom, 2) + [left, top, left, top]
    width = pen / enlargement * float(zoom.max())
    box = np.rint(corners).astype(int).tolist()
    return NormalizedImage(_draw(skeleton, pen), tuple(box), width, found.polarity, found.removed)


def _in_convention(rgba: NDArray[np.uint8]) -> tuple[Mask, float] | None:
    """The strokes of an image that is as Omniglot's are, and the pen's width; None of others.

    Opaque, 105×105, of two levels (but for JPEG's noise), with thin strokes that are about as wide,
    as large and as central as Omniglot's.
    """
    if rgba.shape[:2] != (SIDE, SIDE) or rgba[..., 3].min() < 255:
        return None
    levels = rgba[..., :3].mean(-1)
    levels = (levels - levels.min()) / max(1, np.ptp(levels))
    if (np.abs(levels - 0.5) < 0.25).mean() > 0.005:
        return None
    ink = levels < 0.5
    ink = ~ink if ink.mean() > 0.5 else ink
    if not 0 < ink.mean() <= _INK:
        return None
    low, high = _corners(ink)
    center = (low + high - 1) / 2
    if not _EXTENTS[0] <= (high - low).max() <= _EXTENTS[1]:
        return None
    if center.min() < _CENTERS[0] or center.max() > _CENTERS[1]:
        return None
    widths = ndi.distance_transform_edt(np.pad(ink, 1))[1:-1, 1:-1][skeletonize(ink)]
    pen = 2 * float(np.median(widths)) - 1 if widths.size else 0.0
    return (ink, pen) if _PENS[0] <= pen <= _PENS[1] else None


@dataclass(frozen=True, eq=False)
class _Found:
    """Where the strokes of an image are.

    Attributes:
        strength: How strongly each pixel differs from the background: float32 ``(h, w)``.
        threshold: Strokes are stronger.
        polarity: How strokes and background were told apart.
        mask: The strokes: bool ``(h, w)``.
        sheet: Where strokes are sought: bool ``(h, w)``.
        removed: What stood out, too, and was removed.
    """

    strength: Floats
    threshold: float
    polarity: Polarity
    mask: Mask
    sheet: Mask
    removed: tuple[str, ...] = ()

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> _Found:
        """The same with each array changed, such as cropped."""
        strength, mask, sheet = map(change, (self.strength, self.mask, self.sheet))
        return replace(self, strength=strength, mask=mask, sheet=sheet)

    def without(self, part: Mask, name: str) -> _Found:
        """The same without some of its pixels, and the rim that belongs to them."""
        mask = self.mask & ~part
        faint = ndi.binary_dilation(part, np.ones((3, 3)), iterations=2) & ~mask
        return replace(
            self, strength=np.where(faint, 0, self.strength), mask=mask, sheet=self.sheet & ~faint,
            removed=(*self.removed, name),
        )  # fmt: skip


def _find(image: Image.Image, sheet: Mask | None = None) -> tuple[Image.Image, _Found]:
    """Reduce an image of any size, and find the strokes in it, or in a part of it."""
    zoom = min(1.0, _WORK / max(image.size))
    if zoom < 1:
        small = [max(1, round(edge * zoom)) for edge in image.size]
        # Pillow averages colors weighted by alpha.
        image = image.resize((small[0], small[1]), Image.Resampling.BOX)
        if sheet is not None:
            sheet = np.asarray(Image.fromarray(sheet).resize(image.size, Image.Resampling.NEAREST))
    found = _strokes(np.asarray(image, np.float32) / np.float32(255), sheet)
    low, high = _corners(found.sheet)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    part = found.map(lambda pixels: pixels[window])
    for remove in (_without_surroundings, _without_frame, _without_edges, _without_rules):
        part = remove(part)
    part = replace(part, mask=_without_specks(part.mask))
    around = [
        (edge.start, size - edge.stop) for edge, size in zip(window, found.mask.shape, strict=True)
    ]
    return image, part.map(lambda pixels: np.pad(pixels, around))


def _strokes(pixels: Floats, sheet: Mask | None) -> _Found:
    """What stands out from the background, of the ``sheet`` if one is known.

    If transparency marks the strokes, alpha is the strength. Otherwise the opaque region is a
    sheet: a solid opaque region with something drawn on it, else a bold stroke.
    """
    colors, alpha = pixels[..., :3], pixels[..., 3]
    if alpha.max() < MIN_CONTRAST:
        raise NoForeground("it is wholly transparent")
    opaque = alpha > alpha.max() / 2
    if opaque.all():
        if sheet is not None and not sheet.all():
            return _on_background(colors, sheet)
        sheet = _sheet(colors)
        if sheet is not None:
            with contextlib.suppress(NoForeground):
                found = _on_background(colors, sheet)
                return replace(found, removed=("what surrounds the sheet", *found.removed))
        return _on_background(colors, opaque)
    low, high = _corners(opaque)
    if opaque[low[1] : high[1], low[0] : high[0]].mean() > 0.5:
        with contextlib.suppress(NoForeground):
            return _on_background(colors, opaque)
    everywhere = np.ones_like(opaque)
    return _Found(alpha, float(alpha.max()) / 2, "on transparent", opaque, everywhere)


def _sheet(colors: Floats) -> Mask | None:
    """A sheet of another color that a table of one color surrounds; None if there is none.

    It is rectangular, and most of it is paper: a bold letter has holes as wide as its strokes.
    """
    height, width = colors.shape[:2]
    side = max(2, min(height, width) // 40)
    rim = np.ones((height, width), bool)
    rim[side:-side, side:-side] = False
    if min(height, width) < _MIN_SHEET:
        return None
    other = np.abs(colors[::4, ::4] - np.median(colors[rim], axis=0)).max(-1) > MIN_CONTRAST
    if other.mean() < _MIN_SHEET_SHARE:
        return None
    blurred = np.stack([ndi.gaussian_filter(colors[..., k], 1) for k in range(3)], -1)
    distance = np.sqrt(((blurred - np.median(blurred[rim], axis=0)) ** 2).mean(-1))
    threshold = float(threshold_otsu(distance))
    if threshold < 2 * MIN_CONTRAST or _quantile(distance[rim], 0.9) > threshold:
        return None
    components, count = ndi.label(distance > threshold)
    if not count:
        return None
    paper = components == np.bincount(components.ravel())[1:].argmax() + 1
    filled = ndi.binary_fill_holes(paper)
    if filled.mean() < _MIN_SHEET_SHARE or _rectangularity(filled) < _RECTANGLE:
        return None
    sheet = ndi.binary_erosion(filled, np.ones((3, 3)), iterations=3 + side // 2)
    holes = sheet & ~paper
    if paper.sum() < _PAPER * filled.sum() or not sheet.any():
        return None
    if holes.any() and _width(holes) > _SLIT * np.sqrt(filled.sum()):
        ink = np.median(colors[holes], axis=0) - np.median(colors[rim], axis=0)
        if np.abs(ink).max() < 2 * MIN_CONTRAST:
            return None
    return sheet


def _rectangularity(region: Mask) -> float:
    """The share of the smallest rectangle round a region that it covers, in any direction."""
    rows = np.flatnonzero(region.any(1))
    first = region[rows].argmax(1)
    last = region.shape[1] - 1 - region[rows, ::-1].argmax(1)
    ends = np.stack([np.tile(rows, 2), np.concatenate([first, last])], 1)
    angles = np.deg2rad(np.arange(0, 90, 3))
    axes = np.concatenate([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]], 1)
    spans = (np.ptp(ends @ axes, axis=0) + 1).reshape(2, -1)
    return float(region.sum() / spans.prod(0).min())


def _on_background(colors: Floats, sheet: Mask) -> _Found:
    """What stands out from a sheet, by its distance from the background's color."""
    residual = colors - _background_color(colors, sheet)
    strength = np.sqrt(np.einsum("hwc,hwc->hw", residual, residual) / 3)
    strength[~sheet] = 0
    strength = _smooth(strength)
    threshold = _threshold(strength, sheet)
    mask = strength > threshold
    if not mask.any():
        raise NoForeground("nothing stands out from the background")
    light = residual[mask].mean() > 0
    polarity: Polarity = "light on dark" if light else "dark on light"
    found = _Found(strength, threshold, polarity, mask, sheet)
    with contextlib.suppress(NoForeground):
        return _in_shadow(colors, found) or found
    return found


def _in_shadow(colors: Floats, found: _Found) -> _Found | None:
    """Dark strokes by their distance from the paper round them; None if no shadow lies on it.

    The paper is the image without its narrow dark parts, so it follows a shadow's edge, but it
    would hide bold strokes. It is used where the smooth surface leaves a wide part over that
    reaches the border, and strokes are darker than the shadow.
    """
    side = min(found.mask.shape)
    inner = ndi.minimum_filter(found.sheet, 5, mode="constant")
    core = ndi.minimum_filter(inner, 5, mode="constant")
    border = found.sheet & ~inner
    size = side // _NARROW // 2 * 2 + 1
    if side < _MIN_SHEET or found.mask[border].mean() < _SHADE:
        return None
    wide = ndi.maximum_filter(ndi.minimum_filter(found.mask, size), size)
    if wide[border].mean() < _SHADE:
        return None
    gray = colors.mean(-1)
    paper = ndi.minimum_filter(ndi.maximum_filter(gray, size), size)  # a closing
    strength = np.where(inner, (paper - gray) / np.maximum(paper, 0.05), 0).astype(np.float32)
    strength = _smooth(strength)
    threshold = _threshold(strength, found.sheet)
    mask = strength > threshold
    # Where a shadow's edge meets the border.
    components, _ = ndi.label(mask, np.ones((3, 3)))
    for number, window in enumerate(ndi.find_objects(components), 1):
        piece = components[window] == number
        if max(piece.shape) < size and (piece & ~core[window]).any():
            mask[window] &= ~piece
    strength[~mask & (strength > threshold)] = 0
    rest = wide & ~mask
    if mask.mean() < _MIN_REMAINDER or rest[border].mean() < _SHADE:
        return None
    other = found.sheet & ~mask & ~found.mask
    shade = min(np.median(gray[rest]), np.median(gray[other]) if other.any() else 1.0)
    if _quantile(gray[mask], 0.1) > _DARKER * shade - MIN_CONTRAST:
        return None
    return _Found(strength, threshold, "dark on light", mask, found.sheet, ("a shadow",))


def _smooth(strength: Floats) -> Floats:
    """Without noise; smoothing would blur the strokes of small images."""
    return ndi.gaussian_filter(strength, 0.8) if max(strength.shape) > _WORK // 2 else strength


def _threshold(strength: Floats, sheet: Mask) -> float:
    """Strokes are stronger than this, and than noise."""
    noise = max(_NOISE * _quantile(strength[sheet], 0.3), MIN_CONTRAST)
    if not (strength > noise).any():
        raise NoForeground("it has one color, or nothing stands out from the background")
    return max(noise, float(threshold_otsu(strength[sheet])))


def _without_specks(mask: Mask) -> Mask:
    """Remove the components that are smaller than a dot of the same pen."""
    components, count = ndi.label(mask, np.ones((3, 3)))
    if count < 2:
        return mask
    areas = np.bincount(components.ravel())
    areas[0] = 0
    largest = areas.max()
    pen = _width(components == areas.argmax())
    # In an image of dots the pen is as wide as the dots, and none of them is a speck.
    smallest = min(max(_SPECK * pen * pen, 0.003 * largest), 0.3 * largest)
    return (areas >= max(smallest, 1))[components]


def _without_surroundings(found: _Found) -> _Found:
    """Remove what surrounds a sheet: thick components along the border, unless nothing remains."""
    mask = found.mask
    components, count = ndi.label(mask, np.ones((3, 3)))
    border = np.concatenate([components[0], components[-1], components[:, 0], components[:, -1]])
    beside = np.bincount(border, minlength=count + 1) > _AT_BORDER * len(border)
    beside[0] = True
    areas = np.where(beside, 0, np.bincount(components.ravel()))
    if beside.sum() == 1 or areas.max() < _MIN_REMAINDER * mask.size:
        return found
    pen = _width(components == areas.argmax())
    for number in np.flatnonzero(beside)[1:]:
        beside[number] = _width(components == number) > _THICK * pen
    beside[0] = False
    return found.without(beside[components], "a table or a shadow") if beside.any() else found


def _without_frame(found: _Found) -> _Found:
    """Remove a rectangle round everything, such as the cell of a form.

    A symbol may be such a rectangle, so it must be nearly as large as the image, and thin.
    """
    mask = found.mask
    components, _ = ndi.label(mask, np.ones((3, 3)))
    for number, window in enumerate(ndi.find_objects(components), 1):
        spans = [edge.stop - edge.start for edge in window]
        shares = [span / side for span, side in zip(spans, mask.shape, strict=True)]
        if min(shares) < _FRAME or min(spans[0] - mask.shape[0], spans[1] - mask.shape[1]) == 0:
            continue
        frame = components == number
        filled = ndi.binary_fill_holes(
            ndi.binary_dilation(frame, np.ones((3, 3)), 2)
        )  # over small gaps
        rest = mask & ~frame
        enough = rest.sum() > max(_MIN_REMAINDER * mask.size, 0.5 * _SPECK * frame.sum())
        hollow = frame.sum() < _HOLLOW * filled.sum()
        if enough and hollow and _rectangularity(filled) > _RECTANGLE and filled[rest].all():
            return found.without(frame, "a frame")
    return found


def _without_edges(found: _Found) -> _Found:
    """Remove straight lines from side to side near the border.

    They touch nothing else, or are the four sides of a frame.
    """
    mask = found.mask
    bands, crossed, n_pairs = np.zeros_like(mask), np.zeros_like(mask), 0
    for turned, band, across in ((mask, bands, crossed), (mask.T, bands.T, crossed.T)):
        near = _NEAR_BORDER * len(turned)
        rules = [rule for rule in _lines(turned) if min(rule[0], len(turned) - rule[0]) < near]
        for row, slant, thickness in rules:
            line = _band(turned.shape, row, slant, thickness + 2)
            band |= line
            across |= line & turned & (_run_lengths(turned) <= thickness + 2)
        if len(rules) > 1:
            top, bottom = _band_edges(rules)
            n_pairs += bottom - top > len(turned) / 2 and (top > 1 or bottom < len(turned) - 2)
    components, count = ndi.label(mask, np.ones((3, 3)))
    areas = np.bincount(components.ravel(), minlength=count + 1)
    inside = np.bincount(components[bands & mask], minlength=count + 1)
    straight = inside >= 0.9 * areas
    straight[0] = False
    for lines, wanted in ((straight[components], straight.any()), (crossed, n_pairs == 2)):
        if wanted and _stands_free(_without_specks(mask & ~lines)):
            return found.without(lines, "lines along the edge")
    return found


def _without_rules(found: _Found) -> _Found:
    """Remove three or more lines at equal distances off both sides: lined or squared paper.

    What crosses them stays.
    """
    mask = found.mask
    removed, bands = np.zeros_like(mask), np.zeros((2, *mask.shape), bool)
    for turned, gone, band_of, sheet in (
        (mask, removed, bands[0], found.sheet),
        (mask.T, removed.T, bands[1].T, found.sheet.T),
    ):
        columns = np.flatnonzero(sheet.any(0))
        ends = columns[0] + len(columns) // 30, columns[-1] - len(columns) // 30
        rules = []
        for rule in _lines(turned):
            line = turned & _band(turned.shape, *rule)
            if line[:, : ends[0] + 1].any() and line[:, ends[1] :].any():
                rules.append(rule)
        rows = np.array([row for row, _, _ in rules])
        if len(rows) < 3:
            continue
        steps = np.diff(rows)
        multiples = np.maximum(1, np.rint(steps / steps.min()))
        if np.abs(steps / multiples - np.median(steps / multiples)).max() > 0.2 * steps.min():
            continue
        top, bottom = _band_edges(rules)
        if top <= 1 and bottom >= len(turned) - 2:  # a symbol cut to its box
            continue
        usual = float(np.median([thickness for _, _, thickness in rules]))
        for rule in rules:  # one with a stroke along it is thicker
            band_of |= _band(turned.shape, *rule)
        gone |= band_of & turned & (_run_lengths(turned) <= usual + 2)
    if bands.any((1, 2)).all():  # what is left of the crossings alone
        components, count = ndi.label(mask & ~removed, np.ones((3, 3)))
        drawn = np.unique(components[~(bands[0] & bands[1])])
        removed |= (~np.isin(np.arange(count + 1), drawn))[components]
    if not removed.any() or not _stands_free(_without_specks(mask & ~removed)):
        return found
    return found.without(removed, "lines of the paper")


def _lines(mask: Mask) -> list[tuple[int, float, int]]:
    """Thin lines from side to side: row in the middle, slant (rows per column) and thickness."""
    height, width = mask.shape
    tolerant = ndi.maximum_filter1d(mask, 2 * math.ceil(_MAX_SLANT * width / 2) + 1, 0)
    if tolerant.mean(1).max() < _FULL:
        return []
    down, across = np.nonzero(mask)
    best: tuple[float, float, NDArray[np.float64]] = (0.0, 0.0, np.zeros(height))
    for slant in np.linspace(-_MAX_SLANT, _MAX_SLANT, 13):
        rows = down - np.rint(slant * (across - width / 2)).astype(int)
        inside = rows[(rows >= 0) & (rows < height)]
        profile = np.bincount(inside, minlength=height) / width
        full = float((profile[profile > _FULL] ** 4).sum())
        if full > best[0] + 1e-9 or (full > 0.999 * best[0] and abs(slant) < abs(best[1])):
            best = full, float(slant), profile
    _, slant, profile = best
    labels, count = ndi.label(profile > _FULL)
    lines = []
    for number in range(1, count + 1):
        rows = np.flatnonzero(labels == number)
        if len(rows) <= max(3, _MAX_LINE * height):
            lines.append((int(rows.mean()), slant, len(rows)))
    return lines


def _band(shape: tuple[int, ...], row: int, slant: float, thickness: int) -> Mask:
    """The pixels of a line."""
    height, width = shape
    middle = row + slant * (np.arange(width) - width / 2)
    return np.abs(np.arange(height)[:, None] - middle) <= thickness / 2 + 1


def _band_edges(lines: list[tuple[int, float, int]]) -> tuple[float, float]:
    """The first and the last row of some lines."""
    first, last = lines[0], lines[-1]
    return first[0] - first[2] / 2, last[0] + last[2] / 2


def _run_lengths(mask: Mask) -> NDArray[np.int64]:
    """The length of the run of each pixel in its column; 0 outside."""
    padded = np.pad(mask.T, ((0, 0), (1, 1))).ravel()
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    lengths = np.zeros(padded.size, np.int64)
    starts, stops = edges[::2] + 1, edges[1::2] + 1
    lengths[padded] = np.repeat(stops - starts, stops - starts)
    return lengths.reshape(mask.shape[1], -1)[:, 1:-1].T


def _stands_free(mask: Mask) -> bool:
    """Whether something is drawn, and keeps a distance from the border."""
    if mask.sum() < _MIN_REMAINDER * mask.size:
        return False
    low, high = _corners(mask)
    size = np.array(mask.shape[::-1])
    return bool((low > 0.01 * size).all() and (high < 0.99 * size).all())


def _width(component: Mask) -> float:
    """Approximate width of a line."""
    return float(component.sum() / max(1, skeletonize(np.pad(component, 1)).sum()))


def _skeleton(
    found: _Found, low: NDArray[np.int64], high: NDArray[np.int64], may_be_solid: bool
) -> tuple[Mask, float, float]:
    """The center line of the strokes, the pen's width in it, and the enlargement of both.

    ``low`` and ``high`` are the corners of the strokes' bounding box. Areas that are filled with
    many strokes stay filled, but of a filled shape the outline is drawn, as of one without.
    """
    margin = 2
    near = np.where(ndi.maximum_filter(found.mask, 2 * margin + 1), found.strength, 0)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    near = np.pad(near, margin)[top : bottom + 2 * margin, left : right + 2 * margin]
    zoom = max(1.0, _DRAWN / max(bottom - top, right - left))
    if zoom > 1:
        size = (round(near.shape[1] * zoom), round(near.shape[0] * zoom))
        near = np.asarray(Image.fromarray(near).resize(size, Image.Resampling.BICUBIC))
    large = _without_specks(near > found.threshold)
    large = np.pad(large, 1)  # a stroke that the image's edge cuts ends there
    distance = ndi.distance_transform_edt(large)
    if may_be_solid and 2 * distance.max() > _SOLID * zoom * max(bottom - top, right - left):
        return large & (distance <= 1.5), 1.0, zoom
    skeleton = skeletonize(large)
    pen = 2 * float(np.median(distance[skeleton])) - 1
    skeleton |= distance > 0.8 * pen
    components, _ = ndi.label(large, np.ones((3, 3)))
    for number, window in enumerate(ndi.find_objects(components), 1):
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
    points = np.stack(np.nonzero(skeleton), 1).astype(np.float64)
    low, high = points.min(0), points.max(0)
    scale = (EXTENT - PEN) / max((high - low).max(), pen / _MAX_PEN)
    rows, columns = np.rint((points - (low + high) / 2) * scale + CENTER).astype(int).T
    strokes = np.zeros((SIDE, SIDE), np.uint8)
    strokes[rows, columns] = 255
    tip = np.ones((PEN, PEN), bool)
    tip[:: PEN - 1, :: PEN - 1] = False
    return ndi.maximum_filter(strokes, footprint=tip)


def _corners(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First column and row that hold a True, and one past the last column and row."""
    columns, rows = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    return np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])


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
    x_powers, y_powers = (
        np.linspace(-1, 1, length, dtype=np.float32)[:, None] ** [0, 1, 2]
        for length in (region.shape[1], region.shape[0])
    )
    size = 2 * max(1, min(region.shape) // 20) + 1
    border = region & ~ndi.minimum_filter(region, size, mode="constant")
    surface = np.zeros((len(_TERMS), 3))
    surface[0] = _initial_color(colors, region, border)
    for pixels, n_terms, n_fits, q in ((border, 3, 4, 0.15), (region, len(_TERMS), 6, 0.3)):
        rows, columns = np.nonzero(pixels)
        rows, columns = (index[:: len(rows) // _MAX_SAMPLES + 1] for index in (rows, columns))
        # Terms and channels come first, since NumPy adds up short last axes slowly.
        basis = np.stack([y_powers[rows, i] * x_powers[columns, j] for i, j in _TERMS[:n_terms]])
        basis, samples = basis.astype(float), colors[rows, columns].T.astype(float)
        for _ in range(n_fits):
            squared = ((samples - surface[:n_terms].T @ basis) ** 2).sum(0)
            weight = 1 / (1 + squared / max(4e-4, 6 * _quantile(squared, q))) ** 2
            weighted = basis * weight
            # A small ridge penalty keeps the fit to a few pixels well-posed.
            ridge = np.diag([0.0, *[1e-3 * weight.sum()] * (n_terms - 1)])
            surface[:n_terms] = np.linalg.solve(weighted @ basis.T + ridge, weighted @ samples.T)
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
    center, rim = np.median(colors[region], axis=0), np.median(colors[border], axis=0)
    direction = center - rim
    if np.abs(direction).max() < MIN_CONTRAST:
        return center
    nearer = (colors - (center + rim) / 2) @ direction > 0  # to the region's median
    widest = [int(ndi.distance_transform_cdt(part & region).max()) for part in (nearer, ~nearer)]
    evidence = nearer[region].mean() + nearer[border].mean() + widest[0] / sum(widest)
    return center if evidence > 1.5 else rim
