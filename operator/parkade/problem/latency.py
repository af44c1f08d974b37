"""How long a request takes at a given utilisation, and the highest utilisation that keeps its percentile in time.

A pool of `servers` equal replicas behind one central queue (the router hands a request to a replica known to be idle):
M/G/c with the two-moment tail P(W > t) = C e^(-eta t), C of Erlang, eta = 2 (1 - rho) c / (s (1 + scv)) (Abate,
Choudhury and Whitt 1995 find such exponential tails accurate beyond the 90th percentile). Network legs, waiting and
service are independent and are convolved on a grid: 99th percentiles do not add.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parkade.settings import RoundTrip
from parkade.units import SECONDS_PER_HOUR

Grid = NDArray[np.float64]

MAX_UTILISATION: Final = 0.9
"""Beyond it the two-moment tail errs by more than 5 % even for large pools, and a burst finds no slack."""

RATE_SAFETY: Final = 1.04
"""Rates are planned 4 % higher: the tail formula's largest under-estimate for scv <= 1 and 4 servers or more."""

LARGEST_POOL: Final = 256
"""Larger pools are planned as if they had this many servers: pooling gains nothing measurable any more."""

CELLS: Final = 400
"""Of the grid between 0 and the target: a resolution of 0.25 %."""

_Z99: Final = 2.3263478740408408  # 99th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Service:
    """One replica's work on one request."""

    seconds: float
    """Mean."""
    scv: float
    """Squared coefficient of variation."""


@dataclass(frozen=True, slots=True)
class Path:
    """What a request passes besides the queue: network round trips, and a replica that may leave under it."""

    service: Service
    legs: tuple[RoundTrip, ...]
    departures_per_hour: float = 0.0
    """Rate at which one replica's vehicle leaves; 0 for a server."""


def erlang_c(servers: int, utilisation: float) -> float:
    """Probability that a request must wait in M/M/c; by the stable recursion over Erlang B."""
    if utilisation >= 1.0:
        return 1.0
    load, blocked = servers * utilisation, 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked / (1.0 - utilisation * (1.0 - blocked))


def wait_tail(servers: int, utilisation: float, service: Service) -> tuple[float, float]:
    """(probability of waiting, decay in 1/s) of the waiting time in M/G/c, by its first two moments."""
    decay = 2.0 * (1.0 - utilisation) * servers / (service.seconds * (1.0 + service.scv))
    return erlang_c(servers, utilisation), decay


def lost_share(path: Path, utilisation: float) -> float:
    """Share of requests whose vehicle leaves under them, or had left unnoticed.

    A departure costs the request in service (probability `utilisation`) or the first one sent to the connection that
    still looks idle: about one request a departure, and a vehicle answers utilisation / seconds requests a second.
    """
    if path.departures_per_hour <= 0.0:
        return 0.0
    per_second = path.departures_per_hour / SECONDS_PER_HOUR
    return min(1.0, per_second * path.service.seconds * (1.0 + 1.0 / max(utilisation, 1e-6)))


@lru_cache(maxsize=65536)
def safe_utilisation(path: Path, servers: int, percentile: float, target: float) -> float:
    """rho*: the highest utilisation at which `percentile` % of requests are answered within `target` seconds.

    0 when even a pool at 5 % is too slow. Scanned from above, then bisected to 0.1 %: with departures the share in time
    is not monotone, because a vehicle that answers few requests loses a larger share of them when it leaves.
    """
    wanted = percentile / 100.0
    above = MAX_UTILISATION
    for twentieths in range(18, 0, -1):
        low = twentieths / 20.0
        if share_in_time(path, servers, low, target) >= wanted:
            break
        above = low
    else:
        return 0.0
    while above - low > 1e-3:
        middle = (low + above) / 2.0
        if share_in_time(path, servers, middle, target) >= wanted:
            low = middle
        else:
            above = middle
    return low


def share_in_time(path: Path, servers: int, utilisation: float, target: float) -> float:
    """P(network + wait + service + retry <= target)."""
    base = _unloaded(path.service, path.legs, target)
    waits, decay = wait_tail(min(servers, LARGEST_POOL), utilisation, path.service)
    left = np.linspace(target, 0.0, CELLS + 1)
    first = float(base @ (1.0 - waits * np.exp(-decay * left)))
    lost = lost_share(path, utilisation)
    if lost == 0.0:
        return first
    after_retry = left - attempt_timeout(path)
    served = np.where(after_retry >= 0.0, 1.0 - waits * np.exp(-decay * np.maximum(after_retry, 0.0)), 0.0)
    return (1.0 - lost) * first + lost * float(base @ served)


