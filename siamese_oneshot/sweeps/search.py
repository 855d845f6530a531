"""A search by Optuna that continues where it stopped, prunes, and survives its jobs' failures."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.runs.job import Job, JobProgress, jobs_in
from siamese_oneshot.sweeps.driver import SweepDriver, split_that_trains_on_validation
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import bare_key, did_you_mean

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

STUDY_FILE = "study.db"  # of a search without another storage
STUDY = "search"  # name of the study in that file
JOB = "job"  # trial attribute: the job's folder; set once the trial is drawn completely
OWNER = "folder"  # trial attribute: the sweep's folder that the job is in, with the host's name
INFEASIBLE = "infeasible"  # trial attribute: why no network of that shape can be built
_SQLITE = "sqlite:///"
_LOSES_NOTHING = "nothing is lost, for the same command takes the trials from their jobs' folders"
_MAX_DRAWS = 100  # infeasible draws in a row
_MAX_TOGETHER = 4  # more trials at once would be drawn without knowing of each other

log = logging.getLogger(__name__)


class SearchSweeper(SweepDriver):
    """Draws the settings of each job from the validation scores of earlier ones.

    hydra-optuna-sweeper is not used: its stable release needs an Optuna whose storage fails with
    today's SQLAlchemy, and it can neither continue a trial nor prune one.

    Args:
        n_trials: Number of trials of the whole search, however often it is started.
        sampler: Returns an Optuna sampler for a ``seed``.
        seed: Seed of the sampler.
        pruner: An Optuna pruner, which acts in the jobs; None runs every trial to its end.
        storage: URL of an Optuna storage that several machines may share; if None, a SQLite file
            in the sweep's folder.
        enqueue: Settings to try before the sampler draws any, each a mapping from swept keys to
            values. A key that it leaves out has the experiment's value, if its range has it.
        study: Name in the storage; if None, the folder's in a shared one.
        **options: Options of `SweepDriver`.
    """

    def __init__(
        self,
        n_trials: int,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        seed: int = 0,
        pruner: optuna.pruners.BasePruner | None = None,
        storage: str | None = None,
        study: str | None = None,
        enqueue: Sequence[Mapping[str, Any]] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.n_trials = check.integer("n_trials", n_trials, 1)
        self.seed = check.seed("seed", seed)
        self.sampler, self.pruner = sampler, pruner
        self.storage, self.study_name = storage, study
        for number, settings in enumerate(enqueue):
            check.mapping(f"enqueue.{number}", settings)
        self.enqueue = [dict(settings or {}) for settings in enqueue]

    def drive(self, overrides: list[Override]) -> None:
        """Continue the trials that were started, then draw new ones up to the total."""
        self.space = space_of(overrides)
        if not self.space:
            raise UserError(
                "there is nothing to search: give ranges such as "
                "'optimizer.lr=tag(log,interval(1e-4,1e-1))', or choose +sweep=optimizer"
            )
        self.fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        cfg = self.composed(self.fixed)
        check_search_split(cfg)
        wanted = [self._wanted(settings, cfg) for settings in self.enqueue]
        with _usable(storage_url(self.storage, self.folder)):
            self._search(wanted)

    def _search(self, wanted: list[dict[str, Any]]) -> None:
        self._open()
        for params in wanted:
            self.study.enqueue_trial(params, skip_if_exists=True)
        at_once = self.at_once(_MAX_TOGETHER)
        # The sweep's lock protects a study of its own; a shared storage has no lock.
        folder = None if self.storage is None else self.folder
        waiting = [self._continued(trial) for trial in _running(self.study, folder)]
        self.left = len(waiting) + max(0, self.n_trials - _count(self.study))
        while True:
            while len(waiting) < at_once and _count(self.study) < self.n_trials:
                waiting.append(self._new())
            if not waiting:
                break
            batch, waiting = waiting[:at_once], waiting[at_once:]
            self.launch(batch)
            for job in batch:
                self._tell(job)
        if self.storage is not None:
            with suppress(ValueError):  # no trial is complete
                best = self.study.best_trial
                text = "best on all machines: validation %.2f%%, %s"
                log.info(text, 100 * (best.value or 0.0), ", ".join(written(best.params)))

    def _open(self) -> None:
        """Open the study and log how far it is."""
        import optuna

        name = self.study_name or (STUDY if self.storage is None else self.folder.name)
        self.study = open_study(storage_url(self.storage, self.folder), name, create=True)
        if self.storage is None and not self.study.get_trials(deepcopy=False):
            self._rebuild()
        self.study.sampler = self._made_sampler(len(self.study.get_trials(deepcopy=False)))
        if self.storage is None:  # in a shared storage another machine may be drawing
            for trial in _running(self.study, None, drawn=False):
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                if params := trial.system_attrs.get("fixed_params"):  # of `enqueue`
                    self.study.enqueue_trial(params)
        log.info("search %s: %d of %d jobs so far", name, _count(self.study), self.n_trials)

    def _rebuild(self) -> None:
        """Add the trials of the jobs to a new study: the file was removed, because of damage."""
        import optuna
        from optuna.trial import TrialState

        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        states |= {"failed": TrialState.FAIL}
        jobs = {job.number: (job, progress) for job, _, progress in jobs_in(self.folder)}
        parse = OverridesParser.create().parse_override
        for number in range(max(jobs, default=-1) + 1):
            job, progress = jobs.get(number, (None, JobProgress("failed")))
            settings = {} if job is None else job.settings
            params = {
                key: _in_range(parse(f"x={settings[key.lstrip('+')]}").value(), distribution)
                for key, distribution in self.space.items()
                if key.lstrip("+") in settings
            }
            if job is None or len(params) < len(self.space) or None in params.values():
                # An infeasible draw, or a job that is gone: only its number is taken.
                self.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
                continue
            state = states.get("failed" if job.error else progress.status, TrialState.RUNNING)
            trial = optuna.trial.create_trial(
                state=state,
                value=progress.validation if state == TrialState.COMPLETE else None,
                params=params,
                distributions=self.space,
                user_attrs={JOB: job.name, OWNER: _owner(self.folder)},
            )
            self.study.add_trial(trial)
        if jobs:
            log.warning("%s is new: %d trials are taken from their jobs", STUDY_FILE, len(jobs))

    def _wanted(self, settings: Mapping[str, Any], cfg: DictConfig) -> dict[str, Any]:
        """The parameters of a trial of ``enqueue``; ``cfg`` is the experiment's configuration.

        Raises:
            UserError: A key is not swept, or its range lacks the value.
        """
        keys = {key.lstrip("+"): key for key in self.space}
        for name in settings:
            if name not in (*keys, *map(bare_key, self.fixed)):  # a fixed value wins
                hint = did_you_mean(name, keys)
                raise UserError(f"hydra.sweeper.enqueue: {name} is not searched.{hint}")
        params = {}
        for name, key in keys.items():
            value = settings.get(name, OmegaConf.select(cfg, name))
            known = _in_range(value, self.space[key])
            if known is not None:
                params[key] = known
            elif name in settings:
                raise UserError(
                    f"hydra.sweeper.enqueue: {name}={value} is outside its range "
                    f"{self.space[key]}: change it, or set hydra.sweeper.enqueue=[]"
                )
        return params

    def _made_sampler(self, drawn: int) -> optuna.samplers.BaseSampler:
        """A sampler that repeats none of the ``drawn`` trials, nor other machines' draws."""
        import optuna

        seed = self.seed + drawn
        if self.storage is not None:  # machines that start together see the same number of trials
            seed = (seed + crc32(_owner(self.folder).encode())) % 2**32
        sampler = self.sampler(seed=seed)
        if isinstance(sampler, optuna.samplers.QMCSampler):
            # One sequence for all machines; the study keeps its position. The first draw is random.
            first = optuna.samplers.RandomSampler(seed=seed)
            sampler = self.sampler(seed=self.seed, independent_sampler=first)
        return sampler

    def _new(self) -> Job:
        trial = self._draw()
        job = self._job(trial.number, trial.params)
        trial.set_user_attr(OWNER, _owner(self.folder))
        trial.set_user_attr(JOB, job.name)
        return job

    def _draw(self) -> optuna.Trial:
        """Draw the next trial of a feasible shape; infeasible ones count as the worst."""
        import optuna

        reason: str | None = None
        for _ in range(_MAX_DRAWS):
            try:
                trial = self.study.ask(fixed_distributions=self.space)
            except ValueError as error:
                raise UserError(
                    f"the search space differs from the one of this study ({error}): start "
                    "another search with hydra.sweeper.name=<name>"
                ) from error
            reason = why_infeasible(self.composed([*self.fixed, *written(trial.params)]))
            if reason is None:
                return trial
            trial.set_user_attr(INFEASIBLE, reason)
            # Pruned without a score: TPE ranks it below all others, and ignores failed trials.
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        raise UserError(
            f"no feasible setting in {_MAX_DRAWS} draws; narrow the search space. Last: {reason}"
        )

    def _continued(self, trial: optuna.trial.FrozenTrial) -> Job:
        """The job of a trial that was started."""
        folder = self.folder / trial.user_attrs[JOB]
        return Job.read(folder) or self._job(trial.number, trial.params)

    def _job(self, number: int, params: dict[str, Any]) -> Job:
        swept = [key.lstrip("+") for key in self.space]
        trial = {"storage": self.storage, "study": self.study.study_name, "number": number}
        return Job(number, [*self.fixed, *written(params)], swept, trial=trial)

    def _tell(self, job: Job) -> None:
        """Tell the study how a job ended."""
        from optuna.trial import TrialState

        progress = self.progress_of(job)
        assert job.trial is not None
        number: int = job.trial["number"]
        if progress.status == "finished":
            self.study.tell(number, progress.validation)
        else:
            pruned = progress.status == "pruned"
            self.study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL)


