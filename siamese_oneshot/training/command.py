"""The command ``python -m siamese_oneshot.train``: checks, and one run in its locked folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.callbacks.exact_resume import seed_all
from siamese_oneshot.loggers import build_loggers, check_loggers
from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.loggers.run_summary import RunName, log_result
from siamese_oneshot.runs.job import JOB_LOCK
from siamese_oneshot.runs.record import write_record
from siamese_oneshot.runs.result import FILE, read_result
from siamese_oneshot.training.launch import (
    check_started,
    launched_from_outside,
    number_of,
    quieten,
    train_apart,
)
from siamese_oneshot.training.run import TrainingRun
from siamese_oneshot.utils import check, slurm
from siamese_oneshot.utils.config import is_trusted, targets
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import ArgumentError, Busy, UserError
from siamese_oneshot.utils.hardware import choose_accelerator, choose_precision
from siamese_oneshot.utils.io import remove_temporary_files
from siamese_oneshot.utils.text import printable, quoted

_LOCK_TIMEOUT = 8.0  # seconds; the workers of a killed process end within them
_MIN_CPU_PROCESSES = 8  # any CPU may run as many, to rehearse a larger machine
_KNOWN = ("siamese_oneshot", "pytorch_lightning")
METRICS = {
    "accuracy": "max",
    "batch_loss": "min",
    "val/one_shot_accuracy": "max",
    "val/one_shot_error": "min",
    "val/one_shot_ci_low": "max",
    "val/one_shot_ci_high": "max",
    "val/verification_accuracy": "max",
    "val/verification_auroc": "max",
    "val/verification_eer": "min",
    "train/loss": "min",
}


def train(cfg: DictConfig) -> float:
    """Train, validate and test one network.

    Args:
        cfg: The composed configuration of ``conf/``.

    Returns:
        Validation one-shot accuracy of the kept checkpoint, 0 … 1; NaN if nothing was validated.

    Raises:
        UserError: For mistakes that the user can correct.
        KeyboardInterrupt: After a signal, when the checkpoint and the result are written.
    """
    quieten()
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.RUN:
        _check_trusted(cfg)
        _check_ablation(cfg, hydra)
    _check_settings(cfg)
    folder = Path(hydra.runtime.output_dir)
    devices = number_of(cfg.trainer.devices, choose_accelerator(cfg.trainer.accelerator))
    if hydra.mode == RunMode.MULTIRUN and devices > 1 and not launched_from_outside():
        write_record(folder, cfg, hydra)  # the command reads it
        return train_apart(folder, hydra.overrides.hydra)
    if hydra.mode == RunMode.RUN:
        check_started(devices, cfg.trainer.num_nodes, hydra.overrides.hydra)
    with _locked(folder):
        if hydra.mode == RunMode.RUN and not slurm.is_restarted():
            _check_new(cfg.resume, folder)
        return _train(cfg, folder)


def _train(cfg: DictConfig, folder: Path) -> float:
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    seed_all(cfg.seed)
    run = TrainingRun(cfg, folder)
    label = RunName.of(folder, cfg.name, cfg.seed, list(HydraConfig.get().overrides.task))
    run.config = {**plain, "metadata": run.metadata() | run.surroundings()}
    with build_loggers(
        cfg.get("logger"),
        folder,
        run.config if run.is_recorded else {},
        name=label.name,
        group=label.group,
        tags=(cfg.name, run.data.dataset.source, run.data.split.name),
        best=METRICS,
        wandb_dir=label.wandb_dir,
    ) as loggers:
        run.loggers = [ResumableCSVLogger(folder), *loggers]
        try:
            return run.go()
        finally:
            if run.result is not None and run.is_recorded:
                log_result(loggers, run.result, folder)


def _check_new(resume: str | None, folder: Path) -> None:
    """Refuse to start a training in the folder of another run, anew or from a checkpoint."""
    holds = any((folder / "checkpoints").glob("*.ckpt")) or _has_scores(folder)
    source = None if resume is None else Path(resume)
    run = source.parent.parent if source is not None and source.suffix == ".ckpt" else source
    is_own = run is not None and run.resolve() == folder.resolve()
    if not is_own and is_first_process() and holds:
        raise UserError(
            f"{folder} already holds a run: continue it with resume={quoted(folder)}, choose "
            "another hydra.run.dir, or remove the folder"
        )


def _has_scores(folder: Path) -> bool:
    """Whether a folder's result must be kept; that of a training which never began need not be."""
    try:
        return bool(read_result(folder).scores)
    except UserError:
        return (folder / FILE).exists()


