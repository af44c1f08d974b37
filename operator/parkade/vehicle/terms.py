"""A contract's terms as text: read from manifests, files and the owner, shown again, and compared with the pool's."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import time
from math import inf
from typing import Any, Final

from parkade.errors import InvalidInput
from parkade.units import in_bytes, seconds
from parkade.vehicle.contract import Contract, QuietHours
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Link

MAX_UNKNOWN: Final = 32
"""Terms of a newer pool that `status` names at most."""
MAX_SPANS: Final = 8
MOST_BYTES: Final = 2**60
MOST_DOLLARS: Final = 1000.0
"""A kWh or an hour; more cannot be meant."""


def read(terms: Mapping[str, Any], base: Contract | None = None) -> Contract:
    """Read terms in the words of `VehicleNodePool.spec.contract`; terms not given come from `base`.

    Raises:
        InvalidInput: a term is unknown or its value cannot be meant.
    """
    contract = base or Contract()
    for name, value in terms.items():
        if name not in _READERS:
            raise InvalidInput(f"{name!r} is not a term of a contract; write one of {', '.join(_READERS)}")
        attribute, reader = _READERS[name]
        contract = replace(contract, **{attribute: reader(name, value)})
    return contract


def read_told(terms: Mapping[str, Any]) -> Contract:
    """Read the pool's contract as carlet tells it; a term of a newer pool is kept as not enforced.

    Raises:
        InvalidInput: a term's value cannot be meant.
    """
    contract = read({name: value for name, value in terms.items() if name in _READERS})
    unknown = tuple(sorted(str(name)[:64] for name in terms if name not in _READERS))
    return replace(contract, not_enforced=unknown[:MAX_UNKNOWN])


def tighten(floor: Contract, own: Contract, terms: Mapping[str, Any]) -> Contract | Refusal:
    """Return the owner's own terms after a change, or why a term is looser than the pool's (`floor`).

    Raises:
        InvalidInput: a term is unknown or its value cannot be meant.
    """
    wanted = read(terms, own)
    for name in terms:
        sentence = _looser(name, floor, wanted)
        if sentence:
            return Refusal(Reason.LooserThanContract, sentence)
    return wanted


def _looser(name: str, floor: Contract, wanted: Contract) -> str:
    """Say why a term is looser than the floor's, or nothing."""
    limit, value = (getattr(contract, _READERS[name][0]) for contract in (floor, wanted))
    shown, given = (_SHOWN[name](entry) if name in _SHOWN else f"{entry:g}" for entry in (limit, value))
    if isinstance(value, frozenset):
        more = ", ".join(sorted(value - limit))
        return f"{name} adds {more}, which the contract does not allow; leave it out" if more else ""
    if isinstance(value, bool):
        looser = limit and not value
        return f"{name} false is looser than the contract's true; leave it out" if looser else ""
    if name in _LEAST and value < limit:
        return f"{name} {given} is looser than the contract's {shown}; write {shown} or more"
    if name in _MOST and value > limit:
        return f"{name} {given} is looser than the contract's {shown}; write {shown} or less"
    return ""


def shown(contract: Contract) -> dict[str, Any]:
    """Return the terms in the words that `read` understands; those that bind nobody are left out."""
    terms: dict[str, Any] = {}
    for name, (attribute, _) in _READERS.items():
        value = getattr(contract, attribute)
        if value not in (inf, -inf, ()):
            terms[name] = _SHOWN[name](value) if name in _SHOWN else value
    return terms


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} is {value!r}; write true or false")
    return value


def _within(low: float, high: float, words: str) -> Callable[[str, object], float]:
    def reader(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidInput(f"{name} is {value!r}; write {words} from {low:g} to {high:g}")
        return float(value)

    return reader


def _links(name: str, value: object) -> frozenset[Link]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item in Link.__members__ for item in value):
        raise InvalidInput(f"{name} is {value!r}; write a list of {', '.join(Link)}")
    return frozenset(Link(item) for item in value)


def _quiet(name: str, value: object) -> tuple[QuietHours, ...]:
    spans = value if isinstance(value, list) else [value]
    if len(spans) > MAX_SPANS:
        raise InvalidInput(f"{name} has {len(spans)} spans; write at most {MAX_SPANS}")
    found = []
    for span in spans:
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", str(span))
        if not match:
            raise InvalidInput(f"{name} is {span!r}; write for example 22:00-06:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        found.append(QuietHours(time(hour, minute), time(end_hour, end_minute)))
    return tuple(found)


def _wait(name: str, value: object) -> float:
    try:
        return seconds(str(value))
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from error


def _bytes(name: str, value: object) -> float:
    try:
        size = in_bytes(str(value))
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from error
    if size > MOST_BYTES:
        raise InvalidInput(f"{name} is {value!r}; write at most {MOST_BYTES}")
    return float(size)


def price(name: str, value: object) -> float:
    """Read dollars, a decimal string as in manifests or a number.

    Raises:
        InvalidInput: it is none, or cannot be meant.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        found = math.nan
    if not -MOST_DOLLARS <= found <= MOST_DOLLARS:
        raise InvalidInput(f"{name} is {value!r}; write dollars such as 0.31")
    return found


_celsius = _within(-60, 150, "degrees Celsius")
_READERS: Final[Mapping[str, tuple[str, Callable[[str, object], Any]]]] = {
    "requirePluggedIn": ("require_plugged_in", _boolean),
    "minStateOfCharge": ("min_state_of_charge", _within(0, 100, "a percentage")),
    "maxRangeLossPerDay": ("max_range_loss_per_day", _within(0, 1000, "kilometres")),
    "links": ("links", _links),
    "dataCapPerDay": ("data_cap_per_day", _bytes),
    "quietHours": ("quiet_hours", _quiet),
    "readyBefore": ("ready_before", _wait),
    "netPositive": ("net_positive", _boolean),
    "energyPrice": ("energy_price", price),
    "minCelsius": ("min_celsius", _celsius),
    "maxCelsius": ("max_celsius", _celsius),
}
_SHOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "links": sorted,
    "dataCapPerDay": lambda size: "none" if size == inf else str(int(size)),
    "quietHours": lambda spans: [str(span) for span in spans],
    "readyBefore": lambda wait: f"{wait:g}s",
}
_LEAST: Final = frozenset({"minStateOfCharge", "readyBefore", "energyPrice", "minCelsius"})
_MOST: Final = frozenset({"maxRangeLossPerDay", "dataCapPerDay", "maxCelsius"})
