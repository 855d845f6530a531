"""An embedding map: images drawn at the t-SNE coordinates of their embeddings."""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.plots.style import describe, heading, new_figure, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_CANVAS = 1400  # pixels; the figure shows about one for one
_ROUNDS = 200  # of moving images apart
_STEPS = 500  # of t-SNE
# Hues in two luminances, both dark enough for thin strokes on white.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_HUES = np.array([colorsys.hsv_to_rgb(n / 9, 0.9, 1.0) for n in (6, 1, 4, 8, 3, 0, 5, 2, 7)])
COLORS = np.vstack(
    [_HUES * np.minimum(1, limit / (_HUES @ _LUMINANCE))[:, None] for limit in (0.35, 0.14)]
)


def draw_embedding_map(
    dataset: CharacterDataset, indices: Tensor, vectors: Tensor, split: str = "test"
) -> Figure:
    """Draw images at the t-SNE coordinates of their embeddings, with the name of each class.

    Overlapping images are moved apart. Neighboring classes differ in color; colors repeat far
    apart. A class is named at the one of its images that is nearest to the middle of all of them.

    Args:
        dataset: The images.
        indices: int64 ``(n,)``: the images to show, at least 5.
        vectors: ``(n, d)``: their embeddings.
        split: Of the images.
    """
    classes, ranks = torch.unique(dataset.classes[indices], return_inverse=True)
    side = min(64, int(0.62 * _CANVAS / len(indices) ** 0.5))
    points = spread(tsne(vectors), 0.8 * side / (_CANVAS - side))
    centers = np.stack([points[ranks.numpy() == rank].mean(0) for rank in range(len(classes))])
    colors = COLORS[distinct_colors(centers, len(COLORS))]
    canvas = np.ones((_CANVAS, _CANVAS, 3))
    corners = (points * (_CANVAS - side)).round().astype(int).tolist()
    for (left, top), index, rank in zip(corners, indices.tolist(), ranks.tolist(), strict=True):
        cell = canvas[top : top + side, left : left + side]
        share = _icon(dataset.pixels[index], side)[..., None]
        np.minimum(cell, 1 - share * (1 - colors[rank]), out=cell)
    figure = new_figure(10.8, 11.2)
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="antialiased")
    axes.set_axis_off()
    look: dict[str, Any] = {"fontsize": 9, "weight": "bold", "ha": "center", "va": "center"}
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    for rank, (number, center) in enumerate(zip(classes.tolist(), centers, strict=True)):
        own = points[ranks.numpy() == rank]
        x, y = own[np.linalg.norm(own - center, axis=1).argmin()] * (_CANVAS - side) + side / 2
        name = readable(dataset.class_names[number].partition("/")[2]).removeprefix("character")
        axes.text(x, y, name, color=0.75 * colors[rank], bbox=box, **look)
    alphabets = torch.unique(dataset.alphabets[indices]).tolist()
    names = ", ".join(readable(dataset.alphabet_names[one]) for one in alphabets)
    counts = f"{len(classes)} characters, {len(indices)} images"
    heading(figure, f"{split} set: embeddings of {names}, {counts} (t-SNE)", 10.8)
    text = f"{split} set, {names}: each image stands where its embedding is; similar ones are close"
    text += ". Color and number name the character."
    return describe(figure, text)


