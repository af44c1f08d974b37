"""How fast the car downloads: a share of what the link was just measured to carry, so that all else finds room.

A download asks for one piece at a time, as large as the link carries in `PIECE_SECONDS`. What the link carries is
measured while a piece comes: its bytes and those of serving meanwhile, over the time they took. Between pieces the
download rests until its average is the share again (the virtual scheduling form of a token bucket: GCRA, ITU-T I.371,
with a burst of one piece), and in that rest nothing of it is under way: what was asked for has come, so no queue of
the link holds it before a beat or a request.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

SHARE: Final = 0.75
"""Of the measured rate; the rest is for control traffic and for what the measurement does not see."""
LEAST_SHARE: Final = 0.1
"""What a download gets of the link however much is served: a model that never comes serves nobody."""
PIECE_SECONDS: Final = 0.25
"""How long other traffic may stand behind one piece."""
LEAST_PIECE: Final = 32 * 1024
"""Bytes of the first piece: `PIECE_SECONDS` at 1 Mbit/s."""
MOST_PIECE: Final = 8 * 2**20
GROWTH: Final = 4
"""A piece is at most so many times the one before: early ones are too short for TCP to show what the link carries."""
OVERRUN: Final = 8 * PIECE_SECONDS
"""Seconds after which a piece is given up and its rest asked for anew, smaller: the link became slower."""
MEMORY: Final = 4
"""Pieces whose mean is the measured rate."""


class Pace:
    """The car's one download rate; all downloads share it."""

    def __init__(self, most: float = inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        """Bytes a second that downloads may take whatever the link carries."""
        self.clock = clock
        self._others = 0
        self._looked = (clock(), 0)
        self._samples: deque[tuple[int, float]] = deque(maxlen=MEMORY)
        self._last_piece = LEAST_PIECE // GROWTH
        self._free_at = 0.0

    def carried(self, size: int) -> None:
        """Count bytes that are none of a download: what is served, and control traffic."""
        self._others += size

    @property
    def measured(self) -> float | None:
        """Bytes a second of the link; None before any piece told."""
        seconds = sum(duration for _, duration in self._samples)
        return sum(size for size, _ in self._samples) / seconds if seconds else None

    def fresh(self) -> None:
        """Forget what was measured: another download, another day, maybe another link."""
        self._samples.clear()
        self._last_piece = LEAST_PIECE // GROWTH

    def size(self) -> int:
        """Return the bytes of the next piece."""
        link = self.measured  # pieces too short to tell of the link grow until one does
        wanted = min(inf if link is None else link, self.most) * PIECE_SECONDS
        return int(min(max(wanted, LEAST_PIECE), self._last_piece * GROWTH, MOST_PIECE))

    async def turn(self) -> None:
        """Wait until the next piece may be asked for."""
        await asyncio.sleep(self.rest())

    def rest(self) -> float:
        """Return the seconds until the next piece may be asked for."""
        return max(0.0, self._free_at - self.clock())

    def piece(self) -> "Piece":
        """Return the stopwatch of a piece that is asked for now."""
        return Piece(self, self.clock(), self._others)

    def took(self, piece: "Piece", others: int) -> None:
        """Take a piece in: what it says of the link, and when the next one may come."""
        now = self.clock()
        if piece.timed > 0 and piece.seconds > 0:
            self._samples.append((piece.timed + others, piece.seconds))
        self._last_piece = max(piece.received, LEAST_PIECE // GROWTH)
        rate = self._allowed(now)
        spent = piece.received / rate if rate else (now - piece.asked) / SHARE
        self._free_at = max(self._free_at, piece.asked) + spent

    def _allowed(self, now: float) -> float | None:
        """Bytes a second that downloads may take; None where neither link nor owner tell."""
        then, before = self._looked
        self._looked = (now, self._others)
        link = self.measured
        if link is None:
            return None if self.most == inf else self.most
        others = (self._others - before) / max(now - then, PIECE_SECONDS)
        return min(max(SHARE * link - others, LEAST_SHARE * link), self.most)


class Piece:
    """Times one piece while it comes.

    The first chunk's bytes are not timed: its time on the link was before it came. A piece of a single chunk, or of
    bytes that stood ready in the system's buffers, tells nothing of the link.
    """

    def __init__(self, pace: Pace, asked: float, others: int) -> None:
        self.asked = asked
        self.received = 0
        self.timed = 0
        self.seconds = 0.0
        self._pace = pace
        self._others = others
        self._first: float | None = None

    def came(self, size: int) -> None:
        """Take a chunk."""
        now = self._pace.clock()
        self.received += size
        if self._first is None:
            self._first = now
        else:
            self.timed += size
            self.seconds = now - self._first

    @property
    def overran(self) -> bool:
        """Whether it takes so long that other traffic waits for it."""
        return self._first is not None and self._pace.clock() - self._first > OVERRUN

    def end(self, *, measures: bool = True) -> None:
        """The piece has come, as far as it did; `measures` is whether it came straight off the link."""
        if not measures:
            self.timed = 0
        self._pace.took(self, self._pace._others - self._others)  # noqa: SLF001 -- one thought in two classes
