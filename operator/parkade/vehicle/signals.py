"""What the car knows about itself, and what it would do without us."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from parkade.errors import InvalidInput

MAX_REPLAY_LINES: Final = 1_000_000

_FLAGS: Final = ("charging", "sentry", "occupant", "leaving", "door", "boarding")
_Word = TypeVar("_Word", bound=StrEnum)


class State(StrEnum):
    """What the car would do without us."""

    Asleep = "Asleep"
    Awake = "Awake"
    Charging = "Charging"


class Link(StrEnum):
    """How the car reaches the network."""

    Ethernet = "Ethernet"
    WiFi = "WiFi"
    Starlink = "Starlink"
    Cellular = "Cellular"


@dataclass(frozen=True, slots=True)
class Signals:
    """One instant of the car; nothing in here is caused by our own work."""

    plugged_in: bool = True
    state_of_charge: float = 80.0
    """Percent of the battery's usable energy."""
    link: Link = Link.WiFi
    charging: bool = False
    sentry: bool = False
    occupant: bool = False
    leaving: bool = False
    """The owner is about to drive off: unplugged, or said so."""
    door: bool = False
    """The driver's door is open."""
    boarding: bool = False
    """The driver's door was opened, and since then it was open or somebody in the car."""
    celsius: float | None = None
    """Temperature of the inference computer; None where nothing tells it."""
    departs_at: float | None = None
    """The next departure that the owner declared, in seconds of `Clock.elapsed`: no setting of the clock moves it."""
    told_state: State | None = None
    """The maker's own word for the state without us, where it gives one."""

    @property
    def departing(self) -> bool:
        """Whether a departure is announced: by the owner, the cable or the driver's door."""
        return self.leaving or self.boarding

    @property
    def state(self) -> State:
        """The counterfactual state. That we keep the computer awake never counts, or a woken car would look free."""
        if self.told_state is not None and (self.plugged_in or self.told_state is not State.Charging):
            return self.told_state
        if self.charging and self.plugged_in:
            return State.Charging
        return State.Awake if self.sentry or self.occupant else State.Asleep


def change(signals: Signals, fields: Mapping[str, Any], elapsed: float) -> Signals:
    """Return the signals after a change in the words of the replay file; fields not named keep their value.

    Words: `pluggedIn`, `soc` (percent), `link`, `charging`, `sentry`, `occupant`, `leaving`, `door` (the driver's, is
    open), `celsius` (of the inference computer, null: unknown), `state` (null: computed again), `departureIn` (seconds
    from now, null: none), and `boarding`, which else follows from `door`. Others are ignored. `elapsed` is
    `Clock.elapsed` now.

    Raises:
        InvalidInput: a known word has a value that cannot be meant.
    """
    flags = {"pluggedIn": "plugged_in"} | {name: name for name in _FLAGS}
    found: dict[str, Any] = {}
    for word, name in flags.items():
        if word in fields:
            if not isinstance(fields[word], bool):
                raise InvalidInput(f"{word} is {fields[word]!r}; write true or false")
            found[name] = fields[word]
    if "soc" in fields:
        found["state_of_charge"] = _number(fields, "soc", 0, 100)
    if "link" in fields:
        found["link"] = _choice(Link, fields["link"], "link")
    if "state" in fields:
        found["told_state"] = None if fields["state"] is None else _choice(State, fields["state"], "state")
    if "departureIn" in fields:
        wait = None if fields["departureIn"] is None else _number(fields, "departureIn", 0, 30 * 86400)
        found["departs_at"] = None if wait is None else elapsed + wait
    if "celsius" in fields:
        found["celsius"] = None if fields["celsius"] is None else _number(fields, "celsius", -273, 1000)
    fresh = replace(signals, **found)
    return fresh if "boarding" in fields else replace(fresh, boarding=_boards(fresh, fields))


def _boards(fresh: Signals, fields: Mapping[str, Any]) -> bool:
    """Whether a driver boards: from an opened door until it is closed on nobody, or `leaving` is taken back."""
    if "door" in fields:
        return fresh.door or (fresh.boarding and fresh.occupant)
    return fresh.boarding and (fresh.door or fresh.occupant) and fields.get("leaving") is not False


def shown(signals: Signals, elapsed: float) -> dict[str, Any]:
    """Return the signals in the words of `change`, which gives them again."""
    return {
        "pluggedIn": signals.plugged_in,
        "soc": signals.state_of_charge,
        "link": str(signals.link),
        "charging": signals.charging,
        "sentry": signals.sentry,
        "occupant": signals.occupant,
        "leaving": signals.leaving,
        "door": signals.door,
        "boarding": signals.boarding,
        "celsius": signals.celsius,
        "state": signals.told_state and str(signals.told_state),
        "departureIn": None if signals.departs_at is None else max(0.0, signals.departs_at - elapsed),
    }


def _number(fields: Mapping[str, Any], word: str, low: float, high: float) -> float:
    value = fields[word]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{word} is {value!r}; write a number from {low:g} to {high:g}")
    return float(value)


def _object(line: str) -> dict[str, Any]:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise InvalidInput("a line must be one JSON object")
    return fields


def _choice(kind: type[_Word], value: object, word: str) -> _Word:
    try:
        return kind(str(value))
    except ValueError:
        raise InvalidInput(f"{word} is {value!r}; write one of {', '.join(kind)}") from None


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a replay file."""

    at: float
    """Seconds after the replay began."""
    fields: Mapping[str, Any]


def read_replay(path: Path) -> tuple[Moment, ...]:
    """Read a replay file: one JSON object a line, with `t` in seconds and the words of `change`; `t` never falls.

    Raises:
        InvalidInput: the file cannot be read, or a line breaks the format; the message names the line.
    """
    moments: list[Moment] = []
    signals = Signals()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the signals file {path} cannot be read: {error}") from error
    for number, line in enumerate(lines[:MAX_REPLAY_LINES], start=1):
        if not line.strip():
            continue
        try:
            fields = _object(line)
            at = _number(fields, "t", moments[-1].at if moments else 0, 1e9) if "t" in fields else 0.0
            signals = change(signals, fields, 0.0)
        except (ValueError, InvalidInput) as error:
            raise InvalidInput(f"{path}, line {number}: {error}") from error
        moments.append(Moment(at, fields))
    return tuple(moments)


async def replay(moments: tuple[Moment, ...], apply: Callable[[Mapping[str, Any]], None]) -> None:
    """Apply each moment at its time; the last one holds for good."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for moment in moments:
        await asyncio.sleep(max(0.0, start + moment.at - loop.time()))
        apply(moment.fields)
