"""Lightning data modules. Index tensors travel through the loaders; the pixels stay on the device.

A training batch of the loader is a `BatchSpec`: which images, and how each is augmented. A
validation, test or prediction batch is an int64 tensor of image indices. `on_after_batch_transfer`,
which Lightning calls on the device, turns them into images; without a trainer call
``datamodule.images_of(batch)``.
"""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from siamese_oneshot.data.augmentation import apply_warp, compose_images
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder import OnError
from siamese_oneshot.data.omniglot import BACKGROUND
from siamese_oneshot.data.samplers import BatchSpec, ResumableSampler, TrainingSampler
from siamese_oneshot.data.sources import Source, load_source, mix_in_synthetic
from siamese_oneshot.data.splits import FIXED, FOLD, TEST_ONLY, Split, split_dataset
from siamese_oneshot.data.synthetic import SyntheticConfig
from siamese_oneshot.data.tasks import (
    EvalConfig,
    EvalTasks,
    make_test_tasks,
    make_validation_tasks,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import describe, instantiate_plain
from siamese_oneshot.utils.distributed import in_joblib_worker
from siamese_oneshot.utils.errors import ArgumentError

T = TypeVar("T")
log = logging.getLogger(__name__)

_MAX_SIZE = 512  # pixels along a side: all images are held in memory
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Linux keeps it


class OneShotDataModule(pl.LightningDataModule):
    """Training batches, verification pairs and N-way episodes of one dataset.

    Batches after `on_after_batch_transfer`; images are float32, 0 background … 1 foreground, and
    ``size`` is ``image_size``:

    - training, ``PairSampler``: ``(first, second, same)``, ``(n, 1, size, size)`` twice and
      float32 ``(n,)``;
    - training, ``EpisodeSampler``: ``(images,)``, of shape ``(alphabets, characters, drawers, 1,
      size, size)``;
    - validation, test and prediction: ``(indices, images)``, int64 ``(n,)`` and
      ``(n, 1, size, size)``. Each image of the evaluation tasks occurs once.

    In distributed training each process has its part of every batch and of the evaluation images.

    Args:
        sampler: Name of a file in ``conf/sampler``, a mapping with ``_target_``, or a
            `TrainingSampler`.
        image_size: Pixels along a side of the images that the network reads.
        seed: Seed of the training batches.
        source: A name (``omniglot``, ``synthetic``, ``folder``), a `CharacterDataset`, or a
            function that returns one; see `load_source`.
        root, download, on_missing, on_error: Settings of the source; see `load_source`.
        split: Name of the split; see `split_dataset`.
        val_alphabets: Alphabets to validate with; None for those of the split.
        eval: Sizes of the frozen lists of pairs and episodes.
        synthetic: Generated alphabets of the source ``synthetic`` and of ``on_missing``.
        extra_synthetic: Generated alphabets for training only; the sampler's ``n_synthetic`` says
            how many of them a batch has.
        num_workers: Processes that draw batches; 0 is fastest on small machines.
        eval_batch_size: Images that are embedded at once in validation and test.

    Attributes:
        dataset: All images of the source, ``image_size`` pixels along a side; set by ``setup``, as
            are the following ones.
        split: Indices of the training, validation and test images.
        train_index: The training images by class and drawer.
        train_batches: The prepared sampler: item k is batch k of the run, as a `BatchSpec`.
        validation, test: The evaluation tasks.
        training_data: Description of the training images, such as ``27 background alphabets by 20
            drawers (besides 3 for validation)``.
        stroke_alphabets: Omniglot's alphabets whose strokes generated ones were made of, sorted.
        n_train_images, n_train_classes: Of the alphabets that batches are drawn from.
        warnings: What a reader of results must know, one sentence each.
        digest: Hash of the source's images.
    """

    def __init__(
        self,
        *,
        sampler: str | Mapping[str, Any] | TrainingSampler = "episodic_ce_smooth",
        image_size: int = 52,
        seed: int = 0,
        source: Source = "omniglot",
        root: str | Path | None = None,
        download: bool = True,
        on_missing: str | None = "synthetic",
        on_error: OnError = "skip",
        split: str = "lake",
        val_alphabets: Sequence[str] | None = None,
        eval: EvalConfig | Mapping[str, Any] | None = None,
        synthetic: SyntheticConfig | Mapping[str, Any] | None = None,
        extra_synthetic: SyntheticConfig | Mapping[str, Any] | None = None,
        num_workers: int = 0,
        eval_batch_size: int = 256,
    ) -> None:
        super().__init__()
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if isinstance(sampler, str | Mapping):
            sampler = instantiate_plain(describe("sampler", sampler))
        self.sampler: TrainingSampler = sampler  # type: ignore[assignment]
        self.image_size = check.integer("image_size", image_size, 1, _MAX_SIZE)
        self.seed = check.seed("seed", seed)
        self.source, self.split_name, self.val_alphabets = source, split, val_alphabets
        self.eval_config = _config(EvalConfig, eval, EvalConfig())
        synthetic = _config(SyntheticConfig, synthetic, SyntheticConfig())
        self.on_missing = on_missing
        self._source_settings = root, download, on_missing, on_error, synthetic
        none = SyntheticConfig(n_alphabets=0, n_drawers=8)
        self.extra_synthetic = _config(SyntheticConfig, extra_synthetic, none)
        self.num_workers = check.integer("num_workers", num_workers, 0)
        self.eval_batch_size = check.integer("eval_batch_size", eval_batch_size, 1)
        n_extra = self.extra_synthetic.n_alphabets
        n_synthetic = getattr(self.sampler, "n_synthetic", None)
        if bool(n_extra) != bool(n_synthetic):
            message = (
                f"{type(self.sampler).__name__} mixes none into its batches: choose a loss whose "
                "batches are whole alphabets, or 0 here" if n_synthetic is None else
                f"the sampler's n_synthetic is {n_synthetic:g}: set both, the number of generated "
                "alphabets and their mean number in a batch, or neither"
            )  # fmt: skip
            raise ArgumentError("extra_synthetic.n_alphabets", n_extra, message=message)
        arguments |= {
            "sampler": self.sampler, "eval": self.eval_config,
            "synthetic": synthetic, "extra_synthetic": self.extra_synthetic,
        }  # fmt: skip
        self.save_hyperparameters(_plain(arguments), logger=False)
        self._is_set_up = False
        self._pixels: Tensor | None = None

    def prepare_data(self) -> None:
        """Download and decode once per machine, so that other processes find the cache."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load and split the images and draw the frozen lists, once for every stage."""
        if self._is_set_up:
            return
        loaded = load_source(self.source, *self._source_settings)
        self.warnings, self.digest = loaded.warnings, loaded.dataset.digest
        # Split in full size, as an evaluation does: small images are more often equal.
        self.split: Split = split_dataset(loaded.dataset, self.split_name, self.val_alphabets)
        self._check_split(loaded.dataset.source)
        if self.split.name == TEST_ONLY:
            message = "it has no training images: evaluate a trained network with it"
            raise ArgumentError("split", TEST_ONLY, message=message)
        self.dataset = loaded.dataset.resized(self.image_size)
        self.train_index = ClassIndex(self.dataset, self.split.train)
        validation = ClassIndex(self.dataset, self.split.validation)
        root = self._source_settings[0]
        self._all_images, extra, strokes = mix_in_synthetic(
            self.dataset,
            self.extra_synthetic,
            self.train_index.alphabet_names,
            None if self.source == "folder" else root,  # Omniglot's strokes are not in it
        )
        own: SyntheticConfig = self._source_settings[-1]
        is_generated = self.dataset.source == "synthetic"
        self.stroke_alphabets = tuple(sorted({*strokes, *(own.strokes_of if is_generated else ())}))
        if own != SyntheticConfig() and not is_generated:
            self.warn(
                f"data.synthetic is not used, since the images are those of {self.dataset.source}: "
                "data=synthetic trains on generated alphabets, data.extra_synthetic mixes them in"
            )
        if extra is None and self.extra_synthetic.style != "parts":
            self.warn(
                f"data.extra_synthetic.style={self.extra_synthetic.style} is not used: set "
                "data.extra_synthetic.n_alphabets and sampler.n_synthetic, too"
            )
        synthetic = None if extra is None else ClassIndex(self._all_images, extra)
        self.train_batches = self.sampler.prepare(self.train_index, self.seed, synthetic)
        excluded = getattr(self.sampler, "excluded_alphabets", ())
        used = getattr(self.sampler, "n_synthetic_used", 0)
        index = self.train_index
        owners = [index.alphabet_names[k] for k in index.class_alphabet.tolist()]
        drawn = torch.tensor([name not in excluded for name in owners])
        self.n_train_classes = int(drawn.sum())
        self.n_train_images = int((index.table[drawn] >= 0).sum())
        self.training_data = describe_training_data(
            self.dataset.source, self.train_index, excluded, validation, used, self.stroke_alphabets
        )
        if synthetic is not None:
            unused = len(synthetic.alphabet_names) - used
            others = f"; {unused} were too small for a batch" if unused else ""
            self.warnings += (f"{used} generated alphabets were trained on, too{others}",)
        self.validation: EvalTasks = make_validation_tasks(validation, self.eval_config)
        test_tasks = make_test_tasks(self.dataset, self.split, loaded.runs, self.eval_config)
        self.test: EvalTasks = test_tasks
        self._is_set_up = True  # the images in full size are not kept

    def _check_split(self, source: str) -> None:
        """Refuse a split or validation alphabets that these images do not have.

        Not if generated alphabets replace Omniglot, for which the settings were meant.
        """
        name, meant = self.split.name, self.on_missing is None
        meant = meant or self.source != "omniglot" or source == "omniglot"
        if name != self.split_name and meant:
            message = f"it divides Omniglot's alphabets; images of {source} are split by {name}"
            raise ArgumentError("split", self.split_name, message=message)
        if name != self.split_name:
            self.warn(f"split {name} takes the place of {self.split_name}, which divides Omniglot")
        if self.val_alphabets is not None and (name in FIXED or FOLD.fullmatch(name)):
            if meant:
                message = f"split={name} defines the validation alphabets itself"
                value = ",".join(self.val_alphabets)
                raise ArgumentError("val_alphabets", value, message=message)
            self.warn(f"val_alphabets={','.join(self.val_alphabets)} is not used: split {name} "
                       "has its own")  # fmt: skip
            self.val_alphabets = None
        if self.split.trains_on_validation:
            self.warn(
                "the validation alphabets were trained on: do not select a model by their scores"
            )

    def warn(self, message: str) -> None:
        """Say something at once, and with the results."""
        log.warning("%s", message)
        self.warnings += (message,)

    @property
    def training_metadata(self) -> dict[str, Any]:
        """What says which classes are learned from, in plain values; known after ``setup``."""
        return {
            "data_source": self.dataset.source,
            "data_digest": self.digest,
            "split": self.split.name,
            "val_alphabets": None if self.val_alphabets is None else list(self.val_alphabets),
            "n_extra_synthetic": self.extra_synthetic.n_alphabets,
            "stroke_alphabets": list(self.stroke_alphabets) or None,
            "trained_on": self.training_data,
        }

    def train_dataloader(self) -> DataLoader[BatchSpec]:
        """Training batches as `BatchSpec`, in the order of the run."""
        if self.num_workers and sys.platform == "linux" and not os.access(_SHARED_MEMORY, os.W_OK):
            raise ArgumentError(
                "num_workers",
                self.num_workers,
                message=f"worker processes need shared memory, and {_SHARED_MEMORY} cannot be "
                "written to; use 0, or give the container shared memory",
            )
        rank, world_size = self._rank_and_world_size
        shard = partial(BatchSpec.shard, rank=rank, world_size=world_size)
        return DataLoader(
            self.train_batches,
            batch_size=None,
            collate_fn=shard if world_size > 1 else None,
            sampler=ResumableSampler(len(self.train_batches), self._progress),  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            # A worker of joblib would start processes in its own way, which PyTorch's cannot.
            multiprocessing_context="fork" if self.num_workers and in_joblib_worker() else None,
            worker_init_fn=_ignore_signals,
            # Otherwise each start of an epoch draws from the process's generator, as dropout does.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Indices of the images of the validation tasks."""
        return self._index_loader(self.validation)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Indices of the images of the test tasks."""
        return self._index_loader(self.test)

    predict_dataloader = test_dataloader

    def _index_loader(self, tasks: EvalTasks) -> DataLoader[Tensor]:
        rank, world_size = self._rank_and_world_size
        mine = tasks.indices.tensor_split(world_size)[rank]
        batches: Any = list(mine.split(self.eval_batch_size))
        # They are this process's already: Lightning divides no loader that has such a sampler.
        divided = DistributedSampler[int](batches, 1, 0, shuffle=False) if world_size > 1 else None
        generator = torch.Generator().manual_seed(0)
        return DataLoader(batches, batch_size=None, sampler=divided, generator=generator)

    @property
    def _rank_and_world_size(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _progress(self) -> tuple[int, int] | None:
        """Batches trained on, and batches that the trainer takes of an epoch."""
        if self.trainer is None:
            return None
        # Batches, not optimizer steps, of which there are fewer with gradient accumulation.
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        done = int(total.processed)
        steps, limit = len(self.train_batches), self.trainer.limit_train_batches  # type: ignore[arg-type]
        return done, min(steps, limit) if isinstance(limit, int) else int(steps * (limit or 1))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, ...]:
        """`images_of`; called by Lightning on the device."""
        return self.images_of(batch)

    def images_of(self, batch: BatchSpec | Tensor) -> tuple[Tensor, ...]:
        """The tensors that the class describes for a batch of a loader, on the batch's device."""
        if isinstance(batch, Tensor):
            return batch, self._images(BatchSpec(batch))
        images = self._images(batch)
        if batch.same is not None:
            return images[0], images[1], batch.same
        return (images,)

    def _images(self, spec: BatchSpec) -> Tensor:
        """float32 ``(*spec.indices.shape, 1, image_size, image_size)``."""
        if not self._is_set_up:
            raise RuntimeError("call setup() first")
        indices, composite = spec.indices, spec.composite
        if self._pixels is None or self._pixels.device != indices.device:
            self._pixels = self._all_images.pixels.to(indices.device)
        pixels = self._pixels

        def plain(indices: Tensor) -> Tensor:
            return pixels[indices.flatten()].unsqueeze(1).float().div_(255)

        images = plain(indices)
        if composite is not None:
            normal = composite.normal.repeat_interleave(composite.other[0].numel(), 0)
            images = compose_images(images, plain(composite.other), normal)
        if spec.warp is not None:
            last = indices.ndim - 1
            images = apply_warp(images, spec.warp.map(lambda one: one.flatten(0, last)))
        return images.unflatten(0, indices.shape)


class OmniglotDataModule(OneShotDataModule):
    """Omniglot, found on this machine or downloaded; arguments as for `OneShotDataModule`."""

    def __init__(self, *, root: str | Path | None = None, **settings: Any) -> None:
        super().__init__(**{**settings, "source": "omniglot", "root": root})


class ImageFolderDataModule(OneShotDataModule):
    """A folder of images: ``class/image`` or ``alphabet/class/image``; see `load_folder`.

    Args:
        folder: The folder.
        **settings: As for `OneShotDataModule`.
    """

    def __init__(self, folder: str | Path, **settings: Any) -> None:
        settings = {"split": "ratio_60_20_20", **settings, "source": "folder", "root": folder}
        super().__init__(**settings)
        self.save_hyperparameters({"folder": str(folder)}, logger=False)


class SyntheticDataModule(OneShotDataModule):
    """Generated alphabets: no file, no network, the same for equal settings.

    Arguments as for `OneShotDataModule`; ``synthetic`` says how much is generated.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"split": "ratio_60_20_20", **settings, "source": "synthetic"})


def describe_training_data(
    source: str,
    train: ClassIndex,
    excluded: Sequence[str],
    validation: ClassIndex,
    n_synthetic: int,
    strokes_of: Sequence[str] = (),
) -> str:
    """Describe training data: ``27 background alphabets by 20 drawers (besides 3 for validation)``.

    Training alphabets that no batch has (``excluded``) are counted apart, and validation alphabets
    that are trained on only as training alphabets. ``n_synthetic`` is the number of generated
    alphabets in the batches, ``strokes_of`` the background alphabets that they are made of.
    """
    kept = [k for k, name in enumerate(train.alphabet_names) if name not in excluded]
    names = [train.alphabet_names[k] for k in kept]
    drawers = {drawer for k in kept for drawer in train.drawers_of(k).tolist()}
    kind = "background " if source == "omniglot" and set(names) <= set(BACKGROUND) else ""
    text = f"{len(names)} {kind}alphabet{'s' * (len(names) != 1)} by {len(drawers)} drawers"
    if source != "omniglot":
        text = f"{source}: {text}"
    val_only = [name for name in validation.alphabet_names if name not in train.alphabet_names]
    n_small = len(train.alphabet_names) - len(names)
    uses = {"for validation": len(val_only), "too small for a batch": n_small}
    if others := ", ".join(f"{n} {use}" for use, n in uses.items() if n):
        text += f" (besides {others})"
    text += f", and {n_synthetic} generated alphabets" if n_synthetic else ""
    if n := len(strokes_of):
        text += f", from strokes of {n} background alphabet{'s' * (n != 1)}"
    return text


def _plain(value: Any) -> Any:
    """A hyperparameter as plain values; objects become mappings with ``_target_``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, CharacterDataset):
        return value.source
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_plain(entry) for entry in value]
    if isinstance(value, partial):
        return {**_plain(value.func), **_plain(value.keywords)}
    if hasattr(value, "__qualname__"):  # a class or a function
        return {"_target_": f"{value.__module__}.{value.__qualname__}", "_partial_": True}
    names = [name for name in inspect.signature(type(value)).parameters if hasattr(value, name)]
    target = f"{type(value).__module__}.{type(value).__qualname__}"
    return {"_target_": target, **{name: _plain(getattr(value, name)) for name in names}}


def _config(kind: type[T], value: T | Mapping[str, Any] | None, default: T) -> T:
    """A configuration object from itself, from a mapping, or from None."""
    if not isinstance(value, Mapping):
        return default if value is None else value
    return instantiate_plain(value) if "_target_" in value else kind(**value)


def _ignore_signals(worker: int) -> None:
    """A terminal sends Ctrl-C to workers, too, but the training process decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
