"""Contact sheets: first-layer filters, and what distortion does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from siamese_oneshot.data.distort import Distortion, distort
from siamese_oneshot.pictures.style import heading, new_figure, show_drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_filters(weight: Tensor) -> Figure:
    """First-layer filters, each scaled to its own largest weight; red is positive, blue negative.

    Args:
        weight: ``(n, 1, k, k)``.
    """
    count, side = len(weight), weight.shape[-1]
    columns = min(count, 16 if count > 24 else 8)
    rows = math.ceil(count / columns)
    width = max(4.0, 0.62 * columns)
    figure = new_figure(width, 0.7 + 0.62 * rows)
    title = f"filters of the first layer: {count} of {side}×{side}; red above 0, blue below"
    heading(figure, title, width, 11)
    for number, cell in enumerate(figure.subplots(rows, columns, squeeze=False).flatten()):
        cell.set_axis_off()
        if number < count:
            kernel = weight[number, 0].float()
            most = max(float(kernel.abs().max()), 1e-12)
            cell.imshow(kernel.numpy(), cmap="RdBu_r", vmin=-most, vmax=most)
    return figure


def draw_distortions(
    pictures: Tensor, distortion: Distortion, generator: torch.Generator, copies: int = 8
) -> Figure:
    """Plain pictures in the first column, distorted copies beside each.

    Args:
        pictures: float ``(n, 1, side, side)``: 0 paper … 1 ink.
        distortion: what copies are drawn from.
        generator: the source of chance.
        copies: of each picture.
    """
    count = len(pictures)
    many = pictures.repeat_interleave(copies, 0)
    warped = distort(many, distortion.draw(len(many), generator)).unflatten(0, (count, copies))
    sheet = torch.cat([pictures[:, None], warped], 1)[:, :, 0]
    width = max(4.0, 1.1 * (copies + 1))
    figure = new_figure(width, 0.9 + 1.1 * count)
    heading(figure, _ranges(distortion), width, 10)
    cells = figure.subplots(count, copies + 1, squeeze=False)
    for row in range(count):
        for column in range(copies + 1):
            show_drawing(cells[row, column], (sheet[row, column] * 255).round().byte())
    cells[0, 0].set_title("plain", fontsize=9)
    if copies:
        cells[0, 1].set_title("distorted", fontsize=9)
    return figure


def _ranges(distortion: Distortion) -> str:
    low, high = distortion.scale
    elastic = f", elastic {distortion.elastic:g} px" if distortion.elastic else ""
    return (
        f"turn ±{distortion.rotation:g}°, shear ±{distortion.shear:g}, zoom {low:g}-{high:g}, "
        f"shift ±{distortion.shift:g} px of 105, each used {distortion.probability:.0%} of the time"
        f"{elastic}"
    )
