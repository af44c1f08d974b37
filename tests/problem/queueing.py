"""The queue behind a workload, simulated and spelt out for one path at a time: oracles for tables and formulas."""

import heapq
from collections.abc import Sequence

import numpy as np

from parkade.problem.latency import (
    CELLS,
    MAX_UTILISATION,
    Path,
    Service,
    attempt_timeout,
    lost_share,
    percentile_of,
    wait_tail,
)
from parkade.problem.latency import _unloaded as unloaded  # the same grid, so that only the search differs


def simulated_p99(
    servers: int,
    utilisation: float,
    service: Service,
    legs: Sequence[tuple[float, float]] = (),
    requests: int = 60_000,
) -> float:
    """First come first served through one queue; no formula of the product is used."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(service.seconds / (servers * utilisation), requests))
    variance = np.log1p(service.scv)
    works = rng.lognormal(np.log(service.seconds) - variance / 2, np.sqrt(variance), requests)
    free = [0.0] * servers
    times = np.empty(requests)
    for index, (arrival, work) in enumerate(zip(arrivals.tolist(), works.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + work)
        times[index] = start + work - arrival
    for p50, p99 in legs:
        times += rng.lognormal(np.log(p50), np.log(p99 / p50) / 2.3263, requests)
    return float(np.quantile(times[requests // 20 :], 0.99))


def error(servers: int, utilisation: float, scv: float, legs: Sequence[tuple[float, float]] = ()) -> float:
    """Of the predicted p99, relative to the simulated one."""
    service = Service(0.028, scv)
    predicted = percentile_of([(1.0, Path(service, tuple(legs)), servers, utilisation)], 99, 0.1)
    # the busier and the fewer the servers, the longer a queue lasts and the more requests tell the same
    busy = utilisation > 0.7 or scv > 1.0 or servers < 4
    requests = 60_000 if not busy else 120_000 if servers > 4 else 500_000
    return predicted / simulated_p99(servers, utilisation, service, legs, requests) - 1.0


def share_in_time(path: Path, servers: int, utilisation: float, target: float) -> float:
    """P(network + wait + service + retry <= target), retry included in full."""
    base = unloaded(path.service, path.legs, target)
    waits, decay = wait_tail(servers, utilisation, path.service)
    left = np.linspace(target, 0.0, CELLS + 1)
    first = float(base @ (1.0 - waits * np.exp(-decay * left)))
    lost = lost_share(path, utilisation)
    after = left - attempt_timeout(path)
    served = np.where(after >= 0.0, 1.0 - waits * np.exp(-decay * np.maximum(after, 0.0)), 0.0)
    return (1.0 - lost) * first + lost * float(base @ served)


def safe_utilisation(path: Path, servers: int, percentile: float, target: float) -> float:
    """The highest utilisation in steps of 0.1 %, from above; 0 when none of 5 % or more is in time."""
    for level in np.arange(MAX_UTILISATION, 0.05, -0.001):
        if share_in_time(path, servers, float(level), target) >= percentile / 100.0:
            return float(level)
    return 0.0
