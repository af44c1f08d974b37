"""What the car spent in the last 24 hours: the account that allowances by the day are checked against.

A day is any 24 hours of `Clock.elapsed`, kept in quarters of an hour. It is at least as strict as a calendar day of 24
hours, and midnight, a change of zone or of summer time, and a clock that is set give nothing back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from parkade.vehicle.clock import amount

DAY: Final = 86400.0
BUCKET: Final = 900.0
"""Seconds that are counted, and forgotten, together."""
KEPT: Final = int(DAY / BUCKET)
"""Buckets before the present one that still count: the oldest is forgotten when its last second is a day old."""


@dataclass(slots=True)
class Bucket:
    """What was spent in one quarter of an hour."""

    wh: float = 0.0
    """Watt-hours that our work took, from the plug or the battery (modelled)."""
    battery_wh: float = 0.0
    """Those of them that came out of the battery."""
    bytes: dict[str, int] = field(default_factory=dict)
    """Both directions, by link."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of the agent by why it rested; the empty word is when it did not."""
    unknown: bool = False
    """The record is lost: whatever was allowed counts as spent."""

    def add(self, other: "Bucket") -> None:
        """Take another one's amounts in."""
        self.wh += other.wh
        self.battery_wh += other.battery_wh
        self.unknown |= other.unknown
        for link, size in other.bytes.items():
            self.bytes[link] = self.bytes.get(link, 0) + size
        for reason, passed in other.seconds.items():
            self.seconds[reason] = self.seconds.get(reason, 0.0) + passed

    @property
    def carried(self) -> int:
        """Bytes over all links."""
        return sum(self.bytes.values())

    def shown(self) -> dict[str, Any]:
        """Return the amounts; zeros are left out."""
        row = {
            "wh": self.wh,
            "batteryWh": self.battery_wh,
            "bytes": self.bytes,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "unknown": self.unknown,
        }
        return {name: value for name, value in row.items() if value}


def _bucket(row: Mapping[str, Any]) -> Bucket:
    links, seconds = row.get("bytes", {}), row.get("seconds", {})
    if not isinstance(links, dict) or not isinstance(seconds, dict) or not isinstance(row.get("unknown", False), bool):
        raise TypeError("a quarter of an hour is malformed")
    return Bucket(
        amount(row.get("wh", 0)),
        amount(row.get("batteryWh", 0)),
        {str(name): int(amount(size)) for name, size in links.items()},
        {str(name): amount(value) for name, value in seconds.items()},
        row.get("unknown", False),
    )


class Day:
    """A sliding day; `elapsed` is `Clock.elapsed` and never falls."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}

    def at(self, elapsed: float) -> Bucket:
        """Return the bucket of now, to add to."""
        number = int(elapsed // BUCKET)
        if number not in self._buckets:
            self._forget(number)
            self._buckets[number] = Bucket()
        return self._buckets[number]

    def _forget(self, number: int) -> None:
        for old in [held for held in self._buckets if held < number - KEPT]:
            del self._buckets[old]

    def sum(self, elapsed: float) -> Bucket:
        """Return all that counts now."""
        self._forget(int(elapsed // BUCKET))
        total = Bucket()
        for bucket in self._buckets.values():
            total.add(bucket)
        return total

    def returns(self, elapsed: float, field: str, limit: float) -> float:
        """Return the seconds until less than `limit` of `battery_wh` or `carried` is remembered; 0 for never."""
        held = sorted(self._buckets.items())
        left = sum(getattr(bucket, field) for _, bucket in held)
        lost = any(bucket.unknown for _, bucket in held)
        for number, bucket in held:
            left -= getattr(bucket, field)
            lost = lost and not bucket.unknown
            if left < limit and not lost:
                return max(0.0, (number + KEPT + 1) * BUCKET - elapsed)
        return 0.0

    def shown(self) -> dict[str, Any]:
        """Return what `restore` goes on from."""
        return {str(number): bucket.shown() for number, bucket in sorted(self._buckets.items())}

    def restore(self, shown: Mapping[str, Any], elapsed: float) -> None:
        """Go on from `shown`.

        Raises:
            ValueError, TypeError, AttributeError: it is not what `shown` gave, or it is of the future.
        """
        found = {int(number): _bucket(row) for number, row in shown.items()}
        if any(not 0 <= number <= elapsed // BUCKET for number in found):
            raise ValueError("a quarter of an hour of the future")
        self._buckets = found
