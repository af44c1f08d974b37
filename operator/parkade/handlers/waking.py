"""Wakes the cycle: many events become one wake-up, soon after the last of them and never long after the first."""

import threading
import time
from collections.abc import Callable
from typing import Final

from parkade.cycle import Woken

QUIET_SECONDS: Final = 0.5
"""A cycle starts when nothing happened for this long: `kubectl apply -f DIR` is one wake-up, not ten."""
LONGEST_SECONDS: Final = 5.0
"""A cycle starts this long after the first event even if events keep coming."""


class Wake:
    """Called by any thread, awaited by one."""

    def __init__(
        self,
        quiet: float = QUIET_SECONDS,
        longest: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet, self._longest, self._clock = quiet, longest, clock
        self._changed = threading.Condition()
        self._causes: set[str] = set()
        self._first: float | None = None
        self._last = 0.0

    def call(self, cause: str) -> None:
        """Something of this kind changed."""
        with self._changed:
            self._causes.add(cause)
            self._last = self._clock()
            self._first = self._last if self._first is None else self._first
            self._changed.notify_all()

    def wait(self, timeout: float) -> Woken:
        """Return when events have calmed down, or after `timeout` seconds without any."""
        ends = self._clock() + timeout
        with self._changed:
            while True:
                now = self._clock()
                if now >= (ends if self._first is None else self.due()):
                    return self._taken()
                self._changed.wait((ends if self._first is None else self.due()) - now)

    def due(self) -> float:
        """When a cycle starts, by the clock, if nothing more happens."""
        return min(self._last + self._quiet, (self._first or 0.0) + self._longest)

    def _taken(self) -> Woken:
        woken = Woken(tuple(sorted(self._causes)), self._first)
        self._causes.clear()
        self._first = None
        return woken
