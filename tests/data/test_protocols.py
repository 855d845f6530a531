"""Every list of an evaluation: whose pictures, how many ways and shots."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import Exam, ExamSize, Question
from siamese_oneshot.data.protocols import ProtocolSize, exams_of, first_trials, positions_of
from siamese_oneshot.data.splits import Split, split_drawings

SIZE = ExamSize(pairs=40, validation_runs=6, paper_runs=4, test_runs=8, across=60, way=5)
MORE = ProtocolSize(most_ways=21, ways_trials=30, few_shot_trials=40)


@pytest.fixture
def made(drawings: Drawings) -> tuple[Split, Exam, Exam]:
    split = split_drawings(drawings, "shares")
    return split, *exams_of(drawings, split, None, SIZE, MORE)


def test_every_list_asks_about_its_own_part(made: tuple[Split, Exam, Exam]) -> None:
    split, validation, test = made
    assert torch.isin(validation.positions, split.validation).all()
    for question in test.questions:
        part = split.train if question.key.startswith("ways_train") else split.test
        assert torch.isin(positions_of([question]), part).all(), question.key
    assert torch.isin(torch.cat([test.pairs.first, test.pairs.second]), split.test).all()


def test_ways_and_shots(made: tuple[Split, Exam, Exam]) -> None:
    _, _, test = made
    shapes = {one.key: (one.trials.way, one.trials.shot, len(one.trials)) for one in test.questions}
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
    assert [one.key for one in test.questions][:3] == ["yardstick", "across", "paper"]


def test_a_training_class_of_one_picture_leaves_out_the_lists_of_its_part(
    drawings: Drawings, made: tuple[Split, Exam, Exam]
) -> None:
    split, _, test = made
    first = int(drawings.classes[split.train[0]])
    kept = (drawings.classes[split.train] != first) | (drawings.drawers[split.train] == 0)
    fewer = exams_of(drawings, replace(split, train=split.train[kept]), None, SIZE, MORE)[1]
    assert [one.key for one in fewer.questions] == [
        one.key for one in test.questions if not one.key.startswith("ways_train")
    ]


def test_lists_differ_from_each_other_and_repeat(
    drawings: Drawings, made: tuple[Split, Exam, Exam]
) -> None:
    split, _, test = made
    digests = [one.trials.digest for one in test.questions]
    assert len(set(digests)) == len(digests)
    again = exams_of(drawings, split, None, SIZE, MORE)[1]
    assert [one.trials.digest for one in again.questions] == digests
    other = exams_of(drawings, split, None, replace(SIZE, seed=1), MORE)[1]
    assert not set(digests) & {one.trials.digest for one in other.questions}


def test_first_trials() -> None:
    trials = Trials(torch.arange(4), torch.arange(8).view(4, 2, 1), torch.tensor([0, 1, 1, 0]))
    question = Question("key", "title", "rule", trials)
    assert first_trials(question, None) is question
    assert first_trials(question, 4) is question
    short = first_trials(question, 3)
    assert short.protocol == "rule; the first 3 of 4 trials"
    assert (short.trials.queries.tolist(), short.trials.answers.tolist()) == ([0, 1, 2], [0, 1, 1])
    assert short.trials.supports.tolist() == [[[0], [1]], [[2], [3]], [[4], [5]]]
    assert positions_of([short]).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.omniglot
def test_real_lists_are_long_enough(omniglot) -> None:
    split = split_drawings(omniglot.drawings, "vinyals")
    _, test = exams_of(omniglot.drawings, split, omniglot.runs, SIZE, MORE)
    keys = [one.key for one in test.questions]
    assert "official" not in keys  # three of its alphabets train here
    assert {"few_5_1", "few_5_5", "few_20_1", "few_20_5"} < set(keys)
    assert keys.count("ways_test_21") == keys.count("ways_train_21") == 1
