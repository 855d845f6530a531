"""The run's folder belongs to one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from siamese_oneshot.sweeps.job import JOB_LOCK
from siamese_oneshot.training import job
from siamese_oneshot.utils.errors import Busy


def test_a_folder_that_another_process_trains_in_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_ORPHANS", 0.0)
    with (
        FileLock(tmp_path / JOB_LOCK),
        pytest.raises(Busy, match="another process is training"),
        job._alone_in(tmp_path),
    ):
        pass
    with job._alone_in(tmp_path):
        pass
