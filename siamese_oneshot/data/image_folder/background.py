"""The color of the paper under an image, however the light falls on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FAINTEST = 10 / 255  # the least difference between ink and paper
_TERMS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # powers of y and of x
_SEEN = 3000  # pixels that the paper's color is fitted to


def quantile(values: Floats, share: float) -> float:
    """The value with ``share`` of the others below it; NumPy's own is several times slower."""
    place = int(share * (values.size - 1))
    return float(np.partition(values, place, axis=None)[place])


def paper_color(colors: Floats, card: Mask) -> Floats:
    """The paper's color at every pixel ``(h, w, 3)``: a quadratic surface that ink cannot bend.

    From one color, then a plane through the card's rim, then the surface: each is fitted again and
    again to what is close to it.
    """
    from scipy.ndimage import minimum_filter

    across, down = (
        np.linspace(-1, 1, length, dtype=np.float32)[:, None] ** [0, 1, 2]
        for length in (card.shape[1], card.shape[0])
    )
    rim = card & ~minimum_filter(card, 2 * max(1, min(card.shape) // 20) + 1, mode="constant")
    surface = np.zeros((len(_TERMS), 3))
    surface[0] = _first_guess(colors, card, rim)
    for part, terms, fits, sure in ((rim, 3, 4, 0.15), (card, len(_TERMS), 6, 0.3)):
        rows, columns = np.nonzero(part)
        rows, columns = (where[:: len(rows) // _SEEN + 1] for where in (rows, columns))
        basis = np.stack([down[rows, i] * across[columns, j] for i, j in _TERMS[:terms]], 1)
        seen = colors[rows, columns]
        for _ in range(fits):
            square = ((seen - basis @ surface[:terms]) ** 2).sum(1)
            near = max(4e-4, 6 * quantile(square, sure))
            weight = 1 / (1 + square / near) ** 2
            weighted = (basis * weight[:, None]).T
            # A slight pull to a flat surface, for images of a few pixels.
            pull = np.diag([0.0, *[1e-3 * weight.sum()] * (terms - 1)])
            surface[:terms] = np.linalg.solve(weighted @ basis + pull, weighted @ seen)
    paper = np.zeros((3, 3, 3))  # powers of y, powers of x, channels
    for term, (i, j) in enumerate(_TERMS):
        paper[i, j] = surface[term]
    return np.stack([down @ paper[..., k] @ across.T for k in range(3)], -1).astype(np.float32)


def _first_guess(colors: Floats, card: Mask, rim: Mask) -> Floats:
    """The median color of the card or of its rim, if they differ: the one likelier to be paper.

    Each pixel is closer to one or to the other. Paper has more of the card, more of the rim, and
    wider places than strokes are; two of the three make up for one that a bold or tightly cut
    image takes away.
    """
    from scipy.ndimage import distance_transform_cdt

    one, other = np.median(colors[card], axis=0), np.median(colors[rim], axis=0)
    way = one - other
    if np.abs(way).max() < FAINTEST:
        return one
    closer = (colors - (one + other) / 2) @ way > 0
    widest = [int(distance_transform_cdt(part & card).max()) for part in (closer, ~closer)]
    evidence = closer[card].mean() + closer[rim].mean() + widest[0] / sum(widest)
    return one if evidence > 1.5 else other
