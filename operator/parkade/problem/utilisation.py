"""Tables of the highest safe utilisation: how busy replicas may be and answer in time, for all classes at once.

Of the time T that a request may take, let B be network and service without a queue. With the tail of `latency`,
P(B + wait <= T) = F - C(c, rho) * G(theta) with F = P(B <= T), G(theta) = E[e^(-theta (T - B)); B <= T] and
theta the decay of the wait. F and G depend on no pool size and no utilisation: they are computed once for each
pair of a service and a route, as one matrix product, and the utilisation is bisected on them for all pairs together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parkade.problem.latency import (
    CELLS,
    LARGEST_POOL,
    MAX_UTILISATION,
    Grid,
    Service,
    decay,
    erlang_c,
    leg_lognormal,
    masses,
)
from parkade.settings import RoundTrip
from parkade.units import SECONDS_PER_HOUR

POOLS: Final = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 128, LARGEST_POOL)
"""Pool sizes of a table; rho* grows with the size ever more slowly: straight lines between them lie below it."""

LEAST_UTILISATION: Final = 0.05
"""A replica that may only be busier than idle by less is of no use: 0 is written instead."""

MOST_TRIPS: Final = 64
"""Round trips between regions that a table tells apart; of more, near ones count as the longer."""

MOST_TAILS: Final = 16
"""Links with their departures that a table tells apart."""

MOST_SPEEDS: Final = 2048
"""Service times with their variation and target that a table tells apart."""

_LEVELS: Final = 512
"""Steps of utilisation between 0 and MAX_UTILISATION: 0.18 %."""
_DECAYS: Final = np.geomspace(0.02, 4000.0, 32)
"""theta * T; log G is interpolated between them, within 1 % of G."""
_CUTS: Final = 16
"""The distribution of B is known at multiples of T / 16: enough to know whether a retry comes in time."""
_BLOCK: Final = 256
"""Rows of one matrix product: some 100 MB with `MOST_TRIPS` columns."""


Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True, order=True)
class Ask:
    """Row of a table: one replica's work on a request, how it is connected, and how soon its answer is wanted."""

    service: Service
    percentile: int
    """Of the requests, that shall be answered within the target."""
    target: float
    """Seconds."""
    legs: tuple[RoundTrip, ...] = ()
    """Between the replica's region and the replica: a vehicle's link."""
    departures_per_hour: float = 0.0
    """Rate at which the replica's vehicle leaves."""


@lru_cache(maxsize=16)
def utilisations(asks: tuple[Ask, ...], trips: tuple[RoundTrip, ...]) -> Grid:
    """rho* by ask, round trip between caller and region, and pool size of `POOLS`; shape (asks, trips, pools).

    The highest utilisation, at most `MAX_UTILISATION`, at which the percentile of network + wait + service + retry is
    within the target; 0 where there is none. A request whose vehicle leaves is sent again after the replica's own p99
    without a queue; it counts with F * (1 - C) of what is left of T.
    """
    table = np.zeros((len(asks), len(trips), len(POOLS)))
    order = sorted(range(len(asks)) if trips else (), key=lambda index: asks[index].target)
    spreads = sorted({ask.service.busy[1] for ask in asks})
    levels = _levels(tuple(spreads))
    for target, group in groupby(order, key=lambda index: asks[index].target):
        everyone = list(group)
        tails = _tails(masses([leg_lognormal(trip) for trip in trips], target))
        for start in range(0, len(everyone), _BLOCK):
            rows = everyone[start : start + _BLOCK]
            some = [asks[row] for row in rows]
            found = (_work(some, target) @ tails.reshape(CELLS + 1, -1)).reshape(len(rows) * len(trips), -1)
            seconds = np.repeat([ask.service.busy[0] for ask in some], len(trips))
            spread = np.repeat([spreads.index(ask.service.busy[1]) for ask in some], len(trips))
            wanted = np.repeat([ask.percentile / 100.0 for ask in some], len(trips))
            gone = np.repeat([ask.departures_per_hour / SECONDS_PER_HOUR for ask in some], len(trips))
            best = _highest(found, (target / seconds, spread), gone * seconds, wanted, levels)
            table[rows] = best.reshape(len(rows), len(trips), len(POOLS))
    table.setflags(write=False)
    return table


