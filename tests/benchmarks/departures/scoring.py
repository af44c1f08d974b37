"""How right probabilities were: Brier score, log loss, and calibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SURE = 0.005
"""Log loss takes nothing for surer than this: what is sent in steps says 0 and 100 %."""
CELL = 20
"""Looks of a group; fewer would be a share of next to nothing."""
BINS = (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def brier(said: Floats, left: Floats) -> Floats:
    """[3], mean squared error over looks (Brier, Monthly Weather Review 78, 1950)."""
    score: Floats = ((said - left) ** 2).mean(axis=0)
    return score


def log_loss(said: Floats, left: Floats) -> Floats:
    """[3], mean of -ln of the probability that was given to what happened, in nats."""
    bounded = np.clip(said, SURE, 1.0 - SURE)
    loss: Floats = -np.log(np.where(left > 0, bounded, 1.0 - bounded)).mean(axis=0)
    return loss


@dataclass(frozen=True)
class Bin:
    """Looks at which alike probabilities were said."""

    looks: int
    said: float
    """Mean probability."""
    left: float
    """Share that left."""


def calibration(said: Floats, left: Floats) -> list[Bin]:
    """Of one horizon, the looks in bins of what was said; a calibrated forecast has `said` near `left` in each."""
    found = []
    places = np.clip(np.searchsorted(BINS, said, side="right") - 1, 0, len(BINS) - 2)
    for index in range(len(BINS) - 1):
        here = places == index
        if here.any():
            found.append(Bin(int(here.sum()), float(said[here].mean()), float(left[here].mean())))
    return found


def miscalibration(bins: list[Bin]) -> float:
    """Mean of |said - left| over the looks (expected calibration error)."""
    looks = sum(bin_.looks for bin_ in bins)
    return sum(bin_.looks * abs(bin_.said - bin_.left) for bin_ in bins) / looks


def shares(said: Floats, left: Floats, groups: list[tuple[str, int]]) -> tuple[Floats, Floats]:
    """[G, 3] shares that were said and seen to leave, by group of at least `CELL` looks, as a cell would sum them."""
    order: dict[tuple[str, int], list[int]] = {}
    for row, group in enumerate(groups):
        order.setdefault(group, []).append(row)
    rows = [found for found in order.values() if len(found) >= CELL]
    empty = np.zeros((0, 3))
    if not rows:
        return empty, empty
    return np.array([said[it].mean(axis=0) for it in rows]), np.array([left[it].mean(axis=0) for it in rows])
