"""Generated alphabets, in the spirit of Lake, Salakhutdinov and Tenenbaum (2015).

A stroke is a list of straight parts, arcs and corners; a character is a list of strokes, each of
which touches an earlier one. An alphabet's style makes some parts, directions and joints more
likely, and its characters share strokes. A drawer has a handwriting (slant, size, position,
roundness and pen) that is the same in all characters of an alphabet up to a small variation of each
image. Foreground area, line width, size and the variation between drawers are close to Omniglot's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data import cache as disk_cache
from siamese_oneshot.data import recombined, splines
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

MAX_ALPHABETS, MAX_CHARACTERS = 999, 99  # the digits of the names, so that names sort
STYLES = ("parts", "splines", "recombined")
SIDE = 105  # pixels along a side, as Omniglot's
MIN_CACHED_IMAGES = 5_000  # fewer images are drawn in a few seconds
MAX_PARTS = 3  # of a stroke
MAX_STROKES = 5  # of a character
_SHARED_STROKES = 12  # of an alphabet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyntheticConfig:
    """How much is generated.

    Attributes:
        n_alphabets: Number of alphabets, 0 … 999.
        n_characters: Smallest and largest number of characters of an alphabet, 1 … 99.
        n_drawers: Drawers of an alphabet, who draw each of its characters once.
        seed: Seed of everything.
        style: How characters and drawers are invented: ``parts`` (straight parts and arcs, this
            module), ``splines`` (closer to Omniglot's, see `splines`) or ``recombined`` (new
            characters from real strokes, see `recombined`; needs Omniglot's stroke files).
        stroke_alphabets: Of ``recombined``: the background alphabets whose strokes it takes; None
            for all eight that have stroke files.
    """

    n_alphabets: int = 50
    n_characters: tuple[int, int] = (20, 40)
    n_drawers: int = 20
    seed: int = 0
    style: str = "parts"
    stroke_alphabets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check.integer("n_alphabets", self.n_alphabets, 0, MAX_ALPHABETS)
        low, high = check.integers("n_characters", self.n_characters, 1, MAX_CHARACTERS, 2)
        if low > high:
            message = "the smaller number comes first"
            raise ArgumentError("n_characters", self.n_characters, message=message)
        object.__setattr__(self, "n_characters", (low, high))
        check.integer("n_drawers", self.n_drawers, 1)
        check.seed("seed", self.seed)
        check.choice("style", self.style, STYLES)
        if (wanted := self.stroke_alphabets) is not None:
            names = tuple(check.names("stroke_alphabets", wanted))
            object.__setattr__(self, "stroke_alphabets", names)
            if self.style != "recombined":
                message = f"style={self.style} takes no strokes: set style=recombined, or null here"
                raise ArgumentError("stroke_alphabets", list(names), message=message)
        if self.style == "recombined":
            recombined.check_settings(self.n_drawers, self.stroke_alphabets)

    @property
    def strokes_of(self) -> tuple[str, ...]:
        """The background alphabets whose strokes are drawn."""
        if self.style != "recombined" or not self.n_alphabets:
            return ()
        return self.stroke_alphabets or recombined.ALPHABETS


def load_alphabets(
    config: SyntheticConfig,
    first: int = 0,
    cache_dir: str | Path | None = None,
    root: str | Path | None = None,
) -> CharacterDataset:
    """`draw_alphabets`, cached on disk; ``cache_dir`` as for `load_omniglot`."""
    n_images = config.n_alphabets * config.n_characters[1] * config.n_drawers
    if n_images < MIN_CACHED_IMAGES:
        return draw_alphabets(config, first=first, root=root)
    numbers = [config.n_alphabets, *config.n_characters, config.n_drawers, config.seed, first]
    metadata: dict[str, Any] = {"data": "synthetic", "numbers": numbers}
    metadata |= {"generator": _code_digest(), "style": config.style}
    if config.style == "recombined":
        metadata["strokes"] = list(config.strokes_of)

    def build() -> dict[str, disk_cache.Array]:
        log.info("generating %d alphabets (cached for later runs)", config.n_alphabets)
        drawn = _drawn(config, SIDE, first, root)  # packed one by one: unpacked, all fill gigabytes
        packed = [disk_cache.pack(pixels.numpy() > 0) for pixels in drawn]
        counts = np.array([len(images) // config.n_drawers for images in packed])
        return {"images": np.concatenate(packed), "counts": counts}

    digest = hashlib.sha256(json.dumps(metadata).encode()).hexdigest()[:16]
    path = disk_cache.cache_home(cache_dir) / f"synthetic-v{disk_cache.FORMAT}-{digest}.bits"
    arrays = disk_cache.load_or_build(path, metadata, build)
    pixels = disk_cache.unpack(arrays["images"], SIDE)
    return _dataset_of(pixels, arrays["counts"].tolist(), config.n_drawers, first)


@cache
def _code_digest() -> str:
    """Changes with the generator's code and with PyTorch, whose random numbers it uses."""
    files = __file__, splines.__file__, recombined.__file__
    code = b"".join(Path(file).read_bytes() for file in files)
    return hashlib.sha256(torch.__version__.encode() + code).hexdigest()


def draw_alphabets(
    config: SyntheticConfig, size: int = SIDE, first: int = 0, root: str | Path | None = None
) -> CharacterDataset:
    """Generate alphabets as images of ``size`` × ``size`` pixels with values 0 and 255.

    Alphabet k depends on ``config`` and k, but not on how many alphabets are generated; ``first``
    is the number of the first one, from 0. ``root`` is the folder of the stroke files of
    ``style=recombined``, as for `load_strokes`.
    """
    check.integer("n_alphabets", config.n_alphabets, 1)
    check.integer("size", size, 8)
    drawn = list(_drawn(config, size, first, root))
    counts = [len(pixels) // config.n_drawers for pixels in drawn]
    return _dataset_of(torch.cat(drawn), counts, config.n_drawers, first)


def _drawn(
    config: SyntheticConfig, size: int, first: int, root: str | Path | None
) -> Iterator[Tensor]:
    """Each alphabet: uint8 ``(characters * drawers, size, size)``."""
    low, high = config.n_characters
    strokes = recombined.templates(root) if config.strokes_of else {}
    for number in range(first, first + config.n_alphabets):
        sequence = np.random.SeedSequence([config.seed, number])
        if config.style != "parts":
            generator = np.random.default_rng(sequence)
            count = int(generator.integers(low, high + 1))
            shape = count, config.n_drawers, size, generator
            if config.style == "splines":
                drawn = splines.draw_characters(*shape)
            else:
                real = [strokes[name] for name in config.strokes_of]
                drawn = recombined.draw_characters(*shape, real)
            yield torch.from_numpy(drawn).flatten(0, 1).to(torch.uint8) * 255
            continue
        state = sequence.generate_state(1)
        rng = torch.Generator().manual_seed(int(state[0]))
        count = int(torch.randint(low, high + 1, (), generator=rng))
        yield _draw_characters(invent_characters(count, rng), config.n_drawers, size, rng)


def _dataset_of(pixels: Tensor, counts: list[int], drawers: int, first: int) -> CharacterDataset:
    characters = {f"Generated_{first + k:03d}": count for k, count in enumerate(counts, 1)}
    return CharacterDataset.from_grid(pixels, characters, drawers, "synthetic")


def _draw_characters(
    characters: Characters, drawers: int, size: int, rng: torch.Generator
) -> Tensor:
    """All characters by all drawers: uint8 ``(characters * drawers, size, size)``."""
    count = len(characters.present)

    def variation(drawer: float, image: float, *shape: int) -> Tensor:
        """``(count, drawers, *shape)`` with these standard deviations over drawers and images."""
        own = drawer * normal(rng, 1, drawers, *shape)
        return own + image * normal(rng, count, drawers, *shape)

    base = characters[:, None]  # (count, 1): a copy per drawer
    template = base.strokes
    strokes = Strokes(
        template.heading + variation(0.03, 0.07, MAX_STROKES),
        template.length * torch.exp(variation(0.03, 0.1, MAX_STROKES, MAX_PARTS)),
        template.turn
        * torch.exp(variation(0.06, 0.1, 1, 1) + variation(0, 0.08, MAX_STROKES, MAX_PARTS))
        + variation(0.02, 0.07, MAX_STROKES, MAX_PARTS),
        template.corner * torch.exp(variation(0.05, 0.1, MAX_STROKES, MAX_PARTS)),
        (template.roundness + variation(0.3, 0.15, 1)).clamp(0, 1),
    )
    drawn = replace(
        base,
        strokes=strokes,
        parent_point=(base.parent_point + variation(0, 0.04, MAX_STROKES)).clamp(0, 1),
        own_point=(base.own_point + variation(0, 0.04, MAX_STROKES)).clamp(0, 1),
        gap=base.gap + variation(0.02, 0.05, MAX_STROKES, 2),
    )
    line = drawn.lines(max(size, 32)).flatten(2, 3)  # (count, drawers, points, 2)
    line = smooth_displacement(line.flatten(0, 1), 0.06, 0.8, rng)  # slow: the shape of an image
    line = smooth_displacement(line, 0.004, 5.0, rng).view(count, drawers, -1, 2)  # fast: tremor

    angle, slant = variation(0.05, 0.05), variation(0.1, 0.06)
    scale = torch.tensor([0.55, 0.61]) * torch.exp(
        0.1 * normal(rng, 2) + variation(0.08, 0.05, 1) + variation(0.05, 0.04, 2)
    )
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([cos, -sin + slant * cos], -1), torch.stack([sin, cos + slant * sin], -1)
    matrix = torch.stack(rows, -2) * scale[..., None, :]
    line = line @ matrix.mT
    line = _shifted_inside(line, torch.tensor([-0.04, -0.06]) + variation(0.06, 0.06, 2))

    # Omniglot's lines are 5 pixels wide.
    pens = (size / SIDE * (5 + 0.4 * normal(rng, drawers))).round().clamp(min=1)
    out = torch.empty((count, drawers, size, size), dtype=torch.bool)
    for pen in pens.unique():
        mine = pens == pen
        images = rasterize(line[:, mine].flatten(0, 1), size, int(pen))
        out[:, mine] = images.unflatten(0, (count, -1))
    return out.flatten(0, 1).to(torch.uint8) * 255


def _shifted_inside(line: Tensor, shift: Tensor) -> Tensor:
    """Lines ``(…, points, 2)`` shifted by ``shift``, then moved and shrunk to fit the image."""
    line = line + shift[..., None, :]
    low, high = _bounds(line)
    half = (high - low) / 2
    limit = 0.92  # of 1, since the pen has a width
    shrink = (limit / half.amax(-1, keepdim=True)).clamp(max=1)
    center = (low + high) / 2
    room = limit - half * shrink
    return (line - center) * shrink + center.clamp(-room, room)


def _bounds(line: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest coordinates ``(…, 1, 2)`` of lines ``(…, points, 2)`` without NaN."""
    low = line.nan_to_num(math.inf).amin(-2, keepdim=True)
    return low, line.nan_to_num(-math.inf).amax(-2, keepdim=True)


class _Record:
    """A dataclass of tensors that are indexed together."""

    def __getitem__(self, index: Any) -> Self:
        """Index all attributes alike."""
        return type(self)(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class Strokes(_Record):
    """Strokes by their motion. float64 of any shape ``(…)``, the same for all attributes.

    Attributes:
        heading: ``(…)``: initial direction in radians, from x (right) to y (down).
        length: ``(…, MAX_PARTS)``: of each part, 1 is half an image; 0 for an absent part.
        turn: ``(…, MAX_PARTS)``: angle by which the direction turns evenly along each part.
        corner: ``(…, MAX_PARTS)``: angle by which it turns before each part.
        roundness: ``(…)``: 0 … 1: how much corners are rounded.
    """

    heading: Tensor
    length: Tensor
    turn: Tensor
    corner: Tensor
    roundness: Tensor

    def paths(self, samples: int) -> Tensor:
        """The lines from the origin: ``(…, samples, 2)``, points evenly spaced along each."""
        ends = self.length.cumsum(-1)[..., None, :]  # (…, 1, MAX_PARTS)
        total = ends[..., -1:].clamp(min=1e-9)
        starts = ends - self.length[..., None, :]
        # The direction half-way between two points is that of the step between them.
        step = (torch.arange(samples - 1, dtype=torch.float64) + 0.5) / (samples - 1)
        along = step[:, None] * total  # (…, samples - 1, 1)
        inside = ((along - starts) / (ends - starts).clamp(min=1e-9)).clamp(0, 1)
        # A corner is spread over this much of the line before and after it.
        spread = 0.02 * total + 0.25 * self.roundness[..., None, None] * total
        turned = ((along - starts) / spread + 0.5).clamp(0, 1)
        angle = self.heading[..., None] + (
            inside * self.turn[..., None, :] + turned * self.corner[..., None, :]
        ).sum(-1)
        steps = torch.stack([angle.cos(), angle.sin()], -1) * (total / (samples - 1))
        return torch.cat([torch.zeros_like(steps[..., :1, :]), steps.cumsum(-2)], -2)


@dataclass(frozen=True)
class Characters(_Record):
    """Characters as strokes and joints; attributes are ``(…, MAX_STROKES)`` unless stated.

    Attributes:
        strokes: The strokes.
        present: bool: whether the character has this stroke.
        parent: int64: the earlier stroke that each stroke is joined to.
        parent_point: 0 … 1: position of the joint on that stroke.
        own_point: 0 … 1: position of the joint on the stroke itself.
        gap: ``(…, MAX_STROKES, 2)``: distance at the joint; 0 for strokes that meet.
        scale: ``(…)``: scale that makes the character fill about -1 … 1.
        center: ``(…, 2)``: subtracted after scaling.
    """

    strokes: Strokes
    present: Tensor
    parent: Tensor
    parent_point: Tensor
    own_point: Tensor
    gap: Tensor
    scale: Tensor
    center: Tensor

    def lines(self, samples: int) -> Tensor:
        """``(…, MAX_STROKES, samples, 2)``; NaN for absent strokes."""
        paths = self.strokes.paths(samples)
        last = samples - 1
        own = _points_at(paths, (self.own_point * last).round().long())
        lines: list[Tensor] = []
        for k in range(MAX_STROKES):
            start = self.gap[..., k, :] - own[..., k, :]
            if k:
                earlier = torch.stack(lines, -3)  # (…, k, samples, 2)
                index = self.parent[..., k, None, None, None]
                index = index.expand(*earlier.shape[:-3], 1, *earlier.shape[-2:])
                parent = earlier.gather(-3, index).squeeze(-3)
                joint = (self.parent_point[..., k] * last).round().long()
                start = start + _points_at(parent, joint)
            lines.append(paths[..., k, :, :] + start[..., None, :])
        line = torch.stack(lines, -3) * self.scale[..., None, None, None]
        line = line - self.center[..., None, None, :]
        return line.masked_fill(~self.present[..., None, None], math.nan)


def _points_at(lines: Tensor, number: Tensor) -> Tensor:
    """Point ``number`` ``(…)`` of each line ``(…, samples, 2)``: ``(…, 2)``."""
    index = number[..., None, None].expand(*number.shape, 1, 2)
    return lines.gather(-2, index).squeeze(-2)


def invent_characters(count: int, rng: torch.Generator) -> Characters:
    """The characters of one alphabet, ``(count,)``, no two alike."""
    n = 3 * count // 2 + 16
    style = _Style(rng)
    shared, fresh = style.strokes(_SHARED_STROKES), style.strokes(n * MAX_STROKES)
    pick = torch.randint(_SHARED_STROKES, (n * MAX_STROKES,), generator=rng)
    new = uniform(rng, n * MAX_STROKES) < style.novelty
    # Row k of both is the fresh stroke k, or the shared stroke that k repeats.
    pairs = zip(vars(fresh).values(), vars(shared).values(), strict=True)
    both = Strokes(*(torch.cat(pair) for pair in pairs))
    order = torch.where(new, torch.arange(len(new)), len(new) + pick)
    characters = style.join(both[order.view(n, MAX_STROKES)], n)
    low, high = _bounds(characters.lines(24).flatten(1, 2))  # (n, 1, 2)
    half = ((high - low) / 2).flatten(1).amax(1)
    # A dot is not enlarged to the size of other characters.
    scale = (torch.exp(0.2 * normal(rng, n)) / half).clamp(max=style.max_scale)
    center = scale[:, None] * (low + high)[:, 0] / 2
    characters = replace(characters, scale=scale, center=center)
    # Characters must differ, but only 1.5 candidates each: with characters as different as
    # possible the alphabet would be too easy.
    return characters[farthest_points(thumbnails(characters), count)]


def thumbnails(characters: Characters) -> Tensor:
    """Each character as a blurred 12 × 12 image, flattened."""
    image = rasterize(0.8 * characters.lines(48).flatten(1, 2), 24, 1)
    return F.avg_pool2d(image[:, None].double(), 4, 2, 1).flatten(1)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices of ``count`` rows, each as far as possible from those before it."""
    chosen = [0]
    nearest = (points - points[0]).square().sum(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    return torch.tensor(chosen)


class _Style:
    """What is usual in one alphabet."""

    def __init__(self, rng: torch.Generator) -> None:
        self.rng = rng

        def weights(*means: float, spread: float = 0.8) -> Tensor:
            base = torch.tensor(means, dtype=torch.float64)
            return base * torch.exp(spread * normal(rng, len(means)))

        self.parts = weights(0.45, 0.35, 0.2)  # 1, 2, 3 of them in a stroke
        self.kinds = weights(0.56, 0.34, 0.07, 0.03)  # straight, arc, loop, dot
        self.directions = weights(*[0.125] * 8, spread=1.0)
        self.lattice = float(uniform(rng)) < 0.75  # directions, corners and arcs in eighths
        self.skew = 0.1 * normal(rng)
        self.smooth = 0.1 + 0.6 * uniform(rng)  # probability that parts follow without a corner
        self.right = 0.5 + 0.35 * normal(rng).clamp(-1, 1)  # probability of a turn to the right
        self.bow = 0.12 * uniform(rng)  # curvature of straight parts
        self.radius = 0.25 + 0.3 * uniform(rng)
        self.roundness = uniform(rng)
        self.n_strokes = 1.4 + 1.5 * uniform(rng)  # mean number in a character
        self.novelty = 0.15 + 0.75 * uniform(rng)  # probability of a stroke that is not shared
        self.apart = 0.3 * uniform(rng) ** 2  # probability that a stroke touches no other
        self.joints = weights(0.35, 0.3, 0.35)  # start, middle and end meet
        self.free = 0.5 * uniform(rng)  # probability of any other point
        self.max_scale = 1.2 + 0.8 * uniform(rng)

    def strokes(self, n: int) -> Strokes:
        """Strokes ``(n,)`` of this style."""
        rng = self.rng
        parts = 1 + torch.multinomial(self.parts, n, True, generator=rng)
        present = torch.arange(MAX_PARTS) < parts[:, None]
        kind = torch.multinomial(self.kinds, n * MAX_PARTS, True, generator=rng)
        kind = kind.view(n, MAX_PARTS)
        kind = torch.where((kind == 3) & (torch.arange(MAX_PARTS) > 0), 0, kind)
        present[:, 1:] &= kind[:, :1] != 3  # a dot is a stroke of one part
        side = torch.where(uniform(rng, n, MAX_PARTS) < self.right, 1.0, -1.0).double()

        lengths = torch.tensor([0.45, 0.8, 1.2, 1.7], dtype=torch.float64)
        pace = lengths[torch.randint(4, (n, MAX_PARTS), generator=rng)] / parts[:, None].sqrt()
        straight = pace * torch.exp(0.12 * normal(rng, n, MAX_PARTS))
        angles = torch.tensor([2, 3, 4, 4, 5, 6], dtype=torch.float64) * (math.pi / 4)
        arc = angles[torch.randint(6, (n, MAX_PARTS), generator=rng)]
        arc = arc * torch.exp((0.05 if self.lattice else 0.3) * normal(rng, n, MAX_PARTS))
        loop = 2 * math.pi * (1 + 0.08 * normal(rng, n, MAX_PARTS))
        radius = self.radius * torch.exp(0.35 * normal(rng, n, MAX_PARTS))

        bow = self.bow * normal(rng, n, MAX_PARTS)
        turn = torch.where(kind == 0, bow, side * torch.where(kind == 1, arc, loop))
        length = torch.where(kind == 0, straight, turn.abs() * radius)
        length = torch.where(kind == 2, 0.85 * length, length)
        length = torch.where(kind == 3, 0.06, length) * present
        longest = 2.6 * torch.exp(0.2 * normal(rng, n, 1))
        length = length * (longest / length.sum(1, keepdim=True)).clamp(max=1)

        eighths = 1 + torch.randint(3, (n, MAX_PARTS), generator=rng)
        sign = torch.where(uniform(rng, n, MAX_PARTS) < 0.5, 1.0, -1.0)
        sharp = eighths * (math.pi / 4) * sign
        if not self.lattice:
            sharp = sharp + 0.25 * normal(rng, n, MAX_PARTS)
        corner = torch.where(uniform(rng, n, MAX_PARTS) < self.smooth, 0.0, sharp)
        corner = corner.masked_fill(torch.arange(MAX_PARTS) == 0, 0.0)

        direction = torch.multinomial(self.directions, n, True, generator=rng) * (math.pi / 4)
        jitter = (0.06 if self.lattice else 0.4) * normal(rng, n)
        # An arc's direction is that of its chord.
        chord = 0.5 * torch.where(kind[:, 0] == 1, turn[:, 0], 0.0)
        heading = direction + self.skew + jitter - chord
        roundness = (self.roundness + 0.2 * normal(rng, n)).clamp(0, 1)
        return Strokes(heading, length, turn, corner, roundness)

    def join(self, strokes: Strokes, n: int) -> Characters:
        """Characters ``(n,)`` of strokes ``(n, MAX_STROKES)``."""
        rng = self.rng
        count = (self.n_strokes + 0.8 * normal(rng, n)).round().clamp(1, MAX_STROKES)
        earlier = torch.arange(MAX_STROKES).clamp(min=1)
        parent = (uniform(rng, n, MAX_STROKES) * earlier).long()

        def joint_points() -> Tensor:
            usual = torch.multinomial(self.joints, n * MAX_STROKES, True, generator=rng) / 2
            free = uniform(rng, n, MAX_STROKES)
            return torch.where(
                uniform(rng, n, MAX_STROKES) < self.free, free, usual.view(n, MAX_STROKES).double()
            )

        parent_point, own_point = joint_points(), joint_points()
        apart = uniform(rng, n, MAX_STROKES, 1) < self.apart
        gap = torch.where(apart, 0.7 * normal(rng, n, MAX_STROKES, 2), 0.0)
        return Characters(
            strokes,
            torch.arange(MAX_STROKES) < count[:, None],
            parent,
            parent_point,
            own_point,
            gap,
            torch.ones(n, dtype=torch.float64),
            torch.zeros(n, 2, dtype=torch.float64),
        )


def uniform(rng: torch.Generator, *shape: int) -> Tensor:
    """Uniform from 0 to 1, in float64 so that rounding cannot move a pixel between machines."""
    return torch.rand(shape, generator=rng, dtype=torch.float64)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal, float64."""
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def smooth_displacement(
    points: Tensor, amplitude: float, frequency: float, rng: torch.Generator
) -> Tensor:
    """Displace points ``(n, m, 2)`` by smooth random fields, so that strokes that meet still meet.

    Each of the n has a field of its own, a sum of three waves with about ``frequency`` waves across
    an image; ``amplitude`` is the standard deviation of a wave's displacement, 1 is half an image.
    """
    n = len(points)
    for _ in range(3):
        wave = frequency * 2.0 * normal(rng, n, 2, 1)
        phase = 2 * math.pi * uniform(rng, n, 1, 1)
        push = amplitude * normal(rng, n, 1, 2)
        points = points + push * torch.sin(points @ wave + phase)
    return points


def rasterize(points: Tensor, size: int, pen: int) -> Tensor:
    """Pixels under a round pen at each point: bool ``(n, size, size)``.

    Args:
        points: ``(n, m, 2)``: x to the right and y down, -1 … 1 from edge to edge. NaN and points
            outside are not drawn.
        size, pen: Side of the image and diameter of the pen in pixels.
    """
    side, reach = size + pen, pen // 2
    inside = ((points >= -1) & (points < 1)).all(-1)
    # The center of an odd pen falls on a pixel, that of an even one on a corner of four.
    pixel = (points + 1) * (size / 2) + (0.5 if pen % 2 == 0 else 0.0)
    position = pixel.nan_to_num().clamp(0, size).long()
    index = (position[..., 1] * side + position[..., 0]).masked_fill_(~inside, side * side)
    dots = torch.zeros((len(points), side * side + 1), dtype=torch.bool)
    dots = dots.scatter_(1, index, True)[:, :-1].flatten()
    # Each pixel of the pen, counted from its top left corner, is a shift of the flat array. The
    # last pen - 1 columns and rows of an image have no dot, so nothing spills into the next image.
    drawn = torch.zeros_like(dots)
    for y in range(pen):
        for x in range(pen):
            if math.hypot(y - (pen - 1) / 2, x - (pen - 1) / 2) <= pen / 2:
                shift = y * side + x
                drawn[shift:] |= dots[: len(dots) - shift]
    return drawn.view(-1, side, side)[:, reach : reach + size, reach : reach + size]
