"""Why nothing ran, and when: the last changes of the car's mind, for its owner."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from parkade.vehicle.reasons import Refusal

MAX_CHANGES: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the car rests from here on, or no longer does."""

    at: str
    """Local time with its zone, RFC 3339."""
    reason: str
    """Empty: nothing of the owner's contract stops the car from here on."""
    message: str

    def shown(self) -> dict[str, str]:
        """Return it for JSON."""
        return {"at": self.at, "reason": self.reason, "message": self.message}


class History:
    """The last `MAX_CHANGES` changes; a reason that stays is one entry, whatever its sentence says meanwhile."""

    def __init__(self) -> None:
        self.changes: deque[Change] = deque(maxlen=MAX_CHANGES)

    def note(self, refusal: Refusal | None, now: datetime) -> bool:
        """Take the present word; only another reason than the last is kept. Whether it is."""
        reason, message = (str(refusal.reason), refusal.message) if refusal else ("", "")
        if not self.changes or self.changes[-1].reason != reason:
            self.changes.append(Change(now.isoformat(timespec="seconds"), reason, message))
            return True
        return False

    def shown(self) -> list[dict[str, str]]:
        """Return the changes, the oldest first."""
        return [change.shown() for change in self.changes]

    def restore(self, rows: Iterable[Any]) -> None:
        """Go on from rows as `shown` gave them; what is none is left out."""
        for row in rows:
            if isinstance(row, Mapping) and all(isinstance(row.get(name), str) for name in ("at", "reason", "message")):
                self.changes.append(Change(row["at"], row["reason"], row["message"]))
