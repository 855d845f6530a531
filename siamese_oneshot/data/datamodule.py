"""The LightningDataModule: indices travel through the loaders, pixels wait on the device."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from siamese_oneshot.data.augmentation import Warp, apply_warp
from siamese_oneshot.data.batch_spec import BatchSpec, RankShard, ResumableSampler
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.composite import Composite, compose_images
from siamese_oneshot.data.image_folder.folder import OnError
from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.samplers import TrainingSampler
from siamese_oneshot.data.sources import LoadedData, SyntheticConfig, load_source, mix_in_synthetic
from siamese_oneshot.data.splits import FIXED, Split, split_dataset
from siamese_oneshot.data.tasks import (
    EvalConfig,
    EvalTasks,
    make_test_tasks,
    make_validation_tasks,
)
from siamese_oneshot.data.training_summary import learned
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

_LARGEST = 512  # pixels along a side: Omniglot has 105, and all images are held in memory


class OneShotDataModule(pl.LightningDataModule):
    """Verification pairs and N-way episodes of one data set.

    A training batch reaches the LightningModule as a tuple of tensors on the device: ``(first,
    second, same)`` for pairs, each ``(n, 1, side, side)`` and ``(n,)``; ``(images,)`` for whole
    alphabets, ``(alphabets, characters, drawers, 1, side, side)``. A validation or test batch is
    ``(indices, images)``: each image that the evaluation tasks asks about comes by once. Where several
    processes train together, each has its part of every batch and of the evaluation tasks's images.

    Args:
        sampler: makes the training sampler.
        image_size: pixels along a side, as the network reads them.
        source, root, download, on_missing, glyphs, on_error: see ``load_source``.
        extra_synthetic: alphabets for batches to mix in, which are asked about in no evaluation tasks.
        split, held_out: see ``split_dataset``.
        evaluation tasks: how long the frozen lists are.
        seed: of the training sampler.
        num_workers: processes that plan batches beside the training; 0 is fastest on small machines.
        eval_batch_size: images that go through the encoder at once in validation and test.

    Raises:
        UserError: generated alphabets that no batch takes, or batches that want what is not there;
            when loading, a split or alphabets to hold out that these images do not have.
    """

    def __init__(
        self,
        sampler: TrainingSampler,
        image_size: int,
        seed: int,
        source: str = "omniglot",
        root: str | None = None,
        download: bool = True,
        on_missing: str | None = "synthetic",
        split: str = "lake",
        val_alphabets: Sequence[str] | None = None,
        eval: EvalConfig | None = None,
        synthetic: SyntheticConfig | None = None,
        num_workers: int = 0,
        eval_batch_size: int = 256,
        on_error: OnError = "skip",
        extra_synthetic: SyntheticConfig | None = None,
    ) -> None:
        super().__init__()
        self.sampler, self.image_size = (
            sampler,
            check.integer("image_size", image_size, 1, _LARGEST),
        )
        self.seed = check.seed("seed", seed)
        self.source, self.root, self.download, self.on_missing = source, root, download, on_missing
        self.rule, self.val_alphabets = split, val_alphabets
        self.eval_config = eval or EvalConfig()
        self.synthetic, self.extra_synthetic = (
            synthetic or SyntheticConfig(),
            extra_synthetic or SyntheticConfig(n_alphabets=0),
        )
        there = check.integer("n_alphabets", self.extra_synthetic.n_alphabets, 0)
        if bool(there) != bool(sampler.n_synthetic):
            raise UserError(
                f"data.extra_synthetic.n_alphabets={there} says how many generated alphabets there are, "
                f"sampler.n_synthetic={sampler.n_synthetic:g} how many a batch has of them: set both, "
                "or neither; sampler=bce_pairs has none"
            )
        self.num_workers = check.integer("num_workers", num_workers, 0)
        self.eval_batch_size = check.integer("eval_batch_size", eval_batch_size, 1)
        self.on_error = on_error
        self.loaded: LoadedData | None = None
        self._pixels: Tensor | None = None

    def prepare_data(self) -> None:
        """Fetch and decode once a machine, so that other processes find the cache."""
        self.load()

    def setup(self, stage: str | None = None) -> None:
        """Load, divide and draw the frozen lists; the same for every stage."""
        self.load()

    def load(self) -> None:
        """Do what ``setup`` promises, once."""
        if self.loaded is not None:
            return
        full = load_source(
            self.source,
            SIDE,
            self.synthetic,
            self.root,
            self.download,
            self.on_missing,
            self.on_error,
        )
        self.warnings, self.digest = full.warnings, full.digest
        # Divided in full size, as in an evaluation: small images repeat each other more often.
        self.parts: Split = split_dataset(full.dataset, self.rule, self.val_alphabets)
        self.dataset = dataset = full.dataset.resized(self.image_size)
        self.loaded = replace(full, dataset=dataset)
        if self.parts.name != self.rule and self.source == dataset.source:
            raise UserError(
                f"data.split={self.rule}: it is of Omniglot's alphabets; data.source={self.source} "
                f"is divided by data.split={self.parts.name}: give that, or leave it out"
            )
        if self.val_alphabets is not None and self.parts.name in FIXED:
            if self.source == dataset.source:
                raise UserError(
                    f"data.val_alphabets={','.join(self.val_alphabets)}: data.split={self.parts.name} itself "
                    "says what validates; leave it out, or choose another data.split"
                )
            self.val_alphabets = None  # alphabets of Omniglot, which could not be had
        if self.parts.blind:
            self.warnings += ("the validation alphabets were trained on: choose nothing by them",)
        self.train_index = ClassIndex(dataset, self.parts.train)
        self.everything, mixed = mix_in_synthetic(dataset, self.extra_synthetic)
        extra = None if mixed is None else ClassIndex(self.everything, mixed)
        self.stream = self.sampler.prepare(self.train_index, self.seed, extra)
        out, taken = self.sampler.left_out, self.sampler.taken
        small = list(out)
        if extra is not None:
            self.warnings += (f"{taken} generated alphabets were trained on, too",)
            few = len(extra.names) - taken
            small += [f"{few} of the generated alphabets"] if few else []
        if small:
            self.warnings += (f"not trained on, as too small for a batch: {', '.join(small)}",)
        chosen_by = ClassIndex(dataset, self.parts.validation)
        self.learned = learned(dataset.source, self.train_index, out, chosen_by, taken)
        self.validation: EvalTasks = make_validation_tasks(chosen_by, self.eval_config)
        self.test: EvalTasks = make_test_tasks(
            dataset, self.parts, self.loaded.runs, self.eval_config
        )

    def train_dataloader(self) -> DataLoader[BatchSpec]:
        """Plans of batches, in their own order."""
        rank, world = self._place
        return DataLoader(
            self.stream if world == 1 else RankShard(self.stream, rank, world),
            batch_size=None,
            sampler=ResumableSampler(len(self.stream), self._steps_done),  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_deaf,
            # Of its own: else each start draws from the process's, which dropout draws from, too.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _steps_done(self) -> int:
        if self.trainer is None:
            return 0
        # batches, not optimizer steps, which are fewer where gradients are accumulated
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        return int(progress.total.processed)  # type: ignore[attr-defined]

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Positions of the validation evaluation tasks's images."""
        return self._indices(self.validation)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Positions of the test evaluation tasks's images."""
        return self._indices(self.test)

    @property
    def _place(self) -> tuple[int, int]:
        """This process's number, and how many train together."""
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )

    def _indices(self, eval_tasks: EvalTasks) -> DataLoader[Tensor]:
        rank, world = self._place
        chunks: Any = list(eval_tasks.indices.tensor_split(world)[rank].split(self.eval_batch_size))
        return DataLoader(chunks, batch_size=None, generator=torch.Generator().manual_seed(0))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, ...]:
        """Gather the pixels and distort them, all on the batch's device."""
        if isinstance(batch, Tensor):
            return batch, self.images(batch)
        images = self.images(batch.indices, batch.matrix, batch.bend, batch.composite)
        if batch.same is not None:
            return images[0], images[1], batch.same
        return (images,)

    def images(
        self,
        indices: Tensor,
        matrix: Tensor | None = None,
        bend: Tensor | None = None,
        composite: Composite | None = None,
    ) -> Tensor:
        """The images at ``indices``, on their device.

        Args:
            indices: int64 of any shape.
            matrix, bend: how to distort them, shaped as in ``BatchSpec``; None leaves them plain.
            splice: what to join to them first.

        Returns:
            float32 ``(*indices.shape, 1, side, side)``: 0 paper … 1 ink.
        """
        assert self.loaded is not None, "call setup() first"
        if self._pixels is None or self._pixels.device != indices.device:
            self._pixels = self.everything.pixels.to(indices.device)
        found = self._at(indices)
        if composite is not None:
            normal = composite.normal.repeat_interleave(composite.other[0].numel(), 0)
            found = compose_images(found, self._at(composite.other), normal)
        if matrix is not None:
            flat = None if bend is None else bend.flatten(0, indices.ndim - 1)
            found = apply_warp(found, Warp(matrix.flatten(0, indices.ndim - 1), flat))
        return found.unflatten(0, indices.shape)

    def _at(self, indices: Tensor) -> Tensor:
        """Plain images, ``(n, 1, side, side)``."""
        assert self._pixels is not None
        return self._pixels[indices.flatten()].unsqueeze(1).float().div_(255)


def _deaf(worker: int) -> None:
    """A terminal sends Ctrl-C to workers, too: the training decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
