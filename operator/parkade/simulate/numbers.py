"""Words for arrays and for the streams they are drawn from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Random = np.random.Generator


def stream(seed: int, part: int) -> Random:
    """An independent stream for each part of an instance, so that drawing more in one changes no other."""
    return np.random.Generator(np.random.PCG64([seed, part]))


def shared_out(total: int, weights: Floats) -> Ints:
    """`total` whole things by `weights`, each share at least 1 where there is enough, by largest remainders."""
    spare = max(0, total - len(weights))
    exact = weights / weights.sum() * spare
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: spare - int(whole.sum())]] += 1
    shares: Ints = whole + 1
    return shares


def starts_of(rows: Ints, count: int) -> Ints:
    """[count + 1]: where each row begins in the sorted indices `rows`."""
    starts: Ints = np.searchsorted(rows, np.arange(count + 1))
    return starts
