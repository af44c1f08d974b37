"""The owner's contract: pure, so that the car can enforce it in the same instant and without anybody else.

The pool's terms are the loosest that may ever hold; the owner may tighten each of them in the car, and pause it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any, Final

from parkade.errors import InvalidInput
from parkade.units import seconds
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Link, Signals, State

NOT_ENFORCED: Final = ("maxRangeLossPerDay", "dataCapPerDay", "netPositive")
"""Terms that a contract may carry and this agent does not act on yet; `status` names them."""


MAX_UNKNOWN: Final = 32
"""Terms of a newer pool that `status` names at most."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span in the car's local time in which nothing wakes it; it may pass midnight."""

    start: time
    end: time

    def __contains__(self, moment: time) -> bool:
        """Whether the span holds the moment; an empty span (`start == end`) is the whole day."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True)
class Contract:
    """Terms under which the car works."""

    require_plugged_in: bool = True
    min_state_of_charge: float = 50.0
    """Percent."""
    links: frozenset[Link] = frozenset({Link.WiFi, Link.Ethernet, Link.Starlink})
    quiet_hours: tuple[QuietHours, ...] = ()
    ready_before: float = 0.0
    """Seconds before a declared departure at which the car is idle again."""
    not_enforced: tuple[str, ...] = field(default=(), compare=False)


LOOSEST: Final = Contract(require_plugged_in=False, min_state_of_charge=0.0, links=frozenset(Link))
"""The owner's own terms before the owner chose any."""


def evaluate(contract: Contract, signals: Signals, paused: bool, now: datetime) -> Refusal | None:  # noqa: FBT001 -- the owner's switch
    """Return why the car may not work now, or None when it may. `now` is in the car's local time."""
    if signals.leaving:
        return Refusal(Reason.Leaving, "the car is about to leave; plug it in to offer it again")
    if paused:
        return Refusal(Reason.Paused, "the owner paused this car; `parkade vehicle resume` ends the pause")
    if contract.require_plugged_in and not signals.plugged_in:
        return Refusal(Reason.NotPluggedIn, "the contract wants the car plugged in, and it is not; plug it in")
    if signals.state_of_charge < contract.min_state_of_charge:
        return Refusal(
            Reason.ChargeTooLow,
            f"the battery is at {signals.state_of_charge:g} % and the contract wants "
            f"{contract.min_state_of_charge:g} %; let it charge",
        )
    if signals.link not in contract.links:
        allowed = ", ".join(sorted(contract.links)) or "none"
        return Refusal(
            Reason.LinkNotAllowed, f"the link is {signals.link} and the contract allows {allowed}; change the network"
        )
    return _calendar(contract, signals, now)


def _calendar(contract: Contract, signals: Signals, now: datetime) -> Refusal | None:
    quiet = next((span for span in contract.quiet_hours if now.time() in span), None)
    if quiet is not None and signals.state is State.Asleep:
        return Refusal(Reason.QuietHours, f"nothing wakes this car during {quiet}; it works again at {quiet.end:%H:%M}")
    if signals.departure is not None and contract.ready_before:
        rest = signals.departure - timedelta(seconds=contract.ready_before)
        if rest <= now:
            return Refusal(
                Reason.DepartingSoon,
                f"the car departs at {signals.departure:%H:%M} and must be idle from {rest:%H:%M}; "
                "it works again after the drive",
            )
    return None


def read(terms: Mapping[str, Any], base: Contract | None = None) -> Contract:
    """Read terms in the words of `VehicleNodePool.spec.contract`; terms not given come from `base`.

    Raises:
        InvalidInput: a term is unknown or its value cannot be meant.
    """
    contract = base or Contract()
    for name, value in terms.items():
        if name in NOT_ENFORCED:
            contract = replace(contract, not_enforced=tuple(sorted({*contract.not_enforced, name})))
        elif name in _READERS:
            attribute, reader = _READERS[name]
            contract = replace(contract, **{attribute: reader(value)})
        else:
            raise InvalidInput(f"{name!r} is not a term of a contract; write one of {', '.join(_READERS)}")
    return contract