def coarsened(values: Iterable[Numbers], most: int) -> dict[Numbers, Numbers]:
    """Each row of positive numbers as the class of a table it counts as.

    That is itself, or where there are more than `most` the next larger one on the finest grid of powers of 2^(1/16),
    2^(1/8), ... with so few.
    """
    distinct = sorted(set(values))
    found = {row: row for row in distinct}
    steps = 16.0
    while len(set(found.values())) > most:
        rounded = _rounded_up(np.array(distinct), steps)
        found = dict(zip(distinct, map(tuple, rounded.tolist()), strict=True))
        steps /= 2.0
    return found


def _rounded_up(numbers: Grid, steps: float) -> Grid:
    positive = numbers > 0.0
    grid = np.ceil(np.log2(np.where(positive, numbers, 1.0)) * steps - 1e-9)
    return np.where(positive, 2.0 ** (grid / steps), 0.0)


def _work(asks: Sequence[Ask], target: float) -> Grid:
    """Probability of service + link on the grid 0, h, .., target; shape (asks, cells + 1)."""
    found = masses([ask.service.lognormal for ask in asks], target)
    links = sorted({leg for ask in asks for leg in ask.legs})
    known = dict(zip(links, masses([leg_lognormal(leg) for leg in links], target), strict=True)) if links else {}
    for row, ask in enumerate(asks):
        for leg in ask.legs:
            found[row] = np.convolve(found[row], known[leg])[: CELLS + 1]
    return found


def in_smallest_pool(table: Grid, load: Grid, least: NDArray[np.int64]) -> Grid:
    """rho* in the smallest pool of `least` replicas or more that carries `load`: a workload's replicas share a queue.

    Args:
        table: rho* by pool size of `POOLS` in the last axis; shape (n, pools).
        load: busy replicas, that is requests/s * seconds of service; shape (n,).
        least: replicas that run whatever the load; shape (n,).

    Returns:
        Shape (n,). Pools beyond the largest count as the largest.
    """
    sizes = np.array(POOLS, dtype=np.float64)
    upper = np.minimum((table * sizes < load[:, None]).sum(axis=1), len(POOLS) - 1)
    lower = np.maximum(upper - 1, 0)
    rows = np.arange(len(table))
    low, high = table[rows, lower], table[rows, upper]
    slope = (high - low) / np.maximum(sizes[upper] - sizes[lower], 1.0)
    start = low - slope * sizes[lower]
    # (start + slope c) c = load between the two sizes
    root = 2.0 * load / np.maximum(start + np.sqrt(np.maximum(start * start + 4.0 * slope * load, 0.0)), 1e-12)
    size = np.clip(np.ceil(root - 1e-9), sizes[lower], sizes[upper])
    size = np.minimum(np.maximum(size, least), LARGEST_POOL)
    return at_size(table, size)


def at_size(table: Grid, size: Grid) -> Grid:
    """rho* in pools of `size` replicas: on straight lines between the sizes of `POOLS`; shapes (n, pools) and (n,)."""
    sizes = np.array(POOLS, dtype=np.float64)
    upper = np.clip(np.searchsorted(sizes, size), 1, len(POOLS) - 1)
    rows, lower = np.arange(len(table)), upper - 1
    part = np.clip((size - sizes[lower]) / (sizes[upper] - sizes[lower]), 0.0, 1.0)
    # A pool that is too small for any utilisation promises nothing to the sizes between it and the next.
    useful = np.where((table[rows, lower] > 0.0) | (part >= 1.0), part, 0.0)
    found: Grid = table[rows, lower] * (1.0 - useful) + table[rows, upper] * useful
    return found


