"""Results of pairs and episodes against slow counts; confusions and assignments by hand."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor
from torchmetrics.functional.classification import binary_eer

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.pairs import Pairs
from siamese_oneshot.data.tasks import EpisodeTask, EvalTasks
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.embeddings import Embeddings
from siamese_oneshot.evaluation.evaluator import (
    Confusion,
    EpisodeResults,
    VerificationResults,
    alphabet_scores,
    assigned,
    attention_of,
    confusions,
    has_runs,
    middle_episode,
    verify_pairs,
)
from siamese_oneshot.evaluation.metrics import choose

LOGITS, SAME = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])


def verify(logits: Tensor, same: Tensor, threshold: float | None = None) -> VerificationResults:
    """Results on pairs with the given scores."""
    n = len(logits)
    pairs = Pairs(torch.arange(1, n + 1), torch.zeros(n, dtype=torch.int64), same)
    return verify_pairs(EvalTasks(pairs, (), "verification"), logits, threshold)


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
    expected = slow_auroc(logits.tolist(), same.tolist())
    assert verify(logits, same).auroc == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_equal_error_rate_is_where_both_errors_meet(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    same = (torch.rand(400, generator=rng) < 0.4).float()
    logits = torch.randn(400, generator=rng) * 300 + 400 * same  # a sigmoid would be 0 or 1
    rates = []
    for cut in logits.tolist():
        accepted = float((logits[same == 0] >= cut).float().mean())
        rejected = float((logits[same == 1] < cut).float().mean())
        rates.append((abs(accepted - rejected), (accepted + rejected) / 2))
    results, ranks = verify(logits, same), logits.argsort().argsort() / 400
    assert results.eer == pytest.approx(min(rates)[1], abs=0.004)
    assert results.eer == pytest.approx(float(binary_eer(ranks, same.long())), abs=1e-6)


def test_a_collapsed_network_verifies_at_chance_and_draws_nothing() -> None:
    before = torch.get_rng_state()
    verification = verify(torch.full((40,), 1.7), (torch.arange(40) % 2).float())
    assert verification.auroc == verification.accuracy == 0.5
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("given", "correct", "used"), [(2.0, 3, 2.0), (5.0, 2, 5.0), (None, 3, 0.5)]
)
def test_a_threshold_is_used_or_chosen(given: float | None, correct: int, used: float) -> None:
    results = verify(LOGITS, SAME, given)
    assert (results.correct, results.n, results.threshold) == (correct, 4, used)
    score = results.score("test")
    assert (score.key, score.split, score.kind) == ("verification", "test", "verification")
    assert (score.value, score.n, score.threshold) == (correct / 4, 4, used)
    assert (score.auroc, score.eer) == (results.auroc, results.eer)
    assert score.comparable_with == "verification"
    assert score.protocol == "half same, half different; threshold from validation"
    assert score.way is score.shot is score.series is None


@pytest.mark.parametrize("start", [1.0, 2.0, 1e9])
def test_the_threshold_parts_logits_that_are_neighbors_in_float32(start: float) -> None:
    """A nearly collapsed network: half-way between two neighbors is no float32."""
    ladder = [torch.tensor(start)]
    for _ in range(6):
        ladder.append(torch.nextafter(ladder[-1], torch.tensor(torch.inf)))
    for cut in range(1, 7):
        assert verify(torch.stack(ladder), (torch.arange(7) >= cut).float()).correct == 7


CLASSES = torch.arange(12) // 3  # four classes of three images


def episodes_of(rows: list[tuple[int, list[int], int]]) -> EpisodeResults:
    """Episodes of (query, one support image per way, predicted way)."""
    queries, supports, picks = (torch.tensor(column) for column in zip(*rows, strict=True))
    truth = (CLASSES[supports] == CLASSES[queries][:, None]).long().argmax(1)
    episodes = Episodes(queries, supports[..., None], truth)
    return EpisodeResults(EpisodeTask("", "", "", episodes), torch.zeros(len(rows), 3), picks)


def test_confusions_by_hand_and_the_surely_frequent_ones_first() -> None:
    rows = [
        (0, [1, 3, 6], 1),  # class 0 predicted as 1
        (3, [4, 0, 9], 1),  # class 1 predicted as 0
        (3, [4, 0, 9], 0),  # correct, with class 0 in the support set
        (6, [9, 7, 1], 0),  # class 2 predicted as 3
        (0, [9, 1, 8], 1),  # correct
    ]
    mistakes = [Confusion(0, 1, 2, 3), Confusion(2, 3, 1, 1)]
    assert confusions(episodes_of(rows), CLASSES) == mistakes
    found = confusions(episodes_of([rows[0], rows[2], rows[3]]), CLASSES)
    assert found == [Confusion(2, 3, 1, 1), Confusion(0, 1, 1, 2)]
    assert confusions(episodes_of(rows[4:]), CLASSES) == []
    # 1 of 1 is less certain to be frequent than 3 of 4 are, and 2 of 6 are fewer.
    found = confusions(episodes_of([*rows[:3], rows[0], rows[3]]), CLASSES)
    assert found == [Confusion(0, 1, 3, 4), Confusion(2, 3, 1, 1)]
    found = confusions(episodes_of([*rows[:2], *[rows[2]] * 4, rows[3]]), CLASSES)
    assert found == [Confusion(2, 3, 1, 1), Confusion(0, 1, 2, 6)]


def test_confusions_add_up_to_all_mistakes() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(200):
        order = torch.randperm(4, generator=rng)[:3].tolist()
        drawer = torch.randint(3, (4,), generator=rng).tolist()
        pick = int(torch.randint(3, (), generator=rng))
        supports = [3 * c + drawer[k] for k, c in enumerate(order)]
        rows.append((3 * order[0] + drawer[3], supports, pick))
    results = episodes_of(rows)
    found = confusions(results, CLASSES)
    assert sum(c.times for c in found) == results.n - results.correct > 50
    for c in found:
        pair = {c.first, c.second}
        shown = [s for q, s, _ in rows if int(CLASSES[q]) in pair]
        assert c.n == sum(pair <= set(CLASSES[torch.tensor(s)].tolist()) for s in shown)
    bounds = [binomtest(c.times, c.n).proportion_ci(method="wilson").low for c in found]
    assert bounds == sorted(bounds, reverse=True)


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


def test_the_middle_episode_and_where_it_looks() -> None:
    """Four episodes, of which the first two are wrong; the supports of a run are 100 and more."""
    results = run_results(torch.eye(2).repeat(2, 1), torch.tensor([1, 0, 0, 1]))
    assert middle_episode(results, False) == 1
    assert middle_episode(results, True) == 3
    right = run_results(torch.eye(2), torch.tensor([0, 1]))
    assert middle_episode(right, False) == 1, "of all, if none is wrong"
    indices = torch.tensor([0, 1, 2, 3, 100, 101, 102, 103])
    embeddings = Embeddings(indices, indices[:, None].float())

    class Network(PixelNearestNeighbor):
        def attention(self, first: Tensor, second: Tensor) -> Tensor:
            return first - second

    assert attention_of(PixelNearestNeighbor("l2"), embeddings, results, 3) is None
    looks = attention_of(Network("l2"), embeddings, results, 3)
    assert looks is not None
    assert looks.tolist() == [[3 - 102], [3 - 103]], "from the query to each support"


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
    answers = torch.arange(way).repeat(runs)
    joint = assigned(run_results(torch.full((runs * way, way), value), answers))
    assert joint is not None
    assert joint.accuracy == pytest.approx(1 / way, abs=0.04)
    assert all(len(set(run.tolist())) == way for run in joint.picks.split(way))


@pytest.mark.parametrize("fault", ["support", "answers", "length"])
def test_other_lists_have_no_runs(fault: str) -> None:
    results = run_results(torch.zeros(6, 3), torch.arange(3).repeat(2))
    episodes = results.task.episodes
    assert has_runs(episodes)
    supports, answers = episodes.supports.clone(), episodes.answers.clone()
    if fault == "support":
        supports[4, 0, 0] = 7
    if fault == "answers":
        answers[4] = answers[3]
    end = 5 if fault == "length" else 6
    broken = Episodes(episodes.queries[:end], supports[:end], answers[:end])
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
