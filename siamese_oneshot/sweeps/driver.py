"""What our sweepers share: jobs that are skipped, continued, repeated or recorded as failed."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
import threading
import time
import traceback
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from siamese_oneshot.sweeps.job import (
    ATTEMPTS,
    Job,
    Outcome,
    await_orphan,
    jobs_in,
    open_sweep,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import Busy, UserError
from siamese_oneshot.utils.text import bare_key, folder_name, quoted

log = logging.getLogger(__name__)

_GLANCE = 5.0  # seconds between two looks at the jobs that a launcher runs
_FEW = 8  # jobs at most that are launched together after a loss


class SweepDriver(Sweeper):
    """Drives the jobs of one sweep folder through Hydra's launcher.

    The same command finds the same folder, named by its arguments, and goes on there: what is
    complete stays, what was begun continues from its last checkpoint.

    Args:
        name: of the sweep's folder below ``hydra.sweep.dir``; None: made of the arguments.
        params: what to vary, in Hydra's grammar; the command line's come on top.
        parallel: jobs handed to the launcher at once. None: of a search as many as it runs at a
            time; of a grid all, where it runs several at a time.
    """

    def __init__(
        self,
        name: str | None = None,
        params: dict[str, Any] | None = None,
        parallel: int | None = None,
    ) -> None:
        self.name = None if name is None else check.text("name", name)
        self.params = dict(params or {})
        self.parallel = None if parallel is None else check.integer("parallel", parallel, 1)
        self.left = 0  # jobs that are not complete
        self._began = time.monotonic()
        self._ended = set[int]()  # the numbers of jobs that were told of
        self._loss = ""  # how the launcher's last one showed
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands over; the launcher is made when the folder is known."""
        self.hydra_context, self.config = hydra_context, config
        self._task = task_function

    def sweep(self, arguments: list[str]) -> None:
        """Run what is left of the sweep.

        Raises:
            UserError: at the end, where a job failed; or the folder is not to be used.
        """
        assert self.config is not None
        assert self.hydra_context is not None
        top = Path(str(self.config.hydra.sweep.dir)).absolute()
        self.folder = top / (self.name or folder_name(arguments) or "sweep")
        overrides = self._parsed(arguments)
        params = {key: str(value) for key, value in self.params.items()}
        command = shlex.join(["python", "-m", "siamese_oneshot.train", *sys.argv[1:]])
        with open_sweep(self.folder, arguments, params, command):
            with open_dict(self.config):
                self.config.hydra.sweep.dir = str(self.folder)
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=self.hydra_context, task_function=self._task, config=self.config
            )
            self.drive(overrides)
            self._conclude()

    @abstractmethod
    def drive(self, overrides: list[Override]) -> None:
        """Run the jobs that these overrides ask for."""

    def at_once(self, most: int) -> int:
        """How many jobs to hand over together, at most ``most``."""
        assert self.config is not None
        if self.parallel is not None:
            return min(self.parallel, most)
        launcher = self.config.hydra.launcher
        if "BasicLauncher" in str(launcher._target_):
            return 1
        jobs = launcher.get("n_jobs")  # joblib's
        if jobs is None:
            return most  # the launcher has a queue
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(int(jobs) if jobs > 0 else max(1, (cores or 1) + 1 + int(jobs)), most)

    def place(self, job: Job) -> Path:
        """The job's folder."""
        return self.folder / job.name

    def launch(self, jobs: Sequence[Job]) -> None:
        """Run jobs together until each is complete or failed; those that are, are left alone."""
        while waiting := [job for job in jobs if self._is_waiting(job)]:
            if not self._launch_once(waiting) and len(waiting) > 1:
                few = self.at_once(min(_FEW, len(waiting)))
                step = few if few < len(waiting) else 1  # who killed its process shows in the end
                for start in range(0, len(waiting), step):
                    self.launch(waiting[start : start + step])

    def _is_waiting(self, job: Job) -> bool:
        await_orphan(self.place(job))
        if Outcome.of(self.place(job)).complete or job.error is not None:
            return False
        if job.lost(self.place(job)) >= ATTEMPTS:
            self._fail(job, f"its process was lost {job.attempts} times. {self._loss}".rstrip())
            return False
        return True

    def _launch_once(self, jobs: Sequence[Job]) -> bool:
        """Whether the launcher brought an answer."""
        assert self.launcher is not None
        for job in jobs:
            job.begin(self.place(job))
            if Outcome.of(self.place(job)).status == "failed":  # of an earlier attempt
                (self.place(job) / "result.json").unlink(missing_ok=True)
        lines = [self._line(job) for job in jobs]
        try:
            with self._watched(jobs):
                answers = self.launcher.launch(lines, initial_job_idx=jobs[0].number)
        except Exception as problem:  # a worker's process is gone; whose is not said
            self._loss = f"{type(problem).__name__}: {problem}"
            log.warning("the launcher lost jobs: %s", self._loss)
            if len(jobs) > 1:
                for job in jobs:
                    job.excuse(self.place(job))
            return False
        for job, answer in zip(jobs, answers, strict=True):
            self._settle(job, answer)
        del answers
        gc.collect()  # a failed job's traceback would keep its network in memory
        return True

    @contextmanager
    def _watched(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Tell of jobs that are complete while the launcher is busy with others."""
        if len(jobs) == 1:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_GLANCE):
                for job in jobs:
                    if job.number not in self._ended and Outcome.of(self.place(job)).complete:
                        self._tell_of(job)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _line(self, job: Job) -> list[str]:
        folder = self.place(job)
        return [
            *job.overrides,
            f"resume={quoted(folder)}",
            f"hydra.sweep.dir={quoted(self.folder)}",
            f"hydra.sweep.subdir={quoted(folder.name)}",
        ]

    def _settle(self, job: Job, answer: JobReturn) -> None:
        """Say how a job ended, and record that it failed."""
        outcome = Outcome.of(self.place(job))
        problem = answer._return_value
        if isinstance(problem, Busy):  # one in a queue that an earlier driver left behind
            log.info("job %d: %s", job.number, problem)
        elif isinstance(problem, Exception):
            if not isinstance(problem, UserError):
                log.error("".join(traceback.format_exception(problem)).rstrip())
            traceback.clear_frames(problem.__traceback__)
            self._fail(job, f"{type(problem).__name__}: {problem}")
        elif outcome.status == "failed":
            self._fail(job, "it ended without a validation score")
        if outcome.complete or job.error is not None:  # else it is launched again
            self._tell_of(job)

    def _tell_of(self, job: Job) -> None:
        """Say, once, how a job ended if it is complete, and how long the rest will take."""
        if job.number in self._ended:
            return
        self._ended.add(job.number)
        outcome = Outcome.of(self.place(job))
        if outcome.complete and outcome.validation is not None:
            percent = 100 * outcome.validation
            log.info("job %d: %s, validation %.2f%%", job.number, outcome.status, percent)
        self.left -= 1
        if self.left > 0:
            rest = self.left * (time.monotonic() - self._began) / len(self._ended)
            log.info("%d to go, about %s", self.left, timedelta(seconds=round(rest)))

    def _fail(self, job: Job, message: str) -> None:
        job.error = message.removeprefix("UserError: ").splitlines()[0]
        job.write(self.place(job))
        log.error("job %d failed, the sweep goes on: %s", job.number, message)

    def _parsed(self, arguments: Sequence[str]) -> list[Override]:
        """The command line's overrides and the params; a key of the command line wins.

        The params come last, so that what they choose changes the command line's experiment.
        """
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = {bare_key(text) for text in arguments}
        lines = [f"{k}={v}" for k, v in self.params.items() if bare_key(f"{k}=") not in given]
        return parser.parse_overrides([*arguments, *lines])

    def _conclude(self) -> None:
        """Say where all is, and fail where a job did."""
        found = jobs_in(self.folder)
        # A job that failed may have gone on by itself to its end.
        failed = [one for one in found if one[0].error is not None and not one[2].complete]
        done = sum(outcome.complete for _, _, outcome in found)
        log.info("%d of %d jobs are complete in %s", done, len(found), self.folder)
        log.info("table: python -m siamese_oneshot.report %s", shlex.quote(str(self.folder)))
        if failed:
            lines = [f"  {path.name}: {job.error}" for job, path, _ in failed]
            raise UserError(f"{len(failed)} of {len(found)} jobs failed:\n" + "\n".join(lines))
