"""Estimate the color of the background of an image under uneven lighting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

MIN_CONTRAST = 10 / 255  # smallest difference between strokes and background
_TERMS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # exponents of y and of x
_MAX_SAMPLES = 3000  # pixels that the surface is fitted to


def quantile(values: Floats, q: float) -> float:
    """The value at fraction ``q`` of the sorted values; several times faster than NumPy's."""
    index = int(q * (values.size - 1))
    return float(np.partition(values, index, axis=None)[index])


def background_color(colors: Floats, region: Mask) -> Floats:
    """Fit a quadratic surface to the background's color, robust to strokes.

    Iteratively reweighted least squares: first a constant, then a plane through the region's
    border, then the surface. Pixels far from the current fit get little weight.

    Args:
        colors: ``(h, w, 3)``, 0 … 1.
        region: ``(h, w)``, the pixels of the sheet that is drawn on.

    Returns:
        The color at every pixel, ``(h, w, 3)``.
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
            scale = max(4e-4, 6 * quantile(squared, q))
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
