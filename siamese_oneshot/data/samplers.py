"""Training batches as plans: which images, distorted how. Pixels join later, on the device.

Batch number k of a run is a function of the seed and k alone, so it is the same whatever the number
of workers, and a resumed run goes on with the batch it would have had.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from siamese_oneshot.data.augmentation import Augmentation, Warp
from siamese_oneshot.data.batch_spec import BatchSpec, augmented_spec, upright
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.composite import composite
from siamese_oneshot.data.episodes import sample_alphabet_batch
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError


def generator_for(*numbers: int) -> torch.Generator:
    """A generator of its own for every list of numbers (seed, purpose, step …)."""
    state = np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


class TrainingSampler(Protocol):
    """What makes plans: its length is an epoch's, its items go on past it.

    Attributes:
        kind: ``pairs`` or ``episode``.
        n_synthetic: how many of a batch's alphabets are generated ones.
        left_out: alphabets that no batch takes, by name; known when it is prepared.
        taken: how many generated ones batches do take; likewise.
    """

    kind: str
    n_synthetic: float
    left_out: tuple[str, ...]
    taken: int

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> Dataset[BatchSpec]:
        """Bind to the training part, a seed, and generated alphabets to mix in if there are any."""


class PairSampler(Dataset[BatchSpec]):
    """Batches of verification pairs, indices ``(2, size)``: first twins, then second twins.

    Args:
        batch_size: pairs in a batch.
        steps_per_epoch: batches in an epoch where pairs are drawn afresh.
        within_alphabet: take "different" pairs from one alphabet.
        n_fixed_pairs: a fixed set of this many pairs, each seen once an epoch (paper: 30,000, 90,000 or
            150,000); where None, pairs are drawn afresh for every batch.
        n_augmented_copies: distorted copies of each fixed pair beside the plain one (paper: 8). Their
            augmentations are drawn once and stored.
        augmentation: None for plain images; each twin has a draw of its own.
    """

    kind = "pairs"
    n_synthetic = 0.0  # it mixes none in
    left_out: tuple[str, ...] = ()
    taken = 0

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
        self.n_fixed_pairs = (
            None if n_fixed_pairs is None else check.integer("n_fixed_pairs", n_fixed_pairs, 1)
        )
        self.n_augmented_copies = check.integer("n_augmented_copies", n_augmented_copies, 0)
        if n_fixed_pairs is not None and n_fixed_pairs < batch_size:
            raise UserError(
                f"sampler.n_fixed_pairs={n_fixed_pairs} pairs do not fill a batch of {batch_size}"
            )
        if n_augmented_copies and (n_fixed_pairs is None or augmentation is None):
            raise UserError(
                "sampler.n_augmented_copies needs sampler.n_fixed_pairs and sampler.augmentation"
            )
        self.augmentation = augmentation

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> PairSampler:
        """Bind to the training part and a seed; draws the fixed set if there is one."""
        self.class_index, self.seed = class_index, seed
        self._order: tuple[int, Tensor] | None = None
        if self.n_fixed_pairs is not None:
            rng = generator_for(seed, 1)
            self.pairs = sample_pairs(class_index, self.n_fixed_pairs, rng, self.within_alphabet)
            if self.n_augmented_copies and self.augmentation is not None:
                drawn = self.augmentation.draw(
                    self.n_fixed_pairs * self.n_augmented_copies * 2, rng
                )
                shape = (self.n_fixed_pairs, self.n_augmented_copies, 2)
                self.stored = drawn.matrix.unflatten(0, shape)
                self.bends = None if drawn.bend is None else drawn.bend.unflatten(0, shape)
        return self

    @property
    def items(self) -> int:
        """Pairs seen in an epoch."""
        fresh = self.steps_per_epoch * self.batch_size
        return (
            fresh
            if self.n_fixed_pairs is None
            else self.n_fixed_pairs * (1 + self.n_augmented_copies)
        )

    def __len__(self) -> int:
        """Batches in an epoch; the last one of a fixed set may be smaller."""
        return -(-self.items // self.batch_size)

    def __getitem__(self, number: int) -> BatchSpec:
        """Batch ``number`` of the run, counted over all epochs."""
        return self._fresh(number) if self.n_fixed_pairs is None else self._stored(number)

    def _fresh(self, number: int) -> BatchSpec:
        rng = generator_for(self.seed, 2, number)
        pairs = sample_pairs(self.class_index, self.batch_size, rng, self.within_alphabet)
        indices = torch.stack([pairs.first, pairs.second])
        return augmented_spec(indices, self.augmentation, rng, same=pairs.same)

    def _stored(self, number: int) -> BatchSpec:
        epoch, step = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            shuffled = torch.randperm(self.items, generator=generator_for(self.seed, 3, epoch))
            self._order = (epoch, shuffled)
        item = self._order[1][step * self.batch_size : (step + 1) * self.batch_size]
        pair, copy = item // (1 + self.n_augmented_copies), item % (1 + self.n_augmented_copies)
        indices = torch.stack([self.pairs.first[pair], self.pairs.second[pair]])
        same = self.pairs.same[pair]
        if not self.n_augmented_copies:
            return augmented_spec(
                indices, self.augmentation, generator_for(self.seed, 4, number), same=same
            )
        plain = copy == 0
        matrix = self.stored[pair, copy - 1].transpose(0, 1).clone()
        matrix[:, plain] = torch.eye(2, 3)
        bend = None
        if self.bends is not None:
            bend = self.bends[pair, copy - 1].transpose(0, 1).clone()
            bend[:, plain] = 0.0
        return BatchSpec(indices, matrix, bend, same)


class EpisodeSampler(Dataset[BatchSpec]):
    """Batches of whole alphabets, indices ``(alphabets, characters, drawers)``.

    Args:
        n_alphabets, n_way, n_drawers: how many of each, distinct; those of an alphabet share the
            drawers, so that one drawer's characters can be looked for among another's.
        steps_per_epoch: batches in an epoch.
        random_rot90: turn each alphabet by a random multiple of 90°, which makes another alphabet of it.
        random_hflip: show half of the alphabets as in a mirror, likewise.
        alphabet_augmentation: distort each alphabet as a whole, likewise: slanted, narrowed, bent; None for none.
        n_synthetic: of a batch's alphabets so many are generated ones, where ``data.extra_synthetic`` has
            them; a fraction is the chance of one more.
        n_composite: so many have new characters, each made of two of the alphabet's; likewise.
        augmentation: None for plain images; each image has a draw of its own.
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
        self.random_rot90, self.augmentation = (
            check.boolean("random_rot90", random_rot90),
            augmentation,
        )
        self.random_hflip, self.alphabet_augmentation = (
            check.boolean("random_hflip", random_hflip),
            alphabet_augmentation,
        )
        bent = [
            one.grid
            for one in (alphabet_augmentation, augmentation)
            if one is not None and one.elastic
        ]
        if len(set(bent)) > 1:
            raise UserError(
                f"sampler.alphabet_augmentation.grid={bent[0]}, but sampler.augmentation.grid={bent[1]}: both bend "
                "the same grid, set them alike"
            )
        self.n_synthetic = check.number("n_synthetic", n_synthetic, 0, self.n_alphabets)
        if self.n_synthetic == self.n_alphabets:
            raise UserError(
                f"sampler.n_synthetic={n_synthetic:g} of {n_alphabets} alphabets leaves no others: lower "
                "it, or train on generated ones alone by data=synthetic"
            )
        self.n_composite = check.number("n_composite", n_composite, 0, self.n_alphabets)
        if n_composite and n_way < 4:
            raise UserError(f"sampler.n_way={n_way}: sampler.n_composite needs at least 4")

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> EpisodeSampler:
        """Bind to the training part, a seed and generated alphabets.

        Raises:
            UserError: a batch that these cannot fill.
        """
        self.class_index, self.seed, self.extra = class_index, seed, synthetic
        for more in range(1 + (self.n_synthetic % 1 > 0)):
            self._indices(generator_for(seed, 2, 0), math.floor(self.n_synthetic) + more)
        sizes = self.n_way, self.n_drawers
        self.left_out = tuple(class_index.left_out(*sizes))
        self.taken = 0 if synthetic is None else len(synthetic.sharing(*sizes))
        return self

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps_per_epoch

    def __getitem__(self, number: int) -> BatchSpec:
        """Batch ``number`` of the run, counted over all epochs."""
        rng = generator_for(self.seed, 2, number)
        indices = self._indices(rng, _some(self.n_synthetic, rng))
        joined = None
        if self.n_composite:
            indices, joined = composite(indices, _some(self.n_composite, rng), rng)
        before = self._of_alphabets(rng)
        if before is not None:
            before = before.repeated(indices[0].numel())
        spec = augmented_spec(indices, self.augmentation, rng, before)
        return replace(spec, composite=joined)

    def _indices(self, rng: torch.Generator, generated: int) -> Tensor:
        """Images of whole alphabets, of which so many are generated."""
        sizes = self.n_way, self.n_drawers, rng
        parts = []
        if self.n_alphabets > generated:
            parts.append(
                sample_alphabet_batch(self.class_index, self.n_alphabets - generated, *sizes)
            )
        if generated and self.extra is not None:
            parts.append(sample_alphabet_batch(self.extra, generated, *sizes))
        return torch.cat(parts)

    def _of_alphabets(self, rng: torch.Generator) -> Warp | None:
        """What is done to each alphabet as a whole."""
        n = self.n_alphabets
        quarters = torch.randint(4, (n,), generator=rng)
        half = torch.rand(n, generator=rng) < 0.5 if self.random_hflip else None
        if self.alphabet_augmentation is None and not self.random_rot90 and half is None:
            return None
        warp = (
            upright(n)
            if self.alphabet_augmentation is None
            else self.alphabet_augmentation.draw(n, rng)
        )
        if self.random_rot90:
            warp = warp.turned(quarters)
        return warp if half is None else warp.mirrored(half)


def _some(count: float, rng: torch.Generator) -> int:
    """A whole number of things on average so many: a fraction is the chance of one more."""
    share = count % 1
    more = bool(share) and float(torch.rand((), generator=rng)) < share
    return math.floor(count) + more
