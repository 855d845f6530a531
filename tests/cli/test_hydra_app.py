"""What a task gets and gives, and how its errors end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.hydra_app import Task
from siamese_oneshot.utils.errors import UserError


@pytest.mark.parametrize("line", [["--cfg", "job"], ["--info", "defaults"]])
def test_showing_loads_nothing_heavy(
    driver: list[str], line: list[str], environment: dict[str, str]
) -> None:
    done = subprocess.run([*driver, *line], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "max_steps" in done.stdout or "sgd" in done.stdout
    assert "heavy: []" in done.stdout


# --- what a task returns


def test_the_task_gets_the_config_and_its_value_comes_back(conf: Path) -> None:
    argv = list(sys.argv)
    value = run_hydra(
        lambda cfg: (cfg.trainer.max_steps, cfg.model.width, cfg.seed),
        argv=["+experiment=paper", "model=conv4_small", "seed=3"],
    )
    assert value == (99, 8, 3)
    assert sys.argv == argv
    assert "HYDRA_FULL_ERROR" not in os.environ


@pytest.mark.parametrize("place", [0, 1])
def test_multirun_hands_each_value_to_the_sweeper_wherever_it_is_asked_for(
    conf: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    seen = []

    class Probe(Callback):
        def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
            seen.append((config.seed, job_return.return_value))

    module = types.ModuleType("cli_probe")
    module.Probe = Probe  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cli_probe", module)
    probe = "+hydra.callbacks.probe._target_=cli_probe.Probe"
    line = ["seed=1,2,3", probe]
    line.insert(place, "--multirun" if place == 1 else "-m")
    assert run_hydra(lambda cfg: cfg.seed / 2, argv=line) is None
    assert seen == [(1, 0.5), (2, 1.0), (3, 1.5)]


def fails(error: Exception) -> Callable[[DictConfig], Any]:
    def task(cfg: DictConfig) -> Any:
        raise error

    return task


def hidden() -> Exception:
    error = InstantiationException("Error in call to target 'x'")
    error.__cause__ = RuntimeError("y")
    error.__cause__.__cause__ = UserError("kernel 12 does not fit an image of 9")
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("no data in x.\nGive data.root."), "no data in x.\nGive data.root."),
        (hidden(), "kernel 12 does not fit an image of 9"),
    ],
)
def test_a_user_error_shows_its_message_only_also_behind_another(
    refused: Callable[..., tuple[int, str]], error: Exception, message: str
) -> None:
    assert refused(task=fails(error)) == (1, f"Error: {message}\n")


def test_a_user_error_in_one_of_many_jobs_names_the_job(
    refused: Callable[..., tuple[int, str]],
) -> None:
    def task(cfg: DictConfig) -> None:
        if cfg.seed == 2:
            raise UserError("seed 2 is bad")

    code, shown = refused("-m", "seed=1,2", task=task)
    assert code == 1
    assert shown.splitlines()[-1] == "Error: seed 2 is bad"
    assert "overrides: ['seed=2']" in shown
    assert "Traceback" not in shown


def test_a_setting_without_value_is_named(refused: Callable[..., tuple[int, str]]) -> None:
    code, shown = refused(task=lambda cfg: cfg.needed)
    assert code == 1
    assert shown.startswith("Error: needed has no value yet")


def test_an_argument_that_a_target_does_not_have_is_named(
    refused: Callable[..., tuple[int, str]],
) -> None:
    code, shown = refused("+wrapper.widht=3", task=lambda cfg: instantiate(cfg.wrapper))
    assert code == 1
    assert "wrapper: textwrap.TextWrapper refuses its settings: " in shown
    assert "unexpected keyword argument 'widht'" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        InstantiationException("Error in call to target"),
        TypeError("f() got an unexpected keyword argument 'width'"),  # of no target
    ],
)
@pytest.mark.parametrize("many", [[], ["-m"]])
def test_any_other_error_passes_as_it_is(conf: Path, error: Exception, many: list[str]) -> None:
    with pytest.raises(type(error)) as raised:
        run_hydra(fails(error), argv=many)
    assert raised.value is error


@pytest.mark.parametrize("name", ["SIAMESE_ONESHOT_TRACE", "HYDRA_FULL_ERROR"])
def test_the_trace_is_shown_when_asked_for(
    refused: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    code, shown = refused(task=fails(UserError("no data")))
    assert code == 1
    assert shown.startswith("Traceback")
    assert shown.endswith("Error: no data\n")
    code, shown = refused("modle=paper")
    assert code == 2
    assert "Traceback" in shown
    assert os.environ[name] == "1"


def test_a_job_and_its_error_survive_another_process(conf: Path) -> None:
    """Launchers pickle what a job raises; the cause is lost on the way, the message is not."""
    seen = []

    def task(cfg: DictConfig) -> None:
        job = Task(fails_with_cause)
        try:
            job(cfg)
        except UserError as error:
            seen.append(pickle.loads(pickle.dumps(error)))

    run_hydra(task, argv=["-m", "seed=1"])
    assert [str(error) for error in seen] == ["no such file"]
    assert seen[0].__cause__ is None


def fails_with_cause(cfg: DictConfig) -> None:
    raise InstantiationException("Error in call") from UserError("no such file")


def test_exit_codes_of_a_process(driver: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run([*driver, "modle=x"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    with subprocess.Popen([*driver, "seed=7"], stdout=-1, stderr=-1, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in shown


def test_torchmetrics_takes_no_scipy_signal_and_leaves_no_trace() -> None:
    """Whoever imports scipy.signal afterwards has all of it; Lightning works as ever."""
    code = (
        "import sys; from siamese_oneshot.utils.imports import import_torchmetrics as lean\n"
        "lean(); lean(); import torchmetrics; assert 'scipy.signal' not in sys.modules\n"
        "import scipy.signal; assert scipy.signal.windows.hamming(3)[1] == 1\n"
        "from torchmetrics.functional.audio import signal_noise_ratio"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_garbage_is_collected_while_torch_is_loaded_nor_at_the_end() -> None:
    """Garbage of before and after is: a network in a cycle must not stay."""
    code = (
        "import atexit, gc, sys, types; from siamese_oneshot.cli import loading_torch\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > frozen))\n"
        "with loading_torch():\n"
        "    assert not gc.isenabled(); sys.modules['torch'] = types.ModuleType('torch')\n"
        "frozen = gc.get_freeze_count(); assert gc.isenabled() and frozen\n"
        "with loading_torch(): assert gc.isenabled()\n"
        "assert gc.get_freeze_count() == frozen; later = [[] for _ in range(9)]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    code = (
        "import gc; from siamese_oneshot.cli import loading_torch\n"
        "try:\n    with loading_torch(): import no_such_module\n"
        "except ImportError: assert gc.isenabled()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
