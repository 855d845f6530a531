"""One Weights & Biases run per job: online if there is a login, else offline, never in the way.

Importing this file loads neither PyTorch nor Lightning.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_dir, user_data_dir

from siamese_oneshot.utils import check
from siamese_oneshot.utils.distributed import is_first_process
from siamese_oneshot.utils.imports import stand_in
from siamese_oneshot.utils.io import atomic_write, check_writable
from siamese_oneshot.utils.text import near

if TYPE_CHECKING:
    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger

MODES = ("auto", "online", "offline", "disabled")
CHECKPOINT = ("auto", "always", "never")
ID_FILE = "wandb_id.txt"
_MAX_TAG = 64  # characters; W&B's limit
INTERRUPTED = 255  # W&B's exit code for Ctrl-C, which separates killed runs from failed ones

# W&B imports all of its launcher, a second, to ask it for the inputs of a launched job.
_LAUNCHER = "wandb.sdk.launch.inputs.internal"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WandbRun:
    """Settings of W&B runs.

    Attributes:
        project, entity: Where runs go; None for ``$WANDB_PROJECT``, else ``siamese_oneshot``, and
            for ``$WANDB_ENTITY``, else the user's own.
        mode: ``auto`` follows ``$WANDB_MODE`` if that is set, else it is online with a login and
            offline without; or ``online``, ``offline``, ``disabled``.
        name, group, job_type: Of the run; None for ``$WANDB_NAME``, ``$WANDB_RUN_GROUP`` and
            ``$WANDB_JOB_TYPE``, else for those that the job gives.
        tags: Beside those that the job and ``$WANDB_TAGS`` give.
        checkpoint: ``auto`` uploads the best checkpoint of a finished run that is online;
            ``always`` also stages it offline, for ``wandb sync``; ``never``.
        init_timeout, finish_timeout: Seconds to wait for a server at the start and at the end.

    Raises:
        ArgumentError: A wrong setting.
    """

    project: str | None = None
    entity: str | None = None
    mode: str = "auto"
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: Sequence[str] = ()
    checkpoint: str = "auto"
    init_timeout: float = 30.0
    finish_timeout: float = 60.0

    def __post_init__(self) -> None:
        """Check what W&B would misread, or would be left out for."""
        for argument in ("project", "entity", "name", "group", "job_type"):
            value = getattr(self, argument)
            if value is not None:
                check.text(argument, value)
        check.choice("mode", self.mode, MODES)
        check.choice("checkpoint", self.checkpoint, CHECKPOINT)
        check.names("tags", self.tags)
        for argument in ("init_timeout", "finish_timeout"):
            check.number(argument, getattr(self, argument), 0)

    @contextmanager
    def open(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        job_type: str = "train",
        best: Mapping[str, str] | None = None,
        wandb_dir: Path | None = None,
    ) -> Iterator[ResilientWandbLogger | None]:
        """Yield a logger for the block; close the run with the state that the block ends in.

        The run's id is kept in ``<folder>/wandb_id.txt``, so that a resumed job continues the run
        and its history. A failure of W&B never reaches the job: the run goes offline, or the job
        goes on without W&B, and a warning says so.

        Args:
            folder: The run's folder.
            config: The whole configuration, plain values.
            name, group, tags, job_type: Of the run, where the settings have none.
            best: ``max`` or ``min`` for each metric whose best value belongs in the summary.
            wandb_dir: W&B writes below ``<wandb_dir>/wandb``: the sweep's folder for all of its
                jobs, so that ``wandb leet`` shows them together; None for the run's folder.

        Yields:
            The logger; None if W&B is disabled or fails, or in all processes but the first.
        """
        _no_telemetry()
        directory, given, mode = wandb_dir or folder, os.environ.get, "disabled"
        if is_first_process():
            _use_writable_folders(directory / "wandb")
            mode = choose_mode(self.mode)
        if mode == "disabled":
            yield None
            return
        is_resumed = (folder / ID_FILE).exists()
        run_id = _run_id(folder)
        listed = [*tags, *self.tags, *given("WANDB_TAGS", "").split(",")]
        options = {
            "dir": str(directory), "id": run_id, "resume": "allow", "config": dict(config),
            "project": self.project or default_project(),
            "entity": self.entity or given("WANDB_ENTITY") or None,
            "group": self.group or given("WANDB_RUN_GROUP") or group,
            "name": self.name or given("WANDB_NAME") or name,
            "tags": [*dict.fromkeys(tag.strip()[:_MAX_TAG] for tag in listed if tag.strip())],
            "job_type": self.job_type or given("WANDB_JOB_TYPE") or job_type,
        }  # fmt: skip
        run = _start(options, mode, self.init_timeout, self.finish_timeout)
        if run is None:
            yield None
            return
        if not run.offline:
            with suppress(OSError), atomic_write(folder / ID_FILE) as file:
                file.write(f"{run_id}\n{run.url}\n".encode())
        try:
            from siamese_oneshot.loggers.wandb_logger import LoggedHistory, ResilientWandbLogger

            best = dict(best or {})
            own = Path(run.dir).parent
            history = LoggedHistory.of(directory, run_id, best, own.name)
            kept = any(one != own for one in own.parent.glob(f"*-{run_id}"))
            if is_resumed and not kept and not run.starting_step:
                log.warning(
                    "W&B run %s: what it logged before is not in %s, so its rows are counted from "
                    "0 again and may be refused by the server; bring the run's folder in wandb/ "
                    "back to continue it",
                    run_id, directory / "wandb",
                )  # fmt: skip
            logger = ResilientWandbLogger(run, folder, history, best, self.checkpoint)
        except Exception as problem:
            log.warning("continuing without W&B, because its logger failed: %s", problem)
            _finish(run, 1)
            yield None
            return
        code = 1
        try:
            yield logger
            code = 0
        except (KeyboardInterrupt, SystemExit):  # submitit exits after it has requeued the job
            code = INTERRUPTED
            raise
        finally:
            logger.keep_best()
            _finish(run, code)


def default_project() -> str:
    """The project of runs that name none: the environment's, else the package's."""
    return os.environ.get("WANDB_PROJECT") or "siamese_oneshot"


def choose_mode(mode: str) -> str:
    """Resolve ``auto`` without a prompt and without a network.

    Raises:
        ArgumentError: An unknown mode.
    """
    check.choice("mode", mode, MODES)
    if mode != "auto":
        return mode
    environment = os.environ.get("WANDB_MODE", "")
    if environment:
        return {"dryrun": "offline", "run": "online"}.get(environment, environment)
    return "online" if has_login() else "offline"


def has_login(**settings: Any) -> bool:
    """Whether the environment, netrc or W&B's settings hold a key."""
    _no_telemetry()
    try:
        import wandb

        # Unless silent, login asks the server for the name of the key's owner.
        wandb.setup(wandb.Settings(silent=True, **settings))
        return bool(wandb.login(prompt=False, verify=False))
    except Exception as problem:  # a damaged key or settings file must not stop a training
        log.warning("the W&B login cannot be used: %s", problem)
        return False


