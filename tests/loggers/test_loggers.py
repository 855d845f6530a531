"""Loggers of the configuration: one, several or none, Lightning's own among them."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from pytorch_lightning.loggers.logger import DummyLogger
from wandb_files import without_account

from siamese_oneshot.loggers import build_loggers, check_loggers
from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.errors import UserError

FAKE = f"{__name__}.FakeMLFlow"


class FakeMLFlow(DummyLogger):
    """Takes the arguments of conf/logger/mlflow.yaml and records what it gets."""

    made: list[FakeMLFlow] = []  # noqa: RUF012

    def __init__(self, experiment_name: str, run_name: str, tracking_uri: str) -> None:
        super().__init__()
        if not tracking_uri.startswith("sqlite"):
            raise OSError(f"{tracking_uri} is closed")
        self.arguments = (experiment_name, run_name, tracking_uri)
        self.params: dict[str, Any] = {}
        self.status = ""
        self.made.append(self)

    def log_hyperparams(self, params: dict[str, Any], *_: Any, **__: Any) -> None:
        self.params = params

    def finalize(self, status: str) -> None:
        self.status = status


def settings(*overrides: str, config: str = "config") -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(config, [*overrides]).get("logger")


@pytest.mark.parametrize("config", ["config", "evaluate"])
@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ["wandb"]),
        (["logger=none"], []),
        (["logger=csv"], []),
        (["logger=[]"], []),
        (["logger=tensorboard"], ["tensorboard"]),
        (["logger=[wandb,mlflow]"], ["wandb", "mlflow"]),
        (["logger=[wandb,tensorboard]", "logger.wandb=null"], ["tensorboard"]),
    ],
)
def test_loggers_are_chosen_on_the_command_line(
    config: str, overrides: list[str], names: list[str]
) -> None:
    chosen = settings(*overrides, config=config)
    assert [name for name, entry in (chosen or {}).items() if entry is not None] == names
    check_loggers(chosen)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"a": 1}, "logger.mine needs a _target_"),
        ({"_target_": "no.such.Logger"}, r"logger.mine._target_=no\.such\.Logger: there is no"),
        (3, "logger.mine=3"),
    ],
)
def test_wrong_loggers_are_refused(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_loggers({"mine": entry})


@pytest.mark.parametrize("fails", [False, True])
def test_several_loggers_share_the_run(tmp_path: Path, fails: bool) -> None:
    chosen = settings("logger=[wandb,mlflow]", f"logger.mlflow._target_={FAKE}")

    failure = pytest.raises(ValueError, match="broken") if fails else nullcontext()
    with (
        without_account(tmp_path),
        failure,
        build_loggers(chosen, tmp_path, {"seed": 1}, name="a name") as (wandb, mlflow),
    ):
        assert isinstance(wandb, ResilientWandbLogger)
        assert isinstance(mlflow, FakeMLFlow)
        if fails:
            raise ValueError("broken")
    (mlflow,) = FakeMLFlow.made
    FakeMLFlow.made.clear()
    assert mlflow.arguments == ("siamese_oneshot", "a name", f"sqlite:///{tmp_path}/mlflow.db")
    assert mlflow.params == {"seed": 1}
    assert mlflow.status == ("failed" if fails else "success")


def test_a_logger_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://nowhere.invalid")
    chosen = settings("logger=mlflow", f"logger.mlflow._target_={FAKE}")
    with (
        pytest.raises(UserError, match=r"logger\.mlflow: https://nowhere\.invalid is closed"),
        build_loggers(chosen, tmp_path, {}, name="n"),
    ):
        pass


def test_no_loggers() -> None:
    for none in (None, {}, {"wandb": None}):
        with build_loggers(none, Path("nowhere"), {}, name="n") as loggers:
            assert loggers == []


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_lightning_loggers_write_into_the_run_or_name_the_missing_package(
    tmp_path: Path, name: str
) -> None:
    chosen = settings(f"logger={name}")
    if importlib.util.find_spec(name) is None:
        with (
            pytest.raises(UserError, match=rf"logger={name} .*pip install .*\[{name}\]"),
            build_loggers(chosen, tmp_path, {}, name="n"),
        ):
            pass
        return
    with build_loggers(chosen, tmp_path, {"a": {"b": 1}}, name="n") as (logger,):
        logger.log_metrics({"loss": 1.0}, 0)
    assert any(tmp_path.rglob("*"))
