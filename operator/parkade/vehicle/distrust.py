"""What routers said of this car's answers, remembered after the assignment is gone: for the owner, who has to act."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from parkade.vehicle.clock import Instant, amount
from parkade.vehicle.reasons import ANSWERS, Refusal
from parkade.vehicle.wire import Assignment

KEPT: Final = 24 * 3600.0
"""Seconds of the car's own time for which a word is shown after it was last said: a fault that does not come again
within a day of being asked is not worth a visit to the workshop."""
MOST: Final = 16


@dataclass(frozen=True, slots=True)
class Word:
    """Answers of one artifact for one workload that could not be used, or were wrong."""

    workload: str
    digest: str
    reason: str
    message: str
    since: str
    """When it was said first, local time with its zone, RFC 3339."""
    last: str
    """When it was said last."""
    elapsed: float
    """The same in `Clock.elapsed`."""


class Distrust:
    """The newest word by workload, at most `MOST`."""

    def __init__(self) -> None:
        self._words: dict[str, Word] = {}

    def note(self, assignment: Assignment, refusal: Refusal, look: Instant) -> None:
        """Take a router's word; the same word of the same artifact as before is an older one that goes on."""
        now = look.now.isoformat(timespec="seconds")
        before = self._fresh(look.elapsed).get(assignment.workload)
        same = before is not None and (before.digest, before.reason) == (assignment.digest, refusal.reason)
        since = before.since if before is not None and same else now
        self._words = {name: word for name, word in self._words.items() if name != assignment.workload}
        self._words[assignment.workload] = Word(
            assignment.workload, assignment.digest, str(refusal.reason), refusal.message, since, now, look.elapsed
        )
        while len(self._words) > MOST:
            del self._words[next(iter(self._words))]

    def _fresh(self, elapsed: float) -> dict[str, Word]:
        return {name: word for name, word in self._words.items() if elapsed - word.elapsed < KEPT}

    def shown(self, elapsed: float) -> list[dict[str, Any]]:
        """Return what was said in the last 24 hours, the oldest first."""
        rows = [asdict(word) for word in self._fresh(elapsed).values()]
        return [{name: value for name, value in row.items() if name != "elapsed"} for row in rows]

    def saved(self) -> list[dict[str, Any]]:
        """Return what `restore` goes on from."""
        return [asdict(word) for word in self._words.values()]

    def restore(self, rows: Iterable[Any]) -> None:
        """Go on from rows as `saved` gave them; what is none is left out."""
        for row in rows:
            try:
                word = _word(row)
            except (ValueError, KeyError, TypeError):
                continue
            self._words[word.workload] = word


def _word(row: Mapping[str, Any]) -> Word:
    texts = {name: row[name] for name in ("workload", "digest", "reason", "message", "since", "last")}
    if not all(isinstance(text, str) for text in texts.values()) or texts["reason"] not in ANSWERS:
        raise ValueError("no word of a router")
    return Word(**texts, elapsed=amount(row["elapsed"]))
