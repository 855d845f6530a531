"""Offline means no connection: a proxy listens over the whole life of a training."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import BATCHES, TINY
from wandb_files import parts_of, without_account

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
LINE = [*(text for text in TINY if text != "logger=none"), *BATCHES, "trainer.max_steps=1",
        "callbacks.validation_plots=null", "test=false"]  # fmt: skip


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_an_offline_training_opens_no_connection(tmp_path: Path, mode: str) -> None:
    """Python's clients and W&B's service take the way that the environment names."""
    run = tmp_path / "run"
    line = [sys.executable, "-m", "siamese_oneshot.train", *LINE, f"hydra.run.dir={run}"]
    with without_account(tmp_path), socket.create_server(("127.0.0.1", 0)) as server:
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        ways = {spelt: proxy for name in PROXIES for spelt in (name, name.lower())}
        environment = {**os.environ, **ways, "NO_PROXY": "", "no_proxy": ""}
        subprocess.run(
            [*line, f"logger.wandb.mode={mode}"],
            cwd=tmp_path, env=environment, check=True, capture_output=True,
        )  # fmt: skip
        server.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody waits in the queue
            server.accept()
    assert len(parts_of(run)) == 1, "the run was logged"