def _check_trusted(cfg: DictConfig) -> None:
    """Refuse to call what the settings of a resumed run name: they may be a stranger's."""
    check.boolean("trust", cfg.trust)
    if cfg.resume is None or cfg.trust:
        return
    named = targets(OmegaConf.to_container(cfg, resolve=False))
    foreign = [printable(name) for name in dict.fromkeys(named) if not is_trusted(name, _KNOWN)]
    if foreign:
        raise UserError(
            f"resume: the settings of {cfg.resume} call {', '.join(foreign)}, which is neither of "
            "this package nor of Lightning: pass trust=true if you know who made that run"
        )


def _check_ablation(cfg: DictConfig, hydra: Any) -> None:
    """Refuse to leave out what the experiment does not have: it would look as if it did nothing."""
    name = hydra.runtime.choices.get("ablation")
    rest = [text for text in hydra.overrides.task if not text.startswith("+ablation=")]
    if name in (None, "nothing") or cfg.resume is not None:  # a sweep's jobs are resumed, too
        return
    if compose(hydra.job.config_name, rest) == cfg:
        raise UserError(
            f"+ablation={name} changes nothing here: this experiment does not have what it leaves "
            "out. Choose an experiment that does, such as +experiment=conv4"
        )


def _check_settings(cfg: DictConfig) -> None:
    """Refuse the first bad setting among those that no constructor checks."""
    check.seed("seed", cfg.seed)
    check.boolean("test", cfg.test)
    check.boolean("channels_last", cfg.channels_last)
    check.text("name", cfg.name)
    trainer = cfg.trainer
    accelerator = choose_accelerator(trainer.accelerator)
    choose_precision(trainer.precision, accelerator)
    _check_devices(trainer.devices, accelerator)
    check.integer("trainer.num_nodes", trainer.num_nodes, 1)
    for name in ("max_steps", "max_epochs"):
        check.integer(f"trainer.{name}", trainer[name], -1)
        if trainer[name] == 0:
            message = "a training of no steps leaves no network: give 1 or more, or -1 for no limit"
            raise ArgumentError(f"trainer.{name}", 0, message=message)
    check.integer("trainer.log_every_n_steps", trainer.log_every_n_steps, 1)
    if trainer.max_steps < 0 and trainer.max_epochs < 0 and not trainer.get("max_time"):
        raise UserError("Training needs an end: set trainer.max_steps or trainer.max_epochs")
    if trainer.gradient_clip_val is not None:
        check.number("trainer.gradient_clip_val", trainer.gradient_clip_val, above=0)
    for name in cfg.callbacks:
        check.mapping(f"callbacks.{name}", cfg.callbacks[name])
    for name in ("augmentation", "alphabet_augmentation"):
        check.mapping(f"sampler.{name}", cfg.sampler.get(name))
    stopping = cfg.callbacks.get("early_stopping")
    if stopping is not None and "patience" in stopping:
        check.integer("callbacks.early_stopping.patience", stopping.patience, 0)
    check_loggers(cfg.get("logger"))


def _check_devices(devices: Any, accelerator: str) -> None:
    """Check the number of devices: Lightning would start a process for each and hang."""
    if devices == "auto" or (devices == -1 and accelerator != "cpu"):  # all devices
        return
    processors = max(_MIN_CPU_PROCESSES, os.cpu_count() or 1)
    available = processors if accelerator == "cpu" else max(1, torch.cuda.device_count())
    if accelerator != "cpu" and not isinstance(devices, int | str | float | None):
        check.integers("trainer.devices", list(devices), 0, available - 1)
        return
    check.integer("trainer.devices", devices, 1, available)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second process from training in the folder."""
    if not is_first_process():
        yield
        return
    lock = FileLock(folder / JOB_LOCK, timeout=_LOCK_TIMEOUT)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(
            f"another process is training in {folder}: wait for it, or stop it, then resume. If "
            f"there is none, as in a copied folder where files cannot be locked, remove {JOB_LOCK}"
        ) from None
    try:
        remove_temporary_files(folder)
        yield
    finally:
        lock.release()
