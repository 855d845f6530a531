"""Every list of an evaluation: whose images, how many ways and shots."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.splits import Split, split_dataset
from siamese_oneshot.data.tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    ProtocolConfig,
    first_episodes,
    indices_of,
    tasks_of,
)

SIZE = EvalConfig(n_pairs=40, val_runs=6, koch_runs=4, test_runs=8, n_cross_episodes=60, way=5)
MORE = ProtocolConfig(max_way=21, episodes_per_way=30, few_shot_episodes=40)


@pytest.fixture
def made(dataset: CharacterDataset) -> tuple[Split, EvalTasks, EvalTasks]:
    split = split_dataset(dataset, "ratio_60_20_20")
    return split, *tasks_of(dataset, split, None, SIZE, MORE)


def test_every_list_asks_about_its_own_part(made: tuple[Split, EvalTasks, EvalTasks]) -> None:
    split, validation, test = made
    assert torch.isin(validation.indices, split.validation).all()
    for task in test.episode_tasks:
        part = split.train if task.key.startswith("ways_train") else split.test
        assert torch.isin(indices_of([task]), part).all(), task.key
    assert torch.isin(torch.cat([test.pairs.first, test.pairs.second]), split.test).all()


def test_ways_and_shots(made: tuple[Split, EvalTasks, EvalTasks]) -> None:
    _, _, test = made
    shapes = {
        one.key: (one.episodes.way, one.episodes.shot, len(one.episodes))
        for one in test.episode_tasks
    }
    # 7 test classes and 11 for training: the lists go as far as there are classes
    assert {key for key in shapes if key.startswith("ways")} == {
        *(f"ways_test_{way:02d}" for way in range(1, 8)),
        *(f"ways_train_{way:02d}" for way in range(1, 12)),
    }
    for key, (way, shot, count) in shapes.items():
        if key.startswith("ways"):
            assert (way, shot, count) == (int(key[-2:]), 1, 30)
    assert {key: shapes[key] for key in shapes if key.startswith("few")} == {
        "few_5_1": (5, 1, 40),
        "few_5_5": (5, 5, 40),  # six drawers: five shots and the query
    }
    assert [one.key for one in test.episode_tasks][:3] == [
        "within_alphabet",
        "cross_alphabet",
        "paper",
    ]


def test_a_training_class_of_one_image_leaves_out_the_lists_of_its_part(
    dataset: CharacterDataset, made: tuple[Split, EvalTasks, EvalTasks]
) -> None:
    split, _, test = made
    first = int(dataset.classes[split.train[0]])
    kept = (dataset.classes[split.train] != first) | (dataset.drawers[split.train] == 0)
    fewer = tasks_of(dataset, replace(split, train=split.train[kept]), None, SIZE, MORE)[1]
    assert [one.key for one in fewer.episode_tasks] == [
        one.key for one in test.episode_tasks if not one.key.startswith("ways_train")
    ]


def test_lists_differ_from_each_other_and_repeat(
    dataset: CharacterDataset, made: tuple[Split, EvalTasks, EvalTasks]
) -> None:
    split, _, test = made
    digests = [one.episodes.digest for one in test.episode_tasks]
    assert len(set(digests)) == len(digests)
    again = tasks_of(dataset, split, None, SIZE, MORE)[1]
    assert [one.episodes.digest for one in again.episode_tasks] == digests
    other = tasks_of(dataset, split, None, replace(SIZE, seed=1), MORE)[1]
    assert not set(digests) & {one.episodes.digest for one in other.episode_tasks}


def test_first_episodes() -> None:
    episodes = Episodes(torch.arange(4), torch.arange(8).view(4, 2, 1), torch.tensor([0, 1, 1, 0]))
    task = EpisodeTask("key", "title", "rule", episodes)
    assert first_episodes(task, None) is task
    assert first_episodes(task, 4) is task
    short = first_episodes(task, 3)
    assert short.protocol == "rule; the first 3 of 4 episodes"
    assert (short.n.queries.tolist(), short.n.answers.tolist()) == ([0, 1, 2], [0, 1, 1])
    assert short.n.supports.tolist() == [[[0], [1]], [[2], [3]], [[4], [5]]]
    assert indices_of([short]).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.omniglot
def test_real_lists_are_long_enough(omniglot) -> None:
    split = split_dataset(omniglot.dataset, "vinyals")
    _, test = tasks_of(omniglot.dataset, split, omniglot.runs, SIZE, MORE)
    keys = [one.key for one in test.episode_tasks]
    assert "lake_runs" not in keys  # three of its alphabets train here
    assert {"few_5_1", "few_5_5", "few_20_1", "few_20_5"} < set(keys)
    assert keys.count("ways_test_21") == keys.count("ways_train_21") == 1
