"""How long a request takes at a given utilisation.

A pool of `servers` equal replicas behind one central queue (the router hands a request to a replica known to be idle):
M/G/c with the exponential tail P(W > t) = C e^(-eta t), C of Erlang and eta by the service's first two moments (Tijms,
A First Course in Stochastic Models, 9.6; Abate, Choudhury and Whitt 1995 find such tails accurate beyond the 90th
percentile). Network legs, waiting and service are independent and are convolved on a grid: 99th percentiles do not add.
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
"""Beyond it the tail errs by more than 5 % in small pools, and a burst finds no slack."""

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
    held: tuple[float, float] | None = None
    """Mean seconds for which a request keeps the replica, and their scv, where they are not those of the work."""

    @property
    def busy(self) -> tuple[float, float]:
        """Mean seconds for which a request keeps the replica, and their scv: what others wait for."""
        return self.held or (self.seconds, self.scv)

    @property
    def lognormal(self) -> tuple[float, float]:
        """Mu and sigma of log seconds: right-skewed, as measured inference times are."""
        variance = math.log1p(self.scv)
        return math.log(self.seconds) - variance / 2.0, math.sqrt(variance)


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
    seconds, scv = service.busy
    rate = float(decay(np.array([utilisation]), np.array([scv]))[0])
    return erlang_c(servers, utilisation), rate * servers / seconds


def decay(utilisation: Grid, scv: Grid) -> Grid:
    """Eta * s / c of the waiting time in M/G/c, where C e^(-eta t) is nearest to its tail. Shapes are broadcast.

    The tail decays by u, the root of (1 + u / rho) (1 - scv u)^(1 / scv) = 1: E[e^(eta S / c)] E[e^(-eta A)] = 1 for a
    gamma service of the two moments. What stands before the exponential is more than C at low utilisation; there
    2 (1 - rho) / (1 + scv), which u becomes in heavy traffic, makes good for it. The weight rho^3 of u is a fit to
    simulations. For an exponential service both are 1 - rho.
    """
    rho, spread = np.broadcast_arrays(np.clip(utilisation, 1e-6, 1.0 - 1e-9), np.maximum(scv, 1e-6))
    most, heavy = (1.0 - 1e-9) / spread, 2.0 * (1.0 - rho) / (1.0 + spread)
    root = np.minimum(heavy, 0.99 * most)
    for _ in range(20):  # Newton's method, from the right of the root after its first step
        value = np.log1p(root / rho) + np.log1p(-spread * root) / spread
        step = root - value / (1.0 / (rho + root) - 1.0 / (1.0 - spread * root))
        root = np.where(step < most, step, (root + most) / 2.0)
    found: Grid = heavy + rho**3 * (root - heavy)
    return found


def lost_share(path: Path, utilisation: float) -> float:
    """Share of requests whose vehicle leaves under them, or had left unnoticed.

    A departure costs the request in service (probability `utilisation`) or the first one sent to the connection that
    still looks idle: about one request a departure, and a vehicle answers utilisation / seconds requests a second.
    """
    if path.departures_per_hour <= 0.0:
        return 0.0
    per_second = path.departures_per_hour / SECONDS_PER_HOUR
    return min(1.0, per_second * path.service.busy[0] * (1.0 + 1.0 / max(utilisation, 1e-6)))


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
    mass: Grid = masses([service.lognormal], horizon)[0]
    for leg in legs:
        mass = np.convolve(mass, masses([leg_lognormal(leg)], horizon)[0])[: CELLS + 1]
    mass.setflags(write=False)
    return mass


def masses(lognormals: Sequence[tuple[float, float]], horizon: float) -> Grid:
    """Probability of log-normal times on the grid 0, h, .., horizon, h = horizon / CELLS; shape (n, cells + 1).

    Args:
        lognormals: mu and sigma of log seconds; with a sigma of 0 the time is e^mu, and 0 with a mu of -inf.
        horizon: seconds; what lies beyond is missing from the sums.
    """
    mu, sigma = (np.array(column)[:, None] for column in zip(*lognormals, strict=True))
    scaled = np.log(_upper_edges(horizon)) - mu
    steps = (scaled >= 0.0).astype(np.float64)
    curves = _normal_cdf(scaled / np.maximum(sigma, 1e-9))
    mass: Grid = np.diff(np.where(sigma < 1e-9, steps, curves), prepend=0.0)
    return mass


def leg_lognormal(leg: RoundTrip) -> tuple[float, float]:
    """Mu and sigma of the log-normal through the given p50 and p99."""
    p50, p99 = leg
    if p50 <= 0.0:
        return -math.inf, 0.0
    return math.log(p50), math.log(max(p99, p50) / p50) / _Z99


def _upper_edges(horizon: float) -> Grid:
    step = horizon / CELLS
    return np.linspace(step / 2.0, horizon + step / 2.0, CELLS + 1)


def _normal_cdf(values: Grid) -> Grid:
    """Standard normal distribution, linear between 4,001 points: within 1e-6."""
    points, known = _normal_points()
    found: Grid = np.interp(values, points, known)
    return found


@lru_cache(maxsize=1)
def _normal_points() -> tuple[Grid, Grid]:
    points = np.linspace(-8.0, 8.0, 4001)
    return points, np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in points.tolist()])
