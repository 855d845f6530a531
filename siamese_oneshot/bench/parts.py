"""What every case works with: data, networks as conf/ has them, and the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.omniglot import OfficialRuns, load_omniglot
from siamese_oneshot.evaluation.embedding import Machine
from siamese_oneshot.model.network import TwinNetwork
from siamese_oneshot.training.hardware import (
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)


@dataclass
class Parts:
    """Shared by the cases of one run of the benchmark.

    Attributes:
        root: Omniglot's folder; looked for where None.
        rounds: turns of each contestant.
        keep_memory: whether freed memory is kept, as a training does it.
        processor_time: trainings are timed by what they take of the processor, not by the clock.
    """

    root: Path | None = None
    rounds: int = 5
    keep_memory: bool = True
    processor_time: bool = False
    device: str = field(init=False)
    precision: str = field(init=False)

    def __post_init__(self) -> None:
        """Load the data and choose the device."""
        accelerator = choose_accelerator("auto")
        self.device = "cuda" if accelerator == "gpu" else "cpu"
        self.precision = choose_precision("auto", accelerator)
        if self.device == "cpu" and self.keep_memory:
            keep_freed_memory()
        omniglot = load_omniglot(self.root)
        self.drawings: Drawings = omniglot.drawings
        self.runs: OfficialRuns = omniglot.runs

    @staticmethod
    def config(*overrides: str) -> DictConfig:
        """The configuration of a training, as the command line would compose it."""
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", [*overrides, "hydra.run.dir=."])

    def network(self, model: str, *overrides: str, channels_last: bool = True) -> TwinNetwork:
        """An untrained network of ``conf/model`` on the device, laid out as training does it."""
        made: Any = instantiate(self.config(f"model={model}", *overrides).model)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network: TwinNetwork = made.to(self.device, memory_format=layout)
        return network

    def autocast(self) -> AbstractContextManager[Any]:
        """The arithmetic of a training."""
        return Machine(self.device, self.precision).autocast()

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds, for trainings."""
        return time.process_time if self.processor_time else time.perf_counter

    def data(self, config: DictConfig) -> OneShotDataModule:
        """The data of a training, loaded."""
        config.data.root = None if self.root is None else str(self.root)
        made: OneShotDataModule = instantiate(config.data)
        made.load()
        return made

    def batch(self, data: OneShotDataModule, number: int) -> tuple[Tensor, ...]:
        """A training batch on the device, by the steps that Lightning makes."""
        plan = data.transfer_batch_to_device(data.stream[number], torch.device(self.device), 0)
        return data.on_after_batch_transfer(plan, 0)


def steps_a_second(
    step: Callable[[], None],
    steps: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Steps a second of ``clock``, after two that do not count."""
    for _ in range(2):
        step()
    wait_for(device)
    began = clock()
    for _ in range(steps):
        step()
    wait_for(device)
    return steps / (clock() - began)


def wait_for(device: str) -> None:
    """Let a GPU come to the end of what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
