"""How much time has passed for the car, whatever its wall clock says.

Allowances by the day are bound to `elapsed`, which never falls and never jumps: on a running machine it is the
machine's own time since it started, sleep included; over a restart of the machine it is what the wall clock gained
beyond the latest moment it ever showed. A clock that is set forward or back while the machine runs therefore gives
nothing, and one that is wrong when the machine starts gives its error once, not again each time it is set back.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux: another text after each start of the machine."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One look at the clocks."""

    now: datetime
    """The car's local time."""
    elapsed: float
    """Seconds of `Clock.elapsed`."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time comes from."""

    wall: Callable[[], datetime]
    """Local time with its zone; it may jump."""
    ticks: Callable[[], float]
    """Seconds since the machine started, its sleep included."""
    running: Callable[[], float]
    """Seconds in which the machine was not asleep, from any start."""
    boot: str
    """What differs after each start of the machine; empty where nothing tells."""


def system() -> Sources:
    """Return the clocks of this machine; without `CLOCK_BOOTTIME` (not Linux) its sleep counts for nothing."""
    number = getattr(time, "CLOCK_BOOTTIME", None)
    ticks = time.monotonic if number is None else lambda: time.clock_gettime(number)
    try:
        boot = BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return Sources(lambda: datetime.now().astimezone(), ticks, time.monotonic, boot)


@dataclass
class Clock:
    """The car's time; `saved` and `restore` carry it over restarts."""

    sources: Sources
    _base: float = field(default=0.0, init=False)
    latest: float = field(default=0.0, init=False)
    """The latest wall time ever seen, Unix seconds."""
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.sources.ticks()

    def look(self) -> Instant:
        """Return what the clocks say."""
        now = self.sources.wall()
        self.latest = max(self.latest, now.timestamp())
        return Instant(now, self.elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds that passed for the car since its state directory was made."""
        return self._base + max(0.0, self.sources.ticks() - self._start)

    @property
    def running(self) -> float:
        """Seconds in which the machine was not asleep, from any start."""
        return self.sources.running()

    def saved(self) -> dict[str, Any]:
        """Return what `restore` goes on from."""
        self.look()
        ticks = self.sources.ticks()
        return {
            "elapsed": self._base + max(0.0, ticks - self._start),
            "latest": self.latest,
            "ticks": ticks,
            "boot": self.sources.boot,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from `saved`.

        Raises:
            ValueError, KeyError, TypeError: it is not what `saved` gave.
        """
        elapsed, latest, ticks = (amount(saved[name]) for name in ("elapsed", "latest", "ticks"))
        start = self.sources.ticks()
        if self.sources.boot and saved["boot"] == self.sources.boot and ticks <= start:
            passed = start - ticks
        else:
            passed = max(0.0, self.sources.wall().timestamp() - latest)
        self._base, self.latest, self._start = elapsed + passed, latest, start


def amount(value: object) -> float:
    """Read a finite number that is not negative.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{value!r} is no amount")
    return float(value)
