"""The plots of a validation and of an evaluation by name, and saving them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.evaluation.evaluator import EpisodeResults, EvalResults, alphabet_scores
from siamese_oneshot.evaluation.metrics import accuracy_vs_way
from siamese_oneshot.evaluation.model_evaluation import ModelResults, primary
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.evaluation.tables import CURVES
from siamese_oneshot.plots.embedding_map import draw_embedding_map
from siamese_oneshot.plots.episode_plots import draw_confusions, draw_episode, draw_mistakes
from siamese_oneshot.plots.score_plots import (
    draw_accuracy_vs_way,
    draw_augmentations,
    draw_filters,
    draw_per_alphabet,
    draw_verification_scores,
)
from siamese_oneshot.plots.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
Figures = Iterator[tuple[str, Callable[[], "Figure"]]]


def save_figures(
    figures: Iterable[tuple[str, Callable[[], Figure]]], folder: Path
) -> dict[str, Path]:
    """Draw figures and save them as PNG; one that fails is a warning.

    Returns:
        The files by name.
    """
    saved = {}
    for name, draw in figures:
        try:
            figure = draw()
            folder.mkdir(parents=True, exist_ok=True)
            save(figure, folder / f"{name}.png")
            saved[name] = folder / f"{name}.png"
        except (ValueError, RuntimeError, OSError) as problem:
            log.warning("the plot %s cannot be made: %s", name, problem)
    return saved


def evaluation_figures(all_results: Sequence[ModelResults], dataset: CharacterDataset) -> Figures:
    """The plots of an evaluation: the primary model's, and the way curves of all models.

    Args:
        all_results: One per model.
        dataset: The images in full size.
    """
    curves = {
        f"{each.model.name}, {name} alphabets": [
            (way, score.value, score.low, score.high) for way, score in each.curve(series).items()
        ]
        for each in all_results
        for series, name in list(CURVES.items())[: 2 if each.model.trained else 1]
    }  # of baselines on test alphabets only
    yield "accuracy_vs_way", partial(draw_accuracy_vs_way, curves)
    model_results = primary(all_results)
    results = model_results.results
    runs = results.get("lake_runs") or results["koch_protocol"]
    for name, correct in (("episode_correct", True), ("episode_wrong", False)):
        matching = (runs.is_correct == correct).nonzero().flatten()
        if len(matching):  # the middle one
            yield name, partial(draw_episode, dataset, runs, int(matching[len(matching) // 2]))
    within, validation = results["within_alphabet"], model_results.validation.results[0]
    yield from _shared(dataset, within, validation, model_results.alphabets, model_results.test)
    if model_results.model.trained is not None:
        yield from _filters(model_results.model.trained.network)
        yield "embedding_map", partial(_embedding_map, dataset, model_results)


def validation_figures(
    dataset: CharacterDataset,
    eval_results: EvalResults,
    network: nn.Module,
    augmentation: Augmentation | None,
    train_indices: Tensor,
) -> Figures:
    """The plots of a validation during training.

    Args:
        dataset: The images.
        eval_results: Results on the validation lists.
        network: The network.
        augmentation: Of the training images; None if there is none.
        train_indices: int64: training images, six of which are shown augmented.
    """
    results = eval_results.results[0]
    yield "episode", partial(draw_episode, dataset, results, results.n // 2)
    alphabets = alphabet_scores(results, dataset, "validation")
    yield from _shared(dataset, results, results, alphabets, eval_results)
    yield "accuracy_vs_way", partial(draw_accuracy_vs_way, {"validation": way_curve(results)})
    yield from _filters(network)
    if augmentation is not None:
        chosen = train_indices[:: max(1, len(train_indices) // 6)][:6]
        originals = dataset.pixels[chosen][:, None].float() / 255
        draw = partial(draw_augmentations, originals, augmentation, generator_for(0))
        yield "augmentations", draw


def way_curve(results: EpisodeResults) -> list[tuple[int, float, float, float]]:
    """(way, accuracy, low, high) for 2 and more ways, computed from the episodes with all ways."""
    accuracies = accuracy_vs_way(results.scores, results.task.episodes.answers).tolist()
    return [
        (way, accuracy, *wilson(round(accuracy * results.n), results.n))
        for way, accuracy in enumerate(accuracies, start=1)
        if way > 1
    ]


def _shared(
    dataset: CharacterDataset,
    mistaken: EpisodeResults,
    confused: EpisodeResults,
    alphabets: Sequence[Score],
    eval_results: EvalResults,
) -> Figures:
    verification = eval_results.verification
    pairs = (verification.scores, verification.same, verification.threshold)
    yield "mistakes", partial(draw_mistakes, dataset, mistaken)
    yield "confusions", partial(draw_confusions, dataset, confused)
    yield "per_alphabet", partial(draw_per_alphabet, alphabets)
    yield "verification_scores", partial(draw_verification_scores, *pairs)


def _filters(network: nn.Module) -> Figures:
    """The filters of the first convolution, if there is one."""
    convolution = next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)
    if convolution is not None:
        yield "filters", partial(draw_filters, convolution.weight.detach().float().cpu())


def _embedding_map(dataset: CharacterDataset, model_results: ModelResults) -> Figure:
    """The map of the test alphabet whose number of characters is nearest to 26."""
    assert model_results.embeddings is not None, "the primary model keeps its embeddings"
    indices = model_results.embeddings.indices.cpu()
    alphabets = dataset.alphabets[indices]
    queries = model_results.results["within_alphabet"].task.episodes.queries
    tested = dataset.alphabets[queries].unique()
    sizes = torch.tensor(
        [len(dataset.classes[indices[alphabets == one]].unique()) for one in tested.tolist()]
    )
    shown = indices[alphabets == tested[(sizes - 26).abs().argmin()]]
    return draw_embedding_map(dataset, shown, model_results.embeddings[shown].cpu())
