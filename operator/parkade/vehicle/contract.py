"""The owner's contract: pure, so that the car can enforce it in the same instant and without anybody else.

The pool's terms are the loosest that may ever hold; the owner may tighten each of them in the car, and pause it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from math import inf
from typing import Final

from parkade.vehicle.clock import Instant
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Link, Signals, State

HYSTERESIS: Final = 3.0
"""Kelvins by which the temperature must be back in its range before the car works again."""


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
    max_range_loss_per_day: float = 5.0
    """Kilometres in any 24 hours, off the plug."""
    links: frozenset[Link] = frozenset({Link.WiFi, Link.Ethernet, Link.Starlink})
    data_cap_per_day: float = inf
    """Bytes in any 24 hours, both directions, over all links."""
    quiet_hours: tuple[QuietHours, ...] = ()
    ready_before: float = 0.0
    """Seconds before a declared departure at which the car is idle again."""
    net_positive: bool = True
    """Never paid less than the electricity used."""
    energy_price: float = -inf
    """$/kWh that the electricity costs the owner; -inf while the owner named none."""
    min_celsius: float = -inf
    max_celsius: float = inf
    """Range of the inference computer's temperature."""
    not_enforced: tuple[str, ...] = field(default=(), compare=False)
    """Terms of a newer pool that this agent does not know."""


LOOSEST: Final = Contract(
    require_plugged_in=False,
    min_state_of_charge=0.0,
    max_range_loss_per_day=inf,
    links=frozenset(Link),
    net_positive=False,
)
"""The owner's own terms before the owner chose any."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the terms need to know beyond the present signals."""

    km: float = 0.0
    """Range lost to our work in the last 24 hours."""
    bytes: float = 0.0
    """Bytes carried in the last 24 hours."""
    km_returns: float = 0.0
    """Seconds until the range is not spent any more."""
    bytes_return: float = 0.0
    """Seconds until the bytes are not spent any more."""
    paid: float | None = None
    """$/kWh that the pool pays for electricity; None while it did not tell."""
    out_of_range: bool = False
    """Whether the temperature was out of its range and is not back by `HYSTERESIS`."""


def evaluate(
    contract: Contract,
    signals: Signals,
    paused: bool,  # noqa: FBT001 -- the owner's switch
    instant: Instant,
    spent: Spent = Spent(),
) -> Refusal | None:
    """Return why the car may not work now, or None when it may."""
    return next(refusals(contract, signals, paused, instant, spent), None)


def refusals(
    contract: Contract,
    signals: Signals,
    paused: bool,  # noqa: FBT001 -- the owner's switch
    instant: Instant,
    spent: Spent,
) -> Iterator[Refusal]:
    """Return everything that keeps the car from working, the most telling first."""
    if signals.departing:
        yield Refusal(Reason.Leaving, "the car is about to leave; plug it in to offer it again")
    if paused:
        yield Refusal(Reason.Paused, "the owner paused this car; `parkade vehicle resume` ends the pause")
    yield from _energy(contract, signals)
    yield from _network(contract, signals)
    yield from _temperature(contract, signals, spent)
    yield from _calendar(contract, signals, instant)
    yield from _allowances(contract, signals, instant, spent)
    yield from _money(contract, spent)


def _energy(contract: Contract, signals: Signals) -> Iterator[Refusal]:
    if contract.require_plugged_in and not signals.plugged_in:
        yield Refusal(Reason.NotPluggedIn, "the contract wants the car plugged in, and it is not; plug it in")
    if signals.state_of_charge < contract.min_state_of_charge:
        yield Refusal(
            Reason.ChargeTooLow,
            f"the battery is at {signals.state_of_charge:g} % and the contract wants "
            f"{contract.min_state_of_charge:g} %; let it charge",
        )


def _network(contract: Contract, signals: Signals) -> Iterator[Refusal]:
    if signals.link not in contract.links:
        allowed = ", ".join(sorted(contract.links)) or "none"
        yield Refusal(
            Reason.LinkNotAllowed, f"the link is {signals.link} and the contract allows {allowed}; change the network"
        )


def out_of_range(contract: Contract, signals: Signals, was: bool) -> bool:  # noqa: FBT001 -- the memory of a hysteresis
    """Whether the temperature forbids work; a car that does not tell its temperature is not checked."""
    celsius, margin = signals.celsius, HYSTERESIS if was else 0.0
    return celsius is not None and not contract.min_celsius + margin <= celsius <= contract.max_celsius - margin


