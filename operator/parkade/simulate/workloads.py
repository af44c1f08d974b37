"""The workloads of an instance: what they need, who calls them, what they promise."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.simulate.numbers import Flags, Floats, Ints, Random
from parkade.simulate.places import CARS, FLEETS, MEMORY_GB, SLOTS
from parkade.simulate.regions import JURISDICTIONS, Regions

ZIPF: Final = 0.75
"""Exponent of the workloads' sizes, counted in car computers."""
LOAD: Final = 0.36
"""Of the fleet's cars, counted as hw4, that demand scale 1 keeps busy if every workload ran on them."""

TARGETS: Final = (0.06, 0.1, 0.15, 0.3, 0.6, 1.5)
"""Seconds within which 99 % of the requests are to be answered."""
_TARGET_SHARE: Final = (0.005, 0.025, 0.12, 0.3, 0.3, 0.25)
_SLOWEST: Final = 8.0
"""Service times of a server that the target is at least: nobody promises heavy models at once."""
_PROFILE_SHARE: Final = (0.65, 0.95, 0.9, 0.92, 0.85)
"""Of workloads measured on each of `HARDWARE`."""
_SERVER_SPEED: Final = (1.0, 0.7)
_CAR_SLOWER: Final = np.array([28.0, 10.0, 4.0])
"""A server's throughput over a car's: 6.3 for ResNet-50 on an A100 and on Orin (MLPerf 3.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Workloads:
    """W workloads, a column each."""

    demand: Floats
    """[W], requests/s at demand scale 1."""
    service: Floats
    """[W, H], mean seconds of one request on one replica, by hardware; inf without a profile."""
    server_rate: Floats
    """[W, H], requests/s of a whole server; 0 for cars."""
    scv: Floats
    """[W], of the service time."""
    memory: Floats
    """[W], GB."""
    request: Floats
    """[W], bytes."""
    response: Floats
    """[W], bytes."""
    target: Floats
    """[W], seconds; inf for batch work."""
    home: Ints
    """[W, 2], regions of the callers; the same twice where there is one group."""
    first_share: Floats
    """[W], of the requests that come from the first home."""
    jurisdictions: Flags
    """[W, J]"""
    fleets: Flags
    """[W, F+1]: which fleets may see payloads; the last says whether the datacenter may."""
    min_replicas: Ints
    """[W], 0 for none."""
    spread: Flags
    """[W]: half of the requests must be served without the home region."""
    leaving: Floats
    """[W], beta: share of the home region's cars that may leave at once; 0 for no departure cover."""
    verify: Floats
    """[W], share of the requests that are checked on Triton."""
    batch: Flags
    """[W]"""
    waiting: Floats
    """[W], of batch work: value of not waiting over the mean cost of serving it now."""
    priority: Ints
    """[W]"""
    running: Floats
    """[W], replicas that run already over those needed; 0 for a workload that is new."""


def draw_workloads(random: Random, regions: Regions, count: int, cars: int) -> Workloads:
    """`count` workloads that together suit a fleet of `cars` cars."""
    load = np.arange(1, count + 1) ** -ZIPF
    load = random.permutation(load / load.sum()) * LOAD * cars
    rate = 250.0 * random.lognormal(0.0, 1.0, count)  # requests/s of one A100
    server_rate = rate[:, None] * np.array(_SERVER_SPEED)
    instances = random.uniform(1.5, 4.0, count)
    slower = _CAR_SLOWER * random.lognormal(0.0, 0.3, (count, 1))
    service = np.concatenate([slower / rate[:, None], instances[:, None] / server_rate], axis=1)
    service[random.random(service.shape) >= _PROFILE_SHARE] = np.inf
    service[:, len(CARS)] = instances / rate  # every model is measured on the reference server
    memory = np.clip(random.lognormal(0.3, 0.8, count), 0.1, 40.0)
    batch = random.random(count) < 0.05
    promised = np.maximum(random.choice(TARGETS, count, p=_TARGET_SHARE), _SLOWEST * instances / rate)
    home = _homes(random, regions, count)
    in_car = np.clip(np.floor(MEMORY_GB[1] / memory), 1, SLOTS)
    structured = ~batch
    return Workloads(
        demand=load * in_car * 0.8 * rate / _CAR_SLOWER[1],
        service=service,
        server_rate=np.concatenate([np.zeros((count, len(CARS))), server_rate], axis=1),
        scv=random.uniform(0.05, 0.8, count),
        memory=memory,
        request=np.clip(random.lognormal(np.log(6e3), 1.8, count), 100.0, 5e7),
        response=np.clip(random.lognormal(np.log(1e3), 1.2, count), 50.0, 5e6),
        target=np.where(batch, np.inf, promised),
        home=home,
        first_share=random.uniform(0.3, 0.7, count),
        jurisdictions=_jurisdictions(random, regions, home),
        fleets=_fleets(random, count),
        min_replicas=np.where(structured & (random.random(count) < 0.5), random.integers(2, 5, count), 0),
        spread=structured & (random.random(count) < 0.4),
        leaving=np.where(structured & (random.random(count) < 0.3), random.uniform(0.3, 0.6, count), 0.0),
        verify=np.where(structured & (random.random(count) < 0.04), 0.02, 0.0),
        batch=batch,
        waiting=random.uniform(0.5, 2.0, count),
        priority=random.choice([0, 50, 100, 100, 100, 200, 500], count),
        running=np.where(_running(random, load), random.uniform(0.9, 1.1, count), 0.0),
    )


def _homes(random: Random, regions: Regions, count: int) -> Ints:
    """Of the callers: one region, or now and then two."""
    home = random.choice(len(regions.names), (count, 2), p=regions.weight)
    one = random.random(count) >= 0.08
    home[one, 1] = home[one, 0]
    return home


def _jurisdictions(random: Random, regions: Regions, home: Ints) -> Flags:
    """A quarter must stay in the jurisdictions of their callers, some more avoid a few."""
    count = len(home)
    kind = random.random(count)
    allowed = np.ones((count, len(JURISDICTIONS)), bool)
    allowed[kind < 0.35] = random.random(((kind < 0.35).sum(), len(JURISDICTIONS))) < 0.7
    allowed[kind < 0.25] = False
    for callers in home.T:
        allowed[np.arange(count), regions.jurisdiction[callers]] = True
    return allowed


def _fleets(random: Random, count: int) -> Flags:
    """A quarter trusts only some fleets; a few workloads are for cars only, a few for the datacenter only."""
    trusted = np.ones((count, len(FLEETS) + 1), bool)
    choosy = random.random(count) < 0.25
    trusted[choosy] = random.random((choosy.sum(), len(FLEETS) + 1)) < 0.6
    tier = random.random(count)
    trusted[:, -1] = tier >= 0.05
    trusted[(tier >= 0.05) & (tier < 0.06), :-1] = False
    trusted[~trusted.any(axis=1)] = True
    return trusted


def _running(random: Random, load: Floats) -> Flags:
    """A fifth of the workloads runs already; larger ones rather, because they are older."""
    chosen = np.zeros(len(load), bool)
    chosen[random.choice(len(load), round(0.2 * len(load)), replace=False, p=load / load.sum())] = True
    return chosen