# --- the search space


def space_of(overrides: Sequence[Override]) -> dict[str, BaseDistribution]:
    """The distribution of every swept override, by its key with ``+`` if it has one."""
    return {
        override.get_key_element(): _distribution(override)
        for override in overrides
        if override.is_sweep_override()
    }


def _distribution(override: Override) -> BaseDistribution:
    """The distribution of one override.

    ``interval(a, b)`` is continuous, ``int(interval(a, b))`` and ``range(a, b, step)`` are integers
    (a range ends before ``b``), ``tag(log, interval(a, b))`` is uniform in the logarithm, and
    ``choice(a, b)`` or ``a,b`` is one of a list.

    Raises:
        UserError: The range is empty, or cannot be logarithmic.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    log_scale = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, IntervalSweep):
            low: Any = value.start
            high: Any = value.end
            if isinstance(low, int) and isinstance(high, int):  # by int(…)
                return IntDistribution(low, high, log=log_scale)
            return FloatDistribution(float(low), float(high), log=log_scale)
        if isinstance(value, RangeSweep):
            values: list[Any] = list(value.range())
            low, high, step = min(values), max(values), abs(value.step)
            if all(isinstance(number, int) for number in values):
                return IntDistribution(int(low), int(high), log=log_scale, step=int(step))
            return FloatDistribution(low, high, step=float(step))
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def _in_range(value: Any, distribution: Any) -> Any:
    """A value as a distribution has it; None if it does not have it."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        parse = OverridesParser.create().parse_override
        values = {choice: parse(f"x={choice}").value() for choice in distribution.choices}
        return next((choice for choice, known in values.items() if known == value), None)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or not distribution.low <= value <= distribution.high:
        return None
    if isinstance(distribution, IntDistribution):
        return None if (value - distribution.low) % distribution.step else int(value)
    return float(value)