def _temperature(contract: Contract, signals: Signals, spent: Spent) -> Iterator[Refusal]:
    if signals.celsius is None or not out_of_range(contract, signals, spent.out_of_range):
        return
    if signals.celsius - contract.min_celsius > contract.max_celsius - signals.celsius:
        yield Refusal(
            Reason.TooHot,
            f"the computer is at {signals.celsius:g} C and may be at {contract.max_celsius:g} C; "
            f"it works again at {contract.max_celsius - HYSTERESIS:g} C",
        )
    else:
        yield Refusal(
            Reason.TooCold,
            f"the computer is at {signals.celsius:g} C and must be at {contract.min_celsius:g} C; "
            f"it works again at {contract.min_celsius + HYSTERESIS:g} C",
        )


def _calendar(contract: Contract, signals: Signals, instant: Instant) -> Iterator[Refusal]:
    quiet = next((span for span in contract.quiet_hours if instant.now.time() in span), None)
    if quiet is not None and signals.state is State.Asleep:
        yield Refusal(Reason.QuietHours, f"nothing wakes this car during {quiet}; it works again at {quiet.end:%H:%M}")
    if signals.departs_at is not None and contract.ready_before:
        left = signals.departs_at - instant.elapsed
        if left <= contract.ready_before:
            rest = instant.now + timedelta(seconds=left - contract.ready_before)
            yield Refusal(
                Reason.DepartingSoon,
                f"the car departs at {instant.now + timedelta(seconds=left):%H:%M} and must be idle from {rest:%H:%M}; "
                "it works again after the drive",
            )


def _allowances(contract: Contract, signals: Signals, instant: Instant, spent: Spent) -> Iterator[Refusal]:
    def again(wait: float) -> str:
        if wait <= 0:
            return "the contract gives nothing"
        return f"wait until {instant.now + timedelta(seconds=wait):%a %H:%M}"

    if not signals.plugged_in and spent.km >= contract.max_range_loss_per_day < inf:
        yield Refusal(
            Reason.RangeSpent,
            f"work may cost {contract.max_range_loss_per_day:g} km of range in 24 hours, and that is spent; "
            f"plug the car in, or {again(spent.km_returns)}",
        )
    if spent.bytes >= contract.data_cap_per_day < inf:
        yield Refusal(
            Reason.DataCapReached,
            f"work may carry {contract.data_cap_per_day:,.0f} bytes in 24 hours, and they are carried; "
            f"{again(spent.bytes_return)}",
        )


def _money(contract: Contract, spent: Spent) -> Iterator[Refusal]:
    """The payout is net: the electricity is paid on top, so the question is whether its price is covered.

    The sentences leave the process, and so do not name the owner's price.
    """
    if not contract.net_positive or contract.energy_price == -inf:
        return
    if spent.paid is None:
        yield Refusal(
            Reason.PriceUnknown,
            "the pool does not tell what it pays for electricity, and the owner named a price; "
            "set energyPrice.perKWh in the pool",
        )
    elif spent.paid < contract.energy_price:
        yield Refusal(
            Reason.PriceTooLow,
            f"the pool pays {spent.paid:g} $/kWh for electricity, less than it costs the owner; "
            "raise energyPrice.perKWh in the pool",
        )


def floor(installed: Contract | None, told: Contract | None) -> Contract:
    """Return the loosest terms that may hold: what the pool tells, never looser than what was installed in the car."""
    if installed is None or told is None:
        return told or installed or Contract()
    both = tuple(sorted({*installed.not_enforced, *told.not_enforced}))
    return replace(strictest(installed, told), not_enforced=both)


def strictest(floor: Contract, own: Contract) -> Contract:
    """Each term at its tighter value, so that neither side's later change can loosen the other's."""
    return Contract(
        require_plugged_in=floor.require_plugged_in or own.require_plugged_in,
        min_state_of_charge=max(floor.min_state_of_charge, own.min_state_of_charge),
        max_range_loss_per_day=min(floor.max_range_loss_per_day, own.max_range_loss_per_day),
        links=floor.links & own.links,
        data_cap_per_day=min(floor.data_cap_per_day, own.data_cap_per_day),
        quiet_hours=tuple(dict.fromkeys((*floor.quiet_hours, *own.quiet_hours))),
        ready_before=max(floor.ready_before, own.ready_before),
        net_positive=floor.net_positive or own.net_positive,
        energy_price=max(floor.energy_price, own.energy_price),
        min_celsius=max(floor.min_celsius, own.min_celsius),
        max_celsius=min(floor.max_celsius, own.max_celsius),
        not_enforced=floor.not_enforced,
    )
