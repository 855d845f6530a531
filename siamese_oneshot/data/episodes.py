"""N-way episodes: frozen lists of one-shot episodes, and the training batches that resemble them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import fingerprint
from siamese_oneshot.utils.errors import UserError

_CHUNK = 1024  # episodes whose random keys are drawn at once
_KEYS = 2**24  # fewer episodes where they would have more keys than so many; bounds memory


@dataclass(frozen=True)
class Episodes:
    """One-shot episodes: find the query's class among ``way`` classes of ``shot`` images each.

    Attributes:
        queries: int64 ``(episodes,)``: indices in the images.
        supports: int64 ``(episodes, way, shot)``: likewise; never by the query's drawer.
        answers: int64 ``(episodes,)``: the way that is the query's class, anywhere in 0 … way-1.
    """

    queries: Tensor
    supports: Tensor
    answers: Tensor

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self.queries)

    @property
    def way(self) -> int:
        """How many classes there are to choose from."""
        return self.supports.shape[1]

    @property
    def shot(self) -> int:
        """How many images of each class are given."""
        return self.supports.shape[2]

    @property
    def digest(self) -> str:
        """The hash of the list."""
        return fingerprint(self.queries, self.supports, self.answers)


def sample_runs(
    class_index: ClassIndex, runs: int, generator: torch.Generator, way: int = 20
) -> Episodes:
    """Episodes by the paper's rule (section 4.3): runs of ``way`` episodes within one alphabet.

    A run takes an alphabet, ``way`` of its characters and two drawers; every character by the first
    drawer is compared with all characters by the second. Alphabets take turns in a random order.
    Those of which no two drawers have ``way`` characters in common are left out
    (``class_index.left_out`` names them).

    Args:
        class index: the part to draw from.
        runs: how many runs; the list has ``runs * way`` episodes.
        generator: the source of chance.
        way: characters in a run.

    Returns:
        ``(runs * way)`` episodes of one shot; the supports of each run stand in a random order.

    Raises:
        UserError: in no alphabet have two drawers ``way`` characters in common.
    """
    if way < 1 or runs < 1:
        raise UserError(f"way and runs must be at least 1, got {way}, {runs}")
    alphabets = class_index.large_enough(way, 2)
    turns = torch.randperm(len(alphabets), generator=generator)
    queries, supports, answers = [], [], []
    for run in range(runs):
        alphabet = alphabets[int(turns[run % len(alphabets)])]
        classes, (first, second) = _classes_by(class_index, alphabet, way, 2, generator)
        order = torch.randperm(way, generator=generator)
        queries.append(class_index.table[classes, first])
        supports.append(class_index.table[classes[order], second].expand(way, way))
        answers.append(torch.argsort(order))
    return Episodes(torch.cat(queries), torch.cat(supports)[..., None], torch.cat(answers))


def sample_episodes(
    class_index: ClassIndex,
    episodes: int,
    generator: torch.Generator,
    way: int = 20,
    shot: int = 1,
    within_alphabet: bool = False,
) -> Episodes:
    """Independent N-way K-shot episodes, across all alphabets or within one.

    Args:
        class index: the part to draw from.
        episodes: how many.
        generator: the source of chance.
        way: distinct classes in an episode.
        shot: support images of each class, by drawers other than the query's.
        within_alphabet: take all classes of an episode from one alphabet (those with fewer than
            ``way`` characters are left out), each alphabet equally often.

    Returns:
        The episodes.

    Raises:
        UserError: too few classes for ``way`` or too few drawers for ``shot``.
    """
    if way < 1 or shot < 1 or episodes < 1:
        raise UserError(f"way, shot and episodes must be at least 1, got {way}, {shot}, {episodes}")
    if not within_alphabet and way > len(class_index):
        raise UserError(f"{way}-way asked for, but this part has {len(class_index)} classes")
    least = int(class_index.counts.argmin())
    if int(class_index.counts[least]) < shot + 1:
        remedy = "ask for fewer shots" if shot > 1 else "leave the class out"
        raise UserError(
            f"{shot}-shot needs {shot + 1} images of each class, {class_index.class_names[least]} has "
            f"{int(class_index.counts[least])}: add images, or {remedy}"
        )
    eligible = torch.tensor(class_index.large_enough(way)) if within_alphabet else None
    step = max(1, min(_CHUNK, _KEYS // max(len(class_index), way * class_index.drawers)))
    parts = [
        _some_episodes(class_index, min(step, episodes - done), way, shot, eligible, generator)
        for done in range(0, episodes, step)
    ]
    return Episodes(*(torch.cat(column) for column in zip(*parts, strict=True)))


def sample_alphabet_batch(
    class_index: ClassIndex,
    alphabets: int,
    characters: int,
    drawers: int,
    generator: torch.Generator,
) -> Tensor:
    """A training batch: some alphabets, characters of each, each by the same few drawers.

    Every character by one drawer can then be found among all characters by another drawer: the
    comparisons of many one-shot episodes from few images.

    Args:
        class index: the part to draw from.
        alphabets: distinct alphabets.
        characters: distinct characters of each alphabet.
        drawers: distinct drawers of each alphabet.
        generator: the source of chance.

    Returns:
        int64 ``(alphabets, characters, drawers)`` indices.

    Raises:
        UserError: of too few alphabets have that many drawers that many characters in common.
    """
    eligible = torch.tensor(class_index.sharing(characters, drawers))
    if len(eligible) < alphabets:
        raise UserError(
            f"a batch of {alphabets} alphabets with {characters} characters by {drawers} drawers "
            f"asked for, but {len(eligible)} have as many: lower sampler.n_alphabets, "
            "sampler.n_way or sampler.n_drawers, or add images"
        )
    chosen = eligible[torch.randperm(len(eligible), generator=generator)[:alphabets]]
    rows = []
    for alphabet in chosen.tolist():
        classes, by = _classes_by(class_index, alphabet, characters, drawers, generator)
        rows.append(class_index.table[classes[:, None], by[None, :]])
    return torch.stack(rows)


def _classes_by(
    class_index: ClassIndex, alphabet: int, way: int, drawers: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``way`` distinct classes of an alphabet and ``drawers`` distinct drawers of all of them.

    There must be some: see ``class_index.fellows``.
    """
    for least in (1, way):  # at once where everybody drew everything; retried on ragged data
        who = class_index.who(alphabet, least)
        for _ in range(100):
            by = who[torch.randperm(len(who), generator=generator)[:drawers]]
            classes = class_index.common(alphabet, by)
            if len(by) == drawers and len(classes) >= way:
                return classes[torch.randperm(len(classes), generator=generator)[:way]], by
    by = torch.tensor(class_index.fellows(alphabet, way, drawers))  # few can: these
    classes = class_index.common(alphabet, by)
    return classes[torch.randperm(len(classes), generator=generator)[:way]], by


