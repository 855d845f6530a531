"""Lists with MNIST for every test here; the models are in ``eval_models``."""

from __future__ import annotations

import pytest
from eval_models import CONFIG, PROTOCOLS, mnist_like

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.model_evaluation import TaskProvider


@pytest.fixture
def with_mnist(dataset: CharacterDataset) -> TaskProvider:
    """With ten classes of noise in place of MNIST."""
    return TaskProvider(
        LoadedData(dataset, None), mnist_like(), "ratio_60_20_20", None, CONFIG, PROTOCOLS
    )
