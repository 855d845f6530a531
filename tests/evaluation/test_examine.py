from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from siamese_oneshot.data.batches import generator_for
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import Exam, ExamSize, Question, validation_exam
from siamese_oneshot.data.pairs import Pairs
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.evaluation.baselines import Chance, PixelNeighbour
from siamese_oneshot.evaluation.examine import answer, examine, verify
from siamese_oneshot.evaluation.scoring import Embeddings


def subtract(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).sum(-1)


def exam_of(logits: Tensor, same: Tensor) -> tuple[Exam, Embeddings]:
    """Pairs whose scores under ``subtract`` are the given numbers: picture 0 is the number 0."""
    n = len(logits)
    vectors = torch.cat([logits.new_zeros(1), logits])[:, None]
    first, second = torch.arange(1, n + 1), torch.zeros(n, dtype=torch.int64)
    return Exam(Pairs(first, second, same), ()), Embeddings(torch.arange(n + 1), vectors)


def slow_auroc(logits: list[float], same: list[float]) -> float:
    """The share of (same, different) pairs of pairs in the right order; a tie is half."""
    wins = [
        1.0 if s > d else 0.5 if s == d else 0.0
        for s, is_same in zip(logits, same, strict=True)
        if is_same
        for d, other_same in zip(logits, same, strict=True)
        if not other_same
    ]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("step", [0.0, 0.5])  # with 0.5: many ties
@pytest.mark.parametrize("shift", [0.0, 500.0, -500.0])  # where a sigmoid would be 1 or 0
def test_auroc_counts_pairs_in_order(step: float, shift: float) -> None:
    chance = torch.Generator().manual_seed(3)
    same = (torch.rand(60, generator=chance) < 0.4).float()
    logits = torch.randn(60, generator=chance) + same
    if step:
        logits = (logits / step).round() * step
    logits = (logits * 64).round() / 64 + shift  # exact in float32 at any shift
    verified = verify(*exam_of(logits, same), subtract, None)
    assert verified.auroc == pytest.approx(slow_auroc(logits.tolist(), same.tolist()), abs=1e-6)


def test_a_collapsed_network_verifies_at_chance() -> None:
    same = (torch.arange(40) % 2).float()
    verified = verify(*exam_of(torch.full((40,), 1.7), same), subtract, None)
    assert verified.auroc == 0.5
    assert verified.accuracy == 0.5


def test_a_given_threshold_is_used() -> None:
    logits, same = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    exam, embeddings = exam_of(logits, same)
    at_two = verify(exam, embeddings, subtract, 2.0)
    assert (at_two.correct, at_two.trials, at_two.threshold) == (3, 4, 2.0)
    assert verify(exam, embeddings, subtract, 5.0).correct == 2
    chosen = verify(exam, embeddings, subtract, None)
    assert (chosen.correct, chosen.threshold) == (3, 0.5)
    assert at_two.accuracy == 0.75


