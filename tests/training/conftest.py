"""The real data module on look-alikes, and one thread: more only wake each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from twins import STEPS, Data

from siamese_oneshot.data import datamodule
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import PairSampler
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.tasks import EvalConfig


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose more to waking threads than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(dataset: CharacterDataset, monkeypatch: pytest.MonkeyPatch) -> Data:
    """The real data module on the look-alikes: 2 alphabets train, 1 validates, 1 tests."""
    monkeypatch.setattr(datamodule, "load_source", lambda *a, **k: LoadedData(dataset, None))

    def make(
        batches: Any = None, cls: type[OneShotDataModule] = OneShotDataModule
    ) -> OneShotDataModule:
        eval_tasks = EvalConfig(n_pairs=40, val_runs=6, test_runs=4, n_cross_episodes=20, way=5)
        made = cls(
            batches or PairSampler(16, steps_per_epoch=STEPS), 16, 0, eval_tasks=eval_tasks, chunk=7
        )
        made.load()
        return made

    return make
