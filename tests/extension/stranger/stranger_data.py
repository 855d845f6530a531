"""A data set, a sampler and an evaluation protocol outside the package."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import sample_episodes
from siamese_oneshot.data.samplers import BatchSpec, generator_for
from siamese_oneshot.data.splits import Split
from siamese_oneshot.data.tasks import EpisodeTask


def load_shapes(n_drawers: int = 6) -> CharacterDataset:
    """Five alphabets of six random patterns, which each drawer shifts by some pixels."""
    images, labels, alphabets, drawers = [], [], [], []
    for number in range(30):
        pattern = torch.rand(24, 24, generator=generator_for(1, number)) < 0.2
        for drawer in range(n_drawers):
            images.append(pattern.roll(drawer, 1).float())
            labels.append(f"shape{number % 6}")
            alphabets.append(f"Shapes{number // 6}")
            drawers.append(drawer)
    return CharacterDataset.from_arrays(
        torch.stack(images), labels, alphabets, drawers, source="shapes"
    )


class SamePairs:
    """Batches of pairs by the first two drawers; every second pair is different."""

    kind = "pairs"

    def __init__(self, batch_size: int, steps_per_epoch: int = 2) -> None:
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch

    def prepare(
        self, class_index: ClassIndex, seed: int, synthetic: ClassIndex | None = None
    ) -> SamePairs:
        self.table, self.seed = class_index.table, seed
        return self

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __getitem__(self, number: int) -> BatchSpec:
        rng = generator_for(self.seed, number)
        order = torch.randperm(len(self.table), generator=rng)[: self.batch_size]
        same = torch.arange(len(order)) % 2 == 0
        first = self.table[order, 0]
        second = torch.where(same, self.table[order, 1], self.table[order.roll(1), 1])
        return BatchSpec(torch.stack([first, second]), same=same.float())


def three_way(
    dataset: CharacterDataset, split: Split, seed: int, episodes: int = 10
) -> Iterator[EpisodeTask]:
    """3-way 2-shot episodes of the test characters."""
    class_index = ClassIndex(dataset, split.test)
    drawn = sample_episodes(class_index, episodes, generator_for(seed, 100), way=3, shot=2)
    yield EpisodeTask("three_way", "3-way 2-shot", "3-way 2-shot of test characters", drawn)
