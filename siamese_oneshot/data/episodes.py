"""N-way episodes: frozen lists of one-shot trials, and the training batches that resemble them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.drawings import fingerprint
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.errors import UserError

_CHUNK = 1024  # trials whose random keys are drawn at once
_KEYS = 2**24  # fewer trials where they would have more keys than so many; bounds memory


@dataclass(frozen=True)
class Trials:
    """One-shot trials: find the query's class among ``way`` classes of ``shot`` pictures each.

    Attributes:
        queries: int64 ``(trials,)``: positions in the drawings.
        supports: int64 ``(trials, way, shot)``: likewise; never by the query's drawer.
        answers: int64 ``(trials,)``: the way that is the query's class, anywhere in 0 … way-1.
    """

    queries: Tensor
    supports: Tensor
    answers: Tensor

    def __len__(self) -> int:
        """The number of trials."""
        return len(self.queries)

    @property
    def way(self) -> int:
        """How many classes there are to choose from."""
        return self.supports.shape[1]

    @property
    def shot(self) -> int:
        """How many pictures of each class are given."""
        return self.supports.shape[2]

    @property
    def digest(self) -> str:
        """The hash of the list."""
        return fingerprint(self.queries, self.supports, self.answers)


def run_trials(roster: Roster, runs: int, generator: torch.Generator, way: int = 20) -> Trials:
    """Trials by the paper's rule (section 4.3): runs of ``way`` trials within one alphabet.

    A run takes an alphabet, ``way`` of its characters and two drawers; every character by the first
    drawer is compared with all characters by the second. Alphabets take turns in a random order.
    Those of which no two drawers have ``way`` characters in common are left out
    (``roster.left_out`` names them).

    Args:
        roster: the part to draw from.
        runs: how many runs; the list has ``runs * way`` trials.
        generator: the source of chance.
        way: characters in a run.

    Returns:
        ``(runs * way)`` trials of one shot; the supports of each run stand in a random order.

    Raises:
        UserError: in no alphabet have two drawers ``way`` characters in common.
    """
    if way < 1 or runs < 1:
        raise UserError(f"way and runs must be at least 1, got {way}, {runs}")
    alphabets = roster.large_enough(way, 2)
    turns = torch.randperm(len(alphabets), generator=generator)
    queries, supports, answers = [], [], []
    for run in range(runs):
        alphabet = alphabets[int(turns[run % len(alphabets)])]
        classes, (first, second) = _classes_by(roster, alphabet, way, 2, generator)
        order = torch.randperm(way, generator=generator)
        queries.append(roster.table[classes, first])
        supports.append(roster.table[classes[order], second].expand(way, way))
        answers.append(torch.argsort(order))
    return Trials(torch.cat(queries), torch.cat(supports)[..., None], torch.cat(answers))


def episode_trials(
    roster: Roster,
    trials: int,
    generator: torch.Generator,
    way: int = 20,
    shot: int = 1,
    within_alphabet: bool = False,
) -> Trials:
    """Independent N-way K-shot trials, across all alphabets or within one.

    Args:
        roster: the part to draw from.
        trials: how many.
        generator: the source of chance.
        way: distinct classes in a trial.
        shot: support pictures of each class, by drawers other than the query's.
        within_alphabet: take all classes of a trial from one alphabet (those with fewer than
            ``way`` characters are left out), each alphabet equally often.

    Returns:
        The trials.

    Raises:
        UserError: too few classes for ``way`` or too few drawers for ``shot``.
    """
    if way < 1 or shot < 1 or trials < 1:
        raise UserError(f"way, shot and trials must be at least 1, got {way}, {shot}, {trials}")
    if not within_alphabet and way > len(roster):
        raise UserError(f"{way}-way asked for, but this part has {len(roster)} classes")
    least = int(roster.counts.argmin())
    if int(roster.counts[least]) < shot + 1:
        remedy = "ask for fewer shots" if shot > 1 else "leave the class out"
        raise UserError(
            f"{shot}-shot needs {shot + 1} pictures of each class, {roster.class_names[least]} has "
            f"{int(roster.counts[least])}: add pictures, or {remedy}"
        )
    eligible = torch.tensor(roster.large_enough(way)) if within_alphabet else None
    step = max(1, min(_CHUNK, _KEYS // max(len(roster), way * roster.drawers)))
    parts = [
        _some_episodes(roster, min(step, trials - done), way, shot, eligible, generator)
        for done in range(0, trials, step)
    ]
    return Trials(*(torch.cat(column) for column in zip(*parts, strict=True)))


def alphabet_batch(
    roster: Roster, alphabets: int, characters: int, drawers: int, generator: torch.Generator
) -> Tensor:
    """A training batch: some alphabets, characters of each, each by the same few drawers.

    Every character by one drawer can then be found among all characters by another drawer: the
    comparisons of many one-shot trials from few pictures.

    Args:
        roster: the part to draw from.
        alphabets: distinct alphabets.
        characters: distinct characters of each alphabet.
        drawers: distinct drawers of each alphabet.
        generator: the source of chance.

    Returns:
        int64 ``(alphabets, characters, drawers)`` positions.

    Raises:
        UserError: of too few alphabets have that many drawers that many characters in common.
    """
    eligible = torch.tensor(roster.sharing(characters, drawers))
    if len(eligible) < alphabets:
        raise UserError(
            f"a batch of {alphabets} alphabets with {characters} characters by {drawers} drawers "
            f"asked for, but {len(eligible)} have as many: lower batches.alphabets, "
            "batches.characters or batches.drawers, or add drawings"
        )
    chosen = eligible[torch.randperm(len(eligible), generator=generator)[:alphabets]]
    rows = []
    for alphabet in chosen.tolist():
        classes, by = _classes_by(roster, alphabet, characters, drawers, generator)
        rows.append(roster.table[classes[:, None], by[None, :]])
    return torch.stack(rows)


def _classes_by(
    roster: Roster, alphabet: int, way: int, drawers: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``way`` distinct classes of an alphabet and ``drawers`` distinct drawers of all of them.

    There must be some: see ``roster.fellows``.
    """
    for least in (1, way):  # at once where everybody drew everything; retried on ragged data
        who = roster.who(alphabet, least)
        for _ in range(100):
            by = who[torch.randperm(len(who), generator=generator)[:drawers]]
            classes = roster.common(alphabet, by)
            if len(by) == drawers and len(classes) >= way:
                return classes[torch.randperm(len(classes), generator=generator)[:way]], by
    by = torch.tensor(roster.fellows(alphabet, way, drawers))  # few can: these
    classes = roster.common(alphabet, by)
    return classes[torch.randperm(len(classes), generator=generator)[:way]], by


