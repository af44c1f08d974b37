"""Pauses between tries: jitter within a bound that doubles, and never less than a peer asked for.

A fleet that lost its link in one instant must not come back in one. Drawn from the whole of 0 to the bound, tries are
spread evenly (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); `carlet drive` does the same.
"""

import random
from collections.abc import Mapping
from typing import Final

LONGEST_ASKED: Final = 900.0
"""Seconds beyond which no Retry-After is heeded: a server that errs must not silence a car."""


class Backoff:
    """The pauses of one series of tries; times in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def pause(self, *, longest: float | None = None, asked: float = 0.0) -> float:
        """How long to wait before the next try.

        Args:
            longest: bound for now, instead of the usual one.
            asked: what the peer asked for, which has its own jitter.
        """
        return max(asked, random.uniform(0.0, self._next(longest)))  # noqa: S311 -- spreads load, hides nothing

    def rest(self, asked: float = 0.0) -> float:
        """How long to leave a peer alone that cannot help at once: half of the bound at least.

        Args:
            asked: what the peer asked for, to which the rest is added.
        """
        return asked + jittered(self._next())

    def _next(self, longest: float | None = None) -> float:
        bound = min(self._bound, longest or self._longest)
        self._bound = 2 * bound
        return bound

    def reset(self) -> None:
        """Begin anew: a try succeeded."""
        self._bound = self._first


def jittered(seconds: float) -> float:
    """Between half of so many seconds and all of them."""
    return random.uniform(seconds / 2, seconds)  # noqa: S311 -- spreads load, hides nothing


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds for which an answer asks to be left alone; 0 if it does not say so in seconds.

    Args:
        headers: of the answer, whatever the case in which their names are looked up.
    """
    text = headers.get("retry-after", "").strip()
    return min(float(text), LONGEST_ASKED) if text.isascii() and text.isdigit() else 0.0
