"""One model, every list: counts against direct ones, each image embedded once."""

from __future__ import annotations

import pytest
import torch
from comparing import MACHINE, MORE, guessing, network, pixels
from torch import Tensor, nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.evaluator import Outcome, evaluate_model, without_embeddings
from siamese_oneshot.evaluation.models import EvaluatedModel
from siamese_oneshot.evaluation.evaluator import EpisodeResults
from siamese_oneshot.evaluation.scores import Score, alphabet_scores
from siamese_oneshot.evaluation.model_evaluation import TaskProvider
from siamese_oneshot.utils.errors import UserError


class Counting(PixelNearestNeighbor):
    """Notes every image that is embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def embed(self, images: Tensor) -> Tensor:
        self.seen += list(images)
        return super().embed(images)


def test_each_image_is_embedded_once(task_provider_with_mnist: TaskProvider) -> None:
    counting = Counting()
    model = EvaluatedModel("counting", counting, 16)
    outcome = evaluate_model(model, task_provider_with_mnist, MACHINE)
    assert len(counting.seen) == outcome.images
    assert outcome.images <= len(task_provider_with_mnist.loaded.dataset) + 90
    assert outcome.comparisons > 10 * outcome.images
    bits = torch.stack(counting.seen).flatten(1)
    alike = len(bits) - len(torch.unique(bits, dim=0))
    assert alike == 0


def test_scores_that_are_no_numbers_are_refused(task_provider: TaskProvider) -> None:
    model = network("broken")
    assert isinstance(model.scorer, nn.Module)
    for weight in model.scorer.parameters():
        weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="broken gives scores that are no numbers"):
        evaluate_model(model, task_provider, MACHINE)


def test_figures_equal_slow_counts(task_provider: TaskProvider, dataset: CharacterDataset) -> None:
    outcome = evaluate_model(pixels(), task_provider, MACHINE)
    flat = dataset.pixels.flatten(1).double() / 255
    for key in ("within_alphabet", "cross_alphabet", "few_5_5", "ways_test_04", "ways_train_06"):
        results = outcome.results[key]
        episodes, right = results.task.episodes, 0
        for query, ways, wanted in zip(
            episodes.queries, episodes.supports, episodes.answers, strict=True
        ):
            scores = [-float((flat[query] - flat[shots]).norm(dim=-1).mean()) for shots in ways]
            assert sorted(scores)[-1] > sorted(scores)[-2]  # no tie here
            right += max(range(len(scores)), key=scores.__getitem__) == int(wanted)
        assert results.correct == right
        assert results.n == len(episodes)


def test_every_figure_is_there_once_and_thresholds_come_from_validation(
    task_provider_with_mnist: TaskProvider,
) -> None:
    outcome = evaluate_model(network(), task_provider_with_mnist, MACHINE)
    keys = [(score.split, score.key) for score in outcome.scores]
    assert len(set(keys)) == len(keys)
    ways = [f"ways_{whose}_{way:02d}" for whose in ("test", "train") for way in range(1, 7)]
    assert {key for split, key in keys if split == "test"} == {
        "within_alphabet", "cross_alphabet", "paper", "few_5_1", "few_5_5", "verification", "unknown", "mnist",
        "assigned_yardstick", *ways,
    }  # fmt: skip
    assert {key for split, key in keys if split == "validation"} == {"one_shot", "verification"}
    assert outcome.test.verification.threshold == outcome.validation.verification.threshold
    scores = {score.key: score for score in outcome.scores if score.split == "test"}
    assert scores["mnist"].n == MORE.sample_mnist_episodes
    assert scores["ways_test_01"].value == 1.0
    assert scores["unknown"].n == 2 * scores["within_alphabet"].n
    assert scores["assigned_yardstick"].protocol.startswith("NOT one-shot episodes")
    assert scores["assigned_yardstick"].n == scores["within_alphabet"].n


def test_only_the_one_that_is_looked_at_keeps_its_embeddings(task_provider: TaskProvider) -> None:
    outcomes: list[Outcome] = []
    kept = []
    for model in (pixels(), guessing(), network("a"), network("b")):
        outcomes = without_embeddings([*outcomes, evaluate_model(model, task_provider, MACHINE)])
        kept.append([one.model.name for one in outcomes if one.embeddings is not None])
    assert kept == [["pixels"], ["pixels"], ["a"], ["a"]]


def test_unknown_is_judged_at_validations_threshold(task_provider: TaskProvider) -> None:
    outcome = evaluate_model(pixels(), task_provider, MACHINE)
    results = outcome.results["within_alphabet"]
    right = 0
    for scores, wanted in zip(
        results.scores.tolist(), results.task.episodes.answers.tolist(), strict=True
    ):
        others = [score for way, score in enumerate(scores) if way != wanted]
        right += max(scores) > outcome.reject_threshold
        right += max(others) <= outcome.reject_threshold
    (score,) = [score for score in outcome.scores if score.key == "unknown"]
    assert score.correct == right


def test_guessing_scores_at_rng_on_every_list(task_provider_with_mnist: TaskProvider) -> None:
    for score in evaluate_model(guessing(), task_provider_with_mnist, MACHINE).scores:
        if "verification" in score.key or score.key == "unknown":
            continue
        way = 10 if score.key == "mnist" else 5
        if score.key.startswith(("ways", "few")):
            way = int(score.key.split("_")[1 if score.key.startswith("few") else 2])
        spread = 4.5 * (1 / way * (1 - 1 / way) / score.n) ** 0.5
        assert score.value == pytest.approx(1 / way, abs=spread + 1e-9), score.key


def test_slow_models_answer_the_first_episodes_of_each_list(task_provider: TaskProvider) -> None:
    whole, part = (
        evaluate_model(pixels(), task_provider, MACHINE),
        evaluate_model(pixels(most=15), task_provider, MACHINE),
    )
    for key, results in part.results.items():
        assert results.n == min(15, whole.results[key].n)
        assert torch.equal(results.picks, whole.results[key].picks[:15])
        if whole.results[key].n > 15:
            assert "the first 15 of" in results.task.protocol


def test_alphabets_by_hand(dataset: CharacterDataset) -> None:
    queries = torch.tensor([0, 1, 2, 6 * 6, 6 * 6 + 1])  # three of AlphabetA, two of AlphabetB
    episodes = Episodes(queries, torch.zeros(5, 2, 1, dtype=torch.int64), torch.zeros(5).long())
    picks = torch.tensor([0, 1, 1, 0, 0])
    results = EpisodeResults(
        EpisodeTask("within_alphabet", "", "rule", episodes), torch.zeros(5, 2), picks
    )
    best, other = alphabet_scores(results, dataset, "test")
    assert (best.name, best.correct, best.n) == ("AlphabetB", 2, 2)
    assert (other.name, other.correct, other.n) == ("AlphabetA", 1, 3)
    assert isinstance(best, Score)
