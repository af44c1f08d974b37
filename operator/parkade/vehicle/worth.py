"""Which model on disk is worth most, by GreedyDual-Size-Frequency: what is least worth goes first when room is needed.

L. Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories
report HPL-98-69R1, 1998: worth = age + uses * cost / size. The cost is seconds of the link that the file would take to
come again, over the rate that was measured when it came; the age is the worth of what was evicted last, so that files
that were used often once give way to those used now.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from parkade.vehicle import durable

log = logging.getLogger(__name__)

BEGIN: Final = 2.0
"""Seconds that a download costs before its first byte: the order, the URL, TLS."""
UNKNOWN_RATE: Final = 1e6
"""Bytes a second where no piece told."""
MOST: Final = 1024
"""Files that are remembered, on disk or not."""


class Worth:
    """The worth of files in seconds of the link for a byte; kept over restarts. If it is lost, all are worth alike."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._age = 0.0
        self._uses: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._worth: dict[str, float] = {}
        self._restore()

    def came(self, digest: str, size: int, rate: float | None) -> None:
        """A file was downloaded over a link of so many bytes a second."""
        self._rates[digest] = rate or UNKNOWN_RATE
        self._uses.setdefault(digest, 0)
        self._value(digest, size)
        self._save()

    def used(self, digest: str, size: int) -> None:
        """A file is about to be loaded."""
        self._uses[digest] = self._uses.get(digest, 0) + 1
        self._value(digest, size)
        self._save()

    def order(self, digests: Iterable[str]) -> list[str]:
        """Return the digests, what goes first at the front."""
        return sorted(digests, key=lambda digest: (self._worth.get(digest, 0.0), digest))

    def evict(self, digest: str) -> None:
        """Forget the worth of a file that goes, and let the others age by it; its uses are remembered."""
        self._age = max(self._age, self._worth.pop(digest, 0.0))
        self._save()

    def _value(self, digest: str, size: int) -> None:
        seconds = BEGIN + size / self._rates.get(digest, UNKNOWN_RATE)
        self._worth[digest] = self._age + max(self._uses.get(digest, 0), 1) * seconds / max(size, 1)

    def _save(self) -> None:
        known = sorted(self._uses, key=lambda digest: self._worth.get(digest, 0.0))[-MOST:]
        files = {
            digest: [self._uses[digest], self._rates.get(digest, UNKNOWN_RATE), self._worth.get(digest, 0.0)]
            for digest in known
        }
        try:
            durable.write(self._path, json.dumps({"age": self._age, "files": files}).encode())
        except OSError as error:  # the order of eviction is no reason to fail a download
            log.warning("the worth of models cannot be written down (%s)", error.strerror)

    def _restore(self) -> None:
        try:
            held = json.loads(self._path.read_bytes())
            age = float(held["age"])
            rows = {
                str(digest): (int(uses), float(rate), float(worth))
                for digest, (uses, rate, worth) in held["files"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return
        self._age = max(age, 0.0)
        for digest, (uses, rate, worth) in rows.items():
            if uses >= 0 and rate > 0:
                self._uses[digest], self._rates[digest], self._worth[digest] = uses, rate, worth
