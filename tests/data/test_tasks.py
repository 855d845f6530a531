"""The frozen lists: how many episodes of what, from which part, and hashed."""

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.splits import Split, split_dataset
from siamese_oneshot.data.tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    ProtocolConfig,
    first_episodes,
    indices_of,
    make_test_tasks,
    make_validation_tasks,
    tasks_of,
)
from siamese_oneshot.utils.errors import ArgumentError

SIZE = EvalConfig(n_pairs=60, val_runs=6, koch_runs=4, test_runs=8, n_cross_episodes=40, way=5)


@pytest.fixture(scope="module")
def split(dataset):
    """Validation: alphabets A and B (6 and 5 characters); test: C and D (8 and 7), 3 drawers."""
    return Split(
        "lake",
        dataset.indices(["AlphabetA"]),
        dataset.indices(["AlphabetA", "AlphabetB"]),
        dataset.indices(["AlphabetC", "AlphabetD"], [0, 1, 2]),
        dataset.indices(["AlphabetC", "AlphabetD"]),
    )


@pytest.fixture(scope="module")
def validation_index(dataset, split):
    return ClassIndex(dataset, split.validation)


def runs_of(dataset, first_class):
    """Two runs of three classes; in run r drawer 2r asks and drawer 2r + 1 is compared with."""
    classes = torch.tensor([[0, 1, 2], [2, 0, 1]]).repeat_interleave(3, 0) + first_class
    answers = torch.tensor([2, 0, 1, 1, 1, 1])
    drawers = torch.tensor([0, 0, 0, 2, 2, 2])
    queries = classes[range(6), answers] * 6 + drawers
    return Episodes(queries, (classes * 6 + drawers[:, None] + 1)[..., None], answers)


def test_validation_asks_its_own_part_alone(dataset, split, validation_index):
    eval_tasks = make_validation_tasks(validation_index, SIZE)
    (task,) = eval_tasks.episode_tasks
    assert (task.key, len(task.episodes), task.episodes.way) == ("one_shot", 30, 5)
    assert len(eval_tasks.pairs) == 60
    assert set(dataset.alphabets[eval_tasks.indices].tolist()) == {0, 1}
    counts = dataset.alphabets[task.episodes.queries].bincount()
    assert counts.tolist() == [15, 15]
    assert task.protocol.endswith("2 alphabets")


def test_the_first_validation_runs_can_be_a_list_of_their_own(validation_index):
    """The list that is drawn where there are no other runs."""
    own = make_validation_tasks(validation_index, replace(SIZE, val_runs=2)).episode_tasks
    both = make_validation_tasks(validation_index, replace(SIZE, koch_val_runs=2)).episode_tasks
    assert [(task.key, len(task.episodes)) for task in both] == [
        ("one_shot", 30),
        ("koch_trials", 10),
    ]
    assert both[1].episodes.digest == own[0].episodes.digest
    assert both[1].protocol.endswith("the first 10 of 30 episodes")
    (same,) = make_validation_tasks(validation_index, replace(SIZE, koch_val_runs=6)).episode_tasks
    assert same.episodes.digest == both[0].episodes.digest


@pytest.fixture(scope="module")
def eval_tasks(dataset, split):
    return make_test_tasks(dataset, split, runs_of(dataset, 11), SIZE)


