"""What a training batch is made of, in which order they come, and one process's part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from siamese_oneshot.data.augmentation import Augmentation, Warp
from siamese_oneshot.data.composite import Composite
from siamese_oneshot.utils.errors import UserError


@dataclass
class BatchSpec:
    """What a training batch is made of.

    Attributes:
        indices: int64: images in the order in which they go through the encoder, of any shape.
        matrix: float32 ``(*indices.shape, 2, 3)`` or None: see ``Warp``.
        bend: float32 ``(*indices.shape, 2, g, g)`` or None.
        same: float32 ``(n,)`` for pairs, else None.
        splice: what is joined to the images of alphabets before they are distorted, or None.
    """

    indices: Tensor
    matrix: Tensor | None = None
    bend: Tensor | None = None
    same: Tensor | None = None
    composite: Composite | None = None

    def share(self, rank: int, world: int) -> BatchSpec:
        """This process's part of the batch, where several train together.

        The parts are as large as one another, and none has a pair or an alphabet of another. So the
        mean of their losses is that of the whole batch, where an loss compares nothing else
        with one another, as ``all_pairs`` and batch norm do.

        Args:
            rank: 0 … world - 1.
            world: how many processes there are.

        Raises:
            UserError: the batch cannot be divided evenly.
        """
        what, axis = ("alphabets", 0) if self.same is None else ("pairs", 1)
        count = self.indices.shape[axis]
        if count % world:
            raise UserError(
                f"a batch of {count} {what} cannot be divided among {world} devices: change "
                "trainer.devices or the size of the batches (a fixed set's last batch counts, too)"
            )
        take = (slice(None),) * axis + (slice(rank, None, world),)
        return BatchSpec(
            self.indices[take],
            None if self.matrix is None else self.matrix[take],
            None if self.bend is None else self.bend[take],
            None if self.same is None else self.same[rank::world],
            None if self.composite is None else self.composite.share(take[0]),
        )


def upright(n: int) -> Warp:
    """No augmentation of so many images."""
    return Warp(torch.eye(2, 3).repeat(n, 1, 1))


def augmented_spec(
    indices: Tensor,
    augmentation: Augmentation | None,
    rng: torch.Generator,
    before: Warp | None = None,
    same: Tensor | None = None,
) -> BatchSpec:
    """A plan with a fresh draw for every image, after what was done to it ``before``."""
    n = indices.numel()
    if augmentation is None and before is None:
        return BatchSpec(indices, same=same)
    warp = upright(n) if augmentation is None else augmentation.draw(n, rng)
    if before is not None:
        warp = warp.after(before)
    bend = None if warp.bend is None else warp.bend.unflatten(0, indices.shape)
    return BatchSpec(indices, warp.matrix.unflatten(0, indices.shape), bend, same)


class RankShard(Dataset[BatchSpec]):
    """One process's part of every batch.

    Args:
        plans: whole sampler.
        rank, world: see ``BatchSpec.share``.
    """

    def __init__(self, specs: Dataset[BatchSpec], rank: int, world: int) -> None:
        self.specs, self.rank, self.world = specs, rank, world

    def __getitem__(self, number: int) -> BatchSpec:
        """This process's part of batch ``number``."""
        return self.specs[number].share(self.rank, self.world)


class ResumableSampler(Sampler[int]):
    """The numbers of the batches that are left of the epoch in which the training stands.

    Args:
        steps: batches in an epoch.
        done: how many batches the run has trained on; asked when an epoch starts or goes on, so
            that a run resumed within an epoch goes on with the batch it would have had.
    """

    def __init__(self, steps: int, done: Callable[[], int]) -> None:
        self.steps, self.done = steps, done

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[int]:
        """Numbers up to the end of the epoch."""
        done = self.done()
        return iter(range(done, (done // self.steps + 1) * self.steps))