def read_told(terms: Mapping[str, Any]) -> Contract:
    """Read the pool's contract as carlet tells it; a term of a newer pool is kept as not enforced.

    Raises:
        InvalidInput: a term's value cannot be meant.
    """
    known = {name: value for name, value in terms.items() if name in _READERS or name in NOT_ENFORCED}
    contract = read(known)
    unknown = tuple(sorted(str(name)[:64] for name in terms if name not in known))
    return replace(contract, not_enforced=contract.not_enforced + unknown[:MAX_UNKNOWN])


def floor(installed: Contract | None, told: Contract | None) -> Contract:
    """Return the loosest terms that may hold: what the pool tells, never looser than what was installed in the car."""
    if installed is None or told is None:
        return told or installed or Contract()
    both = tuple(sorted({*installed.not_enforced, *told.not_enforced}))
    return replace(strictest(installed, told), not_enforced=both)


def tighten(floor: Contract, own: Contract, terms: Mapping[str, Any]) -> Contract | Refusal:
    """Return the owner's own terms after a change, or why a term is looser than the pool's (`floor`).

    Raises:
        InvalidInput: a term is unknown or its value cannot be meant.
    """
    wanted = read(terms, own)
    sentence = ""
    if "requirePluggedIn" in terms and floor.require_plugged_in and not wanted.require_plugged_in:
        sentence = "requirePluggedIn false is looser than the contract's true; leave it out"
    elif "minStateOfCharge" in terms and wanted.min_state_of_charge < floor.min_state_of_charge:
        sentence = (
            f"minStateOfCharge {wanted.min_state_of_charge:g} is looser than the contract's "
            f"{floor.min_state_of_charge:g}; write {floor.min_state_of_charge:g} or more"
        )
    elif "links" in terms and not wanted.links <= floor.links:
        more = ", ".join(sorted(wanted.links - floor.links))
        sentence = f"links adds {more}, which the contract does not allow; leave it out"
    elif "readyBefore" in terms and wanted.ready_before < floor.ready_before:
        sentence = f"readyBefore is shorter than the contract's {floor.ready_before:g}s; write that or more"
    return Refusal(Reason.LooserThanContract, sentence) if sentence else wanted


def strictest(floor: Contract, own: Contract) -> Contract:
    """Each term at its tighter value, so that neither side's later change can loosen the other's."""
    return Contract(
        require_plugged_in=floor.require_plugged_in or own.require_plugged_in,
        min_state_of_charge=max(floor.min_state_of_charge, own.min_state_of_charge),
        links=floor.links & own.links,
        quiet_hours=tuple(dict.fromkeys((*floor.quiet_hours, *own.quiet_hours))),
        ready_before=max(floor.ready_before, own.ready_before),
        not_enforced=floor.not_enforced,
    )


def shown(contract: Contract) -> dict[str, Any]:
    """Return the terms in the words that `read` understands."""
    terms: dict[str, Any] = {
        "requirePluggedIn": contract.require_plugged_in,
        "minStateOfCharge": contract.min_state_of_charge,
        "links": sorted(contract.links),
        "readyBefore": f"{contract.ready_before:g}s",
    }
    if contract.quiet_hours:
        terms["quietHours"] = [str(span) for span in contract.quiet_hours]
    return terms


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"requirePluggedIn is {value!r}; write true or false")
    return value


def _percent(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidInput(f"minStateOfCharge is {value!r}; write a percentage from 0 to 100")
    return float(value)


def _links(value: object) -> frozenset[Link]:
    if not isinstance(value, list) or not all(name in Link.__members__ for name in value):
        raise InvalidInput(f"links is {value!r}; write a list of {', '.join(Link)}")
    return frozenset(Link(name) for name in value)


def _quiet(value: object) -> tuple[QuietHours, ...]:
    spans = value if isinstance(value, list) else [value]
    found = []
    for span in spans[:8]:
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", str(span))
        if not match:
            raise InvalidInput(f"quietHours is {span!r}; write for example 22:00-06:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        found.append(QuietHours(time(hour, minute), time(end_hour, end_minute)))
    return tuple(found)


def _wait(value: object) -> float:
    try:
        return seconds(str(value))
    except ValueError as error:
        raise InvalidInput(f"readyBefore: {error}") from error


_READERS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "requirePluggedIn": ("require_plugged_in", _boolean),
    "minStateOfCharge": ("min_state_of_charge", _percent),
    "links": ("links", _links),
    "quietHours": ("quiet_hours", _quiet),
    "readyBefore": ("ready_before", _wait),
}