def test_test_episode_tasks_by_key(dataset, split, eval_tasks):
    sizes = {task.key: len(task.episodes) for task in eval_tasks.episode_tasks}
    assert sizes == {
        "lake_runs": 6, "within_alphabet": 40, "cross_alphabet": 40, "koch_protocol": 20,
    }  # fmt: skip
    episodes = {task.key: task.episodes for task in eval_tasks.episode_tasks}
    for key in ("within_alphabet", "cross_alphabet"):
        assert episodes[key].way == 5
        images = torch.cat([episodes[key].queries, episodes[key].supports.flatten()])
        assert set(dataset.alphabets[images].tolist()) == {2, 3}
        assert set(dataset.drawers[images].tolist()) == set(range(6))  # all drawers
    images = torch.cat([eval_tasks.pairs.first, eval_tasks.pairs.second])
    assert set(dataset.drawers[images].tolist()) == {0, 1, 2}
    by_the_paper = torch.cat(
        [episodes["koch_protocol"].queries, episodes["koch_protocol"].supports.flatten()]
    )
    assert set(dataset.drawers[by_the_paper].tolist()) == {0, 1, 2}  # the split's test drawers
    one_alphabet = {
        key: all(len(set(row)) == 1 for row in dataset.alphabets[t.supports[..., 0]].tolist())
        for key, t in episodes.items()
    }
    assert one_alphabet == {
        "lake_runs": True, "within_alphabet": True, "cross_alphabet": False, "koch_protocol": True,
    }  # fmt: skip
    without = make_test_tasks(dataset, split, None, SIZE)
    assert [task.key for task in without.episode_tasks] == list(episodes)[1:]
    assert without.episode_tasks[0].episodes.digest == episodes["within_alphabet"].digest


def test_lakes_runs_of_alphabets_that_do_not_test_are_no_task(dataset, split):
    eval_tasks = make_test_tasks(dataset, split, runs_of(dataset, 0), SIZE)
    assert "lake_runs" not in {task.key for task in eval_tasks.episode_tasks}


def test_alphabets_too_small_are_named(dataset, split, validation_index):
    valid = make_validation_tasks(validation_index, replace(SIZE, way=6))
    assert valid.episode_tasks[0].protocol.endswith("1 alphabets; too small: AlphabetB")
    test = make_test_tasks(dataset, split, None, replace(SIZE, way=8))
    assert test.episode_tasks[0].protocol.endswith("1 alphabets; too small: AlphabetD")


def test_indices_hold_every_image_once(eval_tasks):
    used = set(eval_tasks.pairs.first.tolist()) | set(eval_tasks.pairs.second.tolist())
    for task in eval_tasks.episode_tasks:
        used |= set(task.episodes.queries.tolist())
        used |= set(task.episodes.supports.flatten().tolist())
    assert eval_tasks.indices.tolist() == sorted(used)


def digests(eval_tasks):
    return [eval_tasks.pairs.digest, *(task.episodes.digest for task in eval_tasks.episode_tasks)]


def test_the_lists_are_frozen_by_their_own_seed(dataset, split, validation_index):
    def both(size):
        eval_tasks = (
            make_validation_tasks(validation_index, size),
            make_test_tasks(dataset, split, None, size),
        )
        return digests(eval_tasks[0]) + digests(eval_tasks[1])

    torch.manual_seed(1)
    lists = both(SIZE)
    torch.manual_seed(2)
    assert both(SIZE) == lists
    others = both(replace(SIZE, seed=0))
    assert not set(lists) & set(others)
    assert both(replace(SIZE, seed=0)) == others
    # the length of one list does not change another
    longer = both(replace(SIZE, n_pairs=80, n_cross_episodes=50, test_runs=9))
    kept = [a == b for a, b in zip(lists, longer, strict=True)]
    assert kept == [False, True, False, False, False, True]  # one_shot and paper


def test_different_pairs_can_be_kept_within_an_alphabet(dataset, split, validation_index):
    for within in (False, True):
        size = replace(SIZE, pairs_within_alphabet=within)
        for eval_tasks in (
            make_validation_tasks(validation_index, size),
            make_test_tasks(dataset, split, None, size),
        ):
            pairs = eval_tasks.pairs
            crossed = dataset.alphabets[pairs.first] != dataset.alphabets[pairs.second]
            assert bool(crossed.any()) != within
            assert pairs.same.sum() == 30


