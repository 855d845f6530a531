"""What a job of a sweep does in a worker of a launcher: end with its driver, and fail visibly.

Loaded by every command, so it loads neither PyTorch nor Lightning.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from siamese_oneshot.utils.distributed import in_joblib_worker

_POLL = 2.0  # seconds between two looks at the parent
_busy = threading.RLock()  # held by the job that this process is in, or by a job within it
_watched = _stopped = False

log = logging.getLogger(__name__)


@contextmanager
def as_job() -> Iterator[None]:
    """Around a job: its worker of joblib, which would wait for ever, ends when its driver is gone.

    The job receives SIGTERM, so it saves a checkpoint, and the sweep's command continues it. No
    further job begins in a worker after a signal has ended one.
    """
    global _watched, _stopped
    if in_joblib_worker() and not _watched:
        from tqdm import tqdm  # late, as this is loaded by every command

        _watched = True
        tqdm.set_lock(threading.RLock())  # its own would be reported as leaked
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    if _stopped:
        raise KeyboardInterrupt
    try:
        with _busy:
            yield
    except KeyboardInterrupt:
        _stopped = in_joblib_worker()
        raise


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    if not _busy.acquire(blocking=False):
        os.kill(os.getpid(), signal.SIGTERM)
        _busy.acquire()
    os._exit(1)


def fail_visibly(error: Exception) -> None:
    """In a job of submitit: log the error, and end with a non-zero exit code.

    Submitit itself only hands the error to the driver, which may not be there any more; its log
    would say that the job has completed successfully.
    """
    if "SUBMITIT_FOLDER" not in os.environ:
        return
    log.error("the job failed: %s", "".join(traceback.format_exception(error)).rstrip())
    logging.getLogger("submitit").addFilter(lambda record: "success" not in record.getMessage())

    def end() -> None:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    atexit.register(end)  # after submitit has written its answer
