"""One Weights & Biases run a job: online where there is a login, else offline, never in the way."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.atomic import whole_file
from siamese_oneshot.errors import UserError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
STEP = "trainer/global_step"
_ID_FILE = "wandb_id.txt"


@contextmanager
def wandb_run(
    folder: Path,
    config: dict[str, Any],
    *,
    project: str,
    entity: str | None = None,
    group: str | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    job_type: str = "train",
    mode: str = "auto",
    metrics: Mapping[str, str] | None = None,
    init_timeout: float = 30.0,
    finish_timeout: float = 60.0,
) -> Iterator[WandbLogger | None]:
    """A logger for the job inside the block, closed with the state in which the job ended.

    The run's id is kept in ``<folder>/wandb_id.txt`` and used again on resume. No failure of W&B
    reaches the job: it goes offline, or without W&B, and a warning says so. The environment is left
    as it is, so that the next job of this process chooses for itself.

    Args:
        folder: the run's folder; W&B writes below ``<folder>/wandb``.
        config: the whole configuration, plain values.
        project, entity, group, name, tags, job_type: as W&B shows them.
        mode: ``auto`` follows ``$WANDB_MODE`` where it is set, else is online where there is a
            login and offline where there is none; or ``online``, ``offline``, ``disabled``.
        metrics: ``max`` or ``min`` for each metric whose best value belongs in the summary.
        init_timeout, finish_timeout: seconds to wait for a server at the start and at the end.

    Yields:
        The logger; None where W&B is disabled, fails, or this is not the first process.

    Raises:
        UserError: an unknown mode.
    """
    mode = choose_mode(mode) if is_first_process() else "disabled"
    run = logger = None
    if mode != "disabled":
        options = {
            "dir": str(folder),
            "id": _run_id(folder),
            "resume": "allow",
            "config": config,
            "project": project,
            "entity": entity,
            "group": group,
            "name": name,
            "tags": list(tags),
            "job_type": job_type,
        }
        run = _start(options, mode, init_timeout, finish_timeout)
    if run is not None:
        try:
            logger = _logger(run, folder, metrics or {})
        except Exception as problem:
            log.warning("going on without W&B, whose logger fails: %s", problem)
            _finish(run, 1)
    if logger is None:
        yield None
        return
    try:
        yield logger
    except KeyboardInterrupt:
        _finish(run, 130)
        raise
    except BaseException:
        _finish(run, 1)
        raise
    _finish(run, 0)


def is_first_process() -> bool:
    """Whether this is the one that writes, where one training runs in several processes."""
    of = os.environ.get
    rank = of("RANK") or of("SLURM_PROCID")
    return rank == "0" if rank else (of("LOCAL_RANK") or "0") == (of("NODE_RANK") or "0") == "0"


def choose_mode(mode: str) -> str:
    """Resolve ``auto``, without a prompt and without a network."""
    if mode not in MODES:
        raise UserError(f"logger.mode={mode} is unknown; there are {', '.join(MODES)}")
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "")
    if wish:
        return {"dryrun": "offline", "run": "online"}.get(wish, wish)
    return "online" if _has_login() else "offline"


def _has_login(**settings: Any) -> bool:
    """Whether a key is at hand: in the environment, netrc or W&B's settings; for these settings."""
    try:
        import wandb

        # Unless silent, login asks the server whose key it is, to print the name.
        wandb.setup(wandb.Settings(silent=True, **settings))
        return bool(wandb.login(prompt=False, verify=False))
    except Exception as problem:  # a damaged key or settings file is no reason not to train
        log.warning("the W&B login cannot be used: %s", problem)
        return False


def _run_id(folder: Path) -> str:
    """The id of this folder's run, made up the first time."""
    path = folder / _ID_FILE
    agents = os.environ.get("WANDB_RUN_ID", "") if os.environ.get("WANDB_SWEEP_ID") else ""
    made = agents or secrets.token_hex(4)
    try:
        kept = path.read_text().strip() if path.exists() else ""
        if kept:
            return kept
        with whole_file(path) as file:
            file.write(f"{made}\n".encode())
    except (OSError, ValueError) as problem:
        log.warning("the id of the W&B run cannot be kept, resumed it is another run: %s", problem)
    return made


def _start(options: dict[str, Any], mode: str, init_timeout: float, finish_timeout: float) -> Any:
    """The run; offline where online fails; None where that fails too."""
    if mode != "offline" and not _has_login(mode=mode):  # wandb.init would ask for a key
        log.warning("W&B cannot go %s: there is no login; `wandb login` makes one", mode)
        mode = "offline"
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            run = _init(attempt, init_timeout, finish_timeout, options)
        except Exception as problem:
            log.warning("W&B cannot go %s: %s", attempt, problem)
            _tear_down()
            continue
        if attempt == "offline":
            log.info("W&B is offline; to upload this run later: %s", _sync_command(run))
        else:
            log.info("W&B: %s", run.url)
        return run
    log.warning("going on without W&B; metrics are in csv/ and result.json of %s", options["dir"])
    return None


def _init(mode: str, init_timeout: float, finish_timeout: float, options: dict[str, Any]) -> Any:
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=init_timeout,
        finish_timeout=finish_timeout,
        finish_timeout_raises=True,  # so that _finish can say how to upload the rest
    )
    return wandb.init(mode=mode, settings=settings, reinit="finish_previous", **options)  # type: ignore[arg-type]


def _tear_down() -> None:
    """End W&B's service, which after a failed start still holds the run's id."""
    try:
        import wandb

        wandb.teardown()
    except (Exception, SystemExit) as problem:  # it exits where its service has died
        log.debug("W&B's service did not end well: %s", problem)


def _logger(run: Any, folder: Path, metrics: Mapping[str, str]) -> WandbLogger:
    from pytorch_lightning.loggers import WandbLogger

    class Patient(WandbLogger):
        """Warns once, and stays silent from then on, where W&B's service has died."""

        broken = False

        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            """Log figures at a step."""
            self._attempt(super().log_metrics, metrics, step)

        def log_hyperparams(self, params: Any) -> None:
            """Add to the configuration."""
            self._attempt(super().log_hyperparams, params)

        def _attempt(self, act: Callable[..., None], *values: Any) -> None:
            if self.broken:
                return
            try:
                act(*values)
            except Exception as problem:
                self.broken = True
                log.warning("W&B logs no more of this job: %s", problem)

    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    for name, best in metrics.items():
        run.define_metric(name, step_metric=STEP, summary=best)
    return Patient(experiment=run, save_dir=str(folder))


def _finish(run: Any, code: int) -> None:
    try:
        run.finish(exit_code=code)
    except Exception as problem:
        log.warning("W&B could not be closed (%s); to upload: %s", problem, _sync_command(run))
        _tear_down()


def _sync_command(run: Any) -> str:
    return shlex.join(["wandb", "sync", str(Path(run.dir).parent)])
