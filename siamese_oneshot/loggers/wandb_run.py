"""One Weights & Biases run a job: online where there is a login, else offline, never in the way."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.loggers.wandb_history import LoggedHistory
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import whole_file

if TYPE_CHECKING:
    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
ID_FILE = "wandb_id.txt"
INTERRUPTED = 255  # W&B's own code for Ctrl-C, by which it tells killed runs from failed ones


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
    place: Path | None = None,
    init_timeout: float = 30.0,
    finish_timeout: float = 60.0,
) -> Iterator[ResilientWandbLogger | None]:
    """A logger for the job inside the block, closed with the state in which the job ended.

    The run's id is kept in ``<folder>/wandb_id.txt`` and used again on resume, where the history
    goes on. No failure of W&B reaches the job: it goes offline, or without W&B, and a warning says
    so. The environment is left as it is, so that the next job of this process chooses for itself.

    Args:
        folder: the run's folder.
        config: the whole configuration, plain values.
        project, entity, group, name, tags, job_type: as W&B shows them.
        mode: ``auto`` follows ``$WANDB_MODE`` where it is set, else is online where there is a
            login and offline where there is none; or ``online``, ``offline``, ``disabled``.
        metrics: ``max`` or ``min`` for each metric whose best value belongs in the summary.
        place: W&B writes below ``<place>/wandb``, which `wandb leet` shows as a whole: the sweep's
            folder for all of its jobs; the run's where None.
        init_timeout, finish_timeout: seconds to wait for a server at the start and at the end.

    Yields:
        The logger; None where W&B is disabled, fails, or this is not the first process.

    Raises:
        UserError: an unknown mode.
    """
    mode = choose_mode(mode) if is_first_process() else "disabled"
    run = logger = None
    place, run_id, metrics = place or folder, "", metrics or {}
    if mode != "disabled":
        run_id = _run_id(folder)
        options = {
            "dir": str(place),
            "id": run_id,
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
            from siamese_oneshot.loggers.wandb_logger import (
                ResilientWandbLogger,  # here: loads torch
            )

            logger = ResilientWandbLogger(
                run, folder, LoggedHistory.of(place, run_id, metrics), metrics
            )
        except Exception as problem:
            log.warning("going on without W&B, whose logger fails: %s", problem)
            _finish(run, 1)
    if logger is None:
        yield None
        return
    code = 1
    try:
        yield logger
        code = 0
    except (KeyboardInterrupt, SystemExit):  # the latter by submitit, which has queued it again
        code = INTERRUPTED
        raise
    finally:
        logger.keep_best()
        _finish(run, code)


def choose_mode(mode: str) -> str:
    """Resolve ``auto``.

    Raises:
        UserError: an unknown mode.
    """
    if mode not in MODES:
        raise UserError(f"logger.mode={mode} is unknown; there are {', '.join(MODES)}")
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "")
    if wish:
        return {"dryrun": "offline", "run": "online"}.get(wish, wish)
    return "online" if has_login() else "offline"


def has_login(**settings: Any) -> bool:
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
    path = folder / ID_FILE
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
    if mode != "offline" and not has_login(mode=mode):  # wandb.init would ask for a key
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


def _finish(run: Any, code: int) -> None:
    try:
        run.finish(exit_code=code)
    except Exception as problem:
        log.warning("W&B could not be closed (%s); to upload: %s", problem, _sync_command(run))
        _tear_down()


def _sync_command(run: Any) -> str:
    """What uploads this run, with the parts of it that earlier processes left offline."""
    own = Path(run.dir).parent
    earlier = sorted(own.parent.glob(f"offline-run-*-{run.id}"))
    return shlex.join(["wandb", "sync", *map(str, dict.fromkeys([*earlier, own]))])
