"""One training in its folder: data, network, fit, validation, test, result."""

from __future__ import annotations

import atexit
import errno
import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from siamese_oneshot.callbacks.checkpoint_io import read_checkpoint
from siamese_oneshot.callbacks.checkpoints import kept_checkpoint, starting_point
from siamese_oneshot.callbacks.exact_resume import ExactResume
from siamese_oneshot.callbacks.pruning import Pruning
from siamese_oneshot.callbacks.signals import SignalHandler, StopTraining
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.evaluation.scores import Score, scores_of
from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.runs.result import (
    RunResult,
    print_result,
    resume_line,
    write_result,
)
from siamese_oneshot.training.announcement import announce
from siamese_oneshot.training.config_checks import check_split
from siamese_oneshot.training.launch import end_others, number_of
from siamese_oneshot.training.outcome import result_of
from siamese_oneshot.training.trainer import make_trainer
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import (
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)
from siamese_oneshot.utils.io import remove_strays
from siamese_oneshot.utils.run_info import environment, keep_changes, machine, of_training

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One job in its folder, from the configuration to the result."""

    cfg: DictConfig
    folder: Path

    def __post_init__(self) -> None:
        """Build the parts; nothing is trained yet."""
        cfg = self.cfg
        self.started = time.monotonic()
        self.accelerator = choose_accelerator(cfg.trainer.accelerator)
        devices = number_of(cfg.trainer.devices, self.accelerator) * cfg.trainer.num_nodes
        # of the start: files may change while it trains
        self.environment = environment(gpus=devices if self.accelerator in ("gpu", "cuda") else 0)
        self.machine = machine()
        if is_first_process():
            remove_strays(self.folder)
            keep_changes(self.folder)
        self.loggers: list[Logger] = []
        self.outcome: RunResult | None = None  # when it has ended
        self.precision = choose_precision(cfg.trainer.precision, self.accelerator)
        if self.accelerator == "cpu":
            keep_freed_memory()
        self.data: OneShotDataModule = instantiate(cfg.data)
        description: dict[str, Any] = OmegaConf.to_container(cfg.model, resolve=True)  # type: ignore[assignment]
        loss = instantiate(cfg.loss)
        if loss.sampler_kind != self.data.sampler.kind:
            raise UserError(
                f"this loss learns from sampler kind {loss.sampler_kind}, "
                f"not from {self.data.sampler.kind}: set both alike"
            )
        self.data.load()
        check_split(self.data.parts, cfg.callbacks)
        self.module = SiameseModule(
            instantiate(cfg.model),
            loss,
            instantiate(cfg.optimizer),
            description,
            cfg.trainer.channels_last and self.accelerator != "mps",  # slow there, or wrong
            self.metadata(),
        )
        self.stopping = SignalHandler()
        self.callbacks: list[Callback] = [
            self.stopping,
            ExactResume(),
            *[instantiate(one) for one in cfg.callbacks.values() if one is not None],
        ]
        self.seconds = 0.0

    @property
    def setting(self) -> tuple[DictConfig, Path, str, str]:
        """Where and how its trainers run: ``make_trainer``'s first arguments."""
        return self.cfg.trainer, self.folder, self.accelerator, self.precision

    def metadata(self) -> dict[str, Any]:
        """What someone who is handed the checkpoint alone should know, in plain values."""
        val_alphabets = self.data.val_alphabets
        return {
            "experiment": self.cfg.name,
            "seed": self.cfg.seed,
            "data_source": self.data.dataset.source,
            "data_digest": self.data.digest,
            "split": self.data.parts.name,
            "val_alphabets": None if val_alphabets is None else list(val_alphabets),
            "n_extra_synthetic": self.data.extra_synthetic.n_alphabets,
            "trained_on": self.data.learned,
            "overrides": of_training(HydraConfig.get().overrides.task),
            **{name: self.environment[name] for name in ("command", "commit")},
        }

    def surroundings(self) -> dict[str, Any]:
        """Where and with what it runs, and how large the network is; for W&B's configuration."""
        return {
            "precision": self.precision,
            "parameters": sum(weight.numel() for weight in self.module.parameters()),
            **{name: self.environment[name] for name in ("hardware", "python", "packages")},
        }

    def go(self) -> float:
        """Fit, then examine the best checkpoint; whatever happens, a result is written.

        Raises:
            UserError: the training cannot go on, for instance because the disk is full.
            Stopped: by a signal, when there is a checkpoint and a result.
        """
        if is_first_process():
            hardware = self.accelerator, self.precision
            announce(self.cfg.name, self.cfg.seed, self.module, self.data, hardware, self.folder)
        trainer = make_trainer(
            *self.setting, self.callbacks, self.loggers, max_steps=self.cfg.trainer.max_steps
        )
        status, scores = "failed", list[Score]()
        with self.stopping:
            try:
                status = self.fit(trainer)
                if status == "interrupted":  # written at once: there may be no time for more
                    self.leave(result_of(self, trainer, status, scores))
                if kept_checkpoint(trainer, self.folder) is not None and self.worth_examining(
                    status
                ):
                    ended, status = status, "failed"
                    scores = self.evaluate_tasks(
                        trainer, test=self.cfg.test and ended == "finished"
                    )
                    status = ended
            except (KeyboardInterrupt, SystemExit):  # the latter is how Lightning ends after it
                status = "interrupted"
            except OSError as problem:
                if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise UserError(
                    f"the disk that {self.folder} is on is full; the last checkpoint there is "
                    f"whole. Make room, then: {resume_line(self.folder)}"
                ) from problem
            finally:
                self.outcome = result = result_of(self, trainer, status, scores)
                self.leave(result)
                if is_first_process():
                    print_result(result, self.folder)
            # The others would be seen to fail, and the first be killed while it still writes.
            if status == "interrupted" and is_first_process():
                self.stopping.end()
        return float("nan") if result.val_accuracy is None else result.val_accuracy

    def worth_examining(self, status: str) -> bool:
        """Whether there is a use, and time, for the scores of the best checkpoint."""
        return status != "pruned" and not self.stopping.requeues

    def leave(self, result: RunResult) -> None:
        """Write the result; where that fails, what went wrong before is what counts."""
        if not is_first_process():
            return
        try:
            write_result(self.folder, result)
        except OSError as problem:
            log.warning("the result cannot be written: %s", problem)

    def fit(self, trainer: pl.Trainer) -> str:
        """Train, from the last checkpoint where there is one; the status it ended with."""
        begin = starting_point(self.cfg.resume, self.folder)
        began, handler = time.monotonic(), signal.getsignal(signal.SIGINT)
        if hasattr(trainer.strategy.launcher, "procs"):  # it starts other processes
            atexit.register(end_others, trainer.strategy.launcher)
        try:
            trainer.fit(self.module, self.data, ckpt_path=begin, weights_only=True)
            kept = kept_checkpoint(trainer, self.folder)
            unkept = kept is None or not trainer.checkpoint_callbacks
            if unkept and trainer.global_step:  # a training without any callback for it
                trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")
        except StopTraining:
            return "interrupted"
        except SystemExit:  # how Lightning ends after Ctrl-C, deaf to another one
            signal.signal(signal.SIGINT, handler)
            return "interrupted"
        finally:
            self.seconds = time.monotonic() - began
        if self.stopping.asked is not None:
            return "interrupted"
        pruned = any(isinstance(one, Pruning) and one.pruned for one in self.callbacks)
        return "pruned" if pruned else "finished"

    def evaluate_tasks(self, trainer: pl.Trainer, test: bool) -> list[Score]:
        """Validate the kept checkpoint, then, if asked, open the test lists: once, here."""
        kept = kept_checkpoint(trainer, self.folder)
        assert kept is not None
        self.module.load_state_dict(read_checkpoint(kept)["state_dict"])
        # A trainer without callbacks: an average of weights must not be swapped in again.
        examiner = make_trainer(*self.setting)
        examiner.validate(self.module, self.data, verbose=False)
        scores = scores_of(self.module.eval_results, "validation")
        if test:
            (figures,) = examiner.test(self.module, self.data, verbose=False)
            for logger in self.loggers:
                if isinstance(logger, ResumableCSVLogger):  # examined before, and killed then
                    logger.rewind(trainer.global_step)
                logger.log_metrics(dict(figures), step=trainer.global_step)
                logger.save()
            scores += scores_of(self.module.eval_results, "test")
        return scores