class WithoutFloat64(Tensor):
    """Numbers on a device that has no float64, until they come to the CPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.double:
            raise TypeError("this device has no float64")
        found = super().__torch_function__(func, types, args, kwargs)
        return found.as_subclass(Tensor) if func is Tensor.cpu else found


def test_a_device_without_float64_will_do() -> None:
    logits, same = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    exam, embeddings = exam_of(logits, same)

    def on_device(one: Tensor, other: Tensor) -> Tensor:
        return subtract(one, other).as_subclass(WithoutFloat64)

    assert verify(exam, embeddings, on_device, None) == verify(exam, embeddings, subtract, None)


@pytest.mark.parametrize("start", [1.0, 2.0, 1e9])
def test_the_threshold_parts_logits_that_are_neighbours_in_float32(start: float) -> None:
    """A nearly collapsed network: half-way between two neighbours is no float32."""
    ladder = [torch.tensor(start)]
    for _ in range(6):
        ladder.append(torch.nextafter(ladder[-1], torch.tensor(torch.inf)))
    for cut in range(1, 7):
        same = torch.tensor([float(k >= cut) for k in range(7)])
        exam, embeddings = exam_of(torch.stack(ladder), same)
        assert verify(exam, embeddings, subtract, None).correct == 7


def test_an_exam_equals_slow_loops(drawings: Drawings) -> None:
    size = ExamSize(pairs=60, validation_runs=4, way=5)
    exam = validation_exam(Roster(drawings, drawings.positions()), size)
    pixels = PixelNeighbour(norm=1)
    pictures = drawings.pixels[exam.positions][:, None].float() / 255
    findings = examine(exam, Embeddings(exam.positions, pixels.embed(pictures)), pixels.score, -30)
    flat = drawings.pixels.flatten(1).double() / 255

    def score(one: int, other: int) -> float:
        return -float((flat[one] - flat[other]).abs().sum())

    pairs = zip(
        exam.pairs.first.tolist(), exam.pairs.second.tolist(), exam.pairs.same.tolist(), strict=True
    )
    right = sum((score(a, b) > -30) == bool(same) for a, b, same in pairs)
    assert (findings.verified.correct, findings.verified.trials) == (right, 60)
    trials = exam.questions[0].trials
    sure, possible = 0, 0  # ties are broken at random: count what must and what may be right
    for query, ways, wanted in zip(
        trials.queries.tolist(), trials.supports.tolist(), trials.answers.tolist(), strict=True
    ):
        scores = [score(query, shots[0]) for shots in ways]
        best = [way for way, value in enumerate(scores) if value == max(scores)]
        sure += best == [wanted]
        possible += wanted in best
    (answered,) = findings.answered
    assert answered.question is exam.questions[0]
    assert answered.trials == len(trials) == 20
    assert sure <= answered.correct <= possible
    assert answered.correct > 4  # the look-alikes are easier than guessing


def test_answers_come_in_the_order_of_the_questions() -> None:
    """Two lists: one always right, one never."""
    embeddings = Embeddings(torch.arange(3), torch.tensor([[0.0], [1.0], [5.0]]))
    queries, supports = torch.tensor([0, 0]), torch.tensor([[[1], [2]], [[1], [2]]])
    lists = [Trials(queries, supports, torch.full((2,), wanted)) for wanted in (0, 1)]
    questions = tuple(Question(str(k), "", "", one) for k, one in enumerate(lists))
    pairs = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([1.0, 0.0]))
    findings = examine(
        Exam(pairs, questions), embeddings, lambda a, b: -(a - b).abs().sum(-1), None
    )
    assert [one.accuracy for one in findings.answered] == [1.0, 0.0]
    assert [one.question.key for one in findings.answered] == ["0", "1"]


def test_a_collapsed_network_answers_at_chance(drawings: Drawings) -> None:
    """Faults 1 and 11 on the whole path: 1 / way, within the interval of so many trials."""
    size = ExamSize(pairs=10, validation_runs=400, way=5)
    roster = Roster(drawings, drawings.positions())
    exam = validation_exam(roster, size)
    guess = Chance()
    blank = torch.zeros(len(exam.positions), 1, 16, 16)
    trials = exam.questions[0].trials
    table = Embeddings(exam.positions, guess.embed(blank))
    for answers in (trials.answers, torch.zeros_like(trials.answers)):
        question = Question("one_shot", "", "", Trials(trials.queries, trials.supports, answers))
        answered = answer(question, table, guess.score)
        assert answered.trials == 2000
        assert answered.accuracy == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2000) ** 0.5)


def test_examining_draws_nothing_from_the_global_generator() -> None:
    chance = generator_for(0)
    exam, embeddings = exam_of(torch.rand(9, generator=chance), (torch.arange(9) % 2).float())
    before = torch.get_rng_state()
    examine(exam, embeddings, subtract, None)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(4))
def test_the_equal_error_rate_is_where_both_errors_meet(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    same = (torch.rand(400, generator=chance) < 0.4).float()
    logits = torch.randn(400, generator=chance) * 300 + 400 * same  # a sigmoid would be 0 or 1
    eer = verify(*exam_of(logits, same), subtract, None).eer
    rates = []
    for cut in logits.tolist():
        accepted = float((logits[same == 0] >= cut).float().mean())
        rejected = float((logits[same == 1] < cut).float().mean())
        rates.append((abs(accepted - rejected), (accepted + rejected) / 2))
    assert eer == pytest.approx(min(rates)[1], abs=0.004)


def test_answered_keeps_scores_and_picks() -> None:
    embeddings = Embeddings(torch.arange(3), torch.tensor([[0.0], [1.0], [5.0]]))
    trials = Trials(torch.tensor([0, 2]), torch.tensor([[[1], [2]], [[1], [0]]]), torch.ones(2))
    answered = answer(Question("", "", "", trials), embeddings, lambda a, b: -(a - b).abs().sum(-1))
    assert answered.scores.tolist() == [[-1, -5], [-4, -5]]
    assert answered.picks.tolist() == [0, 0]
    assert answered.right.tolist() == [False, False]