def _some_episodes(
    class_index: ClassIndex,
    episodes: int,
    way: int,
    shot: int,
    eligible: Tensor | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries ``(episodes,)``, supports ``(episodes, way, shot)`` and answers ``(episodes,)``."""
    keys = torch.rand(episodes, len(class_index), generator=generator)
    if eligible is not None:
        turns = eligible[torch.randperm(len(eligible), generator=generator)]
        alphabet = turns[torch.arange(episodes) % len(turns)]
        keys[class_index.class_alphabet[None, :] != alphabet[:, None]] = -1.0
    classes = keys.topk(way, dim=1).indices
    answers = torch.randint(way, (episodes,), generator=generator)
    asked = classes.gather(1, answers[:, None])[:, 0]
    drawn = class_index.table >= 0
    drawer_keys = torch.rand(episodes, class_index.drawers, generator=generator)
    drawer = drawer_keys.masked_fill(~drawn[asked], -1.0).argmax(1)
    support_keys = torch.rand(episodes, way, class_index.drawers, generator=generator)
    support_keys.masked_fill_(~drawn[classes], -1.0)
    support_keys.scatter_(2, drawer[:, None, None].expand(episodes, way, 1), -1.0)
    # Every class has shot + 1 images at least, so none of these is a gap or the query's drawer's.
    best = support_keys.topk(shot, dim=2).indices
    supports = class_index.table[classes[..., None], best]
    return class_index.table[asked, drawer], supports, answers
