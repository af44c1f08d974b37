"""What work cost the car: requests, seconds, bytes of bodies, and joules modelled from them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

MAX_WORKLOADS: Final = 64
"""Workloads whose totals are kept apart; beyond them, the least busy one is forgotten, and stays in the sum."""


@dataclass(slots=True)
class Work:
    """Totals of one workload, or of all."""

    requests: int = 0
    """Requests answered."""
    seconds: float = 0.0
    """Busy seconds of the inference computer."""
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, seconds: float, received: int, sent: int) -> None:
        """Count one answered request."""
        self.requests += 1
        self.seconds += seconds
        self.bytes_in += received
        self.bytes_out += sent

    def shown(self, watts: float) -> dict[str, Any]:
        """Return the totals; `joulesModelled` = busy seconds x watts."""
        return {
            "requests": self.requests,
            "busySeconds": round(self.seconds, 6),
            "joulesModelled": round(self.seconds * watts, 3),
            "bytesIn": self.bytes_in,
            "bytesOut": self.bytes_out,
        }

    def restore(self, shown: Mapping[str, Any]) -> None:
        """Go on from totals as `shown` gave them; what is not a count is left at zero."""
        self.requests = int(_number(shown, "requests"))
        self.seconds = _number(shown, "busySeconds")
        self.bytes_in, self.bytes_out = int(_number(shown, "bytesIn")), int(_number(shown, "bytesOut"))


def _number(shown: Mapping[str, Any], name: str) -> float:
    value = shown.get(name, 0)
    return value if isinstance(value, int | float) and value >= 0 else 0


@dataclass
class Usage:
    """Totals over the life of the state directory; requests are counted from any thread."""

    watts: float = 100.0
    """Power of the busy inference computer."""
    running: Callable[[], float] = time.monotonic
    downloaded: int = 0
    """Bytes of models."""
    total: Work = field(default_factory=Work)
    by_workload: dict[str, Work] = field(default_factory=dict)
    _runs: int = 0
    _since: float = 0.0
    _busy: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def recorder(self, workload: str) -> Callable[[float, int, int], None]:
        """Return what counts one answered request of a workload: its seconds, bytes in, bytes out."""

        def record(seconds: float, received: int, sent: int) -> None:
            with self._lock:
                self.total.add(seconds, received, sent)
                if workload not in self.by_workload and len(self.by_workload) >= MAX_WORKLOADS:
                    del self.by_workload[min(self.by_workload, key=lambda name: self.by_workload[name].seconds)]
                self.by_workload.setdefault(workload, Work()).add(seconds, received, sent)

        return record

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The computer works meanwhile, whatever comes of it."""
        with self._lock:
            if self._runs == 0:
                self._since = self.running()
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if self._runs == 0:
                    self._busy += self.running() - self._since

    @property
    def busy_seconds(self) -> float:
        """Seconds of this process in which the computer worked, on however many requests at once."""
        with self._lock:
            return self._busy + (self.running() - self._since if self._runs else 0.0)

    def shown(self) -> dict[str, Any]:
        """Return the totals of all, and of each workload the busiest first."""
        with self._lock:
            rows = sorted(self.by_workload.items(), key=lambda item: (-item[1].seconds, item[0]))
            return self.total.shown(self.watts) | {
                "bytesDownloaded": self.downloaded,
                "byWorkload": [{"workload": name} | work.shown(self.watts) for name, work in rows],
            }

    def restore(self, shown: Mapping[str, Any]) -> None:
        """Go on from totals as `shown` gave them; what is none is left out."""
        self.total.restore(shown)
        self.downloaded = int(_number(shown, "bytesDownloaded"))
        rows = shown.get("byWorkload")
        for row in rows[:MAX_WORKLOADS] if isinstance(rows, list) else ():
            if isinstance(row, dict) and isinstance(row.get("workload"), str):
                work = self.by_workload.setdefault(row["workload"], Work())
                work.restore(row)
