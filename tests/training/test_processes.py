"""One training in several processes: every image once, one writer, the same scores."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kills import Forked, needs_fork
from test_run import EPISODES, STEPS, run

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.hydra_app import _terminable
from siamese_oneshot.runs.result import RunResult, read_result
from siamese_oneshot.train import train_task
from siamese_oneshot.training import launch
from siamese_oneshot.training.launch import (
    check_started,
    end_others,
    launched_from_outside,
    number_of,
    train_apart,
)
from siamese_oneshot.utils.distributed import gathered, is_first_process
from siamese_oneshot.utils.errors import Stopped, UserError

SETTINGS = [
    *EPISODES, *STEPS, "model=cross_attention", "model.encoder.filters=[8,8,8,8]",
    "model.encoder.batch_norm=false", "callbacks.validation_plots=null",
]  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "accelerator", "number"),
    [(1, "cpu", 1), (2, "cpu", 2), ("3", "gpu", 3), ([0, 2], "gpu", 2), ("auto", "cpu", 1)],
)
def test_processes_by_devices(
    devices: int | str | list[int], accelerator: str, number: int
) -> None:
    assert number_of(devices, accelerator) == number


@pytest.mark.parametrize("count", [0, 2])
def test_all_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert number_of(-1, "gpu") == number_of("auto", "cuda") == max(1, count)


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "LOCAL_RANK": "1"}, True),
        # Lightning's own processes, in an interactive shell and in a script without srun
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "bash"}, True),
        (
            {
                "SLURM_PROCID": "0",
                "SLURM_NTASKS": "2",
                "SLURM_JOB_NAME": "bash",
                "LOCAL_RANK": "1",
            },
            False,
        ),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
    ],
)
def test_the_first_process_writes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], first: bool
) -> None:
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    for name in (*ranks, "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first
    apart = {"RANK", "LOCAL_RANK"} & {*variables}
    by_srun = "SLURM_NTASKS" in variables and "SLURM_JOB_NAME" not in variables
    assert launched_from_outside() == bool(apart or by_srun)


RANKS = {"RANK": "0", "WORLD_SIZE": "4"}
TASKS = {"SLURM_NTASKS": "4"}


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "overrides", "refused"),
    [
        ({}, 4, 1, [], None),
        (RANKS, 2, 2, ["hydra.run.dir=x"], None),
        (RANKS, 2, 2, [], r"set hydra\.run\.dir="),
        (RANKS, 1, 1, ["hydra.run.dir=x"], "4 processes were started"),
        (RANKS, 8, 1, ["hydra.run.dir=x"], "4 processes were started"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 1, 1, [], None),
        (TASKS, 4, 1, ["hydra.run.dir=x"], None),
        (TASKS, 4, 1, [], r"set hydra\.run\.dir="),
        (TASKS, 1, 1, [], None),
        ({**TASKS, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, 1, 1, [], None),
        ({**TASKS, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}, 1, 1, [], "4 processes"),
        ({**TASKS, "SLURM_PROCID": "2"}, 1, 1, [], "4 processes"),
        ({"SLURM_NTASKS": "1"}, 2, 1, [], r"srun --ntasks=2"),
        ({**TASKS, "SLURM_JOB_NAME": "bash"}, 2, 1, [], None),
    ],
)
def test_processes_that_would_wait_forever_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    devices: int,
    nodes: int,
    overrides: list[str],
    refused: str | None,
) -> None:
    for name in ("RANK", "WORLD_SIZE", *[name for name in os.environ if "SLURM" in name]):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = nullcontext() if refused is None else pytest.raises(UserError, match=refused)
    with expected:
        check_started(devices, nodes, overrides)


def test_other_processes_end_with_the_first() -> None:
    """One that waits for the first for ever, and one that has failed already."""
    waits = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    failed = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    launcher = SimpleNamespace(procs=[waits, failed])
    watched = launcher.procs
    end_others(launcher, seconds=1.0)
    assert waits.wait(5) == -signal.SIGKILL
    assert failed.wait(5) == 3
    assert watched == [], "Lightning's observer looks no more"


def test_alone_nothing_is_gathered() -> None:
    indices, vectors = torch.tensor([1, 4]), torch.rand(2, 3)
    assert gathered(indices, vectors) == (indices, vectors)


COMMAND = """#!{python}
import pathlib, signal, sys, time

