"""What a network is asked: frozen lists of pairs and episodes, each with its rule in words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import Episodes, sample_episodes, sample_runs
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.pairs import Pairs, sample_pairs
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.utils import check


@dataclass(frozen=True)
class EpisodeTask:
    """One list of episodes.

    Attributes:
        key: a short name for logs: ``one_shot``, ``lake_runs``, ``test_all_drawers``, ``across``,
            ``paper``.
        title: a name for people.
        protocol: how the episodes were made, in a sentence.
        episodes: the list.
    """

    key: str
    title: str
    protocol: str
    episodes: Episodes


@dataclass(frozen=True)
class EvalTasks:
    """All that is asked of a network at one stage.

    Attributes:
        pairs: verification pairs.
        episode tasks: one-shot episodes; the first list of a validation evaluation tasks is the one to choose by.
    """

    pairs: Pairs
    episode_tasks: tuple[EpisodeTask, ...]

    @property
    def indices(self) -> Tensor:
        """int64, ascending: every image that is asked about, once."""
        used = [self.pairs.first, self.pairs.second]
        for task in self.episode_tasks:
            used += [task.episodes.queries, task.episodes.supports.flatten()]
        return torch.unique(torch.cat(used))

    @property
    def digests(self) -> dict[str, str]:
        """The hash of each list, by its key."""
        listed = {task.key: task.episodes.digest for task in self.episode_tasks}
        return {"pairs": self.pairs.digest, **listed}


@dataclass(frozen=True)
class EvalConfig:
    """How long the lists are.

    Attributes:
        n_pairs: verification pairs for validation, and for test (paper: 10,000 each).
        val_runs: validation runs of ``way`` episodes (paper: 16, that is 320 episodes).
        koch_runs: test runs by the paper's rule on the split's test drawers (paper: 20, that is
            400 episodes).
        test_runs: runs of the within-alphabet; 500 make 10,000 episodes of 20-way.
        n_cross_episodes: episodes across alphabets.
        way: classes in an episode.
        pairs_within_alphabet: draw the "different" pairs within one alphabet.
        seed: of the lists; theirs alone, so that runs of every seed face the same lists.
    """

    n_pairs: int = 10_000
    val_runs: int = 100
    koch_runs: int = 20
    test_runs: int = 500
    n_cross_episodes: int = 10_000
    way: int = 20
    pairs_within_alphabet: bool = False
    seed: int = 2015

    def __post_init__(self) -> None:
        """Refuse what makes no list."""
        for name in ("n_pairs", "val_runs", "koch_runs", "test_runs", "n_cross_episodes"):
            check.integer(name, getattr(self, name), 1)
        check.integer("way", self.way, 2)
        check.boolean("pairs_within_alphabet", self.pairs_within_alphabet)
        check.seed("seed", self.seed)


def make_validation_tasks(class_index: ClassIndex, size: EvalConfig) -> EvalTasks:
    """Pairs, and runs of episodes within the validation alphabets by the paper's rule."""
    episodes = sample_runs(class_index, size.val_runs, generator_for(size.seed, 1), size.way)
    task = EpisodeTask(
        "one_shot",
        f"validation {size.way}-way one-shot",
        f"{size.way}-way within one alphabet, 2 drawers a run, {_alphabets(class_index, size.way)}",
        episodes,
    )
    pairs = sample_pairs(
        class_index, size.n_pairs, generator_for(size.seed, 2), size.pairs_within_alphabet
    )
    return EvalTasks(pairs, (task,))


def make_test_tasks(
    class_index: ClassIndex,
    test_all_drawers: ClassIndex,
    runs: OfficialRuns | None,
    size: EvalConfig,
) -> EvalTasks:
    """The official runs where there are any, the within-alphabet, episodes across alphabets, and pairs."""
    episode_tasks = []
    # Under data.split=ratio_60_20_20 some alphabets of the official runs validate: those are no test.
    if (
        runs is not None
        and torch.isin(lake_runs_episodes(runs).queries, test_all_drawers.indices).all()
    ):
        episode_tasks.append(
            EpisodeTask(
                "lake_runs",
                "official 20-way runs",
                "20 published runs x 20 episodes, 20-way within one alphabet (Lake et al. 2015)",
                lake_runs_episodes(runs),
            )
        )
    episode_tasks += [
        EpisodeTask(
            "within_alphabet",
            f"within-alphabet {size.way}-way",
            f"{size.way}-way within one alphabet, 2 of all drawers a run, "
            + _alphabets(test_all_drawers, size.way),
            sample_runs(test_all_drawers, size.test_runs, generator_for(size.seed, 3), size.way),
        ),
        EpisodeTask(
            "cross_alphabet",
            f"across alphabets {size.way}-way",
            f"{size.way}-way from the {len(test_all_drawers)} test characters of "
            f"{len(test_all_drawers.names)} alphabets (the replication's task, easier)",
            sample_episodes(
                test_all_drawers, size.n_cross_episodes, generator_for(size.seed, 4), size.way
            ),
        ),
        EpisodeTask(
            "koch_protocol",
            f"paper's rule {size.way}-way",
            f"{size.way}-way within one alphabet, 2 of the split's test drawers a run, "
            + _alphabets(class_index, size.way),
            sample_runs(class_index, size.koch_runs, generator_for(size.seed, 6), size.way),
        ),
    ]
    pairs = sample_pairs(
        class_index, size.n_pairs, generator_for(size.seed, 5), size.pairs_within_alphabet
    )
    return EvalTasks(pairs, tuple(episode_tasks))


def lake_runs_episodes(runs: OfficialRuns) -> Episodes:
    """The published task as a list of 400 episodes, in its own order."""
    way = runs.supports.shape[1]
    supports = runs.supports[:, None, :].expand(-1, runs.tests.shape[1], -1)
    return Episodes(
        runs.tests.flatten(), supports.reshape(-1, way)[..., None], runs.answers.flatten()
    )


def _alphabets(class_index: ClassIndex, way: int) -> str:
    """How many alphabets take part, and which are too small to."""
    left_out = class_index.left_out(way, 2)
    note = f"; left out as too small: {', '.join(left_out)}" if left_out else ""
    return f"{len(class_index.names) - len(left_out)} alphabets{note}"
