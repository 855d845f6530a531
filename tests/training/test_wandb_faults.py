"""Whatever fails in W&B, a training ends with the same weights as without it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import stoppers
import torch
from fake_wandb import FakeWandb, fake_wandb
from test_run import EPISODES, STEPS
from wandb_files import parts_of, without_account

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.plots import figures
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task

PLAIN = [*EPISODES, *STEPS, "callbacks.validation_plots=null"]
DRAWN = [
    *(one for one in EPISODES if one != "logger=none"), *STEPS, "logger.wandb.init_timeout=2",
    "logger.wandb.finish_timeout=2", "+callbacks.trouble._target_=stoppers.Trouble",
]  # fmt: skip
LOGGED = [*DRAWN, "callbacks.validation_plots=null"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setattr(stoppers.Trouble, "act", staticmethod(lambda: None))
    every = figures.validation_figures
    monkeypatch.setattr(figures, "validation_figures", lambda *given: islice(every(*given), 1))
    with without_account(tmp_path / "home") as patch:
        yield patch


@pytest.fixture
def server(home: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb() as made:
        use(home, made.url)
        yield made


def use(patch: pytest.MonkeyPatch, url: str) -> None:
    patch.setenv("WANDB_API_KEY", "0" * 40)
    patch.setenv("WANDB_BASE_URL", url)


def train(folder: Path, *line: str) -> dict[str, torch.Tensor]:
    """All weights at the end, the average's and the raw ones."""
    run_hydra(train_task, argv=[*line, f"hydra.run.dir={folder}"])
    assert read_result(folder).status == "finished"
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(state["state_dict"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights without W&B."""
    return train(tmp_path_factory.mktemp("plain"), *PLAIN)


def log_of(tmp_path: Path) -> str:
    """What the run's log says."""
    return (tmp_path / "run" / "train.log").read_text()


def same(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return weights.keys() == expected.keys() and all(
        torch.equal(weights[key], expected[key]) for key in expected
    )


def test_a_server_that_never_answers(tmp_path: Path, home: pytest.MonkeyPatch, expected) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(home, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert same(train(tmp_path / "run", *LOGGED), expected)
    assert "cannot go online" in log_of(tmp_path)
    assert len(parts_of(tmp_path / "run")) == 1


@pytest.mark.parametrize("way", ["dies", "goes silent", "refuses the key"])
def test_a_server_that_fails_midway(tmp_path: Path, server: FakeWandb, expected, way: str) -> None:
    acts: dict[str, Callable[[], None]] = {
        "dies": server.die,
        "goes silent": server.fall_silent,
        "refuses the key": lambda: setattr(server, "denied", True),
    }
    stoppers.Trouble.act = staticmethod(acts[way])
    began = time.monotonic()
    assert same(train(tmp_path / "run", *LOGGED), expected)
    assert time.monotonic() - began < 120
    assert server.runs, "it was online"
    (kept,) = (tmp_path / "run" / "wandb").glob("run-*")
    if way != "refuses the key":  # which W&B's client itself gives up on, without a word
        assert f"to upload: wandb sync {kept}" in log_of(tmp_path)


def test_a_wrong_key(tmp_path: Path, server: FakeWandb, expected) -> None:
    server.denied = True
    assert same(train(tmp_path / "run", *LOGGED), expected)
    assert "cannot go online" in log_of(tmp_path)
    assert len(parts_of(tmp_path / "run")) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A run's folder whose wandb/ holds 256 KiB."""
    place = tmp_path / "run" / "wandb"
    place.mkdir(parents=True)
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small disk of its own takes root")
    line = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(line, capture_output=True).returncode:
        pytest.skip("this machine lets no folder be mounted")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("when", [pytest.param("from the start", marks=pytest.mark.slow), "midway"])
def test_a_full_disk(tmp_path: Path, small_disk: Path, expected, when: str) -> None:
    def fill() -> None:
        with pytest.raises(OSError, match="No space left"), open(small_disk / "full", "wb") as file:
            file.write(b"0" * 300_000)

    if when == "midway":
        stoppers.Trouble.act = staticmethod(fill)
    else:
        fill()
    weights = train(tmp_path / "run", *DRAWN, "callbacks.validation_plots.every_n_epochs=1")
    assert same(weights, expected)
    warning = "W&B logging is off for the rest of this run: [Errno 28] No space left"
    assert warning in log_of(tmp_path)
