"""The paper's affine distortion, and a mild elastic one, for whole batches on any device.

A picture here is ink on paper: 1 is ink and 0 is paper, so what comes in from outside the picture
is paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.errors import UserError
from siamese_oneshot.setting import number, numbers, share, whole

_SIDE = 105.0  # the paper states shifts in pixels of a 105 × 105 picture


@dataclass(frozen=True)
class Warp:
    """How each picture of a batch is to be distorted; small, drawn on the CPU.

    Attributes:
        matrix: float32 ``(n, 2, 3)``: where a point (x, y) goes, in coordinates in which the
            picture spans -1 … 1 with x to the right and y down.
        bend: float32 ``(n, 2, g, g)`` or None: for a g × g grid over the distorted picture, by how
            much further away a point comes from, in the same units; smoothly interpolated between.
    """

    matrix: Tensor
    bend: Tensor | None = None

    def __len__(self) -> int:
        """The number of pictures."""
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
    """The map ``((a, b), (c, d))`` of each picture; ``(n,)`` each."""
    rows = torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)
    return Warp(torch.cat([rows, torch.zeros(len(a), 2, 1)], 2))


@dataclass(frozen=True)
class Distortion:
    """What distortions are drawn from (paper, section 3.3); every range is uniform.

    Attributes:
        rotation: at most this many degrees either way (θ).
        shear: at most this much either way, in x and in y on their own (ρx, ρy).
        scale: smallest and largest zoom, in x and in y on their own (sx, sy).
        shift: at most this many pixels of a 105 × 105 picture either way, in x and in y (tx, ty).
        probability: the chance that each of the seven components is used.
        elastic: standard deviation of the grid's displacements, in pixels of 105; 0 is none.
        grid: points of the elastic grid along a side.
        key: where it stands in the configuration, for error messages.
    """

    rotation: float = 10.0
    shear: float = 0.3
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 2.0
    probability: float = 0.5
    elastic: float = 0.0
    grid: int = 5
    key: str = "batches.distortion"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        start = self.key
        number(f"{start}.rotation", self.rotation, 0, 180)
        number(f"{start}.shear", self.shear, 0, below=1)
        low, high = numbers(f"{start}.scale", self.scale, 2, above=0)
        if low > high:
            raise UserError(f"{start}.scale={self.scale}: the smaller zoom comes first")
        number(f"{start}.shift", self.shift, 0)
        share(f"{start}.probability", self.probability)
        number(f"{start}.elastic", self.elastic, 0)
        whole(f"{start}.grid", self.grid, 2)

    def draw(self, n: int, generator: torch.Generator) -> Warp:
        """Draw ``n`` independent distortions."""
        value = torch.rand(n, 7, generator=generator)
        used = torch.rand(n, 7, generator=generator) < self.probability
        low, high = self.scale
        centre = value * 2 - 1
        theta = torch.where(used[:, 0], centre[:, 0] * math.radians(self.rotation), 0.0)
        shear = torch.where(used[:, 1:3], centre[:, 1:3] * self.shear, 0.0)
        scale = torch.where(used[:, 3:5], low + value[:, 3:5] * (high - low), 1.0)
        shift = torch.where(used[:, 5:7], centre[:, 5:7] * (2 * self.shift / _SIDE), 0.0)
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
        shift: ``(n, 2)``, the picture spanning -1 … 1.

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


def distort(pictures: Tensor, warp: Warp) -> Tensor:
    """Distort a batch in one pass.

    Args:
        pictures: float ``(n, 1, side, side)``: 0 paper … 1 ink.
        warp: one distortion a picture, on the same device.

    Returns:
        float ``(n, 1, side, side)``, bilinear, with paper where nothing was.
    """
    with torch.autocast(pictures.device.type, enabled=False):  # bfloat16 would shift the points
        # grid_sample asks where each point of the result comes from: the inverse of the map.
        linear, shift = warp.matrix[:, :, :2], warp.matrix[:, :, 2:]
        (a, b), (c, d) = linear[:, 0].unbind(1), linear[:, 1].unbind(1)
        adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
        inverse = adjugate / (a * d - b * c)[:, None, None]
        back = torch.cat([inverse, -inverse @ shift], 2)
        side = pictures.shape[-1]
        points, weights = _grid(
            side, 0 if warp.bend is None else warp.bend.shape[-1], pictures.device
        )
        # One product for the whole batch; F.affine_grid makes a small one for each picture.
        grid = (back.flatten(0, 1) @ points).unflatten(0, (-1, 2)).unflatten(2, (side, side))
        if warp.bend is not None:
            grid = grid + weights @ warp.bend @ weights.T
        grid = grid.permute(0, 2, 3, 1)  # (n, side, side, 2)
        return F.grid_sample(
            pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )


@lru_cache(maxsize=16)
def _grid(side: int, knots: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pixels' centres as columns (x, y, 1), and what bends them.

    Returns:
        float32 ``(3, side²)``; and ``(side, knots)``: the share that each knot of a line has in
        each pixel, bicubic, the first and the last knot at the ends.
    """
    centres = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])
    lines = torch.eye(knots)[None, None]
    weights = torch.zeros(side, 0)
    if knots:
        weights = F.interpolate(lines, (knots, side), mode="bicubic", align_corners=True)[0, 0].T
    return points.to(device), weights.contiguous().to(device)
