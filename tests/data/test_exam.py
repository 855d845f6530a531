"""The frozen lists: how many episodes of what, from which part, and hashed."""

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.data.tasks import (
    EvalConfig,
    lake_runs_episodes,
    make_test_tasks,
    make_validation_tasks,
)

SIZE = EvalConfig(n_pairs=60, val_runs=6, koch_runs=4, test_runs=8, n_cross_episodes=40, way=5)


@pytest.fixture(scope="module")
def rosters(dataset):
    """Validation: alphabets A and B (6 and 5 characters); test: C and D (8 and 7), 3 drawers."""
    return (
        ClassIndex(dataset, dataset.indices(["AlphabetA", "AlphabetB"])),
        ClassIndex(dataset, dataset.indices(["AlphabetC", "AlphabetD"], [0, 1, 2])),
        ClassIndex(dataset, dataset.indices(["AlphabetC", "AlphabetD"])),
    )


def runs_of(dataset, first_class):
    """Two runs of three classes; in run r drawer 2r asks and drawer 2r + 1 is compared with."""
    supports, answers = torch.tensor([[0, 1, 2], [2, 0, 1]]), torch.tensor([[2, 0, 1], [1, 1, 1]])
    asked = supports.gather(1, answers)
    drawers = torch.tensor([[0], [2]])
    tests = (first_class + asked) * 6 + drawers
    return OfficialRuns(tests, (first_class + supports) * 6 + drawers + 1, answers)


def test_lake_runs_episodes_against_a_loop(dataset):
    runs = runs_of(dataset, 11)
    episodes = lake_runs_episodes(runs)
    assert episodes.supports.shape == (6, 3, 1)
    for run in range(2):
        for item in range(3):
            k = run * 3 + item
            assert episodes.queries[k] == runs.tests[run, item]
            assert episodes.supports[k, :, 0].tolist() == runs.supports[run].tolist()
            assert episodes.answers[k] == runs.answers[run, item]
            right = episodes.supports[k, episodes.answers[k], 0]
            assert dataset.classes[right] == dataset.classes[episodes.queries[k]]


def test_validation_asks_its_own_part_alone(dataset, rosters):
    eval_tasks = make_validation_tasks(rosters[0], SIZE)
    (task,) = eval_tasks.episode_tasks
    assert (task.key, len(task.episodes), task.episodes.way) == ("one_shot", 30, 5)
    assert len(eval_tasks.pairs) == 60
    assert set(dataset.alphabets[eval_tasks.indices].tolist()) == {0, 1}
    counts = dataset.alphabets[task.episodes.queries].bincount()
    assert counts.tolist() == [15, 15]
    assert task.protocol.endswith("2 alphabets")


def test_test_episode_tasks_by_key(dataset, rosters):
    eval_tasks = make_test_tasks(rosters[1], rosters[2], runs_of(dataset, 11), SIZE)
    sizes = {task.key: len(task.episodes) for task in eval_tasks.episode_tasks}
    assert sizes == {"lake_runs": 6, "within_alphabet": 40, "cross_alphabet": 40, "paper": 20}
    episodes = {task.key: task.episodes for task in eval_tasks.episode_tasks}
    for key in ("within_alphabet", "cross_alphabet"):
        assert episodes[key].way == 5
        images = torch.cat([episodes[key].queries, episodes[key].supports.flatten()])
        assert set(dataset.alphabets[images].tolist()) == {2, 3}
        assert set(dataset.drawers[images].tolist()) == set(range(6))  # all drawers
    images = torch.cat([eval_tasks.pairs.first, eval_tasks.pairs.second])
    assert set(dataset.drawers[images].tolist()) == {0, 1, 2}
    by_the_paper = torch.cat([episodes["paper"].queries, episodes["paper"].supports.flatten()])
    assert set(dataset.drawers[by_the_paper].tolist()) == {0, 1, 2}  # the split's test drawers
    one_alphabet = {
        key: all(len(set(row)) == 1 for row in dataset.alphabets[t.supports[..., 0]].tolist())
        for key, t in episodes.items()
    }
    assert one_alphabet == {
        "lake_runs": True, "within_alphabet": True, "cross_alphabet": False, "paper": True,
    }  # fmt: skip
    without = make_test_tasks(rosters[1], rosters[2], None, SIZE)
    assert [task.key for task in without.episode_tasks] == [
        "within_alphabet",
        "cross_alphabet",
        "paper",
    ]
    assert without.episode_tasks[0].n.digest == episodes["within_alphabet"].digest


def test_lake_runs_runs_of_alphabets_that_do_not_test_are_not_asked(dataset, rosters):
    eval_tasks = make_test_tasks(rosters[1], rosters[2], runs_of(dataset, 0), SIZE)
    assert "lake_runs" not in {task.key for task in eval_tasks.episode_tasks}


def test_alphabets_too_small_are_named(rosters):
    eval_tasks = make_validation_tasks(rosters[0], replace(SIZE, way=6))
    assert eval_tasks.episode_tasks[0].protocol.endswith(
        "1 alphabets; left out as too small: AlphabetB"
    )
    eval_tasks = make_test_tasks(rosters[1], rosters[2], None, replace(SIZE, way=8))
    assert eval_tasks.episode_tasks[0].protocol.endswith(
        "1 alphabets; left out as too small: AlphabetD"
    )


