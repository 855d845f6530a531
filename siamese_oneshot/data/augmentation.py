"""Augmentation of whole batches on any device: affine, elastic, and composite characters.

Images are 0 for background and 1 for foreground; what enters from outside an image is background.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

_SIDE = 105.0  # the paper states shifts in pixels of a 105 × 105 image


@dataclass  # not frozen: Lightning moves it to the device field by field
class Warp:
    """A geometric transformation of each image of a batch, drawn on the CPU.

    Attributes:
        matrix: float32 ``(..., 2, 3)``: where a point (x, y) goes. The image spans -1 … 1, x points
            to the right and y down.
        displacement: float32 ``(..., 2, g, g)`` or None: on a g × g grid over the transformed
            image, the displacement of the point that is sampled, bicubically interpolated in
            between.
    """

    matrix: Tensor
    displacement: Tensor | None = None

    @classmethod
    def identity(cls, n: int) -> Warp:
        """No transformation of ``n`` images."""
        return cls(torch.eye(2, 3).repeat(n, 1, 1))

    def map(self, change: Callable[[Tensor], Tensor]) -> Warp:
        """Another arrangement of the transformations, such as a part of them."""
        bend = self.displacement
        return Warp(change(self.matrix), None if bend is None else change(bend))

    def after(self, first: Warp) -> Warp:
        """``first``, then this.

        Displacements are added as they are. That is not their exact composition, but they are
        isotropic noise, and the sum has the same distribution.
        """
        matrix = self.matrix[:, :, :2] @ first.matrix
        matrix[:, :, 2] += self.matrix[:, :, 2]
        parts = [warp.displacement for warp in (self, first) if warp.displacement is not None]
        return Warp(matrix, sum(parts[1:], parts[0]) if parts else None)

    def after_symmetry(self, quarter_turns: Tensor, flipped: Tensor) -> Warp:
        """A flip where ``flipped``, then a rotation by ``quarter_turns`` × 90°, then this.

        ``quarter_turns`` is int64 ``(n,)``; ``flipped``, which exchanges left and right, bool.
        """
        cos = torch.tensor([1.0, 0.0, -1.0, 0.0])[quarter_turns]
        sin = torch.tensor([0.0, 1.0, 0.0, -1.0])[quarter_turns]
        sign = torch.where(flipped, -1.0, 1.0)
        return self.after(Warp(F.pad(_matrices(sign * cos, -sin, sign * sin, cos), (0, 1))))


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """``((a, b), (c, d))`` of each image, ``(n, 2, 2)``; entries are ``(n,)``."""
    return torch.stack([a, b, c, d], -1).unflatten(-1, (2, 2))


@dataclass(frozen=True)
class Augmentation:
    """Distribution of random warps (paper, section 3.3); all ranges are uniform.

    Attributes:
        rotation: Largest rotation in degrees, either way (θ).
        shear: Largest shear either way, independent in x and y (ρx, ρy).
        scale: Smallest and largest scale, independent in x and y (sx, sy).
        shift: Largest shift in pixels of a 105 × 105 image, either way, in x and y (tx, ty).
        probability: Probability with which each of the seven components is applied.
        elastic: Standard deviation of the grid's displacements in pixels of 105; 0 for none.
        grid: Points of the elastic grid along a side.
    """

    rotation: float = 10.0
    shear: float = 0.3
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 2.0
    probability: float = 0.5
    elastic: float = 0.0
    grid: int = 5

    def __post_init__(self) -> None:
        """Check the values."""
        check.number("rotation", self.rotation, 0, 180)
        check.number("shear", self.shear, 0, below=1)
        low, high = check.numbers("scale", self.scale, 2, above=0)
        if low > high:
            raise ArgumentError("scale", self.scale, message="the smaller scale comes first")
        object.__setattr__(self, "scale", (low, high))
        check.number("shift", self.shift, 0)
        check.fraction("probability", self.probability)
        check.number("elastic", self.elastic, 0)
        check.integer("grid", self.grid, 2)

    def draw(self, n: int, generator: torch.Generator) -> Warp:
        """Draw ``n`` independent warps."""
        value = torch.rand(n, 7, generator=generator)
        used = torch.rand(n, 7, generator=generator) < self.probability
        low, high = self.scale
        centered = value * 2 - 1
        theta = torch.where(used[:, 0], centered[:, 0] * math.radians(self.rotation), 0.0)
        shear = torch.where(used[:, 1:3], centered[:, 1:3] * self.shear, 0.0)
        scale = torch.where(used[:, 3:5], low + value[:, 3:5] * (high - low), 1.0)
        shift = torch.where(used[:, 5:7], centered[:, 5:7] * (2 * self.shift / _SIDE), 0.0)
        displacement = None
        if self.elastic > 0:
            noise = torch.randn(n, 2, self.grid, self.grid, generator=generator)
            displacement = noise * (2 * self.elastic / _SIDE)
        return Warp(affine_matrix(theta, shear, scale, shift), displacement)


def affine_matrix(theta: Tensor, shear: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The paper's T = (θ, ρx, ρy, sx, sy, tx, ty): scale, then shear, then rotate, then shift.

    Args:
        theta: ``(n,)``, radians; positive rotates x towards y, clockwise on the screen.
        shear: ``(n, 2)``: ρx moves x by ρx·y, ρy moves y by ρy·x.
        scale: ``(n, 2)``.
        shift: ``(n, 2)``, where the image spans -1 … 1.

    Returns:
        float32 ``(n, 2, 3)``: where points go.
    """
    cos, sin, one = theta.cos(), theta.sin(), torch.ones_like(theta)
    rotation = _matrices(cos, -sin, sin, cos)
    shearing = _matrices(one, shear[:, 0], shear[:, 1], one)
    return torch.cat([rotation @ shearing @ torch.diag_embed(scale), shift[..., None]], 2)


