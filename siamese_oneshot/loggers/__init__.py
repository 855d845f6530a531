"""Loggers: the CSV history that every run has, and the loggers of the configuration.

``conf/logger`` is a mapping of loggers, each with a ``_target_``: a logger of Lightning, or
`WandbRun`, which opens one resilient W&B run per training.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:  # importing this file does not load Lightning
    from pytorch_lightning.loggers import Logger

_EXTRAS = ("tensorboard", "mlflow")  # optional dependencies of the package


def check_loggers(settings: Mapping[str, Any] | None) -> None:
    """Refuse wrong logger settings before any work begins.

    Args:
        settings: A mapping of loggers, as in ``conf/logger``; a logger that is None is left out.

    Raises:
        UserError: The first wrong setting, or a ``_target_`` that does not exist.
    """
    from siamese_oneshot.loggers.wandb_run import WandbRun

    for name, entry in (settings or {}).items():
        key = f"logger.{name}"
        check.mapping(key, entry)
        if entry is None:
            continue
        if "_target_" not in entry:
            raise UserError(f"{key} needs a _target_, the class of the logger")
        try:
            target = get_object(entry["_target_"])
        except ImportError:
            raise UserError(f"{key}._target_={entry['_target_']}: there is no such class") from None
        if target is WandbRun:
            instantiate(entry)


@contextmanager
def build_loggers(
    settings: Mapping[str, Any] | None,
    folder: Path,
    config: Mapping[str, Any],
    *,
    name: str,
    **wandb_options: Any,
) -> Iterator[list[Logger]]:
    """Open the configured loggers for the block; close them with the state that it ends in.

    Args:
        settings: A mapping of loggers, as in ``conf/logger``.
        folder: The run's; the ``save_dir`` of loggers whose own is null.
        config: The whole configuration, plain values; empty to leave that of an earlier process.
        name: Of the run, where a logger's settings have none of their own.
        wandb_options: Further arguments of `WandbRun.open`.

    Yields:
        The loggers; W&B is missing where it is disabled or fails.

    Raises:
        UserError: A logger's package is not installed, or the logger cannot be made.
    """
    from siamese_oneshot.loggers.wandb_run import WandbRun

    loggers: list[Logger] = []
    with ExitStack() as stack:
        for key, entry in (settings or {}).items():
            if entry is None:
                continue
            logger = _instantiate(str(key), entry, folder, name)
            if isinstance(logger, WandbRun):
                logger = stack.enter_context(
                    logger.open(folder, config, name=name, **wandb_options)
                )
            else:
                if config:
                    logger.log_hyperparams(dict(config))
                stack.push(partial(_finalize, logger))
            if logger is not None:
                loggers.append(logger)
        yield loggers


def _finalize(logger: Logger, kind: type[BaseException] | None, *_: object) -> None:
    """End a Lightning logger with the state of the block."""
    logger.finalize("success" if kind is None else "failed")


def _instantiate(key: str, entry: Mapping[str, Any], folder: Path, name: str) -> Any:
    """A logger with the run's folder and name where its settings have null."""
    # Lightning's own default, a folder of files, is refused by MLflow 3.
    database = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
    tracking = os.environ.get("MLFLOW_TRACKING_URI", database)
    defaults = {"save_dir": str(folder), "run_name": name, "tracking_uri": tracking}
    filled = {key: value for key, value in defaults.items() if entry.get(key, "given") is None}
    try:
        return instantiate(entry, **filled)
    except InstantiationException as problem:
        if isinstance(problem.__cause__, TypeError):  # an argument that it does not have
            raise
        if not isinstance(problem.__cause__, ImportError):
            raise UserError(f"logger.{key}: {problem.__cause__}") from None
        remedy = str(problem.__cause__)
        if key in _EXTRAS:
            remedy = f"pip install 'siamese-oneshot[{key}]'"
        raise UserError(f"logger={key} needs a package that is not installed: {remedy}") from None
