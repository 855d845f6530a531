"""One training in its folder: build, fit, validate, test, write the result."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import (
    Callback,
    Checkpoint,
    LambdaCallback,
    ProgressBar,
    TQDMProgressBar,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from siamese_oneshot.callbacks.checkpoints import (
    AtomicCheckpointIO,
    best_checkpoint,
    checkpoint_exists,
    read_checkpoint,
)
from siamese_oneshot.callbacks.exact_resume import ExactResume
from siamese_oneshot.callbacks.pruning import Pruning
from siamese_oneshot.callbacks.signals import SignalHandler, StopTraining
from siamese_oneshot.comparison.models import find_models
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.samplers import KINDS, SAMPLERS
from siamese_oneshot.data.splits import Split, split_dataset
from siamese_oneshot.evaluation.model_evaluation import (
    check_not_tested,
    splits_learned,
    strokes_learned,
)
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.models.trained import TrainedModel, n_parameters
from siamese_oneshot.module import MONITOR, SiameseModule
from siamese_oneshot.runs.checkpoint import PRETRAINED, load_trained, untrusted_targets
from siamese_oneshot.runs.record import (
    OVERRIDES,
    check_identity,
    differences,
    settings_of,
    write_record,
)
from siamese_oneshot.runs.result import (
    FILE,
    RunResult,
    read_result,
    result_text,
    with_earlier,
    write_result,
)
from siamese_oneshot.training.launch import end_others, number_of
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import OtherVersion, UserError
from siamese_oneshot.utils.hardware import (
    choose_accelerator,
    choose_precision,
    fewer_threads,
    keep_freed_memory,
    share_one_heap,
)
from siamese_oneshot.utils.io import check_sums, check_writable, copy_file, keep_copy, previous
from siamese_oneshot.utils.run_info import environment, keep_changes, machine, of_training
from siamese_oneshot.utils.text import bare_key, first_line, near

log = logging.getLogger(__name__)

_FINAL: dict[str, Any] = {  # of the trainer that evaluates the kept checkpoint
    "max_steps": -1, "fast_dev_run": False, "limit_val_batches": None, "limit_test_batches": None,
    "overfit_batches": 0.0, "profiler": None,
}  # fmt: skip


class TrainingRun:
    """A training in its folder, from the configuration to ``result.json``.

    Args:
        cfg: The composed configuration.
        folder: The run's folder.

    Attributes:
        data: The data module, loaded.
        module: The module, untrained until ``go``.
        callbacks: The trainer's callbacks.
        loggers: The trainer's loggers; to be set before ``go``.
        config: What they are told of a resumed run once it trains.
        result: The result; None until the run has ended.
    """

    def __init__(self, cfg: DictConfig, folder: Path) -> None:
        self.cfg, self.folder = cfg, folder
        self.started = time.monotonic()
        self.accelerator = choose_accelerator(cfg.trainer.accelerator)
        if self.accelerator == "cpu":
            share_one_heap()
        self.precision = choose_precision(cfg.trainer.precision, self.accelerator)
        devices = number_of(cfg.trainer.devices, self.accelerator) * cfg.trainer.num_nodes
        # Otherwise Lightning takes the tasks of a batch script, meant as cores, for processes.
        alone = devices == 1 and slurm.is_task() and "RANK" not in os.environ
        self.plugins = [AtomicCheckpointIO(), *([LightningEnvironment()] if alone else [])]
        # Read at the start, since files may change during the training.
        self.environment = environment(gpus=devices if self.accelerator in ("gpu", "cuda") else 0)
        self.machine = machine()
        self.loggers: list[Logger] = []
        self.config: dict[str, Any] = {}
        self.result: RunResult | None = None
        self.is_recorded = False  # what is asked for; from then on its result counts
        self.earlier: RunResult | None = None  # result of the legs before this one
        self._is_written = False  # a result of this leg
        self._kept_step: int | None = None
        if is_first_process():
            log.info("building the network and reading the images")
        self.data: OneShotDataModule = instantiate(cfg.data)
        plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        self.module = SiameseModule(
            plain["model"],
            plain["loss"],
            plain["optimizer"],
            ema_decay=None,  # conf/callbacks has the average
            channels_last=cfg.channels_last and self.accelerator != "mps",  # slow there, or wrong
        )
        self.module._log_hyperparams = False  # Lightning's; loggers get the whole configuration
        kind = getattr(self.module.loss, "sampler_kind", self.data.sampler.kind)
        if kind != self.data.sampler.kind:
            raise UserError(
                f"loss={HydraConfig.get().runtime.choices.get('loss')} learns from "
                f"{KINDS.get(kind, kind)}, but the sampler makes {KINDS[self.data.sampler.kind]}: "
                f"choose sampler={SAMPLERS.get(kind, kind)}"
            )
        self.data.setup()
        if self.accelerator == "cpu":  # after the images in full size are given back
            keep_freed_memory()
        self.module.metadata = self.metadata()
        check_split(self.data.split, cfg.callbacks)
        self.signals, self.exact_resume = SignalHandler(), ExactResume()
        self.callbacks: list[Callback] = [
            self.signals,
            self.exact_resume,
            *[instantiate(node) for node in cfg.callbacks.values() if node is not None],
        ]
        written = (getattr(callback, "dirpath", None) for callback in self.callbacks)
        if is_first_process():
            for path in [folder / "csv", *filter(None, written)]:
                check_writable(Path(path))
        self.checkpoint = checkpoint_to_resume(cfg.resume, folder)
        if self.checkpoint is None and cfg.init_from is not None:
            self.module.metadata["init_from"] = begin_from(cfg.init_from, self.module, self.data)
        if cfg.teachers is not None or hasattr(self.module.loss, "teachers"):
            self.module.metadata["teachers"] = learn_from(cfg.teachers, self.module, self.data)
        self._begin_leg()
        if self.checkpoint is None:
            self.record()

    def _begin_leg(self) -> None:
        """Compare what is asked with what the checkpoint to resume knows, and note what differs.

        Raises:
            UserError: The checkpoint cannot continue like this.
        """
        settings = settings_of(self.cfg)
        overrides = list(HydraConfig.get().overrides.task)
        leg: dict[str, Any] = {"step": 0, "overrides": overrides, "changes": {}}
        leg |= {name: self.environment[name] for name in ("command", "commit")}
        earlier: list[dict[str, Any]] = []
        self.exact_resume.validation = self.data.validation.digests
        if self.checkpoint is not None:
            self.earlier = self._earlier_result()
            if self.earlier is not None:
                self.exact_resume.seconds_before = self.earlier.train_seconds
            content = read_checkpoint(self.checkpoint)
            known = (content.get("siamese_oneshot") or {}).get("metadata") or {}
            check_identity(known, self.module.metadata, self.checkpoint)
            for key in {"init_from", "stroke_alphabets"} & known.keys():
                self.module.metadata[key] = known[key]  # the fit adds its own strokes
            teachers = self.module.metadata.get("teachers") or []
            teachers += [one for one in known.get("teachers") or () if one not in teachers]
            self.module.metadata |= {"teachers": teachers} if teachers else {}
            state = content.get("exact_resume") or {}
            digests = self.exact_resume.validation
            changes = differences(state["settings"], settings) if "settings" in state else {}
            if state.get("validation", digests) != digests:
                lists = [f"{k}: {v}" for k, v in changes.items() if k.startswith("data.eval.")]
                former = f" ({', '.join(lists)})" if lists else ""
                raise UserError(
                    f"data.eval: {self.checkpoint} was selected on other validation episodes or "
                    f"pairs, so a continued run would mix two scores{former}. Resume it with the "
                    "former value; evaluate takes lists of any size"
                )
            earlier = state.get("legs") or []
            check_weights(content, self.module, self.checkpoint, changes)
            leg |= {"step": content["global_step"], "changes": changes}
            before = earlier[-1]["overrides"] if earlier else []
            given = tuple(f"{bare_key(text)}." for text in overrides if text not in before)
            for key, change in changes.items():
                text = f"from step {leg['step']:,} on, {key}: {change}"
                if f"{key}.".startswith(given):
                    log.info("%s", text)
                else:
                    self.data.warn(f"{text}, as the defaults in conf/ have changed")
        self.exact_resume.settings, self.exact_resume.legs = settings, [*earlier, leg]

    def _earlier_result(self) -> RunResult | None:
        """The result of the legs before this one; None if there is none, or a damaged one."""
        try:
            return read_result(self.folder)
        except OtherVersion as problem:
            raise UserError(
                f"{problem}: resume the run with the version that wrote it, or move that file away"
            ) from problem
        except UserError as problem:
            if (self.folder / FILE).exists():
                kept = previous(Path(FILE))
                reason = first_line(problem)
                self.data.warn(f"{FILE} of earlier legs is damaged ({reason}): kept as {kept}")
            return None

    def record(self) -> None:
        """Write what was asked for; not before the training begins."""
        if is_first_process() and not self.is_recorded:
            keep_changes(self.folder)
            write_record(self.folder, self.cfg, HydraConfig.get())
            for logger in self.loggers:
                logger.log_hyperparams(self.config)
        self.is_recorded = True

    def _keep_later(self) -> None:
        """Keep what a run learned after an older checkpoint of its own, from which it goes on."""
        last = self.folder / "checkpoints" / "last.ckpt"
        own, source = last.parent.resolve(), self.checkpoint and self.checkpoint.resolve()
        if source is None or source.parent != own or source.name == last.name:
            return
        if not is_first_process():
            return
        files = [last, *(one.path for one in self.loggers if isinstance(one, ResumableCSVLogger))]
        kept = [copy for path in files if (copy := keep_copy(path, "replaced")) is not None]
        copy_file(source, last)  # a kill from here on goes on from there, too
        if kept:
            text = f"the run goes on from {source.name}; what it had after that is kept as "
            self.data.warn(text + ", ".join(path.name for path in kept))

    def metadata(self) -> dict[str, Any]:
        """What a user of the checkpoint alone should know, in plain values."""
        return {
            "experiment": self.cfg.name,
            "seed": self.cfg.seed,
            **self.data.training_metadata,
            "overrides": of_training(HydraConfig.get().overrides.task),
            **{name: self.environment[name] for name in ("command", "commit")},
        }

    def surroundings(self) -> dict[str, Any]:
        """Hardware, versions, precision and size of the network, for a logger's configuration."""
        return {
            "precision": self.precision,
            "parameters": n_parameters(self.module),
            **{name: self.environment[name] for name in ("hardware", "python", "packages")},
        }

    def trainer(
        self, callbacks: Sequence[Callback] = (), loggers: Sequence[Logger] = (), **changes: Any
    ) -> pl.Trainer:
        """Lightning's Trainer of conf/trainer; without callbacks and loggers it writes nothing."""
        sync = self.cfg.trainer.get("sync_batchnorm")
        arguments: dict[str, Any] = {
            "accelerator": self.accelerator,
            "precision": self.precision,
            "callbacks": list(callbacks),
            "logger": list(loggers),
            "default_root_dir": self.folder,
            "plugins": self.plugins,
            "enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks),
            "enable_checkpointing": any(isinstance(c, Checkpoint) for c in callbacks),
            # Statistics over the whole batch of all processes, which PyTorch has on GPUs only.
            "sync_batchnorm": self.accelerator in ("gpu", "cuda") if sync is None else sync,
        }
        return instantiate(self.cfg.trainer, **arguments, **changes, _convert_="all")

    def go(self) -> float:
        """Fit, then evaluate the kept checkpoint. A result is written however this ends.

        Returns:
            Validation one-shot accuracy of the kept checkpoint, 0 … 1; NaN if there is none.

        Raises:
            UserError: If the training cannot continue, for instance because the disk is full.
            Stopped: After a signal.
        """
        if is_first_process():
            self._announce()
        keep = LambdaCallback(on_train_start=lambda *_: self._keep_later())  # before it is changed
        begin = LambdaCallback(on_train_start=lambda *_: self.record())
        trainer = self.trainer([keep, *self.callbacks, begin], self.loggers)
        status, scores, is_done = "failed", list[Score](), False
        with self.signals:
            try:
                status = self.fit(trainer)
                is_done = status == "finished" and self._is_done(trainer)
                if status == "interrupted":  # written at once: there may be no time for more
                    self._write(with_earlier(self._result(trainer, status, scores), self.earlier))
                kept = kept_checkpoint(trainer, self.folder)
                wanted = status != "pruned" and not self.signals.requeues and not is_done
                if kept is not None and wanted:
                    fit_status, status = status, "failed"  # unless the evaluation succeeds
                    test = self.cfg.test and fit_status == "finished"
                    scores = self.evaluate(trainer, kept, test)
                    status = fit_status
            except (KeyboardInterrupt, SystemExit):  # Lightning ends with the latter after Ctrl-C
                status = "interrupted"
            finally:
                result = with_earlier(self._result(trainer, status, scores), self.earlier)
                self.result = self.earlier if is_done and self.earlier else result
                if self.is_recorded:  # else what was there before stays
                    if not is_done:
                        self._write(self.result)
                    if is_first_process():
                        log.info("%s", result_text(self.result, self.folder))
            # Another process that raised would count as failed, and Lightning would kill the first.
            if status == "interrupted" and is_first_process():
                self.signals.end()
        return float("nan") if self.result.val_accuracy is None else self.result.val_accuracy

    def fit(self, trainer: pl.Trainer) -> str:
        """Train, from the checkpoint to resume if there is one; returns the status at the end."""
        handler = signal.getsignal(signal.SIGINT)
        if hasattr(trainer.strategy.launcher, "procs"):  # Lightning starts the other processes
            atexit.register(end_others, trainer.strategy.launcher)
        try:
            with logging_redirect_tqdm():  # a line of the log does not break the bar
                trainer.fit(self.module, self.data, ckpt_path=self.checkpoint, weights_only=True)
            if not self.is_recorded and (self.folder / OVERRIDES).exists():  # no step was left
                self.is_recorded = True  # what was asked for has changed nothing
                self.exact_resume.legs = self.exact_resume.legs[:-1] or self.exact_resume.legs
            self.record()
            kept = kept_checkpoint(trainer, self.folder)
            none_kept = kept is None or not trainer.checkpoint_callbacks
            if none_kept and trainer.global_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")
        except StopTraining:
            return "interrupted"
        except SystemExit:  # Lightning's end after Ctrl-C, which leaves signals ignored
            signal.signal(signal.SIGINT, handler)
            return "interrupted"
        except (ValueError, RuntimeError, KeyError, TypeError) as problem:
            if self.is_recorded or isinstance(problem, UserError):
                raise
            reason, leg = first_line(problem), self.exact_resume.legs[-1]
            raise not_continued(self.checkpoint, reason, leg) from problem
        if self.signals.received is not None:
            return "interrupted"
        pruned = any(isinstance(c, Pruning) and c.pruned for c in self.callbacks)
        return "pruned" if pruned else "finished"

    def _is_done(self, trainer: pl.Trainer) -> bool:
        """Whether this run had finished before, with the scores that are asked for."""
        before, now = self.earlier, self._result(trainer, "finished", ())
        same = ("status", "steps", "checkpoint", "data_digest", "data_split", "task_digests")
        if before is None or any(getattr(before, one) != getattr(now, one) for one in same):
            return False
        if self.cfg.test and not any(score.split == "test" for score in before.scores):
            return False
        kept = kept_checkpoint(trainer, self.folder)
        try:
            if kept is not None:
                check_sums(kept)
        except (OSError, zipfile.BadZipFile):  # its predecessor is to be evaluated
            return False
        log.info(
            "nothing is left to do: this run has finished; to train it for longer, raise "
            "trainer.max_steps, trainer.max_epochs or callbacks.early_stopping.patience"
        )
        return True

    def evaluate(self, trainer: pl.Trainer, checkpoint: Path, test: bool) -> list[Score]:
        """Validate the kept checkpoint. The test lists are evaluated once, here, if ``test``."""
        content = read_checkpoint(checkpoint)
        self.module.load_state_dict(content["state_dict"])
        self._kept_step = content["global_step"]
        # Without callbacks: an average of the weights must not be swapped in again.
        bars = [TQDMProgressBar()] if sys.stderr.isatty() else []
        evaluator = self.trainer(bars, **_FINAL)
        known = self.module.eval_results
        is_known = known is not None and known.verification.tasks is self.data.validation
        if not is_known or self.module.validated_step != self._kept_step:
            log.info("validating %s, of step %s", checkpoint.name, f"{self._kept_step:,}")
            evaluator.validate(self.module, self.data, verbose=False)
        assert self.module.eval_results is not None
        scores = self.module.eval_results.scores("validation")
        if test:
            log.info("testing")
            (metrics,) = evaluator.test(self.module, self.data, verbose=False)
            for logger in self.loggers:
                if isinstance(logger, ResumableCSVLogger):  # drop rows of a killed evaluation
                    logger.rewind(trainer.global_step)
                logger.log_metrics(dict(metrics), step=trainer.global_step)
                logger.save()
            scores += self.module.eval_results.scores("test")
        return scores

    def _announce(self) -> None:
        data, module = self.data, self.module
        log.info(
            "%s, seed %d: %s parameters",
            self.cfg.name,
            self.cfg.seed,
            f"{n_parameters(module):,}",
        )
        n_images, n_classes = f"{data.n_train_images:,}", f"{data.n_train_classes:,}"
        log.info("%s training images of %s classes, split %s", n_images, n_classes, data.split.name)
        if excluded := getattr(data.sampler, "excluded_alphabets", ()):
            log.info("not trained on, too small for a batch: %s", ", ".join(excluded))
        log.info("%s, %s", self.accelerator, self.precision)
        if self.accelerator == "cpu" and (threads := fewer_threads(torch.get_num_threads())):
            log.warning(
                "other programs use the cores: OMP_NUM_THREADS=%d before the command may make a "
                "step many times as fast",
                threads,
            )
        log.info("results in %s", near(self.folder))
        of_network = "evaluate, predict and load_from_checkpoint (export and demo: --trust MODULE)"
        for parts, users in (
            (["model"], of_network),
            (["loss", "optimizer"], "SiameseModule.load_from_checkpoint"),
        ):
            outside = untrusted_targets([module.hparams[part] for part in parts])
            if outside:
                modules = _modules_of(outside)
                log.warning(
                    "This run uses %s, which is not part of siamese_oneshot: pass trust=%s to %s.",
                    ", ".join(dict.fromkeys(outside)),
                    modules[0] if len(modules) == 1 else f"[{','.join(modules)}]",
                    users,
                )

    def _result(self, trainer: pl.Trainer, status: str, scores: Sequence[Score]) -> RunResult:
        data, kept = self.data, kept_checkpoint(trainer, self.folder)
        folder = self.folder.resolve()
        batches = trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]
        tasks = {"validation": data.validation, "test": data.test}
        return RunResult(
            status=status,
            experiment=self.cfg.name,
            seed=self.cfg.seed,
            data_source=data.dataset.source,
            data_digest=data.digest,
            data_split=data.split.name,
            trained_on=data.training_data,
            scores=list(scores),
            val_accuracy=scores[0].value if scores else best_validation(trainer),
            legs=self.exact_resume.legs,
            checkpoint=None if kept is None else os.path.relpath(kept.resolve(), folder),
            checkpoint_step=self._kept_step,
            steps=trainer.global_step,
            epochs=int(batches // trainer.num_training_batches),
            train_seconds=self.exact_resume.seconds,
            total_seconds=time.monotonic() - self.started,
            overrides=self.exact_resume.legs[-1]["overrides"],
            warnings=list(data.warnings),
            precision=self.precision,
            machine=self.machine,
            task_digests={
                f"{split}/{key}": digest
                for split, split_tasks in tasks.items()
                for key, digest in split_tasks.digests.items()
            },
            **self.environment,
        )

    def _write(self, result: RunResult) -> None:
        """Write the result; if that fails, an earlier error is what counts."""
        if not is_first_process():
            return
        try:
            write_result(self.folder, result, keep=not self._is_written)
            self._is_written = True
        except OSError as problem:
            log.warning("The result cannot be written: %s", problem)


def begin_from(where: str, module: SiameseModule, data: OneShotDataModule) -> dict[str, Any]:
    """Load trained weights into a module that is to be trained further.

    Returns:
        The weights' name and metadata, for that of the module.

    Raises:
        UserError: There are no such weights, they belong to another network, or they learned from
            what the data's split tests.
    """
    trained = load_trained(where, _modules_of(untrusted_targets(module.hparams["model"])))
    weights = trained.network.state_dict()
    if other := _other_layers(module.network.state_dict(), weights):
        experiment = f"experiment {trained.metadata.get('experiment')}"
        used = " ".join([experiment, *(trained.metadata.get("overrides") or ())])
        if where in PRETRAINED:  # whose file has the name of its model
            used = f"model={Path(PRETRAINED[where]).stem}"
        raise UserError(
            f"init_from: {where} holds another network than the one asked for (it differs in "
            f"{other[0]}); choose the model of its training: {used}"
        )
    _check_not_tested(f"init_from={where}", trained, data)
    module.network.load_state_dict(weights)
    log.info("the training begins from the weights of %s", where)
    return {"name": where, **trained.metadata}


def learn_from(
    teachers: str | Sequence[str] | None, module: SiameseModule, data: OneShotDataModule
) -> list[dict[str, Any]]:
    """Load the networks that a module's loss distills.

    Args:
        teachers: Networks, named as for `find_models`.
        module: Whose loss takes them.
        data: That the module will learn from.

    Returns:
        Their names and metadata, for that of the module.

    Raises:
        UserError: The loss takes no teachers or needs some, there are no such weights, they read
            images of another size, or they learned from what the data's split tests.
    """
    if not hasattr(module.loss, "teachers"):
        raise UserError("teachers are for loss=distillation: choose it, or leave teachers out")
    if not teachers:
        raise UserError(
            "loss=distillation learns from trained networks: teachers=FOLDER, of a run or a sweep. "
            "To train two: python -m siamese_oneshot.train -m seed=0,1 test=false "
            "hydra.sweeper.name=teachers, whose folder is outputs/default/teachers"
        )
    listed = [teachers] if isinstance(teachers, str) else teachers
    trust = _modules_of(untrusted_targets(module.hparams["model"]))
    models = find_models(listed, trust, baselines={})
    found = [model.trained for model in models if model.trained is not None]
    size = module.network.encoder.image_size
    for teacher in found:
        if teacher.size != size:
            raise UserError(
                f"teachers: {teacher.name} reads images of {teacher.size} pixels, but the network "
                f"to train reads {size}: choose model.encoder.image_size={teacher.size}"
            )
        _check_not_tested(f"teachers={teacher.name}", teacher, data)
    module.loss.teachers = [teacher.network for teacher in found]
    names = ", ".join(teacher.name for teacher in found)
    log.info("the training learns from the answers of %s", names)
    return [{"name": teacher.name, **teacher.metadata} for teacher in found]


def _modules_of(names: Sequence[str]) -> list[str]:
    """The modules of classes and functions that are named in full, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _check_not_tested(name: str, trained: TrainedModel, data: OneShotDataModule) -> None:
    """Refuse weights that learned from what the data's split tests; warn if it validates on that.

    Raises:
        UserError: With the alphabets.
    """
    dataset, metadata = data.dataset, trained.metadata
    own = splits_learned(name, metadata, dataset.source, data.digest)
    splits = [split_dataset(dataset, *one) for one in own]
    strokes_of = strokes_learned(metadata, dataset.source)
    other = next((one for one, _ in own if one != data.split.name), None)
    remedy = f"choose {f'data.split={other}' if other else 'another data.split'}, or other weights"
    seen = check_not_tested(name, dataset, splits, strokes_of, data.split, remedy)
    if seen and not data.split.trains_on_validation:
        data.warn(
            f"{name} learned from {', '.join(seen)}, which validate here: their scores are not of "
            "unseen alphabets"
        )


def check_weights(
    content: dict[str, Any], module: SiameseModule, checkpoint: Path, changes: dict[str, str]
) -> None:
    """Refuse to load the weights or the optimizer of a checkpoint into others.

    Raises:
        UserError: With the settings that differ.
    """
    other = _other_layers(module.state_dict(), content["state_dict"])
    optimizers = [
        (hparams.get("optimizer") or {}).get("_target_")
        for hparams in (content.get("hyper_parameters") or {}, module.hparams)
    ]
    if other:
        problem = f"the network there has other layers ({other[0]})"
    elif None not in optimizers and optimizers[0] != optimizers[1]:
        problem = f"it holds the state of {optimizers[0]}"
    else:
        return
    raise not_continued(checkpoint, problem, {"changes": changes})


def not_continued(checkpoint: Path | None, problem: str, leg: dict[str, Any]) -> UserError:
    """The error that a checkpoint cannot be continued with what is asked for."""
    changes = "; ".join(f"{key}: {change}" for key, change in leg["changes"].items())
    return UserError(
        f"{checkpoint} cannot be continued with these settings: {problem}. The run is as it was. "
        f"Resume it without what differs{f' ({changes})' if changes else ''}, or start a new run"
    )


def _other_layers(own: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> list[str]:
    """The weights that are missing on one side or have another shape there."""
    mine, theirs = ({key: one.shape for key, one in side.items()} for side in (own, known))
    return [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]


def check_split(parts: Split, callbacks: DictConfig) -> None:
    """Refuse model selection by ``cfg.callbacks`` on alphabets that are trained on."""
    if not parts.trains_on_validation:
        return
    if callbacks.checkpoint or callbacks.early_stopping:
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so no checkpoint can be "
            "selected on them: set callbacks=last"
        )
    if callbacks.get("pruning"):
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so nothing can be "
            "searched or pruned on them: search with another split, then train one setting with "
            "callbacks.pruning=null"
        )


def checkpoint_to_resume(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint from which a training in a folder continues; None to start it.

    That is the one that ``resume`` (a run's folder or a checkpoint) names, or the folder's own if
    Slurm runs the job again.
    """
    last, restarted = folder / "checkpoints" / "last.ckpt", slurm.is_restarted()
    if resume is None and not restarted:
        return None
    requeued = restarted and checkpoint_exists(last)  # then `resume` was for the first start
    if resume is not None and resume.endswith(".ckpt") and not requeued:
        last = Path(resume)
    if checkpoint_exists(last):
        log.info("resuming from %s", near(last))
        return last
    if HydraConfig.get().mode == RunMode.RUN and is_first_process():
        log.warning("%s has no checkpoint yet: starting from the beginning", folder)
    return None


def kept_checkpoint(trainer: pl.Trainer, folder: Path) -> Path | None:
    """The checkpoint that is evaluated: the best one, or the last if none is selected."""
    best = best_checkpoint(trainer)
    path = Path((best and best.best_model_path) or folder / "checkpoints" / "last.ckpt")
    return path if checkpoint_exists(path) else None


def best_validation(trainer: pl.Trainer) -> float | None:
    """Validation one-shot accuracy of the kept checkpoint, 0 … 1; None before the first validation.

    If checkpoints are selected by another metric or not at all, it is the last accuracy.
    """
    best = best_checkpoint(trainer)
    error = trainer.callback_metrics.get(MONITOR)
    if best is not None and best.monitor == MONITOR:
        error = best.best_model_score
    return None if error is None else 1.0 - float(error)
