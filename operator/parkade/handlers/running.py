"""The one loop: waits to be woken, and runs a cycle while this replica leads."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from parkade.cluster import Leadership
from parkade.cycle import Cycle
from parkade.errors import ClusterRefused, ClusterUnavailable
from parkade.handlers.waking import Wake
from parkade.telemetry import Metrics

_RETRY_SECONDS: Final = 1.0
_STALE_CYCLES: Final = 6
"""Cycles that may fail to run before the leader is not ready any more."""
_LONGEST: Final = 300
"""Characters of a trouble that the Lease tells."""

log = logging.getLogger(__name__)


class Running:
    """Runs cycles in a thread of its own until stopped."""

    def __init__(self, cycle: Cycle, leadership: Leadership, wake: Wake, resync: float, metrics: Metrics) -> None:
        self._cycle, self._leadership, self._wake = cycle, leadership, wake
        self._resync, self._metrics = resync, metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="cycle", daemon=True)
        self._last_turn = time.monotonic()
        self._ended: datetime | None = None
        self._trouble = "no cycle has run yet"

    def start(self) -> None:
        """Begin; the first cycle runs as soon as this replica leads."""
        self._thread.start()

    def stop(self) -> None:
        """Let the cycle under way end, and run no other."""
        self._stop.set()
        self._wake.call("stop")
        self._thread.join(timeout=30.0)

    def alive(self) -> str:
        """Empty while the loop runs."""
        return "" if self._thread.is_alive() else "the cycle's thread has ended; restart the process"

    def ready(self) -> str:
        """Empty while standing by, or leading with a recent cycle."""
        if not self._thread.is_alive():
            return self.alive()
        if self._leadership.term is None:
            return "" if self._leadership.reached else "the API server has not answered yet"
        age = time.monotonic() - self._last_turn
        recent = age < self._resync * _STALE_CYCLES and not self._trouble
        return "" if recent else f"the last good cycle was {age:.0f} s ago: {self._trouble}"

    def says(self) -> Mapping[str, str]:
        """When the last good cycle ended and what ails the cycle since, as annotations of the leader's Lease."""
        ended, trouble = self._ended, " ".join(self._trouble.split())[:_LONGEST]
        at = {"parkade.dev/last-cycle": ended.isoformat(timespec="seconds").replace("+00:00", "Z")} if ended else {}
        return at | ({"parkade.dev/trouble": trouble} if trouble else {})

    def _loop(self) -> None:
        due: float | None = 0.0
        while not self._stop.is_set():
            woken = self._wake.wait(self._resync if due is None else min(self._resync, due))
            term = self._leadership.term
            self._metrics.leading.set(term is not None)
            if self._stop.is_set() or term is None:
                self._metrics.rest()
                due = None
                continue
            due = self._guarded(lambda: self._cycle.turn(term, self._leads(term), woken))  # noqa: B023 -- called at once

    def _leads(self, term: int) -> Callable[[], bool]:
        return lambda: self._leadership.term == term and not self._stop.is_set()

    def _guarded(self, turn: Callable[[], float | None]) -> float | None:
        """One turn; whatever goes wrong is told, and the next turn starts anew."""
        try:
            due = turn()
        except (ClusterUnavailable, ClusterRefused) as error:
            self._trouble = str(error)
            log.warning("the cycle stops here: %s", error)
        except Exception as error:
            self._trouble = f"{type(error).__name__}: {error}"
            log.exception("the cycle broke; it starts anew")
        else:
            self._last_turn, self._ended, self._trouble = time.monotonic(), datetime.now(UTC), ""
            return due
        self._metrics.cycles.labels("failed").inc()
        return _RETRY_SECONDS
