"""An embedding map: drawings at the places where the network puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.pictures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CANVAS, _ICON = 1500, 44  # pixels


def draw_map(drawings: Drawings, positions: Tensor, vectors: Tensor, seed: int = 0) -> Figure:
    """Embeddings brought to the plane by t-SNE, each drawn as its own small picture.

    Args:
        drawings: the pictures.
        positions: int64 ``(n,)``: those shown, at least 5.
        vectors: ``(n, units)``: their embeddings.
        seed: of t-SNE.
    """
    from matplotlib import colormaps

    places = places_of(vectors, seed)
    classes, ranks = torch.unique(drawings.classes[positions], return_inverse=True)
    # Neighbouring numbers get distant hues, so that classes side by side differ.
    hues = (np.arange(len(classes)) * 0.618034) % 1.0
    colours = colormaps["hsv"](hues)[:, :3] * 0.75
    canvas = np.ones((_CANVAS, _CANVAS, 3))
    for place, position, rank in zip(places, positions.tolist(), ranks.tolist(), strict=True):
        ink = _icon(drawings.pixels[position])
        left, top = (place * (_CANVAS - _ICON)).astype(int)
        cell = canvas[top : top + _ICON, left : left + _ICON]
        share = ink[..., None] / 255
        np.minimum(cell, 1 - share * (1 - colours[rank]), out=cell)
    alphabets = torch.unique(drawings.alphabets[positions]).tolist()
    names = ", ".join(drawings.alphabet_names[one].replace("_", " ") for one in alphabets)
    figure = new_figure(8, 8.4)
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(
        f"embeddings of {names}: {len(classes)} characters, {len(positions)} drawings (t-SNE)",
        fontsize=11,
    )
    return figure


def places_of(vectors: Tensor, seed: int) -> NDArray[np.float64]:
    """Places ``(n, 2)`` in 0 … 1 by t-SNE."""
    from sklearn.manifold import TSNE

    perplexity = min(15.0, (len(vectors) - 1) / 4)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        vectors.double().numpy()
    )
    low, high = found.min(0), found.max(0)
    result: NDArray[np.float64] = (found - low) / np.maximum(high - low, 1e-9)
    return result


def _icon(picture: Tensor) -> NDArray[np.uint8]:
    small = F.adaptive_avg_pool2d(picture[None, None].float(), _ICON)[0, 0]
    icon: NDArray[np.uint8] = (small * 1.5).clamp(max=255).round().byte().numpy()
    return icon
