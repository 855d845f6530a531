"""Every list that an evaluation asks: the evaluation tasks for test, and what other publications report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes, sample_episodes
from siamese_oneshot.data.eval_tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    make_test_tasks,
    make_validation_tasks,
)
from siamese_oneshot.data.mnist import sample_mnist_episodes
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.data.splits import Split
from siamese_oneshot.utils import check

WAYS_TEST, WAYS_TRAIN = "ways_test", "ways_train"  # begin the keys of the replication's figure


@dataclass(frozen=True)
class ProtocolConfig:
    """How long the lists are that an evaluation asks beside ``EvalConfig``.

    Attributes:
        max_way: the replication's figure goes from 1 to this many ways.
        episodes_per_way: episodes for each number of ways, on test and on training characters (the
            replication: 50).
        few_shot_episodes: episodes of each of 5- and 20-way, 1- and 5-shot (Vinyals et al. 2016).
        mnist_episodes: episodes among ten digits (paper: 400).
    """

    max_way: int = 21
    episodes_per_way: int = 1000
    few_shot_episodes: int = 5000
    mnist_episodes: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what makes no list."""
        for name in ("max_way", "episodes_per_way", "few_shot_episodes", "mnist_episodes"):
            check.integer(name, getattr(self, name), 1)


def tasks_of(
    dataset: CharacterDataset,
    split: Split,
    runs: OfficialRuns | None,
    size: EvalConfig,
    more: ProtocolConfig,
) -> tuple[EvalTasks, EvalTasks]:
    """The validation evaluation tasks, which sets thresholds, and the test evaluation tasks with every protocol.

    Args:
        images: all images.
        split: who trained, validates and tests.
        runs: the official runs, if these images have any.
        size, more: how long the lists are.

    Returns:
        Validation and test. The test's pairs are those of ``make_test_tasks``, its first episode tasks
        as well.
    """
    test, whole = ClassIndex(dataset, split.test), ClassIndex(dataset, split.test_all_drawers)
    eval_tasks = make_test_tasks(test, whole, runs, size)
    episode_tasks = (
        *eval_tasks.episode_tasks,
        *_few_shot(whole, size, more),
        *_ways(whole, WAYS_TEST, "test", size, more),
        *_ways(ClassIndex(dataset, split.train), WAYS_TRAIN, "training", size, more),
    )
    validation = make_validation_tasks(ClassIndex(dataset, split.validation), size)
    return validation, replace(eval_tasks, episode_tasks=episode_tasks)


def mnist_task(mnist: CharacterDataset, size: EvalConfig, more: ProtocolConfig) -> EpisodeTask:
    """Ten digits, one of each given: no network here has seen one."""
    return EpisodeTask(
        "mnist",
        "MNIST 10-way",
        f"10-way, no digit seen in training, {len(mnist):,} digits, images enlarged as they are",
        sample_mnist_episodes(mnist, more.mnist_episodes, generator_for(size.seed, 9)),
    )


def first_episodes(task: EpisodeTask, most: int | None) -> EpisodeTask:
    """The episode task with at most so many episodes: the first ones, said in its protocol."""
    episodes = task.episodes
    if most is None or len(episodes) <= most:
        return task
    return replace(
        task,
        protocol=f"{task.protocol}; the first {most:,} of {len(episodes):,} episodes",
        episodes=Episodes(
            episodes.queries[:most], episodes.supports[:most], episodes.answers[:most]
        ),
    )


def indices_of(episode_tasks: tuple[EpisodeTask, ...] | list[EpisodeTask]) -> torch.Tensor:
    """int64, ascending: every image that some episode tasks ask about, once."""
    used = [
        part.flatten()
        for one in episode_tasks
        for part in (one.episodes.queries, one.episodes.supports)
    ]
    return torch.unique(torch.cat(used))


def _few_shot(
    class_index: ClassIndex, size: EvalConfig, more: ProtocolConfig
) -> Iterator[EpisodeTask]:
    """Those of 5- and 20-way, 1- and 5-shot for which there are classes and images enough."""
    most_shots = int(class_index.counts.min()) - 1
    for way in (5, 20):
        for shot in (1, 5):
            if way > len(class_index) or shot > most_shots:
                continue
            rng = generator_for(size.seed, 7, way, shot)
            yield EpisodeTask(
                f"few_{way}_{shot}",
                f"{way}-way {shot}-shot across",
                f"{way}-way {shot}-shot from {len(class_index)} test characters without rotated copies; "
                "Vinyals et al. test 423 of 1,623 characters and their rotations: split=vinyals "
                "has those 423",
                sample_episodes(class_index, more.few_shot_episodes, rng, way, shot),
            )


def _ways(
    class_index: ClassIndex, key: str, whose: str, size: EvalConfig, more: ProtocolConfig
) -> Iterator[EpisodeTask]:
    """Across alphabets with 1, 2, 3 … ways, as far as there are classes, of two images each."""
    if int(class_index.counts.min()) < 2:
        return
    for way in range(1, min(more.max_way, len(class_index)) + 1):
        rng = generator_for(size.seed, 8, way, int(key == WAYS_TRAIN))
        yield EpisodeTask(
            f"{key}_{way:02d}",
            f"{way}-way across {whose} alphabets",
            f"{way}-way from {len(class_index)} {whose} characters of {len(class_index.names)} alphabets",
            sample_episodes(class_index, more.episodes_per_way, rng, way),
        )