def _tails(trips: Grid) -> Grid:
    """What turns service + link into G at `_DECAYS` and B's distribution at the cuts; shape (cells + 1, trips, ..).

    B is the sum of both on the grid. G = sum over a of work[a] * H[u - a], where H[u] = sum over b <= u of
    trips[b] * e^(-theta (u - b)) follows from H[u - 1]: a matrix product for all services.
    """
    tails = np.empty((CELLS + 1, len(trips), len(_DECAYS) + _CUTS))
    fading = np.exp(-_DECAYS / CELLS)
    running = np.zeros((len(trips), len(_DECAYS)))
    for cell in range(CELLS + 1):
        running = running * fading + trips[:, cell, None]
        tails[CELLS - cell, :, : len(_DECAYS)] = running
    cumulative = np.cumsum(trips, axis=1)
    for cut in range(1, _CUTS + 1):
        last = cut * CELLS // _CUTS
        column = tails[:, :, len(_DECAYS) + cut - 1]
        column[: last + 1] = cumulative[:, last::-1].T
        column[last + 1 :] = 0.0
    return tails


def _highest(
    pairs: Grid, scale: tuple[Grid, NDArray[np.int64]], lost: Grid, wanted: Grid, levels: tuple[Grid, Grid, Grid]
) -> Grid:
    """The highest level of utilisation in time, by pair and pool size: bisected, larger pools from the smaller one's.

    Args:
        pairs: G and cuts, as `_tails` gives them; shape (n, decays + cuts).
        scale: T / s, and the index of the scv in `levels`.
        lost: departures per second * s: requests lost to departures are lost * (1 + 1 / rho).
        wanted: share that shall be in time.
        levels: as `_levels` gives them.
    """
    cuts = pairs[:, len(_DECAYS) :]
    tail = np.log(np.maximum(pairs[:, : len(_DECAYS)], 1e-300))
    timeout = (cuts < 0.99).sum(axis=1) + 1
    rows = np.arange(len(pairs))
    again = np.where(timeout < _CUTS, cuts[rows, np.maximum(_CUTS - timeout, 1) - 1], 0.0)
    found = np.zeros((len(pairs), len(POOLS)))
    rows = rows[cuts[:, -1] >= wanted]
    low = np.zeros(len(pairs), dtype=np.int64)
    step = np.log(_DECAYS[1] / _DECAYS[0])
    position, spread = np.log(scale[0] / _DECAYS[0]) / step, scale[1]
    rhos, decays, waits = levels
    for pool in range(len(POOLS)):
        high = np.full(len(pairs), _LEVELS + 1)
        active, first = rows[low[rows] < _LEVELS], True
        while len(active):
            # Most large pools are in time at the highest level: ask for that first.
            level = np.full(len(active), _LEVELS) if first else (low[active] + high[active]) // 2
            first = False
            where = position[active] + decays[spread[active], level] + np.log(POOLS[pool]) / step
            where = np.clip(where, 0.0, len(_DECAYS) - 1.001)
            cell = where.astype(np.intp)
            below = tail[active, cell]
            late = np.exp(below + (where - cell) * (tail[active, cell + 1] - below))
            wait = waits[pool, level]
            gone = np.minimum(lost[active] * (1.0 + 1.0 / rhos[level]), 1.0)
            share = (1.0 - gone) * (cuts[active, -1] - wait * late) + gone * again[active] * (1.0 - wait)
            good = share >= wanted[active]
            low[active] = np.where(good, level, low[active])
            high[active] = np.where(good, high[active], level)
            active = active[high[active] - low[active] > 1]
        found[:, pool] = rhos[low]
    found[found < LEAST_UTILISATION] = 0.0
    return found


@lru_cache(maxsize=16)
def _levels(spreads: tuple[float, ...]) -> tuple[Grid, Grid, Grid]:
    """Utilisation by level; log of the decay * s / c in steps of `_DECAYS` by scv and level; C by pool and level."""
    rhos = MAX_UTILISATION * np.arange(_LEVELS + 1) / _LEVELS
    step = np.log(_DECAYS[1] / _DECAYS[0])
    decays = np.log(decay(rhos, np.array(spreads)[:, None])) / step
    return rhos, decays, _erlang()


@lru_cache(maxsize=1)
def _erlang() -> Grid:
    rhos = MAX_UTILISATION * np.arange(_LEVELS + 1) / _LEVELS
    return np.array([[erlang_c(servers, rho) for rho in rhos.tolist()] for servers in POOLS])
