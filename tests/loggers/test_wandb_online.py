"""The official client against a server of our own: online, broken off, gone on, synced later."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_wandb import FakeWandb, fake_wandb
from wandb_files import parts_of, sync_command, wandb_run, without_account


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeWandb]:
    with without_account(tmp_path) as patch, fake_wandb() as made:
        patch.setenv("WANDB_API_KEY", "0" * 40)
        patch.setenv("WANDB_BASE_URL", made.url)
        yield made


def log_steps(folder: Path, first: int, last: int, **options: Any) -> str:
    with wandb_run(folder, {"a": 1}, project="p", group="g", **options) as logger:
        for step in range(first, last):
            logger.log_metrics({"loss": float(step)}, step=step)
        run_id: str = logger.experiment.id
    return run_id


def steps(server: FakeWandb, run_id: str) -> list[tuple[int, int, float]]:
    names = ("_step", "trainer/global_step", "loss")
    return [tuple(row[name] for name in names) for row in server.history(run_id)]  # type: ignore[misc]


def test_a_run_is_online_and_goes_on_there(tmp_path: Path, server: FakeWandb) -> None:
    run_id = log_steps(tmp_path, 0, 3)
    assert server.runs[run_id]["groupName"] == "g"
    assert server.ended[run_id] == 0
    time.sleep(1.1)  # W&B names folders by the second
    assert log_steps(tmp_path, 2, 5) == run_id
    assert steps(server, run_id) == [(n, n, n) for n in range(5)]


def test_parts_left_offline_are_synced_as_one_history(
    tmp_path: Path, server: FakeWandb, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log_steps(tmp_path, 0, 5, mode="offline")
    time.sleep(1.1)
    run_id = log_steps(tmp_path, 3, 8, mode="offline")
    assert not server.history(run_id)
    command = sync_command(caplog.messages)
    assert command == ["wandb", "sync", *map(str, parts_of(tmp_path))]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, timeout=60)
    assert steps(server, run_id) == [(n, n, n) for n in range(8)]
