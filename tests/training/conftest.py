"""The real data module on look-alikes, and one thread: more only wake each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from twins import STEPS, Data

from siamese_oneshot.data import datamodule
from siamese_oneshot.data.batches import PairBatches
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import ExamSize
from siamese_oneshot.data.source import Loaded


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose more to waking threads than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(drawings: Drawings, monkeypatch: pytest.MonkeyPatch) -> Data:
    """The real data module on the look-alikes: 2 alphabets train, 1 validates, 1 tests."""
    monkeypatch.setattr(datamodule, "load_source", lambda *a, **k: Loaded(drawings, None))

    def make(
        batches: Any = None, cls: type[OneShotDataModule] = OneShotDataModule
    ) -> OneShotDataModule:
        exam = ExamSize(pairs=40, validation_runs=6, test_runs=4, across=20, way=5)
        made = cls(batches or PairBatches(16, steps=STEPS), 16, 0, exam=exam, chunk=7)
        made.load()
        return made

    return make