def test_indices_hold_every_image_once(dataset, rosters):
    eval_tasks = make_test_tasks(rosters[1], rosters[2], runs_of(dataset, 11), SIZE)
    used = set(eval_tasks.pairs.first.tolist()) | set(eval_tasks.pairs.second.tolist())
    for task in eval_tasks.episode_tasks:
        used |= set(task.episodes.queries.tolist())
        used |= set(task.episodes.supports.flatten().tolist())
    assert eval_tasks.indices.tolist() == sorted(used)


def digests(eval_tasks):
    return [eval_tasks.pairs.digest, *(task.episodes.digest for task in eval_tasks.episode_tasks)]


def test_the_lists_are_frozen_by_their_own_seed(rosters):
    def both(size):
        eval_tasks = (
            make_validation_tasks(rosters[0], size),
            make_test_tasks(rosters[1], rosters[2], None, size),
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
    longer = both(replace(SIZE, pairs=80, across=50, test_runs=9))
    kept = [a == b for a, b in zip(lists, longer, strict=True)]
    assert kept == [False, True, False, False, False, True]  # one_shot and paper


def test_different_pairs_can_be_kept_within_an_alphabet(dataset, rosters):
    for within in (False, True):
        size = replace(SIZE, within_alphabet=within)
        for eval_tasks in (
            make_validation_tasks(rosters[0], size),
            make_test_tasks(rosters[1], rosters[2], None, size),
        ):
            pairs = eval_tasks.pairs
            crossed = dataset.alphabets[pairs.first] != dataset.alphabets[pairs.second]
            assert bool(crossed.any()) != within
            assert pairs.same.sum() == 30


# By split=lake. All figures and comparisons in docs/ are of these lists.
LISTS = [
    {"pairs": "513ef6d7c1f10f06", "one_shot": "ddb3b7d99bac2be2"},
    {
        "pairs": "a7283fdf93097e9c", "lake_runs": "92444cf9fb63a7d1",
        "within_alphabet": "737eafd29da12a5a", "cross_alphabet": "73e6a0918f8626fc", "paper": "fd818fafcc447b47",
    },
]  # fmt: skip


@pytest.mark.omniglot
def test_real_eval_tasks_have_the_published_sizes(omniglot):
    dataset = omniglot.dataset
    split = split_dataset(dataset, "lake")
    part = {
        k: ClassIndex(dataset, getattr(split, k)) for k in ("validation", "test", "within_alphabet")
    }
    valid = make_validation_tasks(part["validation"], EvalConfig())
    eval_tasks = make_test_tasks(part["test"], part["within_alphabet"], omniglot.runs, EvalConfig())
    assert [valid.digests, eval_tasks.digests] == LISTS
    episodes = {task.key: task.episodes for task in eval_tasks.episode_tasks}
    assert list(episodes) == ["lake_runs", "within_alphabet", "cross_alphabet", "paper"]
    assert len(episodes["lake_runs"]) == len(episodes["paper"]) == 400
    assert len(episodes["within_alphabet"]) >= 10_000
    assert len(valid.pairs) == len(eval_tasks.pairs) == 10_000
    assert torch.isin(valid.indices, split.validation).all()
    assert torch.isin(eval_tasks.indices, split.test).all()
    assert "20 alphabets" in eval_tasks.episode_tasks[1].protocol
    alphabets = dataset.alphabets[episodes["within_alphabet"].queries].bincount()[30:]
    assert alphabets.tolist() == [500] * 20
    for listed in (valid.episode_tasks[0].n, *episodes.values()):
        queries, supports = listed.queries, listed.supports[..., 0]
        assert listed.supports.shape[1:] == (20, 1)
        right = supports.gather(1, listed.answers[:, None])[:, 0]
        assert torch.equal(dataset.classes[right], dataset.classes[queries])
        assert (dataset.classes[supports].sort(1).values.diff(dim=1) > 0).all()
        assert (dataset.drawers[supports] != dataset.drawers[queries][:, None]).all()
        share = listed.answers.bincount(minlength=20) / len(listed)
        assert (share - 0.05).abs().max() < (0.045 if len(listed) == 400 else 0.02)
    for key in ("lake_runs", "within_alphabet", "paper"):
        of = dataset.alphabets[episodes[key].supports[..., 0]]
        assert (of == of[:, :1]).all()


@pytest.mark.omniglot
@pytest.mark.parametrize(("rule", "alphabets"), [("koch", 10), ("koch40", 10)])
def test_real_within_alphabet_under_other_rules(omniglot, rule, alphabets):
    """All drawers, and no alphabet that validates."""
    dataset = omniglot.dataset
    split = split_dataset(dataset, rule)
    eval_tasks = make_test_tasks(
        ClassIndex(dataset, split.test),
        ClassIndex(dataset, split.test_all_drawers),
        omniglot.runs,
        EvalConfig(),
    )
    episodes = eval_tasks.episode_tasks[1].n
    assert len(episodes) == 10_000
    assert len(dataset.alphabets[episodes.queries].unique()) == alphabets
    assert len(dataset.drawers[episodes.queries].unique()) == 20
    assert not torch.isin(eval_tasks.indices, torch.cat([split.train, split.validation])).any()
    pairs = torch.cat([eval_tasks.pairs.first, eval_tasks.pairs.second])
    assert torch.isin(pairs, split.test).all()