def stop(signum, frame):
    pathlib.Path("received").write_text(str(signum))
    sys.exit(143)

signal.signal(signal.SIGTERM, stop)
pathlib.Path("begun").touch()
while not pathlib.Path("end").exists():
    time.sleep(0.01)
"""


@pytest.mark.skipif(os.name != "posix", reason="its command is a script")
@pytest.mark.parametrize(("signum", "received"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_what_stops_the_driver_stops_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, received: bool
) -> None:
    """Ctrl-C comes to the command from the terminal, which there is none of here."""
    command = tmp_path / "command"
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(command))

    def send() -> None:
        while not Path("begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signum)
        if not received:
            Path("end").touch()

    # What a shell starts in the background is deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=send, daemon=True).start()
    try:
        with _terminable(), pytest.raises(KeyboardInterrupt) as stop:
            train_apart(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(stop.value, Stopped)
    assert stop.value.args == (signum,)
    assert Path("received").exists() == received


def scores(result: RunResult) -> list[tuple[str, int | None, int, str]]:
    return [(one.name, one.correct, one.n, one.digest) for one in result.scores]


def losses(folder: Path) -> list[float]:
    with open(next(folder.glob("csv/version_*/metrics.csv"))) as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@needs_fork
def test_the_pruner_of_the_command_line_acts_in_a_job_that_is_started_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that starts the job is run in a fork, on one device."""
    folder = tmp_path / "my conf" / "hydra" / "sweeper" / "pruner"
    folder.mkdir(parents=True)
    (folder / "threshold.yaml").write_text(
        "# @package hydra.sweeper\npruner: {_target_: optuna.pruners.ThresholdPruner, lower: 0.0}\n"
    )
    monkeypatch.chdir(tmp_path)

    def start_apart(command: list[str]) -> Any:
        assert command[:3] == [sys.executable, "-m", "siamese_oneshot.train"]
        return nullcontext(Forked(tmp_path / "printed", [*command[3:], "trainer.devices=1"]))

    monkeypatch.setattr(launch, "subprocess", SimpleNamespace(Popen=start_apart))
    line = [
        "--config-dir", "my conf", "+sweep=search", "optimizer.lr=interval(1e-3,1e-2)",
        "hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=2.0", *SETTINGS,
        "trainer.devices=2", "hydra.sweeper.n_trials=1", "hydra.sweeper.name=two",
    ]  # fmt: skip
    run_hydra(train_task, argv=line)
    (two,) = (path.parent for path in tmp_path.glob("outputs/default/two/*/job.json"))
    assert read_result(two).status == "pruned", (tmp_path / "printed").read_text()


@pytest.mark.slow
def test_two_processes_train_and_score_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a job of a sweep, so that it is started apart, too."""
    one = tmp_path / "one"
    run(one, *SETTINGS, "optimizer=adam")
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    line = ["-m", "seed=0", *SETTINGS, "optimizer=adam", "trainer.devices=2"]
    run_hydra(train_task, argv=[*line, "hydra.sweeper.name=two"])
    (two,) = (path.parent for path in tmp_path.glob("outputs/default/two/*/job.json"))
    assert len(losses(one)) == 6
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    alone, together = read_result(one), read_result(two)
    assert scores(together) == scores(alone)
    assert (together.status, together.steps) == ("finished", 6)
    assert capfd.readouterr().out.count("finished after 6 steps") == 1, "one process prints"


@needs_fork
def test_two_machines_train_as_one(tmp_path: Path) -> None:
    """Each started from outside, as by torchrun on either."""
    line = [*SETTINGS, "optimizer=adam", "trainer.num_nodes=2", f"hydra.run.dir={tmp_path}/two"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    variables |= {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    variables |= {"TORCHELASTIC_RUN_ID": "none"}
    logs = [tmp_path / f"{rank}.txt" for rank in range(2)]
    machines = [
        Forked(log, line, **variables, RANK=str(rank), GROUP_RANK=str(rank))
        for rank, log in enumerate(logs)
    ]
    codes = [one.wait(300) for one in machines]
    said = [log.read_text() for log in logs]
    assert codes == [0, 0], said[0][-3000:] + said[1][-3000:]
    assert read_result(tmp_path / "two").steps == 6
    assert [text.count("finished after 6 steps") for text in said] == [1, 0]
    assert len(losses(tmp_path / "two")) == 6