# All figures and comparisons in docs/ are of these lists.
LISTS = [
    {"pairs": "513ef6d7c1f10f06", "one_shot": "1eeb7f9f7dfa71b5"},
    {
        "pairs": "a7283fdf93097e9c", "lake_runs": "92444cf9fb63a7d1",
        "within_alphabet": "737eafd29da12a5a", "cross_alphabet": "73e6a0918f8626fc",
        "koch_protocol": "fd818fafcc447b47",
    },
]  # fmt: skip
KOCH = {"pairs": "1cdc33257939492b", "one_shot": "96134fda5cbe790e"}
KOCH_TEST = {
    "lake_runs": "92444cf9fb63a7d1", "within_alphabet": "baedd8ac36d30b21",
    "cross_alphabet": "d1784836ee5c59bb",
}  # fmt: skip
OTHER_LISTS = {
    "koch": KOCH_TEST | {"pairs": "2289f18575d19fe8", "koch_protocol": "9645e9c0c9374e95"},
    "koch_drawers_1_4": KOCH_TEST
    | {"pairs": "63284b22b9cc0ba1", "koch_protocol": "305c191bb607616d"},
    "koch40": {},
}


@pytest.mark.omniglot
@pytest.mark.parametrize("rule", OTHER_LISTS)
def test_real_lists_of_other_splits(omniglot, rule):
    """Within alphabets all drawers, and no alphabet that validates; pairs by the test drawers."""
    dataset = omniglot.dataset
    split = split_dataset(dataset, rule)
    test = make_test_tasks(dataset, split, omniglot.runs, EvalConfig())
    if rule == "koch":
        valid = make_validation_tasks(ClassIndex(dataset, split.validation), EvalConfig())
        assert valid.digests == KOCH
    assert OTHER_LISTS[rule].items() <= test.digests.items()
    episodes = test.episode_tasks[1].episodes
    assert len(episodes) == 10_000
    assert len(dataset.alphabets[episodes.queries].unique()) == 10
    assert len(dataset.drawers[episodes.queries].unique()) == 20
    assert not torch.isin(test.indices, torch.cat([split.train, split.validation])).any()
    assert torch.isin(torch.cat([test.pairs.first, test.pairs.second]), split.test).all()


@pytest.mark.omniglot
def test_real_eval_tasks_have_the_published_sizes(omniglot):
    dataset = omniglot.dataset
    split = split_dataset(dataset, "lake")
    valid = make_validation_tasks(ClassIndex(dataset, split.validation), EvalConfig())
    eval_tasks = make_test_tasks(dataset, split, omniglot.runs, EvalConfig())
    assert [valid.digests, eval_tasks.digests] == LISTS
    # By these 2,000 episodes checkpoints were chosen until there were 10,000.
    former = make_validation_tasks(ClassIndex(dataset, split.validation), EvalConfig(val_runs=100))
    assert former.digests["one_shot"] == "ddb3b7d99bac2be2"
    episodes = {task.key: task.episodes for task in eval_tasks.episode_tasks}
    assert list(episodes) == ["lake_runs", "within_alphabet", "cross_alphabet", "koch_protocol"]
    assert len(episodes["lake_runs"]) == len(episodes["koch_protocol"]) == 400
    assert len(episodes["within_alphabet"]) >= 10_000
    assert len(valid.pairs) == len(eval_tasks.pairs) == 10_000
    assert torch.isin(valid.indices, split.validation).all()
    assert torch.isin(eval_tasks.indices, split.test).all()
    assert "20 alphabets" in eval_tasks.episode_tasks[1].protocol
    alphabets = dataset.alphabets[episodes["within_alphabet"].queries].bincount()[30:]
    assert alphabets.tolist() == [500] * 20
    for listed in (valid.episode_tasks[0].episodes, *episodes.values()):
        queries, supports = listed.queries, listed.supports[..., 0]
        assert listed.supports.shape[1:] == (20, 1)
        right = supports.gather(1, listed.answers[:, None])[:, 0]
        assert torch.equal(dataset.classes[right], dataset.classes[queries])
        assert (dataset.classes[supports].sort(1).values.diff(dim=1) > 0).all()
        assert (dataset.drawers[supports] != dataset.drawers[queries][:, None]).all()
        share = listed.answers.bincount(minlength=20) / len(listed)
        assert (share - 0.05).abs().max() < (0.045 if len(listed) == 400 else 0.02)
    for key in ("lake_runs", "within_alphabet", "koch_protocol"):
        of = dataset.alphabets[episodes[key].supports[..., 0]]
        assert (of == of[:, :1]).all()


