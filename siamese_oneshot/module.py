"""The LightningModule: Siamese network, loss and optimizer, and nothing of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from siamese_oneshot.data.tasks import EvalTasks
from siamese_oneshot.evaluation.intervals import wilson
from siamese_oneshot.evaluation.one_shot_accuracy import OneShotAccuracy
from siamese_oneshot.evaluation.results import EvalResults, best_reject_threshold, evaluate_tasks
from siamese_oneshot.evaluation.scoring import Embeddings
from siamese_oneshot.models.optimizers import OptimizerSetup
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.utils.distributed import gathered, least
from siamese_oneshot.utils.errors import UserError

CHECKPOINT_VERSION = 2
ERROR = "val/one_shot_error"  # what checkpoints, early stopping and sweeps go by


class SiameseModule(pl.LightningModule):
    """Trains a Siamese network and examines it.

    Args:
        network: the twins.
        loss: ``(network, *batch)`` → ``loss`` and its parts.
        optimise: ``(named layers, total steps)`` → optimizer and schedule.
        description: plain configuration of the network, kept in checkpoints to build it anew.
        channels_last: lay images out so that convolutions run faster; same results.
        facts: what a user of a checkpoint should know of the run, plain values; kept in it.

    Attributes:
        findings: the outcome of the last evaluation tasks.
        threshold: the logit above which a pair is called same; set by the last validation.
        reject_threshold: the highest logit below which a query's class is called unknown; likewise.
    """

    def __init__(
        self,
        network: SiameseNetwork,
        loss: Callable[..., dict[str, Tensor]],
        make_optimizer: Callable[..., OptimizerSetup],
        description: dict[str, Any],
        channels_last: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.metadata = metadata or {}
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=layout)  # type: ignore[call-overload]
        self.loss, self.make_optimizer, self.description = loss, make_optimizer, description
        make_optimizer(
            self.network.named_layers, 1
        )  # a bad setting is refused before anything begins
        self.eval_results: EvalResults | None = None
        self.one_shot = OneShotAccuracy(sync_on_compute=False)  # each process has all episodes
        self.threshold: float | None = None
        self.reject_threshold: float | None = None
        self._embedded: list[tuple[Tensor, Tensor]] = []
        self._broken: Tensor | None = None  # the first step whose loss was not finite

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """One step of the loss on a batch of ``OneShotDataModule``."""
        parts = self.loss(self.network, *batch)
        # Reading a value waits for a GPU, so look for trouble only when it is logged anyway: at
        # the steps at which Lightning writes, which are counted over all epochs.
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        logged = (self.global_step + 1) % every == 0
        loss = parts["loss"].detach()
        broken = torch.where(torch.isfinite(loss), math.inf, float(self.global_step))
        self._broken = broken if self._broken is None else torch.minimum(self._broken, broken)
        if logged or self.global_step == 0:
            if self.trainer.world_size > 1:  # one that stops alone leaves the others waiting
                self._broken = least(self.trainer, self._broken)
            self.check_finite()
        if logged:
            shown = {f"train/{name}": value.detach() for name, value in parts.items()}
            self.log_dict(shown, sync_dist=self.trainer.world_size > 1)
        return parts["loss"]

    def on_train_batch_end(self, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Have the last step validated, too, where ``trainer.max_steps`` ends within an epoch.

        Else what was learned since the last whole epoch would never be looked at, nor kept.
        """
        if self.trainer.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True  # Lightning validates what it is about to stop

    def check_finite(self) -> None:
        """See to it that nothing has become infinite or NaN since the last time.

        Raises:
            UserError: where it began, and what to change.
        """
        first = math.inf if self._broken is None else float(self._broken)
        weights = [weight.isfinite().all() for weight in self.network.parameters()]
        if first == math.inf and bool(torch.stack(weights).all()):
            return
        what, step = ("the loss is", int(first)) if first < math.inf else (
            "weights are", self.global_step)  # fmt: skip
        rates = [group["lr"] for made in self.trainer.optimizers for group in made.param_groups]
        now = f" (now up to {max(rates):.3g})" if rates else ""
        half = "" if self.trainer.precision == "32-true" else ", set trainer.precision=32-true"
        raise UserError(
            f"{what} not finite at step {step}: lower optimizer.lr{now}, set "
            f"trainer.gradient_clip_val{half}, or look at the initialisation; the last checkpoint "
            "is of before"
        )

    def configure_optimizers(self) -> Any:
        """The optimizer over the network's named layers; every parameter is in one group."""
        total = int(self.trainer.estimated_stepping_batches)
        made = self.make_optimizer(self.network.named_layers, total)
        # A fused step could unscale float16's gradients itself; then Lightning refuses to clip, in
        # bfloat16, too, and logged norms would be 65,536 times too large.
        made.optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        grouped = [id(p) for group in made.optimizer.param_groups for p in group["params"]]
        if sorted(grouped) != sorted(id(p) for p in self.network.parameters()):
            raise RuntimeError("a parameter is in no group of the optimizer, or in two")
        answer: dict[str, Any] = {"optimizer": made.optimizer}
        if made.scheduler is not None:
            answer["lr_scheduler"] = {"scheduler": made.scheduler, "interval": made.interval}
        return answer

    def on_validation_epoch_start(self) -> None:
        """Forget what an evaluation tasks that was broken off has left."""
        self._embedded.clear()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.check_finite()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Embed images; each comes by once, whatever it is asked for."""
        indices, images = batch
        self._embedded.append((indices, self.network.embed(images).float()))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Score the validation evaluation tasks and choose the verification threshold."""
        if self.trainer.sanity_checking:
            self._embedded.clear()
            return
        eval_results = self._evaluate_tasks(self.trainer.datamodule.validation, None)  # type: ignore[attr-defined]
        self.threshold = eval_results.verification.threshold
        self.reject_threshold = best_reject_threshold(eval_results.results[0])
        asked = eval_results.results[0]
        self.one_shot.reset()
        self.one_shot.update(asked.scores, asked.task.episodes.answers)
        low, high = wilson(asked.correct, asked.n)
        self.log_dict(
            {
                "val/one_shot_accuracy": self.one_shot.compute(),
                "val/one_shot_ci_low": low,
                "val/one_shot_ci_high": high,
                ERROR: 1 - asked.accuracy,
                "val/verification_accuracy": eval_results.verification.accuracy,
                "val/verification_auroc": eval_results.verification.auroc,
            }
        )

    def on_test_epoch_end(self) -> None:
        """Score the test evaluation tasks at validation's threshold."""
        if self.threshold is None:
            raise RuntimeError("validate before testing: the threshold comes from validation")
        eval_results = self._evaluate_tasks(self.trainer.datamodule.test, self.threshold)  # type: ignore[attr-defined]
        self.log_dict(
            {f"test/{one.task.key}_accuracy": one.accuracy for one in eval_results.results}
            | {
                "test/verification_accuracy": eval_results.verification.accuracy,
                "test/verification_auroc": eval_results.verification.auroc,
            }
        )

    def _evaluate_tasks(self, eval_tasks: EvalTasks, threshold: float | None) -> EvalResults:
        mine = (torch.cat(part) for part in zip(*self._embedded, strict=True))
        indices, vectors = gathered(*mine)
        self._embedded.clear()
        self.eval_results = evaluate_tasks(
            eval_tasks, Embeddings(indices, vectors), self.network.score, threshold
        )
        return self.eval_results

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say how to build the network anew: plain values only, so that it loads safely.

        Raises:
            UserError: the weights are broken, and the checkpoint before is to stay.
        """
        self.check_finite()
        checkpoint["siamese_oneshot"] = {
            "version": CHECKPOINT_VERSION,
            "network": self.description,
            "metadata": self.metadata,
            "threshold": self.threshold,
            "reject_threshold": self.reject_threshold,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the thresholds of the last validation."""
        kept = checkpoint.get("siamese_oneshot") or {}
        self.threshold, self.reject_threshold = kept.get("threshold"), kept.get("reject_threshold")
