"""One model on all lists: which lists they are, and counts against direct ones."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from eval_models import COMPUTE, CONFIG, PROTOCOLS, chance, mnist_like, network, pixels
from torch import Tensor, nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot import SMALL1, SMALL2
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.model_evaluation import (
    EvaluatedModel,
    TaskProvider,
    evaluate_model,
    primary,
)
from siamese_oneshot.utils.errors import UserError


class Counting(PixelNearestNeighbor):
    """Keeps every image that is embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def embed(self, images: Tensor) -> Tensor:
        self.seen += list(images)
        return super().embed(images)


def test_models_keep_the_split_that_they_were_trained_with(with_mnist: TaskProvider) -> None:
    own, other = with_mnist.tasks(network()), with_mnist.tasks(pixels())
    assert own.split.name == "ratio_60_20_20"
    elsewhere = network(split="koch", data_source="omniglot")  # trained on other data
    assert with_mnist.tasks(elsewhere).split.name == "ratio_60_20_20"
    assert (own.test, own.dataset) == (other.test, other.dataset)  # the same objects: drawn once
    assert own.dataset.pixels.shape[-1] == 16
    images, task = with_mnist.mnist_of(20)
    assert (images.pixels.shape, task.way) == ((90, 20, 20), 10)
    assert with_mnist.mnist_of(20)[0] is images


def test_other_images_of_the_same_source_are_refused(dataset: CharacterDataset) -> None:
    loaded = LoadedData(dataset, None)
    provider = TaskProvider(loaded, mnist_like(), "ratio_60_20_20", None, CONFIG, PROTOCOLS)
    for known in (
        {"data_digest": dataset.digest},
        {},
        {"data_digest": "x", "data_source": "folder"},
    ):
        assert provider.tasks(network(**known)).split.name == "ratio_60_20_20"
    with pytest.raises(UserError, match="tiny was trained on other synthetic images than these"):
        provider.tasks(network(data_digest="others"))


@pytest.mark.omniglot
def test_a_forced_split_may_not_test_training_classes(omniglot) -> None:
    def tasks(forced: str | None, **metadata: object):
        loaded = LoadedData(omniglot.dataset, omniglot.runs)
        provider = TaskProvider(loaded, None, "lake", forced, CONFIG, PROTOCOLS)
        # of full size, so that nothing is resized
        metadata = {"data_source": "omniglot", **metadata}
        return provider.tasks(replace(network(**metadata), size=105))

    assert tasks("vinyals", split="lake").split.name == "vinyals"
    with pytest.raises(UserError, match="trained or selected with split=koch40 on Angelic"):
        tasks("lake", split="koch40")
    with pytest.raises(UserError, match=r"split=koch on Angelic.*which split=lake tests"):
        tasks("lake", split="koch")
    # A network that was trained further on other images, from weights that know Omniglot.
    further = {"data_source": "folder", "split": "ratio_60_20_20"}
    began = {"data_source": "omniglot", "split": "koch40"}
    assert tasks(None, **further, init_from=began).split.name == "koch40"
    for known in (
        {"init_from": began},
        {"init_from": {**further, "init_from": began}},
        {"teachers": [further, {**further, "init_from": began}]},
    ):
        with pytest.raises(UserError, match="trained or selected with split=koch40 on Angelic"):
            tasks("lake", **further, **known)
    split = tasks(None, split="lake", val_alphabets=["Greek"]).split
    (greek,) = omniglot.dataset.alphabets[split.validation].unique().tolist()
    assert (split.name, omniglot.dataset.alphabet_names[greek]) == ("lake", "Greek")


