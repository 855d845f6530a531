"""Lightning's W&B logger, which gives way where W&B fails and goes on where a run stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from siamese_oneshot.loggers.wandb_history import STEP, LoggedHistory

log = logging.getLogger(__name__)


class ResilientWandbLogger(WandbLogger):
    """Warns once, and stays silent from then on, where W&B's service has died.

    In a run that goes on, rows are counted from the last one, and what was logged before the
    training was broken off is not logged again: a step is in the history once.

    Args:
        run: of ``wandb.init``.
        folder: the run's.
        past: what was logged earlier.
        metrics: ``max`` or ``min`` for each metric whose best value belongs in the summary.
    """

    def __init__(
        self, run: Any, folder: Path, past: LoggedHistory, metrics: Mapping[str, str]
    ) -> None:
        super().__init__(experiment=run, save_dir=str(folder))
        self.past, self.wanted, self.broken = past, metrics, False
        self.goes_on = past.rows > 0
        self._row: int | None = past.rows if past.rows > run.starting_step else None
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        for name, best in metrics.items():
            run.define_metric(name, step_metric=STEP, summary=best)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log figures at a training step."""
        new = dict(metrics)
        if step is not None:
            new = {key: value for key, value in new.items() if not self.past.holds(key, step)}
            if not new:
                return
            new[STEP] = step
        for key, kind in self.wanted.items():
            self.past.note_best(key, new.get(key), kind)
        self.attempt(self._log, new)

    def log_hyperparams(self, params: Any) -> None:
        """Add to the configuration."""
        self.attempt(super().log_hyperparams, params)

    def keep_best(self) -> None:
        """Put the best values of the whole run into the summary, which W&B has of its last part."""
        best = {name: {self.wanted[name]: value} for name, value in self.past.best.items()}
        if self.goes_on and best:
            self.attempt(self.experiment.summary.update, best)

    def attempt(self, act: Callable[..., Any], *values: Any) -> None:
        """Do something to the run, unless W&B has failed."""
        if self.broken:
            return
        try:
            act(*values)
        except Exception as problem:
            self.broken = True
            log.warning("W&B logs no more of this job: %s", problem)

    def _log(self, metrics: dict[str, Any]) -> None:
        # Lightning never names W&B's row; after the first one W&B counts on by itself. Without
        # commit, a row that is named would be joined by the next.
        self.experiment.log(metrics, step=self._row, commit=True)
        self._row = None
