"""Samplers of training batches.

A sampler decides which images a batch holds and how each is augmented (`BatchSpec`); the data
module makes the images from that on the device. Batch number k of a run depends on the seed and k
alone, so that it does not depend on the number of workers, and a resumed run continues with the
batch that it would have had.

A sampler of your own needs the four members of `TrainingSampler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from siamese_oneshot.data.augmentation import Augmentation, Composite, Warp, sample_composite
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import sample_alphabet_batch
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError


def generator_for(*numbers: int) -> torch.Generator:
    """A random generator for a list of numbers (seed, purpose, step …)."""
    state = np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


@dataclass
class BatchSpec:
    """The images of a training batch, and how each is augmented.

    Attributes:
        indices: int64 image indices: ``(2, n)`` for pairs, ``(alphabets, characters, drawers)`` for
            episodes.
        warp: Of each image, ``(*indices.shape, 2, 3)``; None for plain images.
        same: float32 ``(n,)``: 1 for a pair of one class, else 0. None for episodes.
        composite: Images to compose with these before the augmentation, or None.
    """

    indices: Tensor
    warp: Warp | None = None
    same: Tensor | None = None
    composite: Composite | None = None

    def shard(self, rank: int, world_size: int) -> BatchSpec:
        """This process's part of the batch in distributed training.

        All parts have the same size, and pairs and alphabets are not split. The mean of the parts'
        losses is the loss of the batch unless a loss compares images of different alphabets or
        pairs, as batch normalization and ``bce_all_pairs`` do.
        """
        unit, axis = ("alphabets", 0) if self.same is None else ("pairs", 1)
        count = self.indices.shape[axis]
        if count % world_size:
            message = (
                f"a batch of {count} {unit} cannot be divided among {world_size} devices: use "
                "another number of devices or another batch size (the last batch of a fixed set "
                "of pairs counts, too)"
            )
            raise ArgumentError("devices", world_size, message=message)
        mine = slice(rank, None, world_size)
        part = (slice(None),) * axis + (mine,)
        composite = self.composite
        if composite is not None:
            composite = Composite(composite.other[mine], composite.normal[mine])
        return BatchSpec(
            self.indices[part],
            None if self.warp is None else self.warp.map(lambda one: one[part]),
            None if self.same is None else self.same[mine],
            composite,
        )


# The kinds of batches in words, and the sampler of conf/ that makes each.
KINDS = {"pairs": "pairs", "episode": "whole alphabets"}
SAMPLERS = {"pairs": "bce_pairs", "episode": "episodic_ce_smooth"}


class TrainingSampler(Protocol):
    """What the data module needs from a sampler.

    Attributes:
        kind: ``pairs`` or ``episode``; must equal the loss's ``sampler_kind``.
    """

    kind: str

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> Dataset[BatchSpec]:
        """Bind to the training images and a seed; called once.

        ``synthetic`` are generated alphabets to mix in, if there are any (``n_synthetic``).

        Returns:
            A dataset whose length is an epoch, and whose item k is batch k of the run, counted over
            all epochs.
        """


class PairSampler(Dataset[BatchSpec]):
    """Batches of verification pairs, half of them same: indices ``(2, batch_size)``.

    Args:
        batch_size: Pairs in a batch.
        steps_per_epoch: Batches in an epoch if pairs are drawn afresh.
        within_alphabet: Draw both characters of a "different" pair from one alphabet.
        n_fixed_pairs: Size of a fixed set of pairs, each seen once per epoch (paper: 30,000, 90,000
            or 150,000). None draws fresh pairs for every batch.
        n_augmented_copies: Augmented copies of each fixed pair in addition to the plain one (paper:
            8). Their augmentations are drawn once.
        augmentation: None for plain images. Each image has a draw of its own.
    """

    kind = "pairs"

    def __init__(
        self,
        batch_size: int,
        steps_per_epoch: int,
        within_alphabet: bool = False,
        n_fixed_pairs: int | None = None,
        n_augmented_copies: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.batch_size = check.integer("batch_size", batch_size, 2)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, 1)
        self.within_alphabet = check.boolean("within_alphabet", within_alphabet)
        self.n_fixed_pairs = n_fixed_pairs
        if n_fixed_pairs is not None:
            check.integer("n_fixed_pairs", n_fixed_pairs, 1)
        self.n_augmented_copies = check.integer("n_augmented_copies", n_augmented_copies, 0)
        self.augmentation = augmentation
        if n_fixed_pairs is not None and n_fixed_pairs < batch_size:
            message = f"these pairs do not fill a batch of {batch_size}"
            raise ArgumentError("n_fixed_pairs", n_fixed_pairs, message=message)
        if n_augmented_copies and (n_fixed_pairs is None or augmentation is None):
            message = "it needs n_fixed_pairs and augmentation"
            raise ArgumentError("n_augmented_copies", n_augmented_copies, message=message)

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> PairSampler:
        """Bind to the training images and a seed; draws the fixed set if there is one."""
        self.class_index, self.seed = class_index, seed
        self._order: tuple[int, Tensor] | None = None  # epoch, and its order of the fixed pairs
        if self.n_fixed_pairs is not None:
            rng = generator_for(seed, 1)
            self.pairs = sample_pairs(class_index, self.n_fixed_pairs, rng, self.within_alphabet)
            if self.n_augmented_copies and self.augmentation is not None:
                shape = (self.n_fixed_pairs, self.n_augmented_copies, 2)
                drawn = self.augmentation.draw(math.prod(shape), rng)
                self._copies = drawn.map(lambda one: one.unflatten(0, shape))
        return self

    @property
    def n_pairs(self) -> int:
        """Pairs seen in an epoch."""
        if self.n_fixed_pairs is None:
            return self.steps_per_epoch * self.batch_size
        return self.n_fixed_pairs * (1 + self.n_augmented_copies)

    def __len__(self) -> int:
        """Batches in an epoch; the last one of a fixed set may be smaller."""
        return -(-self.n_pairs // self.batch_size)

    def __getitem__(self, number: int) -> BatchSpec:
        """Batch ``number`` of the run, counted over all epochs."""
        if self.n_fixed_pairs is not None:
            return self._fixed(number)
        rng = generator_for(self.seed, 2, number)
        pairs = sample_pairs(self.class_index, self.batch_size, rng, self.within_alphabet)
        indices = torch.stack([pairs.first, pairs.second])
        return _augmented(indices, self.augmentation, rng, same=pairs.same)

    def _fixed(self, number: int) -> BatchSpec:
        epoch, step = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            shuffled = torch.randperm(self.n_pairs, generator=generator_for(self.seed, 3, epoch))
            self._order = (epoch, shuffled)
        item = self._order[1][step * self.batch_size : (step + 1) * self.batch_size]
        pair, copy = item // (1 + self.n_augmented_copies), item % (1 + self.n_augmented_copies)
        indices = torch.stack([self.pairs.first[pair], self.pairs.second[pair]])
        same = self.pairs.same[pair]
        if not self.n_augmented_copies:
            rng = generator_for(self.seed, 4, number)
            return _augmented(indices, self.augmentation, rng, same=same)
        warp = self._copies.map(lambda one: one[pair, copy - 1].transpose(0, 1).clone())
        warp.matrix[:, copy == 0] = torch.eye(2, 3)
        if warp.displacement is not None:
            warp.displacement[:, copy == 0] = 0.0
        return BatchSpec(indices, warp, same)


class EpisodeSampler(Dataset[BatchSpec]):
    """Batches of whole alphabets: indices ``(n_alphabets, n_way, n_drawers)``.

    The characters of an alphabet share their drawers, so that each character by one drawer can be
    looked for among those by another drawer.

    Args:
        n_alphabets: Distinct alphabets in a batch.
        n_way: Distinct characters of each alphabet.
        n_drawers: Distinct drawers of each alphabet.
        steps_per_epoch: Batches in an epoch.
        random_rot90: Rotate each alphabet by a random multiple of 90°, which makes new characters.
        augmentation: None for plain images. Each image has a draw of its own.
        random_hflip: Mirror each alphabet with probability one half.
        alphabet_augmentation: Augmentation with one draw per alphabet, which makes new characters.
        n_synthetic: Mean number of a batch's alphabets that are generated ones; a fraction is the
            probability of one more.
        n_composite: Mean number of a batch's alphabets with composite characters, each made of two
            characters of the alphabet; a fraction is the probability of one more.
    """

    kind = "episode"

    def __init__(
        self,
        n_alphabets: int,
        n_way: int,
        n_drawers: int,
        steps_per_epoch: int,
        random_rot90: bool = True,
        augmentation: Augmentation | None = None,
        random_hflip: bool = False,
        alphabet_augmentation: Augmentation | None = None,
        n_synthetic: float = 0.0,
        n_composite: float = 0.0,
    ) -> None:
        self.n_alphabets = check.integer("n_alphabets", n_alphabets, 1)
        self.n_way = check.integer("n_way", n_way, 2)
        self.n_drawers = check.integer("n_drawers", n_drawers, 2)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, 1)
        self.random_rot90 = check.boolean("random_rot90", random_rot90)
        self.random_hflip = check.boolean("random_hflip", random_hflip)
        self.augmentation, self.alphabet_augmentation = augmentation, alphabet_augmentation
        if isinstance(alphabet_augmentation, Mapping):  # a setting of what is null in conf/
            message = "this sampler has none to change: give a whole Augmentation, or None"
            raise ArgumentError("alphabet_augmentation", alphabet_augmentation, message=message)
        self.n_synthetic = check.number("n_synthetic", n_synthetic, 0, self.n_alphabets)
        self.n_composite = check.number("n_composite", n_composite, 0, self.n_alphabets)
        elastic = [one for one in (alphabet_augmentation, augmentation) if one and one.elastic]
        if len(elastic) == 2 and elastic[0].grid != elastic[1].grid:
            message = f"it must equal augmentation.grid={elastic[1].grid}: both displace one grid"
            raise ArgumentError("alphabet_augmentation.grid", elastic[0].grid, message=message)
        if self.n_synthetic == self.n_alphabets:
            message = (
                f"all of the {n_alphabets} alphabets of a batch would be generated ones: lower it, "
                "or train on a synthetic data source"
            )
            raise ArgumentError("n_synthetic", n_synthetic, message=message)
        if n_composite and n_way < 4:
            raise ArgumentError("n_way", n_way, message="n_composite needs at least 4")

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> EpisodeSampler:
        """Bind to the training images, a seed and generated alphabets."""
        self.class_index, self.seed, self.synthetic = class_index, seed, synthetic
        for extra in range(1 + (self.n_synthetic % 1 > 0)):
            self._draw_indices(generator_for(seed, 2, 0), math.floor(self.n_synthetic) + extra)
        size = self.n_way, self.n_drawers
        self.excluded_alphabets = tuple(class_index.excluded_alphabets(*size))
        self.n_synthetic_used = len(synthetic.eligible_alphabets(*size)) if synthetic else 0
        return self

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps_per_epoch

    def __getitem__(self, number: int) -> BatchSpec:
        """Batch ``number`` of the run, counted over all epochs."""
        rng = generator_for(self.seed, 2, number)
        indices = self._draw_indices(rng, _round_randomly(self.n_synthetic, rng))
        composite = None
        if self.n_composite:
            count = _round_randomly(self.n_composite, rng)
            indices, composite = sample_composite(indices, count, rng)
        warp = self._alphabet_warp(rng)
        if warp is not None:
            per_alphabet = indices[0].numel()
            warp = warp.map(lambda one: one.repeat_interleave(per_alphabet, 0))
        return replace(_augmented(indices, self.augmentation, rng, warp), composite=composite)

    def _draw_indices(self, rng: torch.Generator, n_synthetic: int) -> Tensor:
        """Images ``(n_alphabets, n_way, n_drawers)``; the last ``n_synthetic`` are generated."""
        size = self.n_way, self.n_drawers, rng
        real = self.n_alphabets - n_synthetic
        batches = [sample_alphabet_batch(self.class_index, real, *size)] if real else []
        if n_synthetic and self.synthetic is not None:
            batches.append(sample_alphabet_batch(self.synthetic, n_synthetic, *size, "n_synthetic"))
        return torch.cat(batches)

    def _alphabet_warp(self, rng: torch.Generator) -> Warp | None:
        """One warp per alphabet, or None."""
        n, augmentation = self.n_alphabets, self.alphabet_augmentation
        quarter_turns = torch.randint(4, (n,), generator=rng) * self.random_rot90
        flipped = torch.zeros(n, dtype=torch.bool)
        if self.random_hflip:
            flipped = torch.rand(n, generator=rng) < 0.5
        if augmentation is None and not self.random_rot90 and not self.random_hflip:
            return None
        warp = Warp.identity(n) if augmentation is None else augmentation.draw(n, rng)
        return warp.after_symmetry(quarter_turns, flipped)


class ResumableSampler(DistributedSampler[int]):
    """Numbers of the batches of an epoch, from the batch at which the training stands to its end.

    Every process has all of them, and takes its part of each batch. It is a `DistributedSampler`
    because Lightning would wrap any other in one, which gives each process some of the batches,
    shuffled.

    Args:
        steps: Batches in an epoch.
        progress: Returns how many batches the run has trained on, and how many it takes of an
            epoch (fewer with ``limit_train_batches``). It is called when an epoch starts or is
            resumed. None without a trainer: then each iteration is the next epoch.
    """

    def __init__(self, steps: int, progress: Callable[[], tuple[int, int] | None]) -> None:
        super().__init__(range(steps), num_replicas=1, rank=0)  # type: ignore[arg-type]
        self.steps, self.progress = steps, progress
        self._epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[int]:
        """Numbers of one epoch, counted over all epochs."""
        progress = self.progress()
        if progress is None:  # not before the first batch: a DataLoader calls iter() twice
            progress = self._epoch * self.steps, self.steps
            self._epoch += 1
        done, steps = progress
        yield from range(done, (done // steps + 1) * steps)


def _augmented(
    indices: Tensor,
    augmentation: Augmentation | None,
    rng: torch.Generator,
    first: Warp | None = None,
    same: Tensor | None = None,
) -> BatchSpec:
    """A batch with a draw of the augmentation for every image, applied after the warp ``first``."""
    if augmentation is None and first is None:
        return BatchSpec(indices, same=same)
    n = indices.numel()
    warp = Warp.identity(n) if augmentation is None else augmentation.draw(n, rng)
    if first is not None:
        warp = warp.after(first)
    return BatchSpec(indices, warp.map(lambda one: one.unflatten(0, indices.shape)), same)


def _round_randomly(mean: float, rng: torch.Generator) -> int:
    """A random integer with this mean: rounded up with the probability of the fraction."""
    fraction = mean % 1
    up = bool(fraction) and float(torch.rand((), generator=rng)) < fraction
    return math.floor(mean) + up
