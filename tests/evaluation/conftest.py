"""Desks for every test here; what sits at them is in ``comparing``."""

from __future__ import annotations

import pytest
from comparing import MORE, SIZE, mnist_like

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.model_evaluation import TaskProvider


@pytest.fixture
def task_provider(dataset: CharacterDataset) -> TaskProvider:
    """Without digits."""
    return TaskProvider(LoadedData(dataset, None), None, "ratio_60_20_20", None, SIZE, MORE)


@pytest.fixture
def task_provider_with_mnist(dataset: CharacterDataset) -> TaskProvider:
    """With ten classes that look like digits to a machine."""
    return TaskProvider(LoadedData(dataset, None), mnist_like(), "ratio_60_20_20", None, SIZE, MORE)
