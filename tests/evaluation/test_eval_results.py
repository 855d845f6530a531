"""Results of pairs and episodes against slow counts; confusions and assignments by hand."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.pairs import Pairs
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.data.tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    make_validation_tasks,
)
from siamese_oneshot.evaluation.baselines import Chance, PixelNearestNeighbor
from siamese_oneshot.evaluation.embeddings import Embeddings
from siamese_oneshot.evaluation.evaluator import (
    Confusion,
    EpisodeResults,
    alphabet_scores,
    answer,
    assigned,
    confusions,
    evaluate_tasks,
    has_runs,
    open_set_score,
    verify_pairs,
)
from siamese_oneshot.evaluation.metrics import choose


def subtract(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).sum(-1)


def eval_tasks_of(logits: Tensor, same: Tensor) -> tuple[EvalTasks, Embeddings]:
    """Pairs whose scores under ``subtract`` are the given numbers: image 0 is the number 0."""
    n = len(logits)
    vectors = torch.cat([logits.new_zeros(1), logits])[:, None]
    first, second = torch.arange(1, n + 1), torch.zeros(n, dtype=torch.int64)
    return EvalTasks(Pairs(first, second, same), ()), Embeddings(torch.arange(n + 1), vectors)


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
    rng = torch.Generator().manual_seed(3)
    same = (torch.rand(60, generator=rng) < 0.4).float()
    logits = torch.randn(60, generator=rng) + same
    if step:
        logits = (logits / step).round() * step
    logits = (logits * 64).round() / 64 + shift  # exact in float32 at any shift
    verification = verify_pairs(*eval_tasks_of(logits, same), subtract, None)
    assert verification.auroc == pytest.approx(slow_auroc(logits.tolist(), same.tolist()), abs=1e-6)


def test_a_collapsed_network_verifies_at_chance() -> None:
    same = (torch.arange(40) % 2).float()
    verification = verify_pairs(*eval_tasks_of(torch.full((40,), 1.7), same), subtract, None)
    assert verification.auroc == 0.5
    assert verification.accuracy == 0.5


def test_a_given_threshold_is_used() -> None:
    logits, same = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    eval_tasks, embeddings = eval_tasks_of(logits, same)
    at_two = verify_pairs(eval_tasks, embeddings, subtract, 2.0)
    assert (at_two.correct, at_two.n, at_two.threshold) == (3, 4, 2.0)
    assert verify_pairs(eval_tasks, embeddings, subtract, 5.0).correct == 2
    chosen = verify_pairs(eval_tasks, embeddings, subtract, None)
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
    eval_tasks, embeddings = eval_tasks_of(logits, same)

    def on_device(one: Tensor, other: Tensor) -> Tensor:
        return subtract(one, other).as_subclass(WithoutFloat64)

    assert verify_pairs(eval_tasks, embeddings, on_device, None) == verify_pairs(
        eval_tasks, embeddings, subtract, None
    )


@pytest.mark.parametrize("start", [1.0, 2.0, 1e9])
def test_the_threshold_parts_logits_that_are_neighbors_in_float32(start: float) -> None:
    """A nearly collapsed network: half-way between two neighbors is no float32."""
    ladder = [torch.tensor(start)]
    for _ in range(6):
        ladder.append(torch.nextafter(ladder[-1], torch.tensor(torch.inf)))
    for cut in range(1, 7):
        same = torch.tensor([float(k >= cut) for k in range(7)])
        eval_tasks, embeddings = eval_tasks_of(torch.stack(ladder), same)
        assert verify_pairs(eval_tasks, embeddings, subtract, None).correct == 7


def test_validation_tasks_equal_slow_loops(dataset: CharacterDataset) -> None:
    size = EvalConfig(n_pairs=60, val_runs=4, way=5)
    eval_tasks = make_validation_tasks(ClassIndex(dataset, dataset.indices()), size)
    pixels = PixelNearestNeighbor("l1")
    images = dataset.pixels[eval_tasks.indices][:, None].float() / 255
    eval_results = evaluate_tasks(
        eval_tasks, Embeddings(eval_tasks.indices, pixels.embed(images)), pixels.score, -30
    )
    flat = dataset.pixels.flatten(1).double() / 255

    def score(one: int, other: int) -> float:
        return -float((flat[one] - flat[other]).abs().sum())

    pairs = zip(
        eval_tasks.pairs.first.tolist(),
        eval_tasks.pairs.second.tolist(),
        eval_tasks.pairs.same.tolist(),
        strict=True,
    )
    right = sum((score(a, b) > -30) == bool(same) for a, b, same in pairs)
    assert (eval_results.verification.correct, eval_results.verification.n) == (right, 60)
    episodes = eval_tasks.episode_tasks[0].episodes
    certain, possible = 0, 0  # ties are broken at random: count what must and what may be right
    for query, ways, truth in zip(
        episodes.queries.tolist(),
        episodes.supports.tolist(),
        episodes.answers.tolist(),
        strict=True,
    ):
        scores = [score(query, shots[0]) for shots in ways]
        best = [way for way, value in enumerate(scores) if value == max(scores)]
        certain += best == [truth]
        possible += truth in best
    (results,) = eval_results.results
    assert results.task is eval_tasks.episode_tasks[0]
    assert results.n == len(episodes) == 20
    assert certain <= results.correct <= possible
    assert results.correct > 4  # the look-alikes are easier than guessing


def test_answers_come_in_the_order_of_the_episode_tasks() -> None:
    """Two lists: one always right, one never."""
    embeddings = Embeddings(torch.arange(3), torch.tensor([[0.0], [1.0], [5.0]]))
    queries, supports = torch.tensor([0, 0]), torch.tensor([[[1], [2]], [[1], [2]]])
    lists = [Episodes(queries, supports, torch.full((2,), truth)) for truth in (0, 1)]
    episode_tasks = tuple(EpisodeTask(str(k), "", "", one) for k, one in enumerate(lists))
    pairs = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([1.0, 0.0]))
    eval_results = evaluate_tasks(
        EvalTasks(pairs, episode_tasks), embeddings, lambda a, b: -(a - b).abs().sum(-1), None
    )
    assert [one.accuracy for one in eval_results.results] == [1.0, 0.0]
    assert [one.task.key for one in eval_results.results] == ["0", "1"]


def test_a_collapsed_network_answers_at_chance(dataset: CharacterDataset) -> None:
    """Faults 1 and 11 on the whole path: 1 / way, within the interval of so many episodes."""
    size = EvalConfig(n_pairs=10, val_runs=400, way=5)
    class_index = ClassIndex(dataset, dataset.indices())
    eval_tasks = make_validation_tasks(class_index, size)
    chance = Chance()
    blank = torch.zeros(len(eval_tasks.indices), 1, 16, 16)
    episodes = eval_tasks.episode_tasks[0].episodes
    table = Embeddings(eval_tasks.indices, chance.embed(blank))
    for answers in (episodes.answers, torch.zeros_like(episodes.answers)):
        task = EpisodeTask(
            "one_shot", "", "", Episodes(episodes.queries, episodes.supports, answers)
        )
        results = answer(task, table, chance.score)
        assert results.n == 2000
        assert results.accuracy == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2000) ** 0.5)


def test_evaluating_draws_nothing_from_the_global_generator() -> None:
    rng = generator_for(0)
    eval_tasks, embeddings = eval_tasks_of(
        torch.rand(9, generator=rng), (torch.arange(9) % 2).float()
    )
    before = torch.get_rng_state()
    evaluate_tasks(eval_tasks, embeddings, subtract, None)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(4))
def test_the_equal_error_rate_is_where_both_errors_meet(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    same = (torch.rand(400, generator=rng) < 0.4).float()
    logits = torch.randn(400, generator=rng) * 300 + 400 * same  # a sigmoid would be 0 or 1
    eer = verify_pairs(*eval_tasks_of(logits, same), subtract, None).eer
    rates = []
    for cut in logits.tolist():
        accepted = float((logits[same == 0] >= cut).float().mean())
        rejected = float((logits[same == 1] < cut).float().mean())
        rates.append((abs(accepted - rejected), (accepted + rejected) / 2))
    assert eer == pytest.approx(min(rates)[1], abs=0.004)


def test_results_keeps_scores_and_picks() -> None:
    embeddings = Embeddings(torch.arange(3), torch.tensor([[0.0], [1.0], [5.0]]))
    episodes = Episodes(torch.tensor([0, 2]), torch.tensor([[[1], [2]], [[1], [0]]]), torch.ones(2))
    results = answer(
        EpisodeTask("", "", "", episodes), embeddings, lambda a, b: -(a - b).abs().sum(-1)
    )
    assert results.scores.tolist() == [[-1, -5], [-4, -5]]
    assert results.picks.tolist() == [0, 0]
    assert results.is_correct.tolist() == [False, False]


def test_verification_as_a_score() -> None:
    same = (torch.arange(40) % 2).float()
    eval_tasks, embeddings = eval_tasks_of(torch.linspace(-1, 1, 40), same)
    eval_tasks = EvalTasks(eval_tasks.pairs, (), "verification")
    results = verify_pairs(eval_tasks, embeddings, subtract, 0.0)
    score = results.score("test")
    assert (score.key, score.split, score.kind) == ("verification", "test", "verification")
    assert (score.value, score.n) == (results.correct / 40, 40)
    assert (score.auroc, score.eer, score.threshold) == (results.auroc, results.eer, 0.0)
    assert score.comparable_with == "verification"
    assert score.protocol == "half same, half different; threshold from validation"
    assert score.way is score.shot is score.series is None


CLASSES = torch.arange(12) // 3  # four classes of three images


def episodes_of(rows: list[tuple[int, list[int], int]]) -> EpisodeResults:
    """Episodes of (query, one support image per way, predicted way)."""
    queries, supports, picks = (torch.tensor(column) for column in zip(*rows, strict=True))
    truth = (CLASSES[supports] == CLASSES[queries][:, None]).long().argmax(1)
    episodes = Episodes(queries, supports[..., None], truth)
    task = EpisodeTask("lake_runs", "", "", episodes)
    return EpisodeResults(task, torch.zeros(len(rows), 3), picks)


def test_confusions_by_hand() -> None:
    results = episodes_of(
        [
            (0, [1, 3, 6], 1),  # class 0 predicted as 1
            (3, [4, 0, 9], 1),  # class 1 predicted as 0
            (3, [4, 0, 9], 0),  # correct, with class 0 in the support set
            (6, [9, 7, 1], 0),  # class 2 predicted as 3
            (0, [9, 1, 8], 1),  # correct
        ]
    )
    assert confusions(results, CLASSES) == [Confusion(0, 1, 2, 3), Confusion(2, 3, 1, 1)]


def test_of_equally_frequent_confusions_the_likelier_comes_first() -> None:
    results = episodes_of([(0, [1, 3, 6], 1), (3, [4, 0, 9], 0), (6, [9, 7, 1], 0)])
    assert [(c.first, c.second) for c in confusions(results, CLASSES)] == [(2, 3), (0, 1)]
    assert confusions(episodes_of([(0, [1, 3, 6], 0)]), CLASSES) == []


def test_confusions_add_up_to_all_mistakes() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(200):
        order = torch.randperm(4, generator=rng)[:3].tolist()
        drawer = torch.randint(3, (4,), generator=rng).tolist()
        pick = int(torch.randint(3, (), generator=rng))
        rows.append(
            (3 * order[0] + drawer[3], [3 * c + drawer[k] for k, c in enumerate(order)], pick)
        )
    results = episodes_of(rows)
    found = confusions(results, CLASSES)
    assert sum(c.times for c in found) == results.n - results.correct > 50
    for c in found:
        pair = {c.first, c.second}
        supports = [s for q, s, _ in rows if int(CLASSES[q]) in pair]
        assert c.n == sum(pair <= set(CLASSES[torch.tensor(s)].tolist()) for s in supports)
    assert [c.times for c in found] == sorted((c.times for c in found), reverse=True)


def run_results(scores: Tensor, answers: Tensor) -> EpisodeResults:
    """Runs of as many episodes as there are ways."""
    episodes, way = scores.shape
    runs = torch.arange(episodes) // way
    supports = (100 + runs[:, None] * way + torch.arange(way))[..., None]
    task = EpisodeTask(
        "lake_runs", "title", "protocol", Episodes(torch.arange(episodes), supports, answers),
        comparable_with="within_alphabet_20way",
    )  # fmt: skip
    return EpisodeResults(task, scores, choose(scores, torch.Generator().manual_seed(0)))


def test_the_assignment_is_the_best_of_all_permutations() -> None:
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 4, generator=rng)
    answers = torch.cat([torch.randperm(4, generator=rng) for _ in range(2)])
    joint = assigned(run_results(scores, answers))
    assert joint is not None
    for run in (0, 4):
        table = scores[run : run + 4]
        best = max(permutations(range(4)), key=lambda p: sum(table[k, c] for k, c in enumerate(p)))
        assert tuple(joint.picks[run : run + 4].tolist()) == best
    score = joint.score("test")
    assert (score.key, score.kind) == ("assigned_lake_runs", "assignment")
    assert score.comparable_with is None  # it is another task
    assert score.protocol.startswith("NOT one-shot classification")


@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_a_constant_network_is_correct_once_per_run(value: float) -> None:
    """All permutations are equally good, and have one fixed point on average."""
    runs, way = 300, 5
    joint = assigned(
        run_results(torch.full((runs * way, way), value), torch.arange(way).repeat(runs))
    )
    assert joint is not None
    assert joint.accuracy == pytest.approx(1 / way, abs=0.04)
    assert all(len(set(run.tolist())) == way for run in joint.picks.split(way))


@pytest.mark.parametrize("fault", ["support", "answers", "length"])
def test_other_lists_have_no_runs(fault: str) -> None:
    episodes = run_results(torch.zeros(6, 3), torch.arange(3).repeat(2)).task.episodes
    assert has_runs(episodes)
    supports, answers = episodes.supports.clone(), episodes.answers.clone()
    if fault == "support":
        supports[4, 0, 0] = 7
    if fault == "answers":
        answers[4] = answers[3]
    end = 5 if fault == "length" else 6
    broken = Episodes(episodes.queries[:end], supports[:end], answers[:end])
    assert not has_runs(broken)
    task = EpisodeTask("", "", "", broken)
    assert assigned(EpisodeResults(task, torch.zeros(end, 3), answers[:end])) is None


def test_alphabets_by_hand(dataset: CharacterDataset) -> None:
    queries = torch.tensor([0, 1, 2, 6 * 6, 6 * 6 + 1])  # three of AlphabetA, two of AlphabetB
    episodes = Episodes(queries, torch.zeros(5, 2, 1, dtype=torch.int64), torch.zeros(5).long())
    picks = torch.tensor([0, 1, 1, 0, 0])
    task = EpisodeTask("within_alphabet", "", "rule", episodes)
    scores = alphabet_scores(EpisodeResults(task, torch.zeros(5, 2), picks), dataset, "test")
    assert [(one.alphabet, one.correct, one.n, one.way) for one in scores] == [
        ("AlphabetB", 2, 2, 2), ("AlphabetA", 1, 3, 2),
    ]  # fmt: skip


def test_open_set_accuracy_by_hand() -> None:
    episodes = Episodes(
        torch.arange(2), torch.zeros(2, 3, 1, dtype=torch.int64), torch.zeros(2).long()
    )
    scores = torch.tensor([[3.0, 1.0, 0.0], [2.0, 5.0, 1.0]])  # without the class: 1 and 5
    results = EpisodeResults(EpisodeTask("", "", "", episodes), scores, scores.argmax(1))
    assert "tensor" not in repr(results)
    score = open_set_score(results, 2.5)
    assert (score.correct, score.n, score.kind) == (3, 4, "open_set")  # the last 5 is accepted
