"""What work cost the car: requests, bytes, seconds, and joules modelled from them."""

import threading
from dataclasses import dataclass, field
from typing import Any, Final

COMPUTE_WATTS: Final = 100.0
"""Power of one busy in-car computer; facts.md gives 80 to 100 W for hw4. Nothing here is measured."""


@dataclass
class Usage:
    """Totals over the life of the state directory; `record` may be called from any thread."""

    watts: float = COMPUTE_WATTS
    requests: int = 0
    seconds: float = 0.0
    """Busy seconds of the inference computer."""
    bytes_in: int = 0
    bytes_out: int = 0
    downloaded: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record(self, seconds: float, received: int, sent: int) -> None:
        """Count one answered request."""
        with self._lock:
            self.requests += 1
            self.seconds += seconds
            self.bytes_in += received
            self.bytes_out += sent

    def add_download(self, received: int) -> None:
        """Count bytes of a model."""
        with self._lock:
            self.downloaded += received

    def shown(self) -> dict[str, Any]:
        """Return the totals; `joulesModelled` = busy seconds x watts."""
        with self._lock:
            return {
                "requests": self.requests,
                "busySeconds": round(self.seconds, 6),
                "joulesModelled": round(self.seconds * self.watts, 3),
                "bytesIn": self.bytes_in,
                "bytesOut": self.bytes_out,
                "bytesDownloaded": self.downloaded,
            }

    def restore(self, shown: dict[str, Any]) -> None:
        """Go on from totals as `shown` gave them; what is not a count is left at zero."""

        def number(name: str) -> float:
            value = shown.get(name, 0)
            return value if isinstance(value, int | float) and value >= 0 else 0

        self.requests = int(number("requests"))
        self.seconds = number("busySeconds")
        self.bytes_in, self.bytes_out = int(number("bytesIn")), int(number("bytesOut"))
        self.downloaded = int(number("bytesDownloaded"))
