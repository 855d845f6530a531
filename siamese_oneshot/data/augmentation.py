"""The paper's affine augmentation, and a mild elastic one, for whole batches on any device.

An image here is ink on paper: 1 is ink and 0 is paper, so what comes in from outside the image
is paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

_SIDE = 105.0  # the paper states shifts in pixels of a 105 × 105 image


@dataclass(frozen=True)
class Warp:
    """How each image of a batch is to be distorted; small, drawn on the CPU.

    Attributes:
        matrix: float32 ``(n, 2, 3)``: where a point (x, y) goes, in coordinates in which the
            image spans -1 … 1 with x to the right and y down.
        bend: float32 ``(n, 2, g, g)`` or None: for a g × g grid over the distorted image, by how
            much further away a point comes from, in the same units; smoothly interpolated between.
    """

    matrix: Tensor
    bend: Tensor | None = None

    def __len__(self) -> int:
        """The number of images."""
        return len(self.matrix)

    def after(self, first: Warp) -> Warp:
        """``first``, then this. Bends add up as they stand, which is not what two looks would show:
        they are noise alike in every direction, and the sum is as likely as what would be.
        """
        linear = self.matrix[:, :, :2]
        shift = linear @ first.matrix[:, :, 2:] + self.matrix[:, :, 2:]
        bends = [one for one in (self.bend, first.bend) if one is not None]
        bend = sum(bends[1:], bends[0]) if bends else None
        return Warp(torch.cat([linear @ first.matrix[:, :, :2], shift], 2), bend)

    def repeated(self, each: int) -> Warp:
        """``each`` times in a row for every one."""
        bend = None if self.bend is None else self.bend.repeat_interleave(each, 0)
        return Warp(self.matrix.repeat_interleave(each, 0), bend)

    def turned(self, quarters: Tensor) -> Warp:
        """The same, after a turn by ``quarters`` × 90°, int64 ``(n,)``; the bend stays as it is."""
        cos = torch.tensor([1.0, 0.0, -1.0, 0.0])[quarters]
        sin = torch.tensor([0.0, 1.0, 0.0, -1.0])[quarters]
        return self.after(_linear(cos, -sin, sin, cos))

    def mirrored(self, which: Tensor) -> Warp:
        """The same, after left and right of some, bool ``(n,)``, were exchanged; likewise."""
        sign = torch.where(which, -1.0, 1.0)
        none, one = torch.zeros_like(sign), torch.ones_like(sign)
        return self.after(_linear(sign, none, none, one))


def _linear(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Warp:
    """The map ``((a, b), (c, d))`` of each image; ``(n,)`` each."""
    rows = torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)
    return Warp(torch.cat([rows, torch.zeros(len(a), 2, 1)], 2))


@dataclass(frozen=True)
class Augmentation:
    """What augmentations are drawn from (paper, section 3.3); every range is uniform.

    Attributes:
        rotation: at most this many degrees either way (θ).
        shear: at most this much either way, in x and in y on their own (ρx, ρy).
        scale: smallest and largest zoom, in x and in y on their own (sx, sy).
        shift: at most this many pixels of a 105 × 105 image either way, in x and in y (tx, ty).
        probability: the chance that each of the seven components is used.
        elastic: standard deviation of the grid's displacements, in pixels of 105; 0 is none.
        grid: points of the elastic grid along a side.
    """

    rotation: float = 10.0
    shear: float = 0.3
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 2.0
    probability: float = 0.5
    elastic: float = 0.0
    grid: int = 5

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        check.number("rotation", self.rotation, 0, 180)
        check.number("shear", self.shear, 0, below=1)
        low, high = check.numbers("scale", self.scale, 2, above=0)
        if low > high:
            raise ArgumentError("scale", self.scale, message="the smaller zoom comes first")
        check.number("shift", self.shift, 0)
        check.fraction("probability", self.probability)
        check.number("elastic", self.elastic, 0)
        check.integer("grid", self.grid, 2)

    def draw(self, n: int, generator: torch.Generator) -> Warp:
        """Draw ``n`` independent augmentations."""
        value = torch.rand(n, 7, generator=generator)
        used = torch.rand(n, 7, generator=generator) < self.probability
        low, high = self.scale
        center = value * 2 - 1
        theta = torch.where(used[:, 0], center[:, 0] * math.radians(self.rotation), 0.0)
        shear = torch.where(used[:, 1:3], center[:, 1:3] * self.shear, 0.0)
        scale = torch.where(used[:, 3:5], low + value[:, 3:5] * (high - low), 1.0)
        shift = torch.where(used[:, 5:7], center[:, 5:7] * (2 * self.shift / _SIDE), 0.0)
        bend = None
        if self.elastic > 0:
            noise = torch.randn(n, 2, self.grid, self.grid, generator=generator)
            bend = noise * (2 * self.elastic / _SIDE)
        return Warp(affine_matrix(theta, shear, scale, shift), bend)


def affine_matrix(theta: Tensor, shear: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Compose T = (θ, ρx, ρy, sx, sy, tx, ty): scale, then shear, then turn, then shift.

    Args:
        theta: radians ``(n,)``; positive turns x towards y, clockwise on the screen.
        shear: ``(n, 2)``: ρx moves x by ρx·y, ρy moves y by ρy·x.
        scale: ``(n, 2)``.
        shift: ``(n, 2)``, the image spanning -1 … 1.

    Returns:
        float32 ``(n, 2, 3)``: where points go.
    """
    cos, sin = theta.cos(), theta.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    one = torch.ones_like(theta)
    slant = torch.stack(
        [torch.stack([one, shear[:, 0]], -1), torch.stack([shear[:, 1], one], -1)], -2
    )
    return torch.cat([turn @ slant @ torch.diag_embed(scale), shift[..., None]], 2)


def apply_warp(images: Tensor, warp: Warp) -> Tensor:
    """Distort a batch in one pass.

    Args:
        images: float ``(n, 1, side, side)``: 0 paper … 1 ink.
        warp: one augmentation an image, on the same device.

    Returns:
        float ``(n, 1, side, side)``, bilinear, with paper where nothing was.
    """
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would shift the points
        # grid_sample asks where each point of the result comes from: the inverse of the map.
        linear, shift = warp.matrix[:, :, :2], warp.matrix[:, :, 2:]
        (a, b), (c, d) = linear[:, 0].unbind(1), linear[:, 1].unbind(1)
        adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
        inverse = adjugate / (a * d - b * c)[:, None, None]
        back = torch.cat([inverse, -inverse @ shift], 2)
        side = images.shape[-1]
        points, weights = _grid(
            side, 0 if warp.bend is None else warp.bend.shape[-1], images.device
        )
        # One product for the whole batch; F.affine_grid makes a small one for each image.
        grid = (back.flatten(0, 1) @ points).unflatten(0, (-1, 2)).unflatten(2, (side, side))
        if warp.bend is not None:
            grid = grid + weights @ warp.bend @ weights.T
        grid = grid.permute(0, 2, 3, 1)  # (n, side, side, 2)
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )


@lru_cache(maxsize=16)
def _grid(side: int, knots: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pixels' centers as columns (x, y, 1), and what bends them.

    Returns:
        float32 ``(3, side²)``; and ``(side, knots)``: the share that each knot of a line has in
        each pixel, bicubic, the first and the last knot at the ends.
    """
    centers = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])
    lines = torch.eye(knots)[None, None]
    weights = torch.zeros(side, 0)
    if knots:
        weights = F.interpolate(lines, (knots, side), mode="bicubic", align_corners=True)[0, 0].T
    return points.to(device), weights.contiguous().to(device)