MORE = ProtocolConfig(max_way=21, episodes_per_way=30, few_shot_episodes=40)


@pytest.fixture(scope="module")
def made(dataset) -> tuple[Split, EvalTasks, EvalTasks]:
    split = split_dataset(dataset, "ratio_60_20_20")
    return split, *tasks_of(dataset, split, None, SIZE, MORE)


def test_every_list_asks_about_its_own_part(made: tuple[Split, EvalTasks, EvalTasks]) -> None:
    split, validation, test = made
    assert torch.isin(validation.indices, split.validation).all()
    for task in test.episode_tasks:
        part = split.train if task.key.startswith("way_curve_train") else split.test
        assert torch.isin(indices_of([task]), part).all(), task.key
    assert torch.isin(torch.cat([test.pairs.first, test.pairs.second]), split.test).all()


def test_ways_and_shots(made: tuple[Split, EvalTasks, EvalTasks]) -> None:
    _, _, test = made
    shapes = {
        one.key: (one.episodes.way, one.episodes.shot, len(one.episodes))
        for one in test.episode_tasks
    }
    # 7 test classes and 11 for training: the lists go as far as there are classes
    assert {key for key in shapes if key.startswith("way_curve")} == {
        *(f"way_curve_test_{way:02d}" for way in range(1, 8)),
        *(f"way_curve_train_{way:02d}" for way in range(1, 12)),
    }
    for key, (way, shot, count) in shapes.items():
        if key.startswith("way_curve"):
            assert (way, shot, count) == (int(key[-2:]), 1, 30)
    assert {key: shapes[key] for key in shapes if key.startswith("few_shot")} == {
        "few_shot_5way_1shot": (5, 1, 40),
        "few_shot_5way_5shot": (5, 5, 40),  # six drawers: five shots and the query
    }
    assert list(shapes)[:3] == ["within_alphabet", "cross_alphabet", "koch_protocol"]


def test_a_training_class_of_one_image_leaves_out_the_lists_of_its_part(
    dataset, made: tuple[Split, EvalTasks, EvalTasks]
) -> None:
    split, _, test = made
    first = int(dataset.classes[split.train[0]])
    kept = (dataset.classes[split.train] != first) | (dataset.drawers[split.train] == 0)
    fewer = tasks_of(dataset, replace(split, train=split.train[kept]), None, SIZE, MORE)[1]
    assert [one.key for one in fewer.episode_tasks] == [
        one.key for one in test.episode_tasks if not one.key.startswith("way_curve_train")
    ]


def test_lists_differ_from_each_other_and_repeat(
    dataset, made: tuple[Split, EvalTasks, EvalTasks]
) -> None:
    split, _, test = made
    digests = [one.episodes.digest for one in test.episode_tasks]
    assert len(set(digests)) == len(digests)
    again = tasks_of(dataset, split, None, SIZE, MORE)[1]
    assert [one.episodes.digest for one in again.episode_tasks] == digests
    other = tasks_of(dataset, split, None, replace(SIZE, seed=1), MORE)[1]
    assert not set(digests) & {one.episodes.digest for one in other.episode_tasks}


def test_training_curves_are_older_than_the_duplicate_classes(dataset, made) -> None:
    split, _, test = made
    twice = replace(dataset, duplicate_classes=(dataset.class_names[:3],))
    again = tasks_of(twice, split, None, SIZE, MORE)[1]
    assert again.digests == test.digests


