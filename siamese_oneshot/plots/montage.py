"""Contact sheets: first-layer filters, and what augmentation does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from siamese_oneshot.data.augmentation import Augmentation, apply_warp
from siamese_oneshot.plots.style import frame, heading, new_figure, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _GRAY = 4, 48  # between two images: pixels, and how dark of 255


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
    kernels = weight[:, 0].float()
    most = kernels.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    axes = figure.subplots()
    axes.set_axis_off()
    sheet = tiled(kernels / most, columns, max(1, side // 8))
    axes.imshow(sheet.numpy(), cmap="RdBu_r", vmin=-1, vmax=1)  # gaps are NaN: left white
    return figure


def draw_augmentations(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator, copies: int = 8
) -> Figure:
    """Plain images in the first column, distorted copies beside each.

    Args:
        images: float ``(n, 1, side, side)``: 0 paper … 1 ink.
        augmentation: what copies are drawn from.
        generator: the source of chance.
        copies: of each image.
    """
    count = len(images)
    many = images.repeat_interleave(copies, 0)
    warped = apply_warp(many, augmentation.draw(len(many), generator)).unflatten(0, (count, copies))
    sheet = torch.cat([images[:, None], warped], 1)[:, :, 0].flatten(0, 1)
    width = max(4.0, 1.1 * (copies + 1))
    figure = new_figure(width, 0.9 + 1.1 * count)
    heading(figure, _ranges(augmentation), width, 10)
    axes = figure.subplots()
    show_image(axes, tiled((sheet * 255).round(), copies + 1, _GAP).nan_to_num(_GRAY).byte())
    frame(axes, "white", 0)
    side = sheet.shape[-1]
    places = [side / 2, side + _GAP + side / 2][: copies + 1]
    axes.xaxis.tick_top()
    axes.set_xticks(places, ["plain", "augmented_spec"][: len(places)], fontsize=9)
    axes.tick_params(length=0)
    return figure


def tiled(images: Tensor, columns: int, gap: int) -> Tensor:
    """Images in rows of one sheet, NaN between them; an image is drawn faster than axes for each.

    Args:
        images: float ``(n, height, width)``.
        columns: in a row.
        gap: pixels between two.

    Returns:
        Float ``(rows * (height + gap) - gap, columns * (width + gap) - gap)``.
    """
    count, height, width = images.shape
    rows = math.ceil(count / columns)
    cells = images.new_full((rows * columns, height + gap, width + gap), torch.nan)
    cells[:count, :height, :width] = images
    sheet = cells.unflatten(0, (rows, columns)).transpose(1, 2).flatten(2).flatten(0, 1)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def _ranges(augmentation: Augmentation) -> str:
    low, high = augmentation.scale
    elastic = f", elastic {augmentation.elastic:g} px" if augmentation.elastic else ""
    return (
        f"turn ±{augmentation.rotation:g}°, shear ±{augmentation.shear:g}, zoom {low:g}-{high:g}, "
        f"shift ±{augmentation.shift:g} px of 105, each used {augmentation.probability:.0%} of the time"
        f"{elastic}"
    )