@pytest.mark.parametrize("by", ["itself", "init_from", "teachers"])
def test_alphabets_whose_strokes_were_trained_on_are_not_tested(
    dataset: CharacterDataset, by: str
) -> None:
    def tasks(source: str, *names: str, val_alphabets: tuple[str, ...] | None = None):
        own: dict[str, object] = {"data_source": "generated", "stroke_alphabets": [*names] or None}
        own = {"itself": own, "init_from": {by: own}, "teachers": {by: [own]}}[by]
        loaded = LoadedData(replace(dataset, source=source), None)
        split = "fold_1_of_4"  # tests A, validates on B, trains on C and D
        provider = TaskProvider(loaded, None, split, None, CONFIG, PROTOCOLS, val_alphabets)
        return provider.tasks(network(**own))

    assert tasks("omniglot").warning is None
    assert tasks("omniglot", "AlphabetC", "AlphabetD").warning is None
    assert tasks("omniglot", "AlphabetB", "AlphabetD").warning == (
        "tiny learned from AlphabetB: its validation scores, thresholds and temperature are not of "
        "unseen alphabets"
    )
    with pytest.raises(UserError, match="tiny was trained on strokes of AlphabetA, which split=f"):
        tasks("omniglot", "AlphabetA", "AlphabetD")
    assert tasks("folder", "AlphabetA", "AlphabetB").warning is None  # other alphabets of that name


@pytest.mark.omniglot
def test_validation_on_alphabets_that_were_learned_from_is_said(omniglot) -> None:
    loaded = LoadedData(omniglot.dataset, omniglot.runs)

    def warning(val_alphabets: tuple[str, ...] | None = None, **metadata: object) -> str | None:
        provider = TaskProvider(loaded, None, "lake", None, CONFIG, PROTOCOLS, val_alphabets)
        return provider.tasks(replace(network(**metadata), size=105)).warning

    strokes = {"data_source": "generated", "stroke_alphabets": [*SMALL1, *SMALL2]}
    said = "tiny learned from Early_Aramaic, Japanese_(katakana): its validation scores, thresholds"
    said += " and temperature are not of unseen alphabets"
    assert warning(**strokes) == f"{said} (data.val_alphabets=[Bengali] leaves them out)"
    assert warning(("Bengali",), **strokes) is None
    seen = warning(data_source="omniglot", split="minimal1")
    assert seen is not None
    assert seen.startswith("tiny learned from Early_Aramaic: its")
    assert seen.endswith("alphabets")
    assert warning(data_source="omniglot", split="small1") is None


def test_each_image_is_embedded_once(with_mnist: TaskProvider) -> None:
    counting = Counting()
    model_results = evaluate_model(EvaluatedModel("counting", counting, 16), with_mnist, COMPUTE)
    assert len(counting.seen) == model_results.images
    assert model_results.images <= len(with_mnist.loaded.dataset) + 90
    assert model_results.comparisons > 10 * model_results.images
    bits = torch.stack(counting.seen).flatten(1)
    assert len(torch.unique(bits, dim=0)) == len(bits)


def test_scores_that_are_not_finite_are_refused(task_provider: TaskProvider) -> None:
    model = network("broken")
    assert isinstance(model.scorer, nn.Module)
    for weight in model.scorer.parameters():
        weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="broken produces scores that are not finite"):
        evaluate_model(model, task_provider, COMPUTE)


def test_accuracies_equal_slow_counts(
    task_provider: TaskProvider, dataset: CharacterDataset
) -> None:
    protocols = replace(PROTOCOLS, rotated_few_shot_episodes=30)
    provider = replace(task_provider, protocols=protocols, _made={})
    model_results = evaluate_model(pixels(), provider, COMPUTE)
    rotated = dataset.with_rotations(provider.tasks(pixels()).split.test_all_drawers)
    flat = rotated.pixels.flatten(1).double() / 255
    for key in (
        "within_alphabet", "cross_alphabet", "few_shot_5way_5shot", "way_curve_test_04",
        "way_curve_train_06", "rotated_few_shot_20way_1shot",
    ):  # fmt: skip
        results = model_results.results[key]
        episodes, correct = results.task.episodes, 0
        for query, ways, truth in zip(
            episodes.queries, episodes.supports, episodes.answers, strict=True
        ):
            scores = [-float((flat[query] - flat[shots]).norm(dim=-1).mean()) for shots in ways]
            assert sorted(scores)[-1] > sorted(scores)[-2]  # no tie here
            correct += max(range(len(scores)), key=scores.__getitem__) == int(truth)
        assert (results.correct, results.n) == (correct, len(episodes))
    for results in (model_results.validation, model_results.test):
        verification, pairs = results.verification, results.verification.tasks.pairs
        scores = -(flat[pairs.first] - flat[pairs.second]).norm(dim=-1)
        right = (scores > verification.threshold) == (pairs.same > 0.5)
        assert (verification.correct, verification.n) == (int(right.sum()), CONFIG.n_pairs)
    within, correct = model_results.results["within_alphabet"], 0
    for scores, truth in zip(within.scores.tolist(), within.task.episodes.answers, strict=True):
        others = [score for way, score in enumerate(scores) if way != truth]
        correct += max(scores) > model_results.reject_threshold
        correct += max(others) <= model_results.reject_threshold
    (score,) = [score for score in model_results.scores if score.key == "open_set"]
    assert (score.correct, score.n, score.kind) == (correct, 2 * within.n, "open_set")