def test_rotated_classes_are_added_on_request(dataset, made) -> None:
    split, _, test = made
    more = replace(MORE, rotated_few_shot_episodes=60)
    tasks = tasks_of(dataset, split, None, SIZE, more)[1].episode_tasks
    assert [one.key for one in tasks[: len(test.episode_tasks)]] == [*test.digests][1:]
    assert [one.episodes.digest for one in tasks[: len(test.episode_tasks)]] == [
        *test.digests.values()
    ][1:]
    added = tasks[len(test.episode_tasks) :]
    # 7 test classes are 28 with their rotations, enough for 20 ways
    assert {one.key: (one.way, one.shot, len(one.episodes)) for one in added} == {
        f"rotated_few_shot_{way}way_{shot}shot": (way, shot, 60)
        for way in (5, 20)
        for shot in (1, 5)
    }
    images = dataset.with_rotations(split.test_all_drawers)
    assert len(images.classes[indices_of(added)].unique()) == 28
    for task in added:
        assert task.comparable_with is None
        episodes = task.episodes
        classes = images.classes[episodes.supports]
        assert (classes == classes[..., :1]).all()
        assert (classes[..., 0].sort(1).values.diff(dim=1) > 0).all()
        right = classes[torch.arange(60), episodes.answers, 0]
        assert torch.equal(right, images.classes[episodes.queries])
        assert (
            images.drawers[episodes.supports] != images.drawers[episodes.queries, None, None]
        ).all()


def test_first_episodes() -> None:
    episodes = Episodes(torch.arange(4), torch.arange(8).view(4, 2, 1), torch.tensor([0, 1, 1, 0]))
    task = EpisodeTask("key", "title", "rule", episodes)
    assert first_episodes(task, None) is task
    assert first_episodes(task, 4) is task
    short = first_episodes(task, 3)
    assert short.protocol == "rule; the first 3 of 4 episodes"
    assert (short.episodes.queries.tolist(), short.episodes.answers.tolist()) == (
        [0, 1, 2],
        [0, 1, 1],
    )
    assert short.episodes.supports.tolist() == [[[0], [1]], [[2], [3]], [[4], [5]]]
    assert indices_of([short]).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.omniglot
def test_real_lists_are_long_enough(omniglot) -> None:
    split = split_dataset(omniglot.dataset, "vinyals")
    _, test = tasks_of(omniglot.dataset, split, omniglot.runs, SIZE, MORE)
    keys = [one.key for one in test.episode_tasks]
    assert "lake_runs" not in keys  # three of its alphabets train here
    assert {f"few_shot_{way}way_{shot}shot" for way in (5, 20) for shot in (1, 5)} < set(keys)
    assert keys.count("way_curve_test_21") == keys.count("way_curve_train_21") == 1


@pytest.mark.omniglot
def test_the_published_few_shot_protocol(omniglot) -> None:
    """423 characters and their rotations; the lists stay as they were frozen."""
    split = split_dataset(omniglot.dataset, "vinyals")
    more = replace(MORE, rotated_few_shot_episodes=5000)
    _, test = tasks_of(omniglot.dataset, split, omniglot.runs, SIZE, more)
    found = [one for one in test.episode_tasks if one.key.startswith("rotated")]
    assert {one.comparable_with: one.episodes.digest for one in found} == {
        "rotated_5way_1shot": "b3e9ef9422119e37", "rotated_5way_5shot": "3b250a8d2772582e",
        "rotated_20way_1shot": "6804a887a4611f10", "rotated_20way_5shot": "a83ed0dae10176b4",
    }  # fmt: skip
    used = indices_of(found)
    dataset = omniglot.dataset.with_rotations(split.test_all_drawers)
    assert len(dataset.classes[used].unique()) == 4 * 423
    assert torch.isin(used[used < len(omniglot.dataset)], split.test).all()
    assert all("1,692 classes" in one.protocol for one in found)