def written(params: Mapping[str, Any]) -> list[str]:
    """Sampled values as overrides; a choice from a list is text already."""
    return [f"{key}={value}" for key, value in params.items()]


def why_infeasible(cfg: DictConfig) -> str | None:
    """Say why a job's encoder cannot be built, e.g. kernels larger than their input, or None.

    The encoder is built on PyTorch's ``meta`` device, which has shapes but no numbers.
    """
    import torch
    from hydra.utils import instantiate

    try:
        build = instantiate(cfg.model.encoder)  # imports what it needs, on the usual device
        with torch.device("meta"):
            build()
    except Exception as error:
        reason = error if isinstance(error, UserError) else error.__cause__  # Hydra wraps it
        if not isinstance(reason, UserError):
            raise
        return str(reason)
    return None


def check_search_split(cfg: DictConfig) -> None:
    """Refuse a search by the validation scores of alphabets that are trained on.

    Raises:
        UserError: Names the split to search with.
    """
    from siamese_oneshot.data.splits import TRAINS_ON_VALIDATION

    split = split_that_trains_on_validation(cfg)
    if split is not None:
        other = TRAINS_ON_VALIDATION[split]
        raise UserError(
            f"data.split={split} trains on its validation alphabets, so their scores cannot choose "
            f"settings: search with data.split={other} callbacks=default, then train the best "
            "setting on all alphabets"
        )


