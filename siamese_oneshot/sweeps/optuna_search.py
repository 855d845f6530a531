"""A search by Optuna that goes on where it stopped, prunes, and survives its jobs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from siamese_oneshot.sweeps import study as studies
from siamese_oneshot.sweeps.choosing import refuse_blind_search
from siamese_oneshot.sweeps.driver import SweepDriver
from siamese_oneshot.sweeps.feasible import why_infeasible
from siamese_oneshot.sweeps.job import Job, Outcome
from siamese_oneshot.sweeps.search_space import space_of, written
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class SearchSweeper(SweepDriver):
    """Draws the settings of each job by what the earlier ones scored on validation.

    hydra-optuna-sweeper is not used: its stable release pins an Optuna whose storage is broken with
    today's SQLAlchemy, and neither it nor its candidate can continue a trial or prune one.

    Args:
        n_trials: of the whole search, however often it is started.
        storage: an Optuna storage URL that several machines may share; None: SQLite in the folder.
        study: its name in the storage; None: the folder's, or that of the only one in its SQLite.
        sampler: makes an Optuna sampler from a ``seed``.
        seed: of the sampler.
        pruner: an Optuna pruner; None runs every trial to its end. It acts in the jobs.
        options: of ``SweepDriver``.
    """

    def __init__(
        self,
        n_trials: int,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        seed: int = 0,
        pruner: optuna.pruners.BasePruner | None = None,
        storage: str | None = None,
        study: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.n_trials = check.integer("n_trials", n_trials, 1)
        self.seed = check.seed("seed", seed)
        self.sampler, self.pruner = sampler, pruner
        self.storage, self.study_name = storage, study

    def drive(self, overrides: list[Override]) -> None:
        """Go on with the trials that were begun, then draw new ones up to the total."""
        self.space = space_of(overrides)
        if not self.space:
            raise UserError(
                "there is nothing to search: give ranges such as "
                "'optimizer.lr=tag(log,interval(1e-4,1e-1))', or choose +sweep=optimizer"
            )
        self.fixed = [str(one.input_line) for one in overrides if not one.is_sweep_override()]
        refuse_blind_search(self._composed(self.fixed))
        self.open()
        at_once = self.at_once(4)  # more at once would be drawn without knowing of each other
        # The sweep's lock lets nobody else into a file of its own; a shared storage has no lock.
        owner = None if self.storage is None else self.folder
        waiting = [self._again(trial) for trial in studies.begun(self.study, owner)]
        self.left = len(waiting) + max(0, self.n_trials - studies.counted(self.study))
        while True:
            while len(waiting) < at_once and studies.counted(self.study) < self.n_trials:
                waiting.append(self._new())
            if not waiting:
                break
            batch, waiting = waiting[:at_once], waiting[at_once:]
            self.launch(batch)
            for job in batch:
                self._tell(job)
        self._name_best()

    def open(self) -> None:
        """Open the study and say how far it is."""
        self.url = studies.storage_of(self.storage, self.folder)
        own = self.storage is None and self.study_name is None
        name = self.study_name or self.folder.name
        self.study = studies.open_study(self.url, name, create=True, only=own)
        self.study.sampler = self._made_sampler(len(self.study.get_trials(deepcopy=False)))
        if self.storage is None:  # in a shared one another machine may be image
            studies.drop_half_drawn(self.study)
        counted = studies.counted(self.study)
        log.info("search %s: %d of %d trials so far", name, counted, self.n_trials)

    def _made_sampler(self, drawn: int) -> optuna.samplers.BaseSampler:
        """A sampler that does not draw again what it, or another machine's, has drawn already.

        Args:
            drawn: trials in the study.
        """
        import optuna

        seed = self.seed + drawn
        if self.storage is not None:  # machines that start together find as many trials
            seed = (seed + crc32(studies.owner(self.folder).encode())) % 2**32
        sampler = self.sampler(seed=seed)
        if isinstance(sampler, optuna.samplers.QMCSampler):
            # One sequence for all, whose place the study remembers; before it begins it is random.
            first = optuna.samplers.RandomSampler(seed=seed)
            sampler = self.sampler(seed=self.seed, independent_sampler=first)
        return sampler

    def _new(self) -> Job:
        trial = studies.draw(self.study, self.space, self._check)
        job = self._job(trial.number, trial.params)
        trial.set_user_attr(studies.OWNER, studies.owner(self.folder))
        trial.set_user_attr(studies.JOB, job.name)
        return job

    def _again(self, trial: optuna.trial.FrozenTrial) -> Job:
        """The job of a trial that was begun; how often is in its folder."""
        job = self._job(trial.number, trial.params)
        known = Job.read(self.folder / trial.user_attrs[studies.JOB])
        if known is None:
            return job
        known.trial = job.trial  # the folder may have been moved, and the storage with it
        return known

    def _job(self, number: int, params: dict[str, Any]) -> Job:
        swept = [key.lstrip("+") for key in self.space]
        trial = {"storage": self.url, "study": self.study.study_name, "number": number}
        return Job(number, [*self.fixed, *written(params)], swept, trial=trial)

    def _check(self, params: dict[str, Any]) -> str | None:
        return why_infeasible(self._composed([*self.fixed, *written(params)]))

    def _composed(self, line: list[str]) -> DictConfig:
        assert self.config is not None
        assert self.hydra_context is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, line)

    def _tell(self, job: Job) -> None:
        """Let the study know how a job ended."""
        import optuna

        outcome = Outcome.of(self.place(job))
        assert job.trial is not None
        number: int = job.trial["number"]
        if outcome.status == "finished":
            self.study.tell(number, outcome.validation)
        elif outcome.status == "pruned":
            self.study.tell(number, state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(number, state=optuna.trial.TrialState.FAIL)

    def _name_best(self) -> None:
        """Say which trial was best on validation, and how to run it with its test."""
        try:
            best = self.study.best_trial
        except ValueError:
            log.warning("no trial was completed")
            return
        line = [*self.fixed, *written(best.params), "test=true", "hydra.mode=RUN"]
        log.info(
            "best of %d: trial %d, validation %.2f%%. To train it and open the test lists:\n%s",
            studies.counted(self.study),
            best.number,
            100 * (best.value or 0.0),
            shlex.join(["python", "-m", "siamese_oneshot.train", *line]),
        )