def apply_warp(images: Tensor, warp: Warp) -> Tensor:
    """Transform images ``(n, 1, side, side)`` with one bilinear interpolation each.

    The ``n`` warps are on the images' device; what lies outside an image is background.
    """
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would shift the points
        # grid_sample needs the source of each point of the result: the inverse of the map.
        linear, shift = warp.matrix[:, :, :2], warp.matrix[:, :, 2:]
        (a, b), (c, d) = linear[:, 0].unbind(1), linear[:, 1].unbind(1)
        inverse = _matrices(d, -b, -c, a) / (a * d - b * c)[:, None, None]
        back = torch.cat([inverse, -inverse @ shift], 2)
        side = images.shape[-1]
        knots = 0 if warp.displacement is None else warp.displacement.shape[-1]
        points, weights = _pixel_grid(side, knots, images.device)
        # One product for the whole batch; F.affine_grid makes a small one for each image.
        grid = (back.flatten(0, 1) @ points).unflatten(0, (-1, 2)).unflatten(2, (side, side))
        if warp.displacement is not None:
            grid = grid + weights @ warp.displacement @ weights.T
        grid = grid.permute(0, 2, 3, 1)  # (n, side, side, 2)
        return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


@lru_cache(maxsize=16)
def _pixel_grid(side: int, knots: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Centers of the pixels, and the interpolation from the elastic grid to the pixels.

    Returns:
        float32 ``(3, side²)``: columns (x, y, 1); and ``(side, knots)``: bicubic weights of the
        knots for each pixel of a line, with the first and the last knot at its ends.
    """
    centers = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])
    unit = torch.eye(knots)[None, None]
    weights = torch.zeros(side, 0)
    if knots:
        weights = F.interpolate(unit, (knots, side), mode="bicubic", align_corners=True)[0, 0].T
    return points.to(device), weights.contiguous().to(device)


@dataclass  # not frozen, as Warp
class Composite:
    """The second images of composite characters, and how two images are composed.

    Attributes:
        other: int64 ``(alphabets, characters, drawers)``: index of the second image; the image
            itself where nothing is composed.
        normal: float32 ``(alphabets, 2)``: the images are cut along the line through their center
            with this normal (x, y), and the first image is kept on the side to which it points. 0
            superimposes the two.
    """

    other: Tensor
    normal: Tensor


def sample_composite(
    indices: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Composite]:
    """Replace the characters of the first ``count`` alphabets by composite characters.

    Half of an alphabet's characters are first parts, the others second parts. Each new character is
    a different pair of them, the same for every drawer. Parts recur, so that some new characters
    differ in one half only, as in real alphabets. With probability one half the images of an
    alphabet are cut along a line of random direction, otherwise superimposed.

    Args:
        indices: int64 ``(alphabets, characters, drawers)`` with at least 4 characters.
        count: Number of alphabets, 0 … alphabets.
        generator: Source of randomness.

    Returns:
        Indices of the first images, of the same shape, and their second images.
    """
    alphabets, characters, _ = indices.shape
    first, other = indices.clone(), indices.clone()
    normal = torch.zeros(alphabets, 2)
    for alphabet in range(count):
        order = torch.randperm(characters, generator=generator)
        firsts, seconds = order[: characters // 2], order[characters // 2 :]
        pairs = torch.randperm(len(firsts) * len(seconds), generator=generator)[:characters]
        first[alphabet] = indices[alphabet, firsts[pairs // len(seconds)]]
        other[alphabet] = indices[alphabet, seconds[pairs % len(seconds)]]
        direction, coin = torch.rand(2, generator=generator).tolist()
        if coin < 0.5:
            angle = direction * 2 * math.pi
            normal[alphabet] = torch.tensor([math.cos(angle), math.sin(angle)])
    return first, Composite(other, normal)


def compose_images(first: Tensor, other: Tensor, normal: Tensor) -> Tensor:
    """Compose pairs of images ``(n, 1, side, side)``; ``normal`` ``(n, 2)``: see `Composite`."""
    side = first.shape[-1]
    centers = (torch.arange(side, device=first.device) * 2 + 1) / side - 1
    x = normal[:, 0, None, None, None] * centers
    y = normal[:, 1, None, None, None] * centers[:, None]
    distance = x + y  # (n, 1, side, side)
    both = torch.maximum(first, other)
    return torch.where(distance > 0, first, torch.where(distance < 0, other, both))
