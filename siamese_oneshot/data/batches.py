"""Training batches as plans: which pictures, distorted how. Pixels join later, on the device.

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

from siamese_oneshot.data.distort import Distortion, Warp
from siamese_oneshot.data.episodes import alphabet_batch
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.plan import Plan, distorted, upright
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splice import splice
from siamese_oneshot.errors import UserError
from siamese_oneshot.setting import flag, number, whole


def generator_for(*numbers: int) -> torch.Generator:
    """A generator of its own for every list of numbers (seed, purpose, step …)."""
    state = np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


class Batches(Protocol):
    """What makes plans: its length is an epoch's, its items go on past it.

    Attributes:
        kind: ``pairs`` or ``episode``.
        generated: how many of a batch's alphabets are generated ones.
        left_out: alphabets that no batch takes, by name; known when it is prepared.
        taken: how many generated ones batches do take; likewise.
    """

    kind: str
    generated: float
    left_out: tuple[str, ...]
    taken: int

    def prepare(self, roster: Roster, seed: int, generated: Roster | None = None) -> Dataset[Plan]:
        """Bind to the training part, a seed, and generated alphabets to mix in if there are any."""


class PairBatches(Dataset[Plan]):
    """Batches of verification pairs, positions ``(2, size)``: first twins, then second twins.

    Args:
        size: pairs in a batch.
        steps: batches in an epoch where pairs are drawn afresh.
        within_alphabet: take "different" pairs from one alphabet.
        fixed: a fixed set of this many pairs, each seen once an epoch (paper: 30,000, 90,000 or
            150,000); where None, pairs are drawn afresh for every batch.
        copies: distorted copies of each fixed pair beside the plain one (paper: 8). Their
            distortions are drawn once and stored.
        distortion: None for plain pictures; each twin has a draw of its own.
    """

    kind = "pairs"
    generated = 0.0  # it mixes none in
    left_out: tuple[str, ...] = ()
    taken = 0

    def __init__(
        self,
        size: int,
        steps: int,
        within_alphabet: bool = False,
        fixed: int | None = None,
        copies: int = 0,
        distortion: Distortion | None = None,
    ) -> None:
        self.size = whole("batches.size", size, 2)
        self.steps = whole("batches.steps", steps, 1)
        self.within_alphabet = flag("batches.within_alphabet", within_alphabet)
        self.fixed = None if fixed is None else whole("batches.fixed", fixed, 1)
        self.copies = whole("batches.copies", copies, 0)
        if fixed is not None and fixed < size:
            raise UserError(f"batches.fixed={fixed} pairs do not fill a batch of {size}")
        if copies and (fixed is None or distortion is None):
            raise UserError("batches.copies needs batches.fixed and batches.distortion")
        self.distortion = distortion

    def prepare(self, roster: Roster, seed: int, generated: Roster | None = None) -> PairBatches:
        """Bind to the training part and a seed; draws the fixed set if there is one."""
        self.roster, self.seed = roster, seed
        self._order: tuple[int, Tensor] | None = None
        if self.fixed is not None:
            chance = generator_for(seed, 1)
            self.pairs = sample_pairs(roster, self.fixed, chance, self.within_alphabet)
            if self.copies and self.distortion is not None:
                drawn = self.distortion.draw(self.fixed * self.copies * 2, chance)
                shape = (self.fixed, self.copies, 2)
                self.stored = drawn.matrix.unflatten(0, shape)
                self.bends = None if drawn.bend is None else drawn.bend.unflatten(0, shape)
        return self

    @property
    def items(self) -> int:
        """Pairs seen in an epoch."""
        fresh = self.steps * self.size
        return fresh if self.fixed is None else self.fixed * (1 + self.copies)

    def __len__(self) -> int:
        """Batches in an epoch; the last one of a fixed set may be smaller."""
        return -(-self.items // self.size)

    def __getitem__(self, number: int) -> Plan:
        """Batch ``number`` of the run, counted over all epochs."""
        return self._fresh(number) if self.fixed is None else self._stored(number)

    def _fresh(self, number: int) -> Plan:
        chance = generator_for(self.seed, 2, number)
        pairs = sample_pairs(self.roster, self.size, chance, self.within_alphabet)
        positions = torch.stack([pairs.first, pairs.second])
        return distorted(positions, self.distortion, chance, same=pairs.same)

    def _stored(self, number: int) -> Plan:
        epoch, step = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            shuffled = torch.randperm(self.items, generator=generator_for(self.seed, 3, epoch))
            self._order = (epoch, shuffled)
        item = self._order[1][step * self.size : (step + 1) * self.size]
        pair, copy = item // (1 + self.copies), item % (1 + self.copies)
        positions = torch.stack([self.pairs.first[pair], self.pairs.second[pair]])
        same = self.pairs.same[pair]
        if not self.copies:
            return distorted(
                positions, self.distortion, generator_for(self.seed, 4, number), same=same
            )
        plain = copy == 0
        matrix = self.stored[pair, copy - 1].transpose(0, 1).clone()
        matrix[:, plain] = torch.eye(2, 3)
        bend = None
        if self.bends is not None:
            bend = self.bends[pair, copy - 1].transpose(0, 1).clone()
            bend[:, plain] = 0.0
        return Plan(positions, matrix, bend, same)


class EpisodeBatches(Dataset[Plan]):
    """Batches of whole alphabets, positions ``(alphabets, characters, drawers)``.

    Args:
        alphabets, characters, drawers: how many of each, distinct; those of an alphabet share the
            drawers, so that one drawer's characters can be looked for among another's.
        steps: batches in an epoch.
        turns: turn each alphabet by a random multiple of 90°, which makes another alphabet of it.
        mirrors: show half of the alphabets as in a mirror, likewise.
        style: distort each alphabet as a whole, likewise: slanted, narrowed, bent; None for none.
        generated: of a batch's alphabets so many are generated ones, where ``data.generated`` has
            them; a fraction is the chance of one more.
        spliced: so many have new characters, each made of two of the alphabet's; likewise.
        distortion: None for plain pictures; each picture has a draw of its own.
    """

    kind = "episode"

    def __init__(
        self,
        alphabets: int,
        characters: int,
        drawers: int,
        steps: int,
        turns: bool = True,
        distortion: Distortion | None = None,
        mirrors: bool = False,
        style: Distortion | None = None,
        generated: float = 0.0,
        spliced: float = 0.0,
    ) -> None:
        self.alphabets = whole("batches.alphabets", alphabets, 1)
        self.characters = whole("batches.characters", characters, 2)
        self.drawers = whole("batches.drawers", drawers, 2)
        self.steps = whole("batches.steps", steps, 1)
        self.turns, self.distortion = flag("batches.turns", turns), distortion
        self.mirrors, self.style = flag("batches.mirrors", mirrors), style
        bent = [one.grid for one in (style, distortion) if one is not None and one.elastic]
        if len(set(bent)) > 1:
            raise UserError(
                f"batches.style.grid={bent[0]}, but batches.distortion.grid={bent[1]}: both bend "
                "the same grid, set them alike"
            )
        self.generated = number("batches.generated", generated, 0, self.alphabets)
        if self.generated == self.alphabets:
            raise UserError(
                f"batches.generated={generated:g} of {alphabets} alphabets leaves no others: lower "
                "it, or train on generated ones alone by data=glyphs"
            )
        self.spliced = number("batches.spliced", spliced, 0, self.alphabets)
        if spliced and characters < 4:
            raise UserError(f"batches.characters={characters}: batches.spliced needs at least 4")

    def prepare(self, roster: Roster, seed: int, generated: Roster | None = None) -> EpisodeBatches:
        """Bind to the training part, a seed and generated alphabets.

        Raises:
            UserError: a batch that these cannot fill.
        """
        self.roster, self.seed, self.extra = roster, seed, generated
        for more in range(1 + (self.generated % 1 > 0)):
            self._positions(generator_for(seed, 2, 0), math.floor(self.generated) + more)
        sizes = self.characters, self.drawers
        self.left_out = tuple(roster.left_out(*sizes))
        self.taken = 0 if generated is None else len(generated.sharing(*sizes))
        return self

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.steps

    def __getitem__(self, number: int) -> Plan:
        """Batch ``number`` of the run, counted over all epochs."""
        chance = generator_for(self.seed, 2, number)
        positions = self._positions(chance, _some(self.generated, chance))
        joined = None
        if self.spliced:
            positions, joined = splice(positions, _some(self.spliced, chance), chance)
        before = self._of_alphabets(chance)
        if before is not None:
            before = before.repeated(positions[0].numel())
        plan = distorted(positions, self.distortion, chance, before)
        return replace(plan, splice=joined)

    def _positions(self, chance: torch.Generator, generated: int) -> Tensor:
        """Pictures of whole alphabets, of which so many are generated."""
        sizes = self.characters, self.drawers, chance
        parts = []
        if self.alphabets > generated:
            parts.append(alphabet_batch(self.roster, self.alphabets - generated, *sizes))
        if generated and self.extra is not None:
            parts.append(alphabet_batch(self.extra, generated, *sizes))
        return torch.cat(parts)

    def _of_alphabets(self, chance: torch.Generator) -> Warp | None:
        """What is done to each alphabet as a whole."""
        n = self.alphabets
        quarters = torch.randint(4, (n,), generator=chance)
        half = torch.rand(n, generator=chance) < 0.5 if self.mirrors else None
        if self.style is None and not self.turns and half is None:
            return None
        warp = upright(n) if self.style is None else self.style.draw(n, chance)
        if self.turns:
            warp = warp.turned(quarters)
        return warp if half is None else warp.mirrored(half)


def _some(count: float, chance: torch.Generator) -> int:
    """A whole number of things on average so many: a fraction is the chance of one more."""
    share = count % 1
    more = bool(share) and float(torch.rand((), generator=chance)) < share
    return math.floor(count) + more