def test_comparable_scores_are_decided_by_source_split_and_way(omniglot):
    more = ProtocolConfig(21, 20, 20)

    def comparable(name, way=20, within=False):
        split = split_dataset(omniglot.dataset, name)
        size = EvalConfig(
            n_pairs=20, val_runs=1, koch_runs=1, test_runs=1, n_cross_episodes=20, way=way,
            pairs_within_alphabet=within,
        )  # fmt: skip
        validation, test = tasks_of(omniglot.dataset, split, omniglot.runs, size, more)
        assert validation.pairs_comparable_with is None
        assert validation.episode_tasks[0].comparable_with is None
        tasks = {one.key: one.comparable_with for one in test.episode_tasks if one.comparable_with}
        return tasks, test.pairs_comparable_with

    always = {
        "lake_runs": "within_alphabet_20way", "way_curve_test_21": "cross_alphabet_21way",
    }  # fmt: skip
    twenty = {**always, "cross_alphabet": "cross_alphabet_20way"}
    assert comparable("lake") == (twenty, "verification")
    assert comparable("lake", within=True) == (twenty, None)
    assert comparable("lake", way=5) == (always, "verification")
    koch = {**twenty, "koch_protocol": "within_alphabet_20way"}
    assert comparable("koch") == (koch, "verification")
    assert comparable("koch_drawers_1_4") == (twenty, "verification")


def test_scores_on_other_images_are_not_comparable(made):
    _, _, test = made
    assert test.pairs_comparable_with is None
    assert not any(task.comparable_with for task in test.episode_tasks)
    series = {task.series for task in test.episode_tasks}
    assert series == {None, "few_shot", "way_curve_test", "way_curve_train"}


def test_further_protocols_are_appended_under_keys_of_their_own(dataset, split):
    def mine(images, parts, seed, key="mine"):
        assert images is dataset
        assert parts is split
        yield EpisodeTask(key, "mine", f"seed {seed}", runs_of(dataset, 11))

    tasks = make_test_tasks(dataset, split, None, replace(SIZE, protocols={"mine": mine}))
    last = tasks.episode_tasks[-1]
    assert (last.key, last.protocol, last.way, last.shot) == ("mine", "seed 2015", 3, 1)
    twice = {"a": mine, "b": mine}
    with pytest.raises(ArgumentError, match="two evaluation protocols yield the key mine"):
        make_test_tasks(dataset, split, None, replace(SIZE, protocols=twice))
    with pytest.raises(ArgumentError, match=r"protocols\.mine=.*_partial_"):
        replace(SIZE, protocols={"mine": 3})


@pytest.mark.omniglot
def test_steps_from_lakes_drawers_and_characters_to_all_alphabets(omniglot) -> None:
    dataset, runs = omniglot.dataset, omniglot.runs
    protocols = ProtocolConfig(1, 1, 1, 1, lake_sampling_runs=120)
    config = EvalConfig(n_pairs=10, val_runs=1, test_runs=1, koch_runs=1, n_cross_episodes=1)
    split = split_dataset(dataset, "lake")
    _, test = tasks_of(dataset, split, runs, config, protocols)
    lake = torch.unique(torch.cat([runs.queries, runs.supports.flatten()]))
    assert len(lake) == 10 * 4 * 20  # alphabets, drawers, characters
    drawn = {task.key: indices_of([task]) for task in test.episode_tasks if "lake_" in task.key}
    by = dataset.alphabets * 20 + dataset.drawers
    assert torch.equal(drawn["lake_runs"], lake)
    assert torch.equal(drawn["lake_drawers_and_characters"], lake)
    for key, value in {"lake_drawers": by, "lake_alphabets": dataset.alphabets}.items():
        assert torch.equal(value[drawn[key]].unique(), value[lake].unique())
        assert len(dataset.classes[drawn[key]].unique()) > 350  # of the 382 of these alphabets
    assert len(by[drawn["lake_drawers"]].unique()) == 40
    assert len(by[drawn["lake_alphabets"]].unique()) > 100
    _, without = tasks_of(dataset, split, runs, config, ProtocolConfig(1, 1, 1, 1))
    added = test.digests.keys() - without.digests.keys()
    assert added == {"lake_drawers_and_characters", "lake_drawers", "lake_alphabets"}
