"""The stay at the plug that goes on: when it began, what is forecast of its end, and what is remembered of it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from parkade.vehicle.clock import Instant, amount
from parkade.vehicle.departures import WEEK, History, Present, Stay, coarse
from parkade.vehicle.signals import Signals

REFRESH: Final = 60.0
"""Seconds between two looks ahead; the shortest horizon is five times as long."""


@dataclass
class _Stay:
    since: float
    """Seconds of `Clock.elapsed`."""
    start: float
    """Minutes after Monday 0:00, local time."""
    seen: bool
    """Whether the agent saw it begin; else its length is not known."""
    declared: float | None = None
    """The first departure that was declared for it, in seconds of `Clock.elapsed`: an owner who declares anew at the
    last moment would make every declaration look right."""


class Dwelling:
    """Notes stays and looks ahead; a car that announced its departure, or is off the plug, has no forecast."""

    def __init__(self, held: Mapping[str, Any], elapsed: float) -> None:
        """Go on from what `shown` gave; what is none is left out.

        Args:
            held: the file, empty where there is none.
            elapsed: `Clock.elapsed` now.
        """
        self.history = History()
        self.said: tuple[int, ...] | None = None
        """Percent that leave by 5, 15 and 60 minutes, coarse, as it may leave the car."""
        self._stay = _restored(held.get("stay"), elapsed)
        self._announced: float | None = None
        """When the departure was announced that is not taken back; the stay ends then, once the cable is out."""
        self._first = True
        self._dither = random.random()  # noqa: S311 -- spreads rounding, hides nothing
        self._looked = -inf
        self._expected: float | None = None
        history = held.get("history")
        if isinstance(history, Mapping):
            self.history.restore(history)

    def look(self, signals: Signals, instant: Instant) -> bool:
        """Take the present signals in and look ahead; whether there is something new to remember."""
        news, first, self._first = False, self._first, False
        if not signals.plugged_in:
            return self._end(instant.elapsed if self._announced is None else self._announced, seen=not first)
        if signals.departing:
            self._announced = instant.elapsed if self._announced is None else self._announced
            self.said, self._looked = None, -inf
            return False
        self._announced = None
        if self._stay is None:
            start = instant.now.weekday() * 1440.0 + instant.now.hour * 60.0 + instant.now.minute
            self._stay = _Stay(instant.elapsed, start % WEEK, seen=not first)
            self._dither, self._looked, news = random.random(), -inf, True  # noqa: S311 -- as above
        declared = signals.departs_at
        if declared is not None and declared <= self._stay.since:  # of a drive that is over
            declared = None
        if declared is not None and self._stay.declared is None:
            self._stay.declared, news = declared, True
        if declared != self._expected or not 0 <= instant.elapsed - self._looked < REFRESH:
            self._looked, self._expected = instant.elapsed, declared
            self.said = self._ahead(self._stay, instant.elapsed, declared)
        return news

    def _ahead(self, stay: _Stay, elapsed: float, declared: float | None) -> tuple[int, ...]:
        until = None if declared is None else (declared - stay.since) / 60.0
        return coarse(self.history.curve(Present(stay.start, (elapsed - stay.since) / 60.0, until)), self._dither)

    def _end(self, elapsed: float, *, seen: bool) -> bool:
        """End the stay; one whose end nobody saw is not counted."""
        stay, self._stay, self._announced, self.said = self._stay, None, None, None
        if stay is None:
            return False
        if stay.seen and seen:
            declared = None if stay.declared is None else (stay.declared - stay.since) / 60.0
            self.history.finish(Stay(stay.start, (elapsed - stay.since) / 60.0, declared))
        return True

    def forget(self) -> None:
        """Forget all stays, the present one too."""
        self.history = History()
        self._stay, self._announced, self._first, self._looked = None, None, True, -inf

    def shown(self) -> dict[str, Any]:
        """Return what is remembered over a restart."""
        stay = self._stay
        present = stay and {
            "since": stay.since, "start": stay.start, "seen": stay.seen, "declared": stay.declared,
        }  # fmt: skip
        return {"history": self.history.shown(), "stay": present}


def _restored(held: object, elapsed: float) -> _Stay | None:
    """Return the stay that the last process was in; None where the car's time began anew since."""
    if not isinstance(held, Mapping):
        return None
    try:
        declared = None if held["declared"] is None else amount(held["declared"])
        stay = _Stay(amount(held["since"]), amount(held["start"]) % WEEK, held["seen"] is True, declared)
    except (KeyError, ValueError):
        return None
    return stay if stay.since <= elapsed else None
