"""One Weights & Biases run a job: online where there is a login, else offline, never in the way."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    mode = choose_mode(mode)
    first = int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0) == 0
    run = None
    if mode != "disabled" and first:
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
    if run is None:
        yield None
        return
    try:
        yield _logger(run, folder, metrics or {})
    except KeyboardInterrupt:
        _finish(run, 130)
        raise
    except BaseException:
        _finish(run, 1)
        raise
    _finish(run, 0)


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


def _has_login() -> bool:
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except Exception:  # a damaged netrc is no reason not to train
        return False


def _run_id(folder: Path) -> str:
    """The id of this folder's run, made up the first time."""
    path = folder / _ID_FILE
    if path.exists():
        return path.read_text().strip()
    made = secrets.token_hex(4)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(made + "\n")
    return made


def _start(options: dict[str, Any], mode: str, init_timeout: float, finish_timeout: float) -> Any:
    """The run; offline where online fails; None where that fails too."""
    import wandb

    for attempt in dict.fromkeys((mode, "offline")):
        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=False,
        )
        try:
            run = wandb.init(mode=attempt, settings=settings, reinit="finish_previous", **options)  # type: ignore[arg-type]
        except Exception as problem:
            log.warning("W&B cannot go %s: %s", attempt, problem)
            wandb.teardown()  # its service still holds the run's id
            continue
        if attempt == "offline":
            place = Path(run.dir).parent
            log.info("W&B is offline; to upload this run later: wandb sync %s", place)
        else:
            log.info("W&B: %s", run.url)
        return run
    log.warning("going on without W&B; metrics are in csv/ and result.json of %s", options["dir"])
    return None


def _logger(run: Any, folder: Path, metrics: Mapping[str, str]) -> WandbLogger:
    from pytorch_lightning.loggers import WandbLogger

    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    for name, best in metrics.items():
        run.define_metric(name, step_metric=STEP, summary=best)
    return WandbLogger(experiment=run, save_dir=str(folder))


def _finish(run: Any, code: int) -> None:
    try:
        run.finish(exit_code=code)
    except Exception as problem:
        log.warning(
            "W&B could not be closed: %s. To upload: wandb sync %s", problem, Path(run.dir).parent
        )
