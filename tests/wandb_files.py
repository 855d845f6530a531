"""Offline W&B runs read back by the official client, and surroundings without an account."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.util import get_core_path

from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger
from siamese_oneshot.loggers.wandb_run import WandbRun


@contextmanager
def without_account(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """No key, no setting of W&B, and the user's folders in a throwaway one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [key for key in os.environ if key.startswith("WANDB_")]:
            patch.delenv(name)
        for name in ("HOME", "NETRC", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        # Lists of packages and statistics of the machine take longer than our runs.
        patch.setenv("WANDB__SAVE_REQUIREMENTS", "false")
        patch.setenv("WANDB__DISABLE_STATS", "true")
        wandb.teardown()  # a login of an earlier test lasts as long as the process
        yield patch


def wandb_run(
    folder: Path, config: dict[str, Any], **options: Any
) -> AbstractContextManager[ResilientWandbLogger | None]:
    """A logger for the block; ``options`` are settings and arguments of `WandbRun.open`."""
    names = {field.name for field in fields(WandbRun)}
    settings = {key: options.pop(key) for key in [*options] if key in names}
    return WandbRun(**settings).open(folder, config, **options)


def inspect(run: Path, *flags: str) -> str:
    """What ``wandb leet inspect`` prints of a run's folder, as JSON; without Python's start."""
    (file,) = run.glob("run-*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", *flags]
    command += ["--run-file", str(file), str(run.parent)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def parts_of(place: Path, run_id: str = "") -> list[Path]:
    """The folders of the offline runs below ``<place>/wandb``, in order of time."""
    return sorted((place / "wandb").glob(f"offline-run-*-{run_id}*"))


def sync_command(messages: list[str]) -> list[str]:
    """The last command for uploading that a log names."""
    line = [text for text in messages if "wandb sync " in text][-1]
    return ["wandb", "sync", *shlex.split(line.partition("wandb sync ")[2])]


def _records(folder: Path) -> list[dict[str, Any]]:
    """Of a run's file, which W&B's service may still be writing when a run has been finished."""
    for _ in range(100):
        records = [json.loads(line) for line in inspect(folder).splitlines()]
        if any(record["type"] == "run" for record in records):
            break
        time.sleep(0.05)
    return records


class ReadBack:
    """One folder of a run.

    Attributes:
        run: group, job_type, tags, display_name, as the client will send them.
        history: the rows.
        metrics: the definitions.
        files: names of files that belong to the run.
        artifacts: their records.
        exit_code: None where the process was lost.
        config, summary: plain.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.metrics: dict[str, dict[str, Any]] = {}
        self.files: list[str] = []
        self.artifacts: list[dict[str, Any]] = []
        self.exit_code: int | None = None
        for record in _records(folder):
            kind = record["type"]
            content = record.get(kind, {})
            if kind == "run":
                self.run = content
            elif kind == "history":
                self.history.append(content["item"])
            elif kind == "metric":
                self.metrics[content.get("name") or content["glob_name"]] = content
            elif kind == "files":
                self.files += [one["path"] for one in content["files"]]
            elif kind == "artifact":
                self.artifacts.append(content)
            elif kind == "exit":
                self.exit_code = content.get("exit_code", 0)
        self.end = json.loads(inspect(folder, "--summary"))
        self.config, self.summary = self.end["config"], self.end["summary"]

    def points(self, name: str) -> list[tuple[int, float]]:
        """(training step, value) of a metric."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]
