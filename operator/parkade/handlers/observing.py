"""Reads what routers observed, every few seconds and beside the cycle; a change that a plan should follow wakes it."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from parkade import serving
from parkade.changes import Observations, folded, seeded
from parkade.errors import RouterUnavailable
from parkade.settings import Settings
from parkade.snapshot import ObservedWorkload, Snapshot

READ_SECONDS: Final = 2.0
"""For one router."""
_AT_A_TIME: Final = 8

log = logging.getLogger(__name__)


class Observing:
    """A thread that reads the routers which the cycle saw last."""

    def __init__(
        self, settings: Settings, wake: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._wake, self._clock = settings, wake, clock
        self._lock = threading.Lock()
        self._seen = Observations()
        self._addresses: tuple[str, ...] = ()
        self._trouble = ""
        self._stop = threading.Event()
        self._client = httpx.Client(trust_env=False)
        self._readers = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="observe")
        self._thread = threading.Thread(target=self._loop, name="observing", daemon=True)

    def start(self) -> None:
        """Begin reading, as soon as a cycle saw a router."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(timeout=READ_SECONDS * 2)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def observed(self, snapshot: Snapshot) -> tuple[ObservedWorkload, ...]:
        """What is known now; the routers of this snapshot are read from now on."""
        with self._lock:
            self._addresses = tuple(router.metrics for router in snapshot.routers if router.metrics)
            self._seen = seeded(self._seen, snapshot, self._clock(), self._settings.economics)
            return self._seen.facts()

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.observe_seconds):
            try:
                self._read()
            except Exception:
                log.exception("reading routers broke; it is tried again")

    def _read(self) -> None:
        """One reading. While a live router does not answer, what is known stays: its requests have not gone."""
        with self._lock:
            addresses = self._addresses
        if not addresses:
            return
        try:
            reports = list(
                self._readers.map(lambda address: serving.read_observed(self._client, address, READ_SECONDS), addresses)
            )
        except RouterUnavailable as error:
            if str(error) != self._trouble:
                log.warning("%s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        with self._lock:
            before = self._seen.facts()
            self._seen = folded(self._seen, reports, self._clock())
            after = self._seen.facts()
        if before != after:
            self._wake("observed")