# --- the study


def storage_url(url: str | None, folder: Path) -> str:
    """The given URL of a storage, or that of a SQLite file in the sweep's folder."""
    return url or f"{_SQLITE}{folder / STUDY_FILE}"


def open_study(storage: str, name: str, pruner: Any = None, create: bool = False) -> optuna.Study:
    """Open a study; several processes may do so at the same time.

    Args:
        storage, name: URL of an Optuna storage, and the study in it.
        pruner: Pruner for this process; a study does not store it.
        create: Create the study if it is missing; higher values are better.

    Raises:
        UserError: There is no such storage or study, or a driver is not installed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        store = optuna.storages.RDBStorage(storage, engine_kwargs=options)
        named: dict[str, Any] = {"study_name": name, "storage": store, "pruner": pruner}
        if create:
            return optuna.create_study(**named, direction="maximize", load_if_exists=True)
        return optuna.load_study(**named)
    except Exception as error:  # every database has errors of its own
        file = Path(storage.removeprefix(_SQLITE))
        remedy = (
            "hydra.sweeper.storage takes a URL such as sqlite:////shared/folder/study.db or "
            "postgresql://user:password@host/database"
        )
        if file.name == STUDY_FILE and file.is_file():
            remedy = (
                f"wait if another process uses it. If it is damaged, remove it: {_LOSES_NOTHING}"
            )
        first = str(error).partition("\n")[0]
        raise UserError(
            f"the study {name} in {storage} cannot be opened ({first}): {remedy}"
        ) from error


@contextmanager
def _usable(url: str) -> Iterator[None]:
    """Turn errors of a study's database into a message."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise UserError(
            f"the search stops, because its study {url} cannot be used ({reason}). No trial is "
            "lost: the same command continues. If the study is damaged and a file of this folder, "
            f"remove it: {_LOSES_NOTHING}"
        ) from error


def trial_of(folder: Path, pruner: Any) -> optuna.Trial | None:
    """The trial of the job in this folder; None if no search waits for it.

    A failed job may be resumed alone after its trial was told as failed, or after the search was
    removed. Where the study cannot be used, the job goes on without pruning.
    """
    import optuna

    job = Job.read(folder)
    if job is None or job.trial is None:
        return None
    storage = job.trial["storage"]
    if storage is None and not (folder.parent / STUDY_FILE).is_file():
        log.warning(
            "this job's search was not found in %s; training without pruning", folder.parent
        )
        return None
    try:
        url = storage_url(storage, folder.parent)
        study = open_study(url, job.trial["study"], pruner=pruner)
        frozen = study.get_trials(deepcopy=False)[job.trial["number"]]
    except Exception as problem:  # every database has errors of its own
        log.warning("training without pruning: %s", problem)
        return None
    return None if frozen.state.is_finished() else optuna.trial.Trial(study, frozen._trial_id)


def _owner(folder: Path) -> str:
    """The sweep's folder with the host's name, which no other machine has."""
    return f"{socket.gethostname()}:{folder}"


def _count(study: optuna.Study) -> int:
    """Count the trials that are or were a job, so not those of an infeasible shape."""
    return sum(JOB in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def _running(
    study: optuna.Study, folder: Path | None, drawn: bool = True
) -> list[optuna.trial.FrozenTrial]:
    """The trials that an earlier process left running, drawn completely or not.

    They are those of one sweep's folder, or all if None: no other folder shares the study then,
    and host and folder may have been renamed.
    """
    import optuna

    running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
    return [
        trial
        for trial in running
        if (JOB in trial.user_attrs) == drawn
        and (folder is None or trial.user_attrs.get(OWNER) == _owner(folder))
    ]
