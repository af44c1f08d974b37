"""How facts are put into words: ages, amounts, and text that a terminal may be given."""

from datetime import datetime
from typing import Final

from parkade.units import seconds

_STEPS: Final = ((1.0, "s", 120.0), (60.0, "m", 7200.0), (3600.0, "h", 172800.0), (86400.0, "d", float("inf")))
"""Seconds of a unit, its letter, and the age from which the next one is used."""


def age(now: datetime, then: datetime | None) -> str:
    """How long ago, in one unit: 45s, 12m, 3h, 5d; empty where it is not known."""
    return "" if then is None else lasting((now - then).total_seconds())


def lasting(span: float) -> str:
    """A span of seconds in one unit; what lies ahead by a clock that differs counts as now."""
    span = max(0.0, span)
    size, letter, _ = next(step for step in _STEPS if span < step[2])
    return f"{span / size:.0f}{letter}"


def moment(text: str) -> datetime | None:
    """A time as manifests and conditions write it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def number(text: str) -> float:
    """A figure of a status; 0 where it says nothing."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def duration(text: str) -> float:
    """A duration of a status in seconds; 0 where it says nothing."""
    try:
        return seconds(text)
    except ValueError:
        return 0.0


def count(amount: int, noun: str) -> str:
    """An amount with its noun: 1 car, 12,000 cars."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def printable(text: str) -> str:
    """In one line and without control characters, which a message could use to write anywhere on a screen."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def listed(names: list[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
