"""Jobs that are skipped, continued, repeated or recorded as failed; and grids, what ``-m`` runs."""

from __future__ import annotations

import gc
import itertools
import logging
import multiprocessing
import shlex
import signal
import sys
import threading
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from siamese_oneshot.runs.job import (
    ATTEMPTS,
    COMMAND,
    Job,
    JobProgress,
    await_orphan,
    jobs_in,
    open_sweep,
    rounded,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import Busy, MachineFault, UserError, raise_stopped
from siamese_oneshot.utils.io import atomic_write, set_aside
from siamese_oneshot.utils.text import bare_key, duration, folder_name, near, quoted

NEEDS_LIST = "a grid needs a list of values; to search an interval add +sweep=search"
_POLL = 5.0  # seconds between two checks of the jobs that a launcher runs
_MAX_RETRY = 8  # jobs that are launched together after a launcher lost some

log = logging.getLogger(__name__)


class SweepDriver(Sweeper):
    """Runs the jobs of one sweep folder through Hydra's launcher.

    The same command uses the same folder, which is named after its arguments, and continues there:
    complete jobs are skipped, and started ones continue from their last checkpoint.

    Args:
        name: Name of the sweep's folder in ``hydra.sweep.dir``; if None, made of the arguments.
        params: What to vary, in Hydra's grammar; the command line's settings are added.
        parallel: Number of jobs handed to the launcher at once. If None: a search hands over as
            many as the launcher runs at a time; a grid all, or one if it runs one at a time.
    """

    hydra_context: HydraContext  # of `setup`; `sweep` makes the launcher once the folder is known
    config: DictConfig
    launcher: Launcher

    def __init__(
        self,
        name: str | None = None,
        params: dict[str, Any] | None = None,
        parallel: int | None = None,
    ) -> None:
        self.name = None if name is None else check.text("name", name)
        self.params = {key: str(value) for key, value in (params or {}).items()}
        self.parallel = None if parallel is None else check.integer("parallel", parallel, 1)
        self.left = 0  # jobs that are not complete
        self._start = time.monotonic()
        self._reported = set[int]()  # numbers of the jobs whose end was logged
        self._loss = ""  # the launcher's last error
        self.chooses = True  # whether the validation scores choose settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context, self.config, self._task = hydra_context, config, task_function
        self._loader = hydra_context.config_loader

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that are not complete.

        Raises:
            UserError: At the end if a job failed, or at once if the folder cannot be used.
        """
        top = Path(str(self.config.hydra.sweep.dir)).absolute()
        self.folder = top / (self.name or folder_name(arguments) or "sweep")
        overrides = self._parsed(arguments)
        command = shlex.join([*COMMAND, *sys.argv[1:]])
        with open_sweep(self.folder, arguments, self.params, command):
            with open_dict(self.config):
                self.config.hydra.sweep.dir = str(self.folder)
            with atomic_write(self.folder / "multirun.yaml") as file:
                file.write(OmegaConf.to_yaml(self.config).encode())
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=self.hydra_context, task_function=self._task, config=self.config
            )
            self.drive(overrides)
            self._conclude()

    @abstractmethod
    def drive(self, overrides: list[Override]) -> None:
        """Run the jobs that these overrides ask for."""

    def composed(self, line: list[str]) -> DictConfig:
        """The configuration of a job with these overrides."""
        return self._loader.load_sweep_config(self.config, line)

    def at_once(self, most: int) -> int:
        """The number of jobs to hand over together, at most ``most``."""
        if self.parallel is not None:
            return min(self.parallel, most)
        launcher = self.config.hydra.launcher
        if "BasicLauncher" in str(launcher._target_):
            return 1
        jobs = launcher.get("n_jobs")  # joblib's
        if jobs is None:
            return most  # the launcher has a queue
        from joblib import effective_n_jobs  # late: it is slow, and the launcher's

        return min(effective_n_jobs(int(jobs)), most)

    def progress_of(self, job: Job) -> JobProgress:
        """How far a job has come."""
        return JobProgress.of(self.folder / job.name)

    def launch(self, jobs: Sequence[Job]) -> None:
        """Run jobs together until each is complete or failed; complete ones are not run."""
        while waiting := [job for job in jobs if self._is_waiting(job)]:
            if not self._launch_once(waiting) and len(waiting) > 1:
                # Smaller and smaller groups show which job kills its process.
                few = self.at_once(min(_MAX_RETRY, len(waiting)))
                step = few if few < len(waiting) else 1
                for start in range(0, len(waiting), step):
                    self.launch(waiting[start : start + step])

    def _is_waiting(self, job: Job) -> bool:
        folder = self.folder / job.name
        await_orphan(folder)
        if JobProgress.of(folder).complete or job.error is not None:
            return False
        if job.lost(folder) >= ATTEMPTS:
            self._fail(job, f"its process was lost {job.attempts} times. {self._loss}".rstrip())
            return False
        return True

    def _launch_once(self, jobs: Sequence[Job]) -> bool:
        """Launch jobs; whether the launcher answered."""
        lines = []
        for job in jobs:
            folder = self.folder / job.name
            job.begin(folder)
            if JobProgress.of(folder).status == "failed":  # of an earlier attempt
                set_aside(folder / "result.json", "failed")
            resume, top, own = quoted(folder), quoted(self.folder), quoted(job.name)
            places = [f"resume={resume}", f"hydra.sweep.dir={top}", f"hydra.sweep.subdir={own}"]
            lines.append([*job.overrides, *places])
            settings = ", ".join(f"{key}={rounded(v)}" for key, v in job.settings.items())
            log.info("job %d starts: %s", job.number, settings or "no setting varies")
        try:
            with self._watched(jobs), self._until_saved(jobs):
                answers = self.launcher.launch(lines, initial_job_idx=jobs[0].number)
        except BaseException as error:  # Ctrl-C, or a worker's process is gone: which is not known
            stopped = isinstance(error, KeyboardInterrupt)
            for job in jobs if stopped or len(jobs) > 1 else ():
                job.excuse(self.folder / job.name)
            if not isinstance(error, Exception):
                raise
            self._loss = f"{type(error).__name__}: {error}"
            log.warning("the launcher lost jobs: %s", self._loss)
            return False
        for job, answer in zip(jobs, answers, strict=True):
            self._settle(job, answer)
        faults = [str(one._return_value) for one in answers if _is_fault(one)]
        if faults:
            raise UserError(
                f"the sweep stops, because the machine fails and not a job: {faults[0]}\n"
                "The same command then continues it, and no job counts as failed"
            )
        del answers
        gc.collect()  # the traceback of a failed job would keep its network in memory
        return True

    @contextmanager
    def _watched(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Log the jobs that become complete while the launcher runs others."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_POLL):
                for job in jobs:
                    if job.number not in self._reported:
                        self._report(job, self.progress_of(job))

        thread = threading.Thread(target=watch, daemon=True)
        if len(jobs) > 1:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if len(jobs) > 1:
                thread.join()

    @contextmanager
    def _until_saved(self, jobs: Sequence[Job]) -> Iterator[None]:
        """After Ctrl-C or SIGTERM, end when joblib's jobs have saved; after a second, at once."""

        def stop(signum: int, frame: FrameType | None) -> None:
            answer(raise_stopped)
            for worker in multiprocessing.active_children():
                worker.terminate()  # the terminal may not have told them; joblib would kill them
            for job in jobs:
                await_orphan(self.folder / job.name)
            raise_stopped(signum, frame)

        def answer(handler: Callable[[int, FrameType | None], None]) -> None:
            for signum in (signal.SIGINT, signal.SIGTERM) if joblib else ():
                if signal.getsignal(signum) in (stop, raise_stopped):
                    signal.signal(signum, handler)

        joblib = "n_jobs" in self.config.hydra.launcher
        answer(stop)
        try:
            yield
        finally:
            answer(raise_stopped)

    def _settle(self, job: Job, answer: JobReturn) -> None:
        """Record and log how a job ended."""
        progress = self.progress_of(job)
        error = answer._return_value  # `return_value` would print and raise it
        if _is_fault(answer):
            log.error("job %d: %s", job.number, error)
        elif isinstance(error, Busy):  # a job in a queue that an earlier process left behind
            log.info("job %d: %s", job.number, error)
        elif isinstance(error, Exception):
            if not isinstance(error, UserError):
                log.error("".join(traceback.format_exception(error)).rstrip())
            traceback.clear_frames(error.__traceback__)
            self._fail(job, f"{type(error).__name__}: {error}")
        elif progress.status == "failed":
            self._fail(job, "it ended without a validation score")
        self._report(job, progress)  # a job that is neither complete nor failed is launched again

    def _report(self, job: Job, progress: JobProgress) -> None:
        """Log, once, how a job ended, and how long the rest will take."""
        ended = progress.complete or job.error is not None
        if not ended or job.number in self._reported:
            return
        self._reported.add(job.number)
        if progress.complete and progress.validation is not None:
            percent = 100 * progress.validation
            log.info("job %d: %s, validation %.2f%%", job.number, progress.status, percent)
        self.left -= 1
        if self.left > 0:
            rest = self.left * (time.monotonic() - self._start) / len(self._reported)
            log.info("jobs left: %d, about %s", self.left, duration(rest))

    def _fail(self, job: Job, message: str) -> None:
        job.error = message.removeprefix("UserError: ").splitlines()[0]
        job.write(self.folder / job.name)
        log.error("job %d failed, the sweep continues: %s", job.number, message)

    def _parsed(self, arguments: Sequence[str]) -> list[Override]:
        """Parse the command line's overrides and the params; a key of the command line wins.

        The params come last, so that what they choose changes the command line's experiment.
        """
        given = {bare_key(text) for text in arguments}
        lines = [f"{k}={v}" for k, v in self.params.items() if bare_key(f"{k}=") not in given]
        parser = OverridesParser.create(config_loader=self._loader)
        return parser.parse_overrides([*arguments, *lines])

    def _conclude(self) -> None:
        """Log where the results are, and raise if a job failed."""
        jobs = jobs_in(self.folder)
        # A job that failed may since have been resumed and have reached its end.
        failed = [job for job in jobs if job[0].error is not None and not job[2].complete]
        complete = sum(progress.complete for _, _, progress in jobs)
        folder = near(self.folder)
        log.info("%d of %d jobs are complete in %s", complete, len(jobs), folder)
        log.info("compare them: python -m siamese_oneshot.report %s", shlex.quote(folder))
        if self.chooses and complete:
            from siamese_oneshot.reports.verdict import conclusion  # late: it loads PyTorch

            log.info("%s", conclusion(self.folder))
        if failed:
            lines = [f"  {path.name}: {job.error}" for job, path, _ in failed]
            raise UserError(f"{len(failed)} of {len(jobs)} jobs failed:\n" + "\n".join(lines))


def _is_fault(answer: JobReturn) -> bool:
    """Whether a job ended because the machine failed."""
    return isinstance(answer._return_value, MachineFault)


class GridSweeper(SweepDriver):
    """Runs the product of all lists; the same command again retries the jobs that failed."""

    def drive(self, overrides: list[Override]) -> None:
        """Run every combination."""
        jobs = combinations(overrides)
        # All are composed before the first one runs, which refuses a wrong setting of any.
        splits = [split_that_trains_on_validation(self.composed(job.overrides)) for job in jobs]
        split = next(filter(None, splits), None)
        if split is not None:
            log.warning(
                "data.split=%s trains on its validation alphabets: do not choose by the validation "
                "scores of these jobs",
                split,
            )
        assign_numbers(jobs, [job for job, _, _ in jobs_in(self.folder)])
        self.left = sum(not self.progress_of(job).complete for job in jobs)
        log.info("%d of %d jobs left to run", self.left, len(jobs))
        step = self.at_once(len(jobs))
        if step > 1 and self.parallel is None:
            step = len(jobs)  # the launcher has a queue: no job waits for the slowest of a few
        for start in range(0, len(jobs), step):
            self.launch(jobs[start : start + step])
        self.chooses = split is None and len(jobs) > 1


def combinations(overrides: list[Override]) -> list[Job]:
    """The jobs of a grid, the last list varying fastest.

    Args:
        overrides: Some have several values; of those with the same key the last one counts.

    Raises:
        HydraException: An interval, which has no list of values, or a shuffled list.
    """
    lists: dict[str, list[str]] = {}
    swept = []
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lists[key] = [str(override.input_line)]
        elif getattr(override.value(), "shuffle", False):
            raise HydraException(
                f"{override.input_line}: a shuffled list has another order each time, so the sweep "
                "could not be continued; remove the shuffling"
            )
        elif override.is_discrete_sweep():
            lists[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            swept.append(bare_key(f"{key}="))
        else:
            raise HydraException(f"{override.input_line}: {NEEDS_LIST}")
    products = dict.fromkeys(itertools.product(*lists.values()))  # a value given twice counts once
    return [Job(number, list(line), swept) for number, line in enumerate(products)]


def assign_numbers(jobs: Sequence[Job], before: Sequence[Job]) -> None:
    """Give each job the number that it had in an earlier start, and new jobs numbers of their own.

    A list such as ``glob(*)`` may have grown since then, and its values may be ordered otherwise.
    """
    known = {frozenset(job.overrides): job for job in before}
    taken = {job.number for job in before}
    free = (number for number in itertools.count() if number not in taken)
    for job in jobs:
        earlier = known.get(frozenset(job.overrides))
        if earlier is None:
            job.number = next(free)
            continue
        job.number, job.swept = earlier.number, earlier.swept
        if earlier.error is None:  # a failed job has all attempts again
            job.attempts = earlier.attempts


def split_that_trains_on_validation(cfg: DictConfig) -> str | None:
    """The split of a job's configuration if it trains on its validation alphabets."""
    from siamese_oneshot.data.splits import TRAINS_ON_VALIDATION

    split: str = cfg.data.split
    return split if cfg.data.source == "omniglot" and split in TRAINS_ON_VALIDATION else None
