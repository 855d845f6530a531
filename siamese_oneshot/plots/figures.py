"""The plots of a validation and of an evaluation by name, and saving them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.evaluation.evaluator import (
    EpisodeResults,
    EvalResults,
    VerificationResults,
    alphabet_scores,
    attention_of,
    middle_episode,
)
from siamese_oneshot.evaluation.metrics import accuracy_vs_way, best_temperature
from siamese_oneshot.evaluation.model_evaluation import ModelResults, primary
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.evaluation.tables import CURVES
from siamese_oneshot.plots.episode_plots import (
    draw_attention,
    draw_confusions,
    draw_episode,
    draw_mistakes,
)
from siamese_oneshot.plots.score_plots import (
    draw_accuracy_vs_way,
    draw_augmentations,
    draw_filters,
    draw_per_alphabet,
    draw_verification_scores,
)
from siamese_oneshot.plots.style import save
from siamese_oneshot.utils.hardware import can_fork, in_processes, shared_empty
from siamese_oneshot.utils.io import remove_temporary_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
_PROBLEMS = (ValueError, RuntimeError, OSError)  # of a plot, which must not end a training

Figures = Iterator[tuple[str, Callable[[], "Figure"]]]


def save_figures(figures: Figures, folder: Path) -> dict[str, Path]:
    """Draw figures and save them as PNG, in several processes; one that fails is a warning.

    Returns:
        The files by name.
    """
    made = [(name, folder / f"{name}.png", draw) for name, draw in figures]
    saved = shared_empty((len(made),), torch.bool).zero_()

    def make(number: int) -> None:
        _, path, draw = made[number]
        folder.mkdir(parents=True, exist_ok=True)
        save(draw(), path)
        saved[number] = True

    def try_to_make(number: int) -> None:
        with suppress(*_PROBLEMS):
            make(number)

    if can_fork():  # Matplotlib must not draw in threads
        import matplotlib.figure  # noqa: F401 once, and one cache of fonts, for all processes

        try:
            in_processes(try_to_make, range(len(made)))
        finally:
            remove_temporary_files(folder, below=False)
    for number in (~saved).nonzero().flatten().tolist():
        try:
            make(number)
        except _PROBLEMS as problem:
            log.warning("the plot %s cannot be made: %s", made[number][0], problem)
    return {name: path for (name, path, _), done in zip(made, saved.tolist(), strict=True) if done}


def evaluation_figures(all_results: Sequence[ModelResults], dataset: CharacterDataset) -> Figures:
    """The plots of an evaluation: the primary model's, and the way curves of all models.

    Args:
        all_results: One per model.
        dataset: The images in full size.
    """
    curves = {
        f"{each.model.name}: {name} set, across alphabets": [
            (way, score.value, score.low, score.high) for way, score in each.curve(series).items()
        ]
        for each in all_results
        for series, name in list(CURVES.items())[: 2 if each.model.trained else 1]
    }  # of baselines on test alphabets only
    model_results = primary(all_results)
    trained = model_results.model.trained
    protocol = "cross_alphabet_20way" if dataset.source == "omniglot" else ""
    yield "accuracy_vs_way", partial(draw_accuracy_vs_way, curves, protocol)
    results = model_results.results
    runs = results.get("lake_runs") or results["koch_protocol"]
    for name, correct in (("episode_correct", True), ("episode_wrong", False)):
        index = middle_episode(runs, correct)
        if bool(runs.is_correct[index]) == correct:
            yield name, partial(draw_episode, dataset, runs, "test", index)
    within, alphabets = results["within_alphabet"], model_results.alphabets
    verification = model_results.test.verification, model_results.temperature
    yield from _shared(dataset, within, alphabets, *verification, "test")
    if trained is not None:
        assert model_results.embeddings is not None, "the primary model keeps its embeddings"
        index = middle_episode(runs, False)
        attention = attention_of(model_results.model.scorer, model_results.embeddings, runs, index)
        if attention is not None:
            yield "attention", partial(draw_attention, dataset, runs, "test", index, attention)
        yield from _filters(trained.network)


def validation_figures(
    dataset: CharacterDataset,
    eval_results: EvalResults,
    network: nn.Module,
    sampler: object,
    train_indices: Tensor,
    attention: Tensor | None = None,
) -> Figures:
    """The plots of a validation during training.

    Args:
        dataset: The images.
        eval_results: Results on the validation lists.
        network: The network.
        sampler: Of the training, with its augmentations.
        train_indices: int64: training images, six of which are shown augmented.
        attention: Of the network in the `middle_episode` that is wrong; see `draw_attention`.
    """
    results, split = eval_results.results[0], "validation"
    index = middle_episode(results, False)
    yield "episode", partial(draw_episode, dataset, results, split, index)
    if attention is not None:
        yield "attention", partial(draw_attention, dataset, results, split, index, attention)
    alphabets = alphabet_scores(results, dataset, split)
    temperature = best_temperature(results.scores, results.task.episodes.answers)
    verification = eval_results.verification, temperature
    yield from _shared(dataset, results, alphabets, *verification, split)
    curves = {f"{split} set, within one alphabet": way_curve(results)}
    yield "accuracy_vs_way", partial(draw_accuracy_vs_way, curves)  # published ones are of tests
    yield from _filters(network)
    names = "augmentation", "alphabet_augmentation"
    own, shared = (getattr(sampler, name, None) for name in names)
    if own is not None or shared is not None:
        chosen = train_indices[:: max(1, len(train_indices) // 6)][:6]
        originals = dataset.pixels[chosen][:, None].float() / 255
        yield "augmentations", partial(draw_augmentations, originals, own, shared, generator_for(0))


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
    results: EpisodeResults,
    alphabets: Sequence[Score],
    verification: VerificationResults,
    temperature: float,
    split: str,
) -> Figures:
    """Plots of a list of episodes and of the pairs of a set."""
    pairs = (verification.scores, verification.same, verification.threshold, temperature, split)
    yield "mistakes", partial(draw_mistakes, dataset, results, split)
    yield "confusions", partial(draw_confusions, dataset, results, split)
    yield "per_alphabet", partial(draw_per_alphabet, alphabets)
    yield "verification_scores", partial(draw_verification_scores, *pairs)


def _filters(network: nn.Module) -> Figures:
    """The filters of the first convolution, if there is one."""
    convolution = next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)
    if convolution is not None:
        yield "filters", partial(draw_filters, convolution.weight.detach().float().cpu())