@lru_cache(maxsize=4096)
def attempt_timeout(path: Path) -> float:
    """Seconds after which an attempt is given up: the replica's own p99 without a queue."""
    horizon = 4.0 * (path.service.seconds * (1.0 + path.service.scv) + sum(leg[1] for leg in path.legs))
    cumulative = np.cumsum(_unloaded(path.service, path.legs, horizon))
    return horizon * float(np.searchsorted(cumulative, 0.99)) / CELLS


def percentile_of(parts: Sequence[tuple[float, Path, int, float]], percentile: float, horizon: float) -> float:
    """Seconds within which `percentile` % of a mixture of places answers, at most 64 times `horizon`.

    Args:
        parts: (share of the requests, path, servers, utilisation) of each place; shares add up to 1.
        percentile: in percent.
        horizon: a first guess in seconds, such as the target.
    """
    wanted = percentile / 100.0
    for widening in (0.25, 1.0, 4.0, 16.0, 64.0):
        reach = horizon * widening
        cumulative = sum((share * _cumulative(path, servers, rho, reach) for share, path, servers, rho in parts),
                         np.zeros(CELLS + 1))  # fmt: skip
        if cumulative[-1] >= wanted:
            times = np.linspace(0.0, reach, CELLS + 1)
            return float(np.interp(wanted, cumulative, times))
    return horizon * 64.0


def _cumulative(path: Path, servers: int, utilisation: float, horizon: float) -> Grid:
    """P(time <= t) on the grid from 0 to `horizon`."""
    waits, decay = wait_tail(min(servers, LARGEST_POOL), min(utilisation, 0.999), path.service)
    edges = _upper_edges(horizon)
    queue = np.diff(1.0 - waits * np.exp(-decay * edges), prepend=0.0)
    first = np.cumsum(np.convolve(_unloaded(path.service, path.legs, horizon), queue)[: CELLS + 1])
    lost = lost_share(path, utilisation)
    if lost == 0.0:
        return first
    shift = math.ceil(attempt_timeout(path) / horizon * CELLS)
    retried = np.concatenate([np.zeros(min(shift, CELLS + 1)), first])[: CELLS + 1]
    mixed: Grid = (1.0 - lost) * first + lost * retried
    return mixed


@lru_cache(maxsize=4096)
def _unloaded(service: Service, legs: tuple[RoundTrip, ...], horizon: float) -> Grid:
    """Probability of network + service on the grid 0, h, .., horizon; what lies beyond is missing from the sum."""
    edges = _upper_edges(horizon)
    mass = np.diff(_service_cdf(service, edges), prepend=0.0)
    for leg in legs:
        mass = np.convolve(mass, np.diff(_leg_cdf(leg, edges), prepend=0.0))[: CELLS + 1]
    mass.setflags(write=False)
    return mass


def _upper_edges(horizon: float) -> Grid:
    step = horizon / CELLS
    return np.linspace(step / 2.0, horizon + step / 2.0, CELLS + 1)


def _service_cdf(service: Service, times: Grid) -> Grid:
    """Log-normal with the given mean and scv: right-skewed, as measured inference times are."""
    variance = math.log1p(service.scv)
    return _lognormal_cdf(math.log(service.seconds) - variance / 2.0, math.sqrt(variance), times)


def _leg_cdf(leg: RoundTrip, times: Grid) -> Grid:
    """Log-normal through the given p50 and p99."""
    p50, p99 = leg
    if p50 <= 0.0:
        return np.ones_like(times)
    return _lognormal_cdf(math.log(p50), math.log(max(p99, p50) / p50) / _Z99, times)


def _lognormal_cdf(mu: float, sigma: float, times: Grid) -> Grid:
    scaled = np.log(times) - mu
    if sigma < 1e-9:
        step: Grid = (scaled >= 0.0).astype(np.float64)
        return step
    return np.array([0.5 * math.erfc(-value / (sigma * math.sqrt(2.0))) for value in scaled])
