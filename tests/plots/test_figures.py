"""Every plot of a validation and of an evaluation is saved, and one that fails costs no other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.tasks import EvalConfig, ProtocolConfig
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.embeddings import ComputeConfig
from siamese_oneshot.evaluation.model_evaluation import (
    EvaluatedModel,
    ModelResults,
    TaskProvider,
    evaluate_model,
)
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.plots import figures
from siamese_oneshot.plots.figures import evaluation_figures, save_figures, validation_figures

SHARED = {"accuracy_vs_way", "mistakes", "confusions", "per_alphabet", "verification_scores"}


def network() -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], embedding_dim=16)
    return build_network(encoder, WeightedL1, "torch", 0).eval()  # type: ignore[arg-type]


@pytest.fixture
def all_results(dataset: CharacterDataset) -> list[ModelResults]:
    """Of a baseline and a network."""
    config = EvalConfig(
        n_pairs=40, val_runs=6, koch_runs=4, test_runs=8, n_cross_episodes=60, way=5
    )
    protocols = ProtocolConfig(max_way=4, episodes_per_way=20, few_shot_episodes=20)
    loaded = LoadedData(dataset, None)
    provider = TaskProvider(loaded, None, "ratio_60_20_20", None, config, protocols)
    net = network()
    models = [
        EvaluatedModel("pixels", PixelNearestNeighbor(), 16),
        EvaluatedModel("net", net, 16, TrainedModel("net", net, {})),
    ]
    return [evaluate_model(one, provider, ComputeConfig("cpu", "32-true")) for one in models]


def episodes(model_results: ModelResults) -> set[str]:
    """Koch's episodes have a correct and a wrong one, or one of them."""
    correct = model_results.results["koch_protocol"].is_correct
    return {"episode_correct"} & {"episode_correct" if correct.any() else ""} | (
        set() if correct.all() else {"episode_wrong"}
    )


def test_a_network_has_every_plot(
    all_results: list[ModelResults], dataset: CharacterDataset, tmp_path: Path
) -> None:
    saved = save_figures(evaluation_figures(all_results, dataset), tmp_path)
    assert set(saved) == SHARED | episodes(all_results[1]) | {"filters", "embedding_map"}
    for name, path in saved.items():
        assert path == tmp_path / f"{name}.png"
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_a_baseline_has_those_that_need_no_network(
    all_results: list[ModelResults], dataset: CharacterDataset, tmp_path: Path
) -> None:
    saved = save_figures(evaluation_figures(all_results[:1], dataset), tmp_path)
    assert set(saved) == SHARED | episodes(all_results[0])


def test_a_failing_plot_is_named(
    all_results: list[ModelResults],
    dataset: CharacterDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(figures, "draw_mistakes", fail)
    saved = save_figures(evaluation_figures(all_results[:1], dataset), tmp_path)
    assert set(saved) == (SHARED | episodes(all_results[0])) - {"mistakes"}
    assert "the plot mistakes cannot be made: no such luck" in caplog.text


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_plots_of_a_validation(
    all_results: list[ModelResults],
    dataset: CharacterDataset,
    tmp_path: Path,
    augmentation: Augmentation | None,
) -> None:
    made = validation_figures(
        dataset, all_results[1].validation, network(), augmentation, dataset.indices()
    )
    expected = SHARED | {"episode", "filters"} | ({"augmentations"} if augmentation else set())
    assert set(save_figures(made, tmp_path)) == expected
