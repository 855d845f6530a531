"""The LightningModule: a Siamese network, its loss and its optimizer.

from pytorch_lightning import Trainer
from siamese_oneshot import OmniglotDataModule, SiameseModule

Trainer(max_steps=1800).fit(SiameseModule(), datamodule=OmniglotDataModule())
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from siamese_oneshot.data.labeled_batches import group_by_class, pair_up, tasks_of_labels
from siamese_oneshot.data.samplers import KINDS, SAMPLERS
from siamese_oneshot.data.tasks import EvalTasks
from siamese_oneshot.evaluation.embeddings import Embeddings, embed_batch
from siamese_oneshot.evaluation.evaluator import (
    EvalResults,
    attention_of,
    best_reject_threshold,
    evaluate_tasks,
    middle_episode,
)
from siamese_oneshot.evaluation.metrics import best_temperature
from siamese_oneshot.models.optimizers import OptimizerSetup
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.utils.config import TRUSTED, describe, instantiate_plain, takes
from siamese_oneshot.utils.distributed import gathered, is_logged, least
from siamese_oneshot.utils.errors import ArgumentError, UserError

CHECKPOINT_VERSION = 2
MONITOR = "val/one_shot_error"  # the metric that model selection minimizes
_CLASSES = ("data_source", "data_digest", "split", "val_alphabets")  # they say which are learned
_INTENSITIES = "float from 0 (background) to 1 (foreground)"
_BRIGHTEST = 16  # above this images are surely not from 0 to 1, normalized ones included

Description = str | Mapping[str, Any]
Loss = Callable[..., Mapping[str, Tensor] | Tensor]
MakeOptimizer = Callable[..., OptimizerSetup]


class SiameseModule(pl.LightningModule):
    """Trains a Siamese network and evaluates it on one-shot episodes and verification pairs.

    Model, loss and optimizer are each given by the name of a file in ``conf/``, by a mapping with
    ``_target_`` (as in these files), or as an object.

    Batches of a ``OneShotDataModule`` are used as they come. Batches ``(images, labels)`` of any
    other loader, float ``(n, 1, image_size, image_size)`` from 0 (background) to 1 (foreground) and
    int64 ``(n,)``, are arranged into the pairs or episodes that the loss learns from. Validation
    then measures 20-way one-shot accuracy among the images of the loader.

    Args:
        model: Name in ``conf/model``, mapping, or ``SiameseNetwork``.
        loss: Name in ``conf/loss``, mapping, or ``(network, *batch) -> {"loss": ..., ...}``; a
            tensor alone is the loss.
        optimizer: Name in ``conf/optimizer``, mapping, or ``(named layers, total steps) ->
            OptimizerSetup``.
        ema_decay: Decay of the exponential moving average of the weights, 0 … 1. The average is
            validated, kept and tested. None trains without an average, and an averaging callback of
            the trainer takes precedence.
        channels_last: Use PyTorch's channels-last memory layout; it changes speed, not results.
        metadata: What a user of a checkpoint should know about the training; plain values. What the
            DataModules of this package know is added when a fit begins.
        trust: Modules, beside ``siamese_oneshot.models``, whose classes mappings may name; None
            allows all. ``load_from_checkpoint`` sets it.

    Attributes:
        eval_results: Results of the last validation or test.
        attention: There, where the query of a wrong episode looks; see `attention_of`.
        threshold: Logit above which a pair is called the same class; chosen by the last validation.
        reject_threshold: Logit up to which the best support counts as an unknown class; likewise.
        temperature: By which logits are divided for the probabilities of classes; likewise.

    Raises:
        ArgumentError: If a name is unknown, or an argument of a mapping cannot be used.
    """

    def __init__(
        self,
        model: Description | SiameseNetwork | None = "resnet_cross_attention",
        loss: Description | Loss = "episodic_ce_smooth",
        optimizer: Description | MakeOptimizer = "adamw",
        *,
        ema_decay: float | None = 0.998,
        channels_last: bool = True,
        metadata: dict[str, Any] | None = None,
        trust: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        trusted = None if trust is None else (*TRUSTED, *trust)
        network, model_description = _built("model", model, trusted)
        self.loss: Loss
        self.make_optimizer: MakeOptimizer
        self.loss, loss_description = _built("loss", loss, trusted)
        self.make_optimizer, optimizer_description = _built("optimizer", optimizer, trusted)
        with _argument_of("optimizer"):
            self.make_optimizer(network.named_layers, 1)  # refuse bad settings before training
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network: SiameseNetwork = network.to(memory_format=layout)
        learned = network.metadata  # of a network that was trained before
        self.ema_decay = ema_decay
        self.metadata = metadata or ({"init_from": dict(learned)} if learned else {})
        self.save_hyperparameters(
            {
                "model": model_description,
                "loss": loss_description,
                "optimizer": optimizer_description,
                "ema_decay": ema_decay,
                "channels_last": channels_last,
            }
        )
        self.eval_results: EvalResults | None = None
        self.attention: Tensor | None = None
        self.threshold: float | None = None
        self.reject_threshold: float | None = None
        self.temperature: float | None = None
        self.validated_step: int | None = None  # of the last validation
        self._embedded: list[tuple[Tensor, Tensor]] = []
        self._has_labels = False
        self._broken: Tensor | None = None  # the first step whose loss was not finite

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint_path: Any, *args: Any, trust: Sequence[str] = (), **kwargs: Any
    ) -> SiameseModule:
        """Load a module with its thresholds; nothing that the file holds is executed.

        Args:
            checkpoint_path: A ``.ckpt`` file.
            *args: As for Lightning's method.
            trust: Modules outside this package whose classes the file may name.
            **kwargs: Arguments of ``SiameseModule`` to change, such as ``model``.
        """
        kwargs.setdefault("weights_only", True)
        return super().load_from_checkpoint(checkpoint_path, *args, trust=trust, **kwargs)

    def configure_callbacks(self) -> list[Callback]:
        """The moving average of the weights, unless the trainer brings one of its own."""
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if self.ema_decay is None or any(isinstance(c, WeightAveraging) for c in callbacks):
            return []
        from siamese_oneshot.callbacks.ema import EMA

        return [EMA(self.ema_decay)]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(n,)`` of "same class" of two batches ``(n, 1, image_size, image_size)``.

        Their values are 0 (background) to 1 (ink).

        Raises:
            ArgumentError: For images of another size, or of integers.
        """
        for images in (first, second):
            self._check_images(images)
        return self.network(first, second)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        parts: Any = self.loss(self.network, *self._arranged(batch))
        if isinstance(parts, Tensor):
            parts = {"loss": parts}
        elif not isinstance(parts, Mapping) or "loss" not in parts:
            message = "it must return the loss as a tensor, or a mapping with an entry loss"
            raise ArgumentError("loss", type(self.loss).__name__, message=message)
        # Reading a value waits for a GPU, so values are checked only at the steps that are logged.
        logged = is_logged(self.trainer, self.global_step + 1)
        loss = parts["loss"].detach()
        broken = torch.where(torch.isfinite(loss), math.inf, float(self.global_step))
        self._broken = broken if self._broken is None else torch.minimum(self._broken, broken)
        if logged or self.global_step == 0:
            if self.trainer.world_size > 1:  # a process that stops alone leaves the others waiting
                self._broken = least(self.trainer, self._broken)
            self.check_finite()
        if logged:
            shown = {f"train/{name}": value.detach() for name, value in parts.items()}
            self.log_dict(shown, sync_dist=self.trainer.world_size > 1)
        return parts["loss"]

    def _arranged(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """The batch in the form that the loss takes."""
        kind = getattr(self.loss, "sampler_kind", None)
        if not isinstance(batch, list | tuple):
            raise ArgumentError("batch", type(batch).__name__, "(images, labels)")
        self._check_images(batch[0])
        if len(batch) == 2:
            images, labels = batch
            if labels.is_floating_point():
                raise ArgumentError("labels", labels.dtype, "integers, the number of the class")
            if self.global_step == 0 and float(images.max()) > _BRIGHTEST:
                raise ArgumentError("images", f"up to {float(images.max()):g}", _INTENSITIES)
            return (pair_up if kind == "pairs" else group_by_class)(images, labels)
        given = "pairs" if len(batch) == 3 else "episode"
        if kind is not None and kind != given:
            name, sampler = type(self.loss).__name__, SAMPLERS.get(kind, kind)
            message = (
                f"it learns from {KINDS.get(kind, kind)}, but the batches are {KINDS[given]}: "
                f"choose sampler={sampler}"
            )
            raise ArgumentError("loss", name, message=message)
        return batch

    def _check_images(self, images: Tensor) -> None:
        size = int(self.network.encoder.image_size)  # type: ignore[arg-type]
        if tuple(images.shape[-3:]) != (1, size, size):
            expected = (
                f"(n, 1, {size}, {size}), the image size of the network: give the data that "
                "image_size, or the model's encoder another one"
            )
            raise ArgumentError("images", tuple(images.shape), expected)
        if not images.is_floating_point():
            raise ArgumentError("images", images.dtype, _INTENSITIES)

    def on_fit_start(self) -> None:
        """Note what is learned from, so that no command tests the network on that."""
        known = getattr(self.trainer.datamodule, "training_metadata", {})  # type: ignore[attr-defined]
        before, strokes = self.metadata, "stroke_alphabets"
        if any(before.get(key, known[key]) != known[key] for key in _CLASSES if key in known):
            before = {"init_from": before}  # it has learned from other images
        self.metadata = {**known, **before}
        if every := {*(before.get(strokes) or ()), *(known.get(strokes) or ())}:
            self.metadata[strokes] = sorted(every)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Validate after the last step, too, where ``max_steps`` ends within an epoch."""
        if self.trainer.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True  # Lightning validates before it stops

    def check_finite(self) -> None:
        """Check that the loss and the weights are finite since the last call.

        Raises:
            UserError: With the first step that was not, and what to change.
        """
        first = math.inf if self._broken is None else float(self._broken)
        weights = [weight.isfinite().all() for weight in self.network.parameters()]
        if first == math.inf and bool(torch.stack(weights).all()):
            return
        what, step = ("The loss is", int(first)) if first < math.inf else (
            "Weights are", self.global_step)  # fmt: skip
        rates = [group["lr"] for opt in self.trainer.optimizers for group in opt.param_groups]
        now = f" (now up to {max(rates):.3g})" if rates else ""
        half = "" if self.trainer.precision == "32-true" else ", train with precision 32-true"
        raise UserError(
            f"{what} not finite at step {step}: lower the learning rate{now}, clip gradients "
            f"(gradient_clip_val){half}, or check the initialization. The last checkpoint is from "
            "before that step"
        )

    def configure_optimizers(self) -> Any:
        """The optimizer over the named layers; every parameter is in exactly one group."""
        total = int(self.trainer.estimated_stepping_batches)
        setup = self.make_optimizer(self.network.named_layers, total)
        # A fused step could unscale float16 gradients itself; Lightning then refuses to clip them,
        # in bfloat16, too, and logged gradient norms would be 65,536 times too large.
        setup.optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        grouped = [id(p) for group in setup.optimizer.param_groups for p in group["params"]]
        if sorted(grouped) != sorted(id(p) for p in self.network.parameters()):
            raise RuntimeError("a parameter is in no group of the optimizer, or in two")
        answer: dict[str, Any] = {"optimizer": setup.optimizer}
        if setup.scheduler is not None:
            answer["lr_scheduler"] = {"scheduler": setup.scheduler, "interval": setup.interval}
        return answer

    def on_validation_epoch_start(self) -> None:
        """Forget embeddings of an evaluation that was interrupted."""
        self._embedded.clear()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.check_finite()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """Embed each image once; embeddings are compared at the end of the epoch.

        Args:
            batch: ``(indices, images)`` of a ``OneShotDataModule``, or ``(images, labels)``.
            batch_idx: Unused.
        """
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            given = f"{len(batch)} tensors" if isinstance(batch, list | tuple) else type(batch)
            raise ArgumentError("batch", given, "(images, labels), also where losses take pairs")
        first, second = batch
        self._has_labels = first.ndim == 4
        keys, images = (second, first) if self._has_labels else (first, second)
        self._check_images(images)
        self._embedded.append((keys, embed_batch(self.network, images)))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Evaluate the validation tasks, and choose the thresholds and the temperature."""
        if self.trainer.sanity_checking:
            self._embedded.clear()
            return
        results = self._evaluate("validation", None)
        if results is None:
            return
        self.validated_step = self.global_step
        self.threshold = results.verification.threshold
        self.reject_threshold = best_reject_threshold(results.results[0])
        episodes = results.results[0]
        self.temperature = best_temperature(episodes.scores, episodes.task.episodes.answers)
        score = episodes.score("validation")  # with the interval of the final table
        self.log_dict(
            {
                "val/one_shot_accuracy": episodes.accuracy,
                "val/one_shot_ci_low": score.low,
                "val/one_shot_ci_high": score.high,
                MONITOR: 1 - episodes.accuracy,
                **{f"val/{one.task.key}_accuracy": one.accuracy for one in results.results[1:]},
                **_verification_metrics("val", results),
            }
        )

    def on_test_epoch_end(self) -> None:
        """Evaluate the test tasks at the threshold that validation has chosen.

        Without a validation before it, a pair is called the same class at a probability above 1/2.
        """
        results = self._evaluate("test", 0.0 if self.threshold is None else self.threshold)
        if results is None:
            return
        accuracies = {f"test/{one.task.key}_accuracy": one.accuracy for one in results.results}
        self.log_dict(accuracies | _verification_metrics("test", results))

    def _evaluate(self, stage: str, threshold: float | None) -> EvalResults | None:
        """Evaluate a stage; None where no episode has all of its images, as in a fast dev run."""
        own = (torch.cat(part) for part in zip(*self._embedded, strict=True))
        keys, vectors = gathered(*own)
        self._embedded.clear()
        if self._has_labels:
            tasks = tasks_of_labels(keys)
            keys = torch.arange(len(keys), device=keys.device)
        else:
            tasks = _available(getattr(self.trainer.datamodule, stage), keys.cpu())  # type: ignore[attr-defined]
        if not tasks.episode_tasks or not len(tasks.pairs):
            return None
        embeddings = Embeddings(keys, vectors)
        self.eval_results = evaluate_tasks(tasks, embeddings, self.network, threshold)
        episodes = self.eval_results.results[0]
        wrong = middle_episode(episodes, False)
        self.attention = attention_of(self.network, embeddings, episodes, wrong)
        return self.eval_results

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predict.

        Args:
            batch: Pairs of images ``(first, second)`` or ``(first, second, same)``, images alone,
                or a batch of ``validation_step``.
            batch_idx: Number of the batch.

        Returns:
            Probabilities of "same class" ``(n,)`` of pairs; else embeddings ``(n, embedding_dim)``.
        """
        parts = [batch] if isinstance(batch, Tensor) else list(batch)
        images = [part for part in parts if part.ndim == 4]
        if len(images) == 2:
            return self(*images).sigmoid()
        return self.network.embed(images[0])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how to build the network again, in plain values, and the thresholds.

        Raises:
            UserError: If weights are not finite; the checkpoint before stays.
        """
        self.check_finite()
        description, tta = self.hparams["model"], self.network.tta
        changed = isinstance(description, Mapping) and tta != description.get("tta", False)
        if changed and takes(description, "tta"):  # else its builder decides
            description = {**description, "tta": tta}
            checkpoint["hyper_parameters"]["model"] = description
        checkpoint["siamese_oneshot"] = {
            "version": CHECKPOINT_VERSION,
            "network": description,
            "metadata": self.metadata,
            "threshold": self.threshold,
            "reject_threshold": self.reject_threshold,
            "temperature": self.temperature,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the thresholds of the last validation and the metadata."""
        kept = checkpoint.get("siamese_oneshot") or {}
        self.threshold, self.reject_threshold = kept.get("threshold"), kept.get("reject_threshold")
        self.temperature = kept.get("temperature")
        self.metadata = self.metadata or kept.get("metadata") or {}


@contextmanager
def _argument_of(node: str) -> Iterator[None]:
    """Note which argument of the module an `ArgumentError` came from."""
    try:
        yield
    except ArgumentError as error:
        error.node = error.node or node
        raise


def _built(group: str, given: Any, trusted: Sequence[str] | None) -> tuple[Any, Any]:
    """An object, and its description in plain values (None where it was given as an object)."""
    if given is None:
        message = (
            f"the checkpoint does not say how its {group} was built, because it was given as an "
            f"object: pass {group}=..."
        )
        raise ArgumentError(group, None, message=message)
    if not isinstance(given, str | Mapping):
        return given, getattr(given, "description", None)
    with _argument_of(group):
        description = describe(group, given)
        return instantiate_plain(description, trusted), description


def _verification_metrics(stage: str, results: EvalResults) -> dict[str, float]:
    names = ("accuracy", "auroc", "eer")
    return {f"{stage}/verification_{name}": getattr(results.verification, name) for name in names}


def _available(tasks: EvalTasks, indices: Tensor) -> EvalTasks:
    """The tasks whose images were all embedded: all of them, unless batches were limited."""
    if bool(torch.isin(tasks.indices, indices).all()):
        return tasks
    pairs = tasks.pairs
    kept = torch.isin(pairs.first, indices) & torch.isin(pairs.second, indices)
    pairs = replace(
        pairs, first=pairs.first[kept], second=pairs.second[kept], same=pairs.same[kept]
    )
    episode_tasks = []
    for task in tasks.episode_tasks:
        drawn = task.episodes
        whole = torch.isin(drawn.queries, indices)
        whole &= torch.isin(drawn.supports, indices).flatten(1).all(1)
        if bool(whole.any()):
            some = type(drawn)(drawn.queries[whole], drawn.supports[whole], drawn.answers[whole])
            episode_tasks.append(replace(task, episodes=some))
    return EvalTasks(pairs, tuple(episode_tasks))
