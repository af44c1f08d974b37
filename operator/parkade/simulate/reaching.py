"""How fast a replica may work where: by workload and class of place, a class being a region, a hardware and a link."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.settings import Economics
from parkade.simulate.numbers import Flags, Floats, Ints
from parkade.simulate.places import CAP_GB_PER_DAY, CARS, LINKS, MEMORY_GB, SLOTS, STARLINK_PER_GB, Places
from parkade.simulate.regions import Regions
from parkade.simulate.workloads import Workloads
from parkade.units import BYTES_PER_GB, SECONDS_PER_HOUR

MAX_UTILISATION: Final = 0.9
LEAST_UTILISATION: Final = 0.25
"""Callers that would press a place below it are served from elsewhere."""
RATE_SAFETY: Final = 1.04
LARGEST_POOL: Final = 256
_WAITS: Final = 2.1
"""ln(100 C) / 2 for C = 2/3 of the requests waiting: solves C exp(-2 (1 - rho) c t / (s (1 + scv))) = 1 % for rho."""
_Z99: Final = 2.33
_AVAILABILITY: Final = 1.0 / (1.0 + 0.066 / 12.0)
"""Of a car: 0.066 departures an hour, each noticed within 5 minutes."""


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Places alike in region, hardware and link: all that latency and memory ask for."""

    of_place: Ints
    """[K], the class of each place."""
    region: Ints
    """[N]"""
    hardware: Ints
    """[N]"""
    link: Ints
    """[N]"""
    per_gb: Floats
    """[N], $/GB over the link, both directions."""


@dataclass(frozen=True, slots=True, eq=False)
class Reaching:
    """What one replica of each of B workloads may do in each of N classes."""

    rate: Floats
    """[B, N], requests/s; 0 where no callers are answered in time."""
    reached: Ints
    """[B, N], bit g: the callers of group g are answered in time."""
    late_rate: Floats
    """[B, N], requests/s where time does not matter; 0 where it cannot run."""
    fit: Ints
    """[B, N], replicas in one car, 0 where the model does not fit; 1 for servers."""


def classes_of(places: Places, regions: Regions) -> Classes:
    """The classes that occur."""
    keys, of_place = np.unique(
        np.stack([places.region, places.hardware, places.link], axis=1), axis=0, return_inverse=True
    )
    region, hardware, link = keys.T
    per_gb = np.select(
        [link == LINKS.index("Starlink"), link == LINKS.index("Cellular")], [STARLINK_PER_GB, regions.cellular[region]]
    )
    return Classes(of_place.ravel(), region, hardware, link, per_gb)


def reaching(workloads: Workloads, rows: slice, classes: Classes, regions: Regions) -> Reaching:
    """Rates of the workloads in `rows`.

    99th percentiles do not add: the legs' medians add, and what their 99th percentiles have beyond adds in squares.
    The utilisation follows from the exponential tail of M/G/c in a pool that carries the whole demand.
    """
    service = workloads.service[rows][:, classes.hardware]
    allowed = _allowed(workloads, rows, classes, regions) & np.isfinite(service)
    service = np.where(allowed, service, 1.0)
    utilisation = np.stack([_utilisation(workloads, rows, classes, regions, (service, at)) for at in (0, 1)]) * allowed
    in_time = utilisation >= LEAST_UTILISATION
    slowest = np.where(in_time, utilisation, MAX_UTILISATION).min(axis=0) * in_time.any(axis=0)
    car = classes.hardware < len(CARS)
    each = np.where(car, _AVAILABILITY, 1.0) / (RATE_SAFETY * service)
    within = _within_cap(workloads, rows, classes, slowest * each)
    late = MAX_UTILISATION * each * allowed
    fit = np.where(car, np.minimum(np.floor(MEMORY_GB[classes.hardware] / workloads.memory[rows, None]), SLOTS), 1)
    return Reaching(
        rate=slowest * each * within,
        reached=(in_time[0] + 2 * in_time[1]) * within,
        late_rate=late * _within_cap(workloads, rows, classes, late),
        fit=fit.astype(np.int64),
    )


def capacity(workloads: Workloads, rows: slice, classes: Classes, regions: Regions, places: Places) -> Floats:
    """[B], requests/s that all places which may run a workload could answer, if nothing else ran."""
    reach = reaching(workloads, rows, classes, regions)
    server = workloads.server_rate[rows][:, classes.hardware] * (reach.rate > 0.0)
    each = np.where(server > 0.0, server, reach.rate * reach.fit)
    units = np.zeros((len(classes.region), workloads.fleets.shape[1]))
    np.add.at(units, (classes.of_place, places.fleet), places.units)
    total: Floats = ((each @ units) * workloads.fleets[rows]).sum(axis=1)
    return total


def _utilisation(
    workloads: Workloads, rows: slice, classes: Classes, regions: Regions, leg: tuple[Floats, int]
) -> Floats:
    """[B, N], at which 99 % of the requests of one caller group are in time; `leg` is (service seconds, group)."""
    service, group = leg
    scv, home = workloads.scv[rows, None], workloads.home[rows, group]
    link = np.array([*(Economics().link_round_trip[name] for name in LINKS), (0.0, 0.0)])[classes.link]
    p50, p99 = regions.p50[home][:, classes.region], regions.p99[home][:, classes.region]
    tail = _Z99 * service * np.sqrt(scv)
    excess = np.sqrt((p99 - p50) ** 2 + (link[:, 1] - link[:, 0]) ** 2 + tail**2)
    slack = workloads.target[rows, None] - p50 - link[:, 0] - service - excess
    servers = np.clip(np.ceil(workloads.demand[rows, None] * service / 0.8), 1, LARGEST_POOL)
    waiting = _WAITS * service * (1.0 + scv) / (servers * np.maximum(slack, 1e-9))
    found: Floats = np.minimum(1.0 - waiting, MAX_UTILISATION)
    return found


def _allowed(workloads: Workloads, rows: slice, classes: Classes, regions: Regions) -> Flags:
    """[B, N]: jurisdiction and memory allow it."""
    inside = workloads.jurisdictions[rows][:, regions.jurisdiction[classes.region]]
    return inside & (workloads.memory[rows, None] <= MEMORY_GB[classes.hardware])


def _within_cap(workloads: Workloads, rows: slice, classes: Classes, rate: Floats) -> Flags:
    """[B, N]: a busy replica stays below the link's data cap."""
    each = (workloads.request[rows] + workloads.response[rows]) / BYTES_PER_GB
    daily = np.minimum(rate, workloads.demand[rows, None]) * each[:, None] * 24.0 * SECONDS_PER_HOUR
    return daily <= CAP_GB_PER_DAY[classes.link]