def tsne(vectors: Tensor) -> Array:
    """Coordinates ``(n, 2)`` in [0, 1] by t-SNE (van der Maaten and Hinton 2008), without sampling.

    It begins from the two principal components, so equal vectors have equal coordinates.

    Raises:
        ValueError: If all vectors are equal.
    """
    if bool((vectors == vectors[0]).all()):
        raise ValueError("all embeddings are equal")
    n, centered = len(vectors), (vectors - vectors.mean(0)).double()
    products = centered @ centered.mT
    joint = joint_shares(_squared_distances(products), min(15.0, (n - 1) / 4)).float()
    variances, axes = torch.linalg.eigh(products)
    points = (axes[:, -2:] * (1e-4 / axes[:, -1].std())).float()
    points *= (variances[-2:].clamp(min=0) / variances[-1]).sqrt().float()
    velocity, gains = torch.zeros_like(points), torch.ones_like(points)
    for step in range(_STEPS):
        early = step < _STEPS // 4  # clusters gather while attraction is exaggerated
        closeness = (1 + _squared_distances(points @ points.mT)).reciprocal_().fill_diagonal_(0)
        force = joint * 12 if early else joint
        force = closeness * (force - closeness / closeness.sum())
        gradient = 4 * (force.sum(1, keepdim=True) * points - force @ points)
        gains = torch.where(gradient * velocity < 0, gains + 0.2, gains * 0.8).clamp_(min=0.01)
        velocity.mul_(0.5 if early else 0.8).sub_(max(n / 48, 50.0) * gains * gradient)
        points += velocity
    low, high = points.amin(0), points.amax(0)
    result: Array = ((points - low) / (high - low).clamp(min=1e-9)).double().numpy()
    return result


def joint_shares(squared: Tensor, perplexity: float) -> Tensor:
    """How near each two of n vectors are, ``(n, n)``: symmetric, 0 on the diagonal, 1 in all.

    Each vector's shares of the others fall with the squared distances ``(n, n)`` as a Gaussian
    whose width gives them that perplexity.
    """
    away = squared.clone().fill_diagonal_(torch.inf)
    away -= away.amin(1, keepdim=True)
    low, high = (away.new_full((len(away), 1), one) for one in (-60.0, 60.0))
    for _ in range(30):  # halve the interval of the logarithm of the precision
        middle = (low + high) / 2
        shares = (-middle.exp() * away).softmax(1)
        entropy = torch.special.entr(shares).sum(1, keepdim=True)
        too_even = entropy > math.log(perplexity)
        low, high = torch.where(too_even, middle, low), torch.where(too_even, high, middle)
    return (shares + shares.mT) / (2 * len(shares))


def _squared_distances(products: Tensor) -> Tensor:
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp_(min=0)


def spread(points: Array, distance: float) -> Array:
    """Move points apart in small steps until no two are much nearer than ``distance``.

    Points are ``(n, 2)`` in [0, 1]; they are unchanged if no two are too near.
    """
    from scipy.spatial import cKDTree

    moved = points.copy()
    for _ in range(_ROUNDS):
        near = cKDTree(moved).query_pairs(distance, output_type="ndarray")
        if not len(near):
            break
        between = moved[near[:, 0]] - moved[near[:, 1]]
        length = np.linalg.norm(between, axis=1, keepdims=True)
        # Coinciding points get a direction that depends on their indices.
        angle = near.sum(1, keepdims=True) * 2.4
        fallback = np.hstack([np.cos(angle), np.sin(angle)])
        way = np.where(length > 1e-9, between / np.maximum(length, 1e-9), fallback)
        push = way * (distance * 1.001 - length) / 2
        np.add.at(moved, near[:, 0], push / 2)
        np.add.at(moved, near[:, 1], -push / 2)
    low = np.minimum(moved.min(0), 0)
    result: Array = (moved - low) / np.maximum(moved.max(0) - low, 1)
    return result


def distinct_colors(centers: Array, colors: int) -> list[int]:
    """Assign each center the color whose nearest use so far is the furthest away."""
    taken: list[int] = []
    for number, center in enumerate(centers):
        away = np.full(colors, np.inf)
        lengths = np.linalg.norm(centers[:number] - center, axis=1)
        np.minimum.at(away, np.array(taken, dtype=int), lengths)
        taken.append(int(away.argmax()))
    return taken


def _icon(image: Tensor, side: int) -> Array:
    """The foreground fraction in [0, 1], ``(side, side)``, with thin strokes made bolder."""
    small = F.adaptive_avg_pool2d(image[None, None].float() / 255, side)[0, 0]
    icon: Array = (small * 1.5).clamp(max=1).double().numpy()
    return icon