def _some_episodes(
    roster: Roster,
    trials: int,
    way: int,
    shot: int,
    eligible: Tensor | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries ``(trials,)``, supports ``(trials, way, shot)`` and answers ``(trials,)``."""
    keys = torch.rand(trials, len(roster), generator=generator)
    if eligible is not None:
        turns = eligible[torch.randperm(len(eligible), generator=generator)]
        alphabet = turns[torch.arange(trials) % len(turns)]
        keys[roster.class_alphabet[None, :] != alphabet[:, None]] = -1.0
    classes = keys.topk(way, dim=1).indices
    answers = torch.randint(way, (trials,), generator=generator)
    asked = classes.gather(1, answers[:, None])[:, 0]
    drawn = roster.table >= 0
    drawer_keys = torch.rand(trials, roster.drawers, generator=generator)
    drawer = drawer_keys.masked_fill(~drawn[asked], -1.0).argmax(1)
    support_keys = torch.rand(trials, way, roster.drawers, generator=generator)
    support_keys.masked_fill_(~drawn[classes], -1.0)
    support_keys.scatter_(2, drawer[:, None, None].expand(trials, way, 1), -1.0)
    # Every class has shot + 1 pictures at least, so none of these is a gap or the query's drawer's.
    best = support_keys.topk(shot, dim=2).indices
    supports = roster.table[classes[..., None], best]
    return roster.table[asked, drawer], supports, answers