def test_all_scores_are_there_once_and_thresholds_come_from_validation(
    with_mnist: TaskProvider,
) -> None:
    model_results = evaluate_model(network(), with_mnist, COMPUTE, {"quarter": lambda _: 0.25})
    assert model_results.summary == {"quarter": 0.25}
    keys = [(score.split, score.key) for score in model_results.scores]
    assert len(set(keys)) == len(keys)
    ways = [f"way_curve_{name}_{way:02d}" for name in ("test", "train") for way in range(1, 7)]
    assert {key for split, key in keys if split == "test"} == {
        "within_alphabet", "cross_alphabet", "koch_protocol", "few_shot_5way_1shot",
        "few_shot_5way_5shot", "verification", "open_set", "mnist", "assigned_within_alphabet",
        *ways,
    }  # fmt: skip
    assert {key for split, key in keys if split == "validation"} == {"one_shot", "verification"}
    validation, test = model_results.validation, model_results.test
    assert test.verification.threshold == validation.verification.threshold
    scores = {score.key: score for score in model_results.scores if score.split == "test"}
    assert scores["mnist"].n == PROTOCOLS.mnist_episodes
    assert scores["way_curve_test_01"].value == 1.0
    assert scores["assigned_within_alphabet"].n == scores["within_alphabet"].n
    assert scores["few_shot_5way_5shot"].shot == 5
    assert {one.kind for one in model_results.scores} == {
        "one_shot", "verification", "open_set", "assignment",
    }  # fmt: skip
    assert model_results.curve("way_curve_test") == {
        way: scores[f"way_curve_test_{way:02d}"] for way in range(1, 7)
    }


def test_the_first_network_is_plotted() -> None:
    models = [SimpleNamespace(model=one) for one in (pixels(), network("a"), network("b"))]
    assert primary(models).model.name == "a"  # type: ignore[arg-type]
    assert primary(models[:1]).model.name == "pixels"  # type: ignore[arg-type]


def test_chance_scores_one_in_way_on_every_list(with_mnist: TaskProvider) -> None:
    for score in evaluate_model(chance(), with_mnist, COMPUTE).scores:
        if score.kind in ("one_shot", "assignment"):
            assert score.way is not None
            spread = 4.5 * (1 / score.way * (1 - 1 / score.way) / score.n) ** 0.5
            assert score.value == pytest.approx(1 / score.way, abs=spread + 1e-9), score.key


def test_slow_models_answer_the_first_episodes_of_each_list(task_provider: TaskProvider) -> None:
    full, part = (
        evaluate_model(one, task_provider, COMPUTE) for one in (pixels(), pixels(limit=15))
    )
    for key, results in part.results.items():
        assert results.n == min(15, full.results[key].n)
        assert torch.equal(results.picks, full.results[key].picks[:15])
        if full.results[key].n > 15:
            assert "the first 15 of" in results.task.protocol
    skipping = replace(pixels(), skip_series=("few_shot", "way_curve_test"))
    model_results = evaluate_model(skipping, task_provider, COMPUTE)
    assert {one.series for one in model_results.scores} == {None, "way_curve_train"}
