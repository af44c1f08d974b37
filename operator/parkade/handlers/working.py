"""Runs what takes long beside the cycle: loading models, fetching files. Results show in the next snapshot."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

from parkade.cycle import Job
from parkade.errors import ModelRejected, ParkadeError

FIRST_BACKOFF: Final = 2.0
"""Seconds until a failed job may run again; doubled with each failure."""
LONGEST_BACKOFF: Final = 300.0
_THREADS: Final = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    next_try: float
    message: str
    rejected: bool
    """The same job will fail again."""


class Works:
    """Jobs in lanes: one at a time in each, every key with a back-off of its own."""

    def __init__(self, on_done: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_done, self._clock = on_done, clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="works")
        self._lock = Lock()
        self._running: dict[str, tuple[Job, float]] = {}
        self._failed: dict[str, _Failed] = {}

    def start(self, job: Job) -> bool:
        """Run a job unless its lane is taken or its last failure was just now; whether it started."""
        now = self._clock()
        with self._lock:
            taken = self._running.get(job.lane)
            if taken is not None and now < taken[1]:
                return False
            failed = self._failed.get(job.key)
            if failed is not None and now < failed.next_try:
                return False
            if taken is not None:
                log.warning("%s did not end in %.0f s; its place is given to %s", taken[0].key, job.deadline, job.key)
            self._running[job.lane] = (job, now + job.deadline)
        self._threads.submit(self._run, job)
        return True

    def failure(self, key: str) -> str:
        """Why the job with this key failed last; empty when it did not."""
        with self._lock:
            failed = self._failed.get(key)
        return failed.message if failed is not None else ""

    def rejected(self, key: str) -> bool:
        """Whether the job with this key failed last because its model was refused, not because something was away."""
        with self._lock:
            failed = self._failed.get(key)
        return failed is not None and failed.rejected

    def close(self) -> None:
        """Take no more jobs; what runs ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Job) -> None:
        problem, rejected = "", False
        try:
            job.run()
        except ParkadeError as error:
            problem, rejected = str(error), isinstance(error, ModelRejected)
            log.warning("%s failed: %s", job.key, problem)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            log.exception("%s broke", job.key)
        self._ended(job, problem, rejected=rejected)
        self._on_done(job.cause)

    def _ended(self, job: Job, problem: str, *, rejected: bool) -> None:
        with self._lock:
            if self._running.get(job.lane, (None, 0.0))[0] is job:
                del self._running[job.lane]
            before = self._failed.pop(job.key, None)
            if problem:
                times = before.times if before is not None else 0
                pause = min(FIRST_BACKOFF * 2.0**times, LONGEST_BACKOFF)
                self._failed[job.key] = _Failed(times + 1, self._clock() + pause, problem, rejected)
