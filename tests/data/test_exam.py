"""The frozen lists: how many trials of what, from which part, and hashed."""

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.exam import ExamSize, exam_for_test, official_trials, validation_exam
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splits import split_drawings

SIZE = ExamSize(pairs=60, validation_runs=6, paper_runs=4, test_runs=8, across=40, way=5)


@pytest.fixture(scope="module")
def rosters(drawings):
    """Validation: alphabets A and B (6 and 5 characters); test: C and D (8 and 7), 3 drawers."""
    return (
        Roster(drawings, drawings.positions(["AlphabetA", "AlphabetB"])),
        Roster(drawings, drawings.positions(["AlphabetC", "AlphabetD"], [0, 1, 2])),
        Roster(drawings, drawings.positions(["AlphabetC", "AlphabetD"])),
    )


def runs_of(drawings, first_class):
    """Two runs of three classes; in run r drawer 2r asks and drawer 2r + 1 is compared with."""
    supports, answers = torch.tensor([[0, 1, 2], [2, 0, 1]]), torch.tensor([[2, 0, 1], [1, 1, 1]])
    asked = supports.gather(1, answers)
    drawers = torch.tensor([[0], [2]])
    tests = (first_class + asked) * 6 + drawers
    return OfficialRuns(tests, (first_class + supports) * 6 + drawers + 1, answers)


def test_official_trials_against_a_loop(drawings):
    runs = runs_of(drawings, 11)
    trials = official_trials(runs)
    assert trials.supports.shape == (6, 3, 1)
    for run in range(2):
        for item in range(3):
            k = run * 3 + item
            assert trials.queries[k] == runs.tests[run, item]
            assert trials.supports[k, :, 0].tolist() == runs.supports[run].tolist()
            assert trials.answers[k] == runs.answers[run, item]
            right = trials.supports[k, trials.answers[k], 0]
            assert drawings.classes[right] == drawings.classes[trials.queries[k]]


def test_validation_asks_its_own_part_alone(drawings, rosters):
    exam = validation_exam(rosters[0], SIZE)
    (question,) = exam.questions
    assert (question.key, len(question.trials), question.trials.way) == ("one_shot", 30, 5)
    assert len(exam.pairs) == 60
    assert set(drawings.alphabets[exam.positions].tolist()) == {0, 1}
    counts = drawings.alphabets[question.trials.queries].bincount()
    assert counts.tolist() == [15, 15]
    assert question.protocol.endswith("2 alphabets")


def test_test_questions_by_key(drawings, rosters):
    exam = exam_for_test(rosters[1], rosters[2], runs_of(drawings, 11), SIZE)
    sizes = {question.key: len(question.trials) for question in exam.questions}
    assert sizes == {"official": 6, "yardstick": 40, "across": 40, "paper": 20}
    trials = {question.key: question.trials for question in exam.questions}
    for key in ("yardstick", "across"):
        assert trials[key].way == 5
        pictures = torch.cat([trials[key].queries, trials[key].supports.flatten()])
        assert set(drawings.alphabets[pictures].tolist()) == {2, 3}
        assert set(drawings.drawers[pictures].tolist()) == set(range(6))  # all drawers
    pictures = torch.cat([exam.pairs.first, exam.pairs.second])
    assert set(drawings.drawers[pictures].tolist()) == {0, 1, 2}
    by_the_paper = torch.cat([trials["paper"].queries, trials["paper"].supports.flatten()])
    assert set(drawings.drawers[by_the_paper].tolist()) == {0, 1, 2}  # the split's test drawers
    one_alphabet = {
        key: all(len(set(row)) == 1 for row in drawings.alphabets[t.supports[..., 0]].tolist())
        for key, t in trials.items()
    }
    assert one_alphabet == {
        "official": True, "yardstick": True, "across": False, "paper": True,
    }  # fmt: skip
    without = exam_for_test(rosters[1], rosters[2], None, SIZE)
    assert [question.key for question in without.questions] == ["yardstick", "across", "paper"]
    assert without.questions[0].trials.digest == trials["yardstick"].digest


def test_official_runs_of_alphabets_that_do_not_test_are_not_asked(drawings, rosters):
    exam = exam_for_test(rosters[1], rosters[2], runs_of(drawings, 0), SIZE)
    assert "official" not in {question.key for question in exam.questions}


def test_alphabets_too_small_are_named(rosters):
    exam = validation_exam(rosters[0], replace(SIZE, way=6))
    assert exam.questions[0].protocol.endswith("1 alphabets; left out as too small: AlphabetB")
    exam = exam_for_test(rosters[1], rosters[2], None, replace(SIZE, way=8))
    assert exam.questions[0].protocol.endswith("1 alphabets; left out as too small: AlphabetD")


