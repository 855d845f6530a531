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

from siamese_oneshot import setting
from siamese_oneshot.data.batches import Batches
from siamese_oneshot.data.distort import Warp, distort
from siamese_oneshot.data.exam import Exam, ExamSize, exam_for_test, validation_exam
from siamese_oneshot.data.learned import learned
from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.own.folder import OnBad
from siamese_oneshot.data.plan import Plan, Shares, StepSampler
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.source import Glyphs, Loaded, load_source, mixed_in
from siamese_oneshot.data.splice import Splice, spliced
from siamese_oneshot.data.splits import FIXED, Split, split_drawings
from siamese_oneshot.errors import UserError

_LARGEST = 512  # pixels along a side: Omniglot has 105, and all pictures are held in memory


class OneShotDataModule(pl.LightningDataModule):
    """Verification pairs and N-way episodes of one data set.

    A training batch reaches the LightningModule as a tuple of tensors on the device: ``(first,
    second, same)`` for pairs, each ``(n, 1, side, side)`` and ``(n,)``; ``(pictures,)`` for whole
    alphabets, ``(alphabets, characters, drawers, 1, side, side)``. A validation or test batch is
    ``(positions, pictures)``: each picture that the exam asks about comes by once. Where several
    processes train together, each has its part of every batch and of the exam's pictures.

    Args:
        batches: makes the training batches.
        size: pixels along a side, as the network reads them.
        source, root, download, fallback, glyphs, on_bad: see ``load_source``.
        generated: alphabets for batches to mix in, which are asked about in no exam.
        split, held_out: see ``split_drawings``.
        exam: how long the frozen lists are.
        seed: of the training batches.
        workers: processes that plan batches beside the training; 0 is fastest on small machines.
        chunk: pictures that go through the tower at once in validation and test.

    Raises:
        UserError: generated alphabets that no batch takes, or batches that want what is not there;
            when loading, a split or alphabets to hold out that these drawings do not have.
    """

    def __init__(
        self,
        batches: Batches,
        size: int,
        seed: int,
        source: str = "omniglot",
        root: str | None = None,
        download: bool = True,
        fallback: str | None = "glyphs",
        split: str = "lake",
        held_out: Sequence[str] | None = None,
        exam: ExamSize | None = None,
        glyphs: Glyphs | None = None,
        workers: int = 0,
        chunk: int = 256,
        on_bad: OnBad = "skip",
        generated: Glyphs | None = None,
    ) -> None:
        super().__init__()
        self.batches, self.size = batches, setting.whole("model.encoder.size", size, 1, _LARGEST)
        self.seed = setting.seed("seed", seed)
        self.source, self.root, self.download, self.fallback = source, root, download, fallback
        self.rule, self.held_out = split, held_out
        self.exam_size = exam or ExamSize()
        self.glyphs, self.generated = glyphs or Glyphs(), generated or Glyphs(alphabets=0)
        there = setting.whole("data.generated.alphabets", self.generated.alphabets, 0)
        if bool(there) != bool(batches.generated):
            raise UserError(
                f"data.generated.alphabets={there} says how many generated alphabets there are, "
                f"batches.generated={batches.generated:g} how many a batch has of them: set both, "
                "or neither; batches=pairs has none"
            )
        self.workers = setting.whole("data.workers", workers, 0)
        self.chunk = setting.whole("data.chunk", chunk, 1)
        self.on_bad = on_bad
        self.loaded: Loaded | None = None
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
            self.glyphs,
            self.root,
            self.download,
            self.fallback,
            self.on_bad,
        )
        self.warnings, self.digest = full.warnings, full.digest
        # Divided in full size, as in an evaluation: small pictures repeat each other more often.
        self.parts: Split = split_drawings(full.drawings, self.rule, self.held_out)
        self.drawings = drawings = full.drawings.resized(self.size)
        self.loaded = replace(full, drawings=drawings)
        if self.parts.name != self.rule and self.source == drawings.source:
            raise UserError(
                f"data.split={self.rule}: it is of Omniglot's alphabets; data.source={self.source} "
                f"is divided by data.split={self.parts.name}: give that, or leave it out"
            )
        if self.held_out is not None and self.parts.name in FIXED:
            if self.source == drawings.source:
                raise UserError(
                    f"data.held_out={','.join(self.held_out)}: data.split={self.parts.name} itself "
                    "says what validates; leave it out, or choose another data.split"
                )
            self.held_out = None  # alphabets of Omniglot, which could not be had
        if self.parts.blind:
            self.warnings += ("the validation alphabets were trained on: choose nothing by them",)
        self.train_roster = Roster(drawings, self.parts.train)
        self.everything, mixed = mixed_in(drawings, self.generated)
        extra = None if mixed is None else Roster(self.everything, mixed)
        self.stream = self.batches.prepare(self.train_roster, self.seed, extra)
        out, taken = self.batches.left_out, self.batches.taken
        small = list(out)
        if extra is not None:
            self.warnings += (f"{taken} generated alphabets were trained on, too",)
            few = len(extra.names) - taken
            small += [f"{few} of the generated alphabets"] if few else []
        if small:
            self.warnings += (f"not trained on, as too small for a batch: {', '.join(small)}",)
        chosen_by = Roster(drawings, self.parts.validation)
        self.learned = learned(drawings.source, self.train_roster, out, chosen_by, taken)
        self.validation: Exam = validation_exam(chosen_by, self.exam_size)
        self.test: Exam = exam_for_test(
            Roster(drawings, self.parts.test),
            Roster(drawings, self.parts.yardstick),
            self.loaded.runs,
            self.exam_size,
        )

    def train_dataloader(self) -> DataLoader[Plan]:
        """Plans of batches, in their own order."""
        rank, world = self._place
        return DataLoader(
            self.stream if world == 1 else Shares(self.stream, rank, world),
            batch_size=None,
            sampler=StepSampler(len(self.stream), self._steps_done),  # type: ignore[arg-type]
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
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
        """Positions of the validation exam's pictures."""
        return self._positions(self.validation)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Positions of the test exam's pictures."""
        return self._positions(self.test)

    @property
    def _place(self) -> tuple[int, int]:
        """This process's number, and how many train together."""
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )

    def _positions(self, exam: Exam) -> DataLoader[Tensor]:
        rank, world = self._place
        chunks: Any = list(exam.positions.tensor_split(world)[rank].split(self.chunk))
        return DataLoader(chunks, batch_size=None, generator=torch.Generator().manual_seed(0))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, ...]:
        """Gather the pixels and distort them, all on the batch's device."""
        if isinstance(batch, Tensor):
            return batch, self.pictures(batch)
        pictures = self.pictures(batch.positions, batch.matrix, batch.bend, batch.splice)
        if batch.same is not None:
            return pictures[0], pictures[1], batch.same
        return (pictures,)

    def pictures(
        self,
        positions: Tensor,
        matrix: Tensor | None = None,
        bend: Tensor | None = None,
        splice: Splice | None = None,
    ) -> Tensor:
        """The pictures at ``positions``, on their device.

        Args:
            positions: int64 of any shape.
            matrix, bend: how to distort them, shaped as in ``Plan``; None leaves them plain.
            splice: what to join to them first.

        Returns:
            float32 ``(*positions.shape, 1, side, side)``: 0 paper … 1 ink.
        """
        assert self.loaded is not None, "call setup() first"
        if self._pixels is None or self._pixels.device != positions.device:
            self._pixels = self.everything.pixels.to(positions.device)
        found = self._at(positions)
        if splice is not None:
            normal = splice.normal.repeat_interleave(splice.other[0].numel(), 0)
            found = spliced(found, self._at(splice.other), normal)
        if matrix is not None:
            flat = None if bend is None else bend.flatten(0, positions.ndim - 1)
            found = distort(found, Warp(matrix.flatten(0, positions.ndim - 1), flat))
        return found.unflatten(0, positions.shape)

    def _at(self, positions: Tensor) -> Tensor:
        """Plain pictures, ``(n, 1, side, side)``."""
        assert self._pixels is not None
        return self._pixels[positions.flatten()].unsqueeze(1).float().div_(255)


def _deaf(worker: int) -> None:
    """A terminal sends Ctrl-C to workers, too: the training decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