def _no_telemetry() -> None:
    """W&B's service reports errors over HTTPS even offline, unless it is told so before it starts.

    A user who wants that sets ``WANDB_ERROR_REPORTING=true``.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def _use_writable_folders(folder: Path) -> None:
    """Let W&B keep files of artifacts in ``folder`` where it cannot in the user's home.

    Otherwise its first artifact, or table, would be its last row.
    """
    for variable, default in (
        ("WANDB_DATA_DIR", user_data_dir("wandb")),
        ("WANDB_CACHE_DIR", user_cache_dir("wandb")),
    ):
        if variable not in os.environ:
            try:
                check_writable(Path(default))
            except OSError:
                os.environ[variable] = str(folder.absolute())


def _run_id(folder: Path) -> str:
    """The id of this folder's run, created the first time."""
    path = folder / ID_FILE
    agent = os.environ.get("WANDB_RUN_ID", "") if os.environ.get("WANDB_SWEEP_ID") else ""
    new = agent or secrets.token_hex(4)
    try:
        kept = path.read_text().split() if path.exists() else []
        if kept:
            return kept[0]
        with atomic_write(path) as file:
            file.write(f"{new}\n".encode())
    except (OSError, ValueError) as problem:
        log.warning(
            "the id of the W&B run cannot be kept, so a resumed job starts another run: %s", problem
        )
    return new


def address_of(folder: Path) -> str:
    """The address of a folder's run on W&B's server; empty if it was never online."""
    try:
        _, address = (folder / ID_FILE).read_text().split()
    except (OSError, ValueError):
        return ""
    return address if address.startswith(("https://", "http://")) else ""


def _start(options: dict[str, Any], mode: str, init_timeout: float, finish_timeout: float) -> Any:
    """The run; offline if online fails; None if that fails, too."""
    if mode != "offline" and not has_login(mode=mode):  # wandb.init would ask for a key
        log.warning("W&B cannot go %s: not logged in; run `wandb login`", mode)
        mode = "offline"
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            import wandb

            settings = wandb.Settings(
                silent=True, console="off", init_timeout=init_timeout,
                finish_timeout=finish_timeout,
                finish_timeout_raises=True,  # so that _finish can say how to upload the rest
            )  # fmt: skip
            options["mode"] = attempt
            with stand_in(_LAUNCHER, StagedLaunchInputs=_NoInputs):
                run = wandb.init(settings=settings, reinit="finish_previous", **options)
        except Exception as problem:
            log.warning("W&B cannot go %s: %s", attempt, problem)
            _tear_down()
            continue
        if attempt == "offline":
            log.info("W&B is offline; to upload this run later: %s", _sync_command(run))
        else:
            log.info("W&B: %s", run.url)
        return run
    log.warning("continuing without W&B; metrics are in csv/ and result.json of %s", options["dir"])
    return None


class _NoInputs:
    def apply(self, run: object) -> None:
        """Nothing."""


def _tear_down() -> None:
    """End W&B's service, which after a failed start still holds the run's id."""
    try:
        import wandb

        wandb.teardown()
    except (Exception, SystemExit) as problem:  # it exits if its service has died
        log.debug("W&B's service did not end well: %s", problem)


def _finish(run: Any, code: int) -> None:
    if not run.offline:
        log.info("uploading to W&B")
    try:
        run.finish(exit_code=code)
    except Exception as problem:
        log.warning("W&B could not be closed (%s); to upload: %s", problem, _sync_command(run))
        _tear_down()


def _sync_command(run: Any) -> str:
    """The command that uploads this run with the parts that earlier processes left offline."""
    own = Path(run.dir).parent
    earlier = sorted(own.parent.glob(f"offline-run-*-{run.id}"))
    return shlex.join(["wandb", "sync", *map(near, dict.fromkeys([*earlier, own]))])
