"""An embedding map: images at the places where the network puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.plots.style import LINES, heading, new_figure, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_CANVAS = 1400  # pixels; the figure shows about one for one
_ROUNDS = 200


def draw_map(dataset: CharacterDataset, indices: Tensor, vectors: Tensor, seed: int = 0) -> Figure:
    """Embeddings brought to the plane by t-SNE, each drawn as its own small image.

    Images that would cover each other are moved apart. Colours tell neighboring characters
    apart; far apart, a color comes again.

    Args:
        images: the images.
        indices: int64 ``(n,)``: those shown, at least 5.
        vectors: ``(n, units)``: their embeddings.
        seed: of t-SNE.
    """
    from matplotlib.colors import to_rgb

    classes, ranks = torch.unique(dataset.classes[indices], return_inverse=True)
    side = min(64, int(0.62 * _CANVAS / len(indices) ** 0.5))
    places = apart(places_of(vectors, seed), 0.8 * side / (_CANVAS - side))
    centers = np.stack([places[ranks.numpy() == rank].mean(0) for rank in range(len(classes))])
    colors = np.array([to_rgb(LINES[number]) for number in colors_of(centers, len(LINES))])
    canvas = np.ones((_CANVAS, _CANVAS, 3))
    corners = (places * (_CANVAS - side)).round().astype(int).tolist()
    for (left, top), index, rank in zip(corners, indices.tolist(), ranks.tolist(), strict=True):
        cell = canvas[top : top + side, left : left + side]
        share = _icon(dataset.pixels[index], side)[..., None]
        np.minimum(cell, 1 - share * (1 - colors[rank]), out=cell)
    alphabets = torch.unique(dataset.alphabets[indices]).tolist()
    names = ", ".join(readable(dataset.alphabet_names[one]) for one in alphabets)
    figure = new_figure(10.8, 11.2)
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="antialiased")
    axes.set_axis_off()
    counts = f"{len(classes)} characters, {len(indices)} images"
    heading(figure, f"embeddings of {names}: {counts} (t-SNE)", 10.8)
    return figure


def places_of(vectors: Tensor, seed: int) -> Array:
    """Places ``(n, 2)`` in 0 … 1 by t-SNE.

    Raises:
        ValueError: vectors that are all the same, at which scikit-learn's crashes.
    """
    from sklearn.manifold import TSNE

    if bool((vectors == vectors[0]).all()):
        raise ValueError("all embeddings are the same")
    perplexity = min(15.0, (len(vectors) - 1) / 4)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        vectors.double().numpy()
    )
    low, high = found.min(0), found.max(0)
    result: Array = (found - low) / np.maximum(high - low, 1e-9)
    return result


def apart(places: Array, distance: float) -> Array:
    """Move places apart, a little at a time, until no two are much nearer than ``distance``.

    What is pushed out of 0 … 1 shrinks the whole to fit.

    Args:
        places: ``(n, 2)`` in 0 … 1.
        distance: wanted between any two.

    Returns:
        ``(n, 2)`` in 0 … 1; as given where nothing was too near.
    """
    from scipy.spatial import cKDTree

    moved = places.copy()
    for _ in range(_ROUNDS):
        near = cKDTree(moved).query_pairs(distance, output_type="ndarray")
        if not len(near):
            break
        between = moved[near[:, 0]] - moved[near[:, 1]]
        length = np.linalg.norm(between, axis=1, keepdims=True)
        # Two in one place part in a direction of their own.
        angle = near.sum(1, keepdims=True) * 2.4
        on_missing = np.hstack([np.cos(angle), np.sin(angle)])
        way = np.where(length > 1e-9, between / np.maximum(length, 1e-9), on_missing)
        push = way * (distance * 1.001 - length) / 2
        np.add.at(moved, near[:, 0], push / 2)
        np.add.at(moved, near[:, 1], -push / 2)
    low = np.minimum(moved.min(0), 0)
    result: Array = (moved - low) / np.maximum(moved.max(0) - low, 1)
    return result


def colors_of(centers: Array, colors: int) -> list[int]:
    """A color for each center, such that equal ones stand far apart.

    Each center in turn takes the color whose nearest bearer so far is the furthest away.
    """
    taken: list[int] = []
    for number, center in enumerate(centers):
        away = np.full(colors, np.inf)
        lengths = np.linalg.norm(centers[:number] - center, axis=1)
        np.minimum.at(away, np.array(taken, dtype=int), lengths)
        taken.append(int(away.argmax()))
    return taken


def _icon(image: Tensor, side: int) -> Array:
    """The share of ink, 0 … 1, ``(side, side)``; thin strokes made a little bolder."""
    small = F.adaptive_avg_pool2d(image[None, None].float() / 255, side)[0, 0]
    icon: Array = (small * 1.5).clamp(max=1).double().numpy()
    return icon
