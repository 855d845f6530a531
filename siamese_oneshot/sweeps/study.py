"""The memory of a search: an Optuna study, opened for the driver or for one of its jobs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.sweeps.job import Job
from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:
    import optuna

JOB = "job"  # the attribute of a trial that says which job runs it; set when all is drawn
OWNER = "folder"  # the sweep's folder that the job is in, with the machine's name
INFEASIBLE = "infeasible"
FILE = "study.db"  # of a search that is given no other storage
_SQLITE = "sqlite:///"

log = logging.getLogger(__name__)


def storage_of(url: str | None, folder: Path) -> str:
    """The storage's URL: the one given, else a SQLite file in the sweep's folder."""
    return url or f"{_SQLITE}{folder / FILE}"


def open_study(
    storage: str,
    name: str,
    sampler: Any = None,
    pruner: Any = None,
    create: bool = False,
    only: bool = False,
) -> optuna.Study:
    """Open a study; several processes may at the same time.

    Args:
        storage: an Optuna storage URL.
        name: of the study.
        sampler, pruner: for this process; a study keeps neither.
        create: make it where it is missing; higher values are better.
        only: where the storage has a single study, take that whatever its name: it was named after
            a folder that may have another name by now.

    Raises:
        UserError: no such storage or study, or a driver that is not installed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        store = optuna.storages.RDBStorage(storage, engine_kwargs=options)
        if only and len(there := optuna.get_all_study_names(store)) == 1:
            name = there[0]
        if create:
            return optuna.create_study(
                storage=store,
                study_name=name,
                direction="maximize",
                sampler=sampler,
                pruner=pruner,
                load_if_exists=True,
            )
        return optuna.load_study(study_name=name, storage=store, sampler=sampler, pruner=pruner)
    except Exception as problem:  # every database has errors of its own
        raise UserError(
            f"the study {name} in {storage} cannot be opened ({problem}). hydra.sweeper.storage "
            "takes a URL such as sqlite:////shared/folder/study.db or "
            "postgresql://user:password@host/database"
        ) from problem


def owner(folder: Path) -> str:
    """This sweep folder, as no other machine would call its own."""
    return f"{socket.gethostname()}:{folder}"


def counted(study: optuna.Study) -> int:
    """Trials that are, or were, a job; those of no feasible shape are not counted."""
    return sum(JOB in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def begun(study: optuna.Study, folder: Path | None) -> list[optuna.trial.FrozenTrial]:
    """The running trials of a driver that was stopped.

    Args:
        study: to ask.
        folder: of the sweep, whose trials alone are wanted; None: of all, in a study that no other
            folder shares. There the machine may have another name by now, and the folder, too.
    """
    import optuna

    running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
    return [
        trial
        for trial in running
        if JOB in trial.user_attrs
        and (folder is None or trial.user_attrs.get(OWNER) == owner(folder))
    ]


def drop_half_drawn(study: optuna.Study) -> None:
    """End the trials that were being drawn when their driver was killed."""
    import optuna

    running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
    for trial in running:
        if JOB not in trial.user_attrs:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def draw(
    study: optuna.Study, space: dict[str, Any], check: Callable[[dict[str, Any]], str | None]
) -> optuna.Trial:
    """The next trial with a feasible shape; the others are told to the sampler as the worst.

    Args:
        study: to ask.
        space: the distribution of each setting.
        check: what is wrong with sampled values, or None.

    Raises:
        UserError: a hundred draws in a row were infeasible, or the space has changed.
    """
    import optuna

    reason: str | None = None
    for _ in range(100):
        try:
            trial = study.ask(fixed_distributions=space)
        except ValueError as problem:
            raise UserError(
                f"the search space is not the one that this study began with ({problem}): start "
                "another with hydra.sweeper.name=<name>"
            ) from problem
        reason = check(trial.params)
        if reason is None:
            return trial
        trial.set_user_attr(INFEASIBLE, reason)
        # Pruned without a score: TPE ranks it below every other, and failed ones it ignores.
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    raise UserError(
        f"no feasible setting in 100 draws; narrow the search space. The last: {reason}"
    )


def _storage_now(url: str, folder: Path) -> str | None:
    """A trial's storage, also where the sweep's folder was moved; None where its file is gone."""
    before = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or before.name != FILE or before.is_file():
        return url
    return storage_of(None, folder) if (folder / FILE).is_file() else None


def trial_of(folder: Path, pruner: Any) -> optuna.Trial | None:
    """The trial that the job in this folder is; None where no search waits for it.

    A failed job may go on by itself when its trial has been told, and takes no more reports; or
    when the search is gone.
    """
    import optuna

    job = Job.read(folder)
    if job is None or job.trial is None:
        return None
    storage = _storage_now(job.trial["storage"], folder.parent)
    if storage is None:
        log.warning("its search is gone: %s; it goes on by itself", job.trial["storage"])
        return None
    moved = storage != job.trial["storage"]
    study = open_study(storage, job.trial["study"], pruner=pruner, only=moved)
    frozen = study.get_trials(deepcopy=False)[job.trial["number"]]
    return None if frozen.state.is_finished() else optuna.trial.Trial(study, frozen._trial_id)