def test_positions_hold_every_picture_once(drawings, rosters):
    exam = exam_for_test(rosters[1], rosters[2], runs_of(drawings, 11), SIZE)
    used = set(exam.pairs.first.tolist()) | set(exam.pairs.second.tolist())
    for question in exam.questions:
        used |= set(question.trials.queries.tolist())
        used |= set(question.trials.supports.flatten().tolist())
    assert exam.positions.tolist() == sorted(used)


def digests(exam):
    return [exam.pairs.digest, *(question.trials.digest for question in exam.questions)]


def test_the_lists_are_frozen_by_their_own_seed(rosters):
    def both(size):
        exams = validation_exam(rosters[0], size), exam_for_test(rosters[1], rosters[2], None, size)
        return digests(exams[0]) + digests(exams[1])

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


def test_different_pairs_can_be_kept_within_an_alphabet(drawings, rosters):
    for within in (False, True):
        size = replace(SIZE, within_alphabet=within)
        for exam in (
            validation_exam(rosters[0], size),
            exam_for_test(rosters[1], rosters[2], None, size),
        ):
            pairs = exam.pairs
            crossed = drawings.alphabets[pairs.first] != drawings.alphabets[pairs.second]
            assert bool(crossed.any()) != within
            assert pairs.same.sum() == 30


# By split=lake. All figures and comparisons in docs/ are of these lists.
LISTS = [
    {"pairs": "513ef6d7c1f10f06", "one_shot": "ddb3b7d99bac2be2"},
    {
        "pairs": "a7283fdf93097e9c", "official": "92444cf9fb63a7d1",
        "yardstick": "737eafd29da12a5a", "across": "73e6a0918f8626fc", "paper": "fd818fafcc447b47",
    },
]  # fmt: skip


@pytest.mark.omniglot
def test_real_exams_have_the_published_sizes(omniglot):
    drawings = omniglot.drawings
    split = split_drawings(drawings, "lake")
    part = {k: Roster(drawings, getattr(split, k)) for k in ("validation", "test", "yardstick")}
    valid = validation_exam(part["validation"], ExamSize())
    exam = exam_for_test(part["test"], part["yardstick"], omniglot.runs, ExamSize())
    assert [valid.digests, exam.digests] == LISTS
    trials = {question.key: question.trials for question in exam.questions}
    assert list(trials) == ["official", "yardstick", "across", "paper"]
    assert len(trials["official"]) == len(trials["paper"]) == 400
    assert len(trials["yardstick"]) >= 10_000
    assert len(valid.pairs) == len(exam.pairs) == 10_000
    assert torch.isin(valid.positions, split.validation).all()
    assert torch.isin(exam.positions, split.test).all()
    assert "20 alphabets" in exam.questions[1].protocol
    alphabets = drawings.alphabets[trials["yardstick"].queries].bincount()[30:]
    assert alphabets.tolist() == [500] * 20
    for listed in (valid.questions[0].trials, *trials.values()):
        queries, supports = listed.queries, listed.supports[..., 0]
        assert listed.supports.shape[1:] == (20, 1)
        right = supports.gather(1, listed.answers[:, None])[:, 0]
        assert torch.equal(drawings.classes[right], drawings.classes[queries])
        assert (drawings.classes[supports].sort(1).values.diff(dim=1) > 0).all()
        assert (drawings.drawers[supports] != drawings.drawers[queries][:, None]).all()
        share = listed.answers.bincount(minlength=20) / len(listed)
        assert (share - 0.05).abs().max() < (0.045 if len(listed) == 400 else 0.02)
    for key in ("official", "yardstick", "paper"):
        of = drawings.alphabets[trials[key].supports[..., 0]]
        assert (of == of[:, :1]).all()


@pytest.mark.omniglot
@pytest.mark.parametrize(("rule", "alphabets"), [("koch", 10), ("koch40", 10)])
def test_real_yardstick_under_other_rules(omniglot, rule, alphabets):
    """All drawers, and no alphabet that validates."""
    drawings = omniglot.drawings
    split = split_drawings(drawings, rule)
    exam = exam_for_test(
        Roster(drawings, split.test), Roster(drawings, split.yardstick), omniglot.runs, ExamSize()
    )
    trials = exam.questions[1].trials
    assert len(trials) == 10_000
    assert len(drawings.alphabets[trials.queries].unique()) == alphabets
    assert len(drawings.drawers[trials.queries].unique()) == 20
    assert not torch.isin(exam.positions, torch.cat([split.train, split.validation])).any()
    pairs = torch.cat([exam.pairs.first, exam.pairs.second])
    assert torch.isin(pairs, split.test).all()
