"""N-way K-shot episodes: frozen lists for evaluation, and training batches of whole alphabets."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import fingerprint
from siamese_oneshot.utils.errors import ArgumentError, UserError

_EPISODES_AT_ONCE = 1024  # episodes whose random keys are drawn together
_MAX_KEYS = 2**24  # of one such draw; bounds memory


@dataclass(frozen=True)
class Episodes:
    """N-way K-shot episodes: find the query's class among ``way`` classes of ``shot`` images each.

    Attributes:
        queries: int64 ``(episodes,)``: image indices.
        supports: int64 ``(episodes, way, shot)``: image indices, never by the query's drawer.
        answers: int64 ``(episodes,)``: position of the query's class, 0 … way-1.
    """

    queries: Tensor = field(repr=False)
    supports: Tensor = field(repr=False)
    answers: Tensor = field(repr=False)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.queries)

    @property
    def way(self) -> int:
        """Number of classes in an episode."""
        return self.supports.shape[1]

    @property
    def shot(self) -> int:
        """Number of support images per class."""
        return self.supports.shape[2]

    @property
    def digest(self) -> str:
        """Hash of the list."""
        return fingerprint(self.queries, self.supports, self.answers)


def sample_runs(
    class_index: ClassIndex, runs: int, generator: torch.Generator, way: int = 20
) -> Episodes:
    """Episodes by the paper's protocol (section 4.3): runs of ``way`` episodes in one alphabet.

    A run takes an alphabet, ``way`` of its characters and two drawers. Every character by the first
    drawer is compared with all characters by the second. Alphabets take turns in a random order.
    Alphabets in which no two drawers have ``way`` characters in common are excluded
    (``class_index.excluded_alphabets`` names them).

    Returns ``runs * way`` one-shot episodes; the supports of each run are in a random order.

    Raises:
        ArgumentError: If no alphabet is large enough.
    """
    if way < 1 or runs < 1:
        raise UserError(f"way and runs must be at least 1, not {way} and {runs}")
    alphabets = class_index.require_alphabets(way, 2)
    turns = torch.randperm(len(alphabets), generator=generator)
    queries, supports, answers = [], [], []
    for run in range(runs):
        alphabet = alphabets[int(turns[run % len(alphabets)])]
        classes, (first, second) = _classes_and_drawers(class_index, alphabet, way, 2, generator)
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
) -> Episodes:
    """Independent N-way K-shot episodes across all alphabets.

    Args:
        class_index, episodes, generator: What to draw from, how many, and source of randomness.
        way: Distinct classes in an episode.
        shot: Support images per class, by drawers other than the query's.

    Raises:
        UserError: If there are too few classes for ``way`` or too few drawers for ``shot``.
    """
    if way < 1 or shot < 1 or episodes < 1:
        raise UserError(
            f"way, shot and episodes must be at least 1, not {way}, {shot} and {episodes}"
        )
    if way > class_index.n_characters:
        message = f"this part of the data has only {class_index.n_characters} classes"
        raise ArgumentError("way", way, message=message)
    fewest = int(class_index.counts.argmin())
    if int(class_index.counts[fewest]) < shot + 1:
        remedy = "use fewer shots" if shot > 1 else "remove the class"
        raise UserError(
            f"{shot}-shot needs {shot + 1} images of each class, "
            f"{class_index.class_names[fewest]} has {int(class_index.counts[fewest])}: "
            f"add images, or {remedy}"
        )
    keys = max(len(class_index), way * class_index.n_drawers)
    step = max(1, min(_EPISODES_AT_ONCE, _MAX_KEYS // keys))
    drawn = [
        _draw_episodes(class_index, min(step, episodes - done), way, shot, generator)
        for done in range(0, episodes, step)
    ]
    return Episodes(*(torch.cat(column) for column in zip(*drawn, strict=True)))


def sample_alphabet_batch(
    class_index: ClassIndex,
    alphabets: int,
    characters: int,
    drawers: int,
    generator: torch.Generator,
    argument: str = "n_alphabets",
) -> Tensor:
    """A training batch of some alphabets, with the same drawers for all characters of each.

    Every character by one drawer can be looked for among all characters by another drawer, so that
    a few images give the comparisons of many one-shot episodes. ``argument`` is what errors call
    the number of alphabets.

    Returns image indices, int64 ``(alphabets, characters, drawers)``, all distinct.

    Raises:
        ArgumentError: If too few alphabets have that many characters by that many drawers.
    """
    eligible = torch.tensor(class_index.eligible_alphabets(characters, drawers))
    if len(eligible) < alphabets:
        n = len(class_index.alphabet_names)
        message = (
            f"a batch needs {alphabets} alphabet{'s' * (alphabets > 1)} with {characters} "
            f"characters by {drawers} drawers in common, but {len(eligible)} of the {n} to train "
            f"on have as many: lower {argument}, n_way or n_drawers, or add alphabets"
        )
        raise ArgumentError(argument, alphabets, message=message)
    chosen = eligible[torch.randperm(len(eligible), generator=generator)[:alphabets]]
    rows = []
    for alphabet in chosen.tolist():
        classes, by = _classes_and_drawers(class_index, alphabet, characters, drawers, generator)
        rows.append(class_index.table[classes[:, None], by[None, :]])
    return torch.stack(rows)


def _classes_and_drawers(
    class_index: ClassIndex, alphabet: int, way: int, drawers: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``way`` characters of an eligible alphabet, and ``drawers`` drawers of all of them."""

    def shuffled(values: Tensor) -> Tensor:
        return values[torch.randperm(len(values), generator=generator)]

    for least in (1, way):  # the first try succeeds where every drawer has drawn every class
        candidates = class_index.drawers_of(alphabet, least)
        for _ in range(100):
            by = shuffled(candidates)[:drawers]
            classes = class_index.common_classes(alphabet, by)
            if len(by) == drawers and len(class_index.distinct(classes)) >= way:
                return class_index.distinct(shuffled(classes))[:way], by
    by = torch.tensor(class_index.common_drawers(alphabet, way, drawers))
    classes = class_index.common_classes(alphabet, by)
    return class_index.distinct(shuffled(classes))[:way], by


def _draw_episodes(
    class_index: ClassIndex, episodes: int, way: int, shot: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries ``(episodes,)``, supports ``(episodes, way, shot)`` and answers ``(episodes,)``."""
    keys = torch.rand(episodes, len(class_index), generator=generator)
    if class_index.n_characters < len(class_index):  # of each character, the highest key takes part
        highest = keys.scatter_reduce(1, class_index.character.expand_as(keys), keys, "amax")
        keys[keys < highest[:, class_index.character]] = -1.0
    classes = keys.topk(way, dim=1).indices
    answers = torch.randint(way, (episodes,), generator=generator)
    query_class = classes.gather(1, answers[:, None])[:, 0]
    drawn = class_index.table >= 0
    drawer_keys = torch.rand(episodes, class_index.n_drawers, generator=generator)
    drawer = drawer_keys.masked_fill(~drawn[query_class], -1.0).argmax(1)
    support_keys = torch.rand(episodes, way, class_index.n_drawers, generator=generator)
    support_keys.masked_fill_(~drawn[classes], -1.0)
    support_keys.scatter_(2, drawer[:, None, None].expand(episodes, way, 1), -1.0)
    # Every class has at least shot + 1 images, so none of these is -1 or by the query's drawer.
    support_drawers = support_keys.topk(shot, dim=2).indices
    supports = class_index.table[classes[..., None], support_drawers]
    return class_index.table[query_class, drawer], supports, answers
