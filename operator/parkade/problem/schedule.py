"""Cron schedules, read as the hours in which something holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Minute, hour, day of the month, month, weekday (0 and 7 are Sunday)."""


def holds(schedule: str, now: datetime) -> bool:
    """Whether the schedule names the hour of `now` (UTC): an hour counts as a whole, whatever the minute field says.

    As in cron, a day counts if the day of the month or the weekday matches where both are restricted. Numbers out of
    range match nothing.
    """
    _, hours, days, months, weekdays = (
        frozenset(_numbers(field, *most)) for field, most in zip(schedule.split(), _RANGES, strict=True)
    )
    day = now.day in days
    weekday = now.isoweekday() % 7 in {number % 7 for number in weekdays}
    _, _, day_field, _, weekday_field = schedule.split()
    free = day_field.startswith("*") or weekday_field.startswith("*")
    return now.hour in hours and now.month in months and (day and weekday if free else day or weekday)


def _numbers(field: str, least: int, most: int) -> Iterator[int]:
    """Of `*`, `a`, `a-b`, each with an optional `/step`, separated by commas; what cannot be read names nothing."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, last = str(least), str(most)
        elif not dash:
            last = str(most) if step else first
        if first.isdigit() and last.isdigit() and (not step or (step.isdigit() and int(step) > 0)):
            yield from (n for n in range(int(first), int(last) + 1, int(step or 1)) if least <= n <= most)
