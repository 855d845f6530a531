"""What a training batch is made of, and one process's part of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import Dataset

from siamese_oneshot.errors import UserError


@dataclass
class Plan:
    """What a training batch is made of.

    Attributes:
        positions: int64: pictures in the order in which they go through the tower, of any shape.
        matrix: float32 ``(*positions.shape, 2, 3)`` or None: see ``Warp``.
        bend: float32 ``(*positions.shape, 2, g, g)`` or None.
        same: float32 ``(n,)`` for pairs, else None.
    """

    positions: Tensor
    matrix: Tensor | None = None
    bend: Tensor | None = None
    same: Tensor | None = None

    def share(self, rank: int, world: int) -> Plan:
        """This process's part of the batch, where several train together.

        The parts are as large as one another, and none has a pair or an alphabet of another, so
        that the mean of their losses is that of the whole batch.

        Args:
            rank: 0 … world - 1.
            world: how many processes there are.

        Raises:
            UserError: the batch cannot be divided evenly.
        """
        what, axis = ("alphabets", 0) if self.same is None else ("pairs", 1)
        count = self.positions.shape[axis]
        if count % world:
            raise UserError(
                f"a batch of {count} {what} cannot be divided among {world} devices: change "
                "trainer.devices or the size of the batches (a fixed set's last batch counts, too)"
            )
        take = (slice(None),) * axis + (slice(rank, None, world),)
        return Plan(
            self.positions[take],
            None if self.matrix is None else self.matrix[take],
            None if self.bend is None else self.bend[take],
            None if self.same is None else self.same[rank::world],
        )


class Shares(Dataset[Plan]):
    """One process's part of every batch.

    Args:
        plans: whole batches.
        rank, world: see ``Plan.share``.
    """

    def __init__(self, plans: Dataset[Plan], rank: int, world: int) -> None:
        self.plans, self.rank, self.world = plans, rank, world

    def __getitem__(self, number: int) -> Plan:
        """This process's part of batch ``number``."""
        return self.plans[number].share(self.rank, self.world)
