"""The places of an instance: vehicle supplies with their merit order, and Triton pools."""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from parkade.problem.arrays import offsets_of
from parkade.settings import Economics
from parkade.simulate.numbers import Floats, Ints, Random, shared_out
from parkade.simulate.regions import Regions

MOST_VEHICLE_SUPPLIES: Final = 2400
CARS_PER_SUPPLY: Final = 400
"""Small fleets have fewer supplies: one for this many cars."""
MOST_POOLS: Final = 200
SERVERS_PER_POOL: Final = 35
OFFERED: Final = 0.95
"""Share of the vehicles that offer themselves; the rest is silent or about to leave."""

CARS: Final = ("hw3", "hw4", "hw5")
SERVERS: Final = ("a100-80gb", "l40s-48gb")
HARDWARE: Final = (*CARS, *SERVERS)
MEMORY_GB: Final = np.array([4.0, 8.0, 16.0, 80.0, 48.0])
"""For models in one unit, by `HARDWARE`."""
SLOTS: Final = 3
"""Of a car: replicas that its computer runs at a time."""
_CAR_SHARE: Final = (0.45, 0.35, 0.2)
_COMPUTE_WATTS: Final = np.array([80.0, 100.0, 200.0])
_WAKING_WATTS: Final = 245.0
"""awakeWatts - asleepWatts."""
_CHARGING_SHARE: Final = 0.88
"""Plug to battery."""

LINKS: Final = ("Ethernet", "WiFi", "Starlink", "Cellular")
DATACENTER: Final = len(LINKS)
"""The link of servers."""
CAP_GB_PER_DAY: Final = np.array([np.inf, np.inf, 200.0, 8.0, np.inf])
"""`contract.dataCapPerDay` by link: metered links carry little, whatever is paid."""
STARLINK_PER_GB: Final = 0.05

STATES: Final = ("Charging", "Awake", "Asleep")
FLEETS: Final = ("owners", "members", "depot", "lots", "robotaxi")
_FLEET_SHARE: Final = (0.45, 0.25, 0.12, 0.12, 0.06)
_FLEET_LINKS: Final = (
    {"WiFi": 0.8, "Starlink": 0.05, "Cellular": 0.15},
    {"WiFi": 0.8, "Starlink": 0.05, "Cellular": 0.15},
    {"Ethernet": 0.5, "WiFi": 0.5},
    {"WiFi": 0.6, "Cellular": 0.4},
    {"WiFi": 1.0},
)
_FLEET_STATES: Final = ({"Charging": 0.2, "Awake": 0.05, "Asleep": 0.75},) * 4 + ({"Charging": 0.5, "Asleep": 0.5},)
"""Of plugged-in cars: 26 % of a home fleet are, 5.4 % charge."""
_PAYOUT: Final = np.array([0.04, 0.025, 0.0, 0.03, 0.0])
"""$ per compute-hour, net of electricity; depots and robotaxis belong to the operator."""
_ABOVE_WHOLESALE: Final = np.array([0.0, 0.10, 0.075, 0.15, 0.075])
"""$/kWh at the plug; owners pay the retail price."""

IDLE_WATTS, DYNAMIC_WATTS, PUE = 90.0, 310.0, 1.25
"""Of a server: idle, and beyond idle at full load."""
DATACENTER_ABOVE_WHOLESALE: Final = 0.075
"""$/kWh."""
_SERVER_ON: Final = 0.6
"""Share of servers that are on."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """K supplies, vehicles first, then Triton pools."""

    vehicles: int
    """How many of them are vehicle supplies."""
    names: list[str]
    region: Ints
    """[K]"""
    hardware: Ints
    """[K], index into `HARDWARE`."""
    link: Ints
    """[K], index into `LINKS`, or `DATACENTER`."""
    fleet: Ints
    """[K], index into `FLEETS`; of a Triton pool the number of fleets."""
    plug_watts: Floats
    """[K], of one busy unit above what it would draw anyway; of a server beyond idle, at the meter."""
    steps_offsets: Ints
    """[K+1]"""
    steps_count: Ints
    """[S]"""
    steps_cost: Floats
    """[S], $/h, rising within a supply."""

    @property
    def units(self) -> Ints:
        """[K], cars or servers."""
        return np.add.reduceat(self.steps_count, self.steps_offsets[:-1])

    @property
    def dearest(self) -> Floats:
        """[K], $/h of the last unit."""
        return self.steps_cost[self.steps_offsets[1:] - 1]


def supply_count(vehicles: int) -> int:
    """Vehicle supplies of a fleet of that size: one for 400 cars, 2 at least, 2,400 at most."""
    return min(MOST_VEHICLE_SUPPLIES, max(2, round(vehicles / CARS_PER_SUPPLY)))


def region_count(supplies: int) -> int:
    """Regions that so many vehicle supplies are spread over: 2 to 25, at most 96 supplies in each."""
    return min(25, 2 + supplies // 100)


def draw_places(random: Random, regions: Regions, vehicles: int, steps: int, servers: int) -> Places:
    """Supplies of `vehicles` cars with `steps` price steps, and pools of `servers` servers with two steps each."""
    columns = [
        (region, hardware, fleet, LINKS.index(link), STATES.index(state),
         weight * _CAR_SHARE[hardware] * _FLEET_SHARE[fleet] * of_link * of_state)
        for (region, weight), hardware, fleet in product(enumerate(regions.weight), range(3), range(len(FLEETS)))
        for (link, of_link), (state, of_state) in product(_FLEET_LINKS[fleet].items(), _FLEET_STATES[fleet].items())
    ]  # fmt: skip
    chosen = np.sort(random.choice(len(columns), supply_count(vehicles), replace=False))
    table = np.array([columns[at] for at in chosen])
    region, hardware, fleet, link, state = table[:, :5].astype(np.int64).T
    cars = shared_out(round(OFFERED * vehicles), table[:, 5])
    watts = (_COMPUTE_WATTS[hardware] + np.where(state == 2, _WAKING_WATTS, 0.0)) / _CHARGING_SHARE
    offsets, count, cost = _car_steps(random, regions, steps, (cars, region, fleet, state, watts))
    pools = _pools(random, regions, servers)
    names = [
        f"{regions.names[r]}/{CARS[h]}/{FLEETS[f]}/{LINKS[n]}/{STATES[s]}"
        for r, h, f, n, s in zip(region, hardware, fleet, link, state, strict=True)
    ]
    at = len(pools.names)
    return Places(
        vehicles=len(names),
        names=names + pools.names,
        region=np.concatenate([region, pools.region]),
        hardware=np.concatenate([hardware, pools.hardware]),
        link=np.concatenate([link, np.full(at, DATACENTER)]),
        fleet=np.concatenate([fleet, np.full(at, len(FLEETS))]),
        plug_watts=np.concatenate([watts, np.full(at, DYNAMIC_WATTS * PUE)]),
        steps_offsets=np.concatenate([offsets, offsets[-1] + pools.steps_offsets[1:]]),
        steps_count=np.concatenate([count, pools.steps_count]),
        steps_cost=np.concatenate([cost, pools.steps_cost]),
    )


def _car_steps(
    random: Random, regions: Regions, steps: int, cars: tuple[Ints, Ints, Ints, Ints, Floats]
) -> tuple[Ints, Ints, Floats]:
    """Merit order of each vehicle supply: one step for owners alike in payout and plug price.

    A step costs plug watts * (plug price + carbon) + payout + wear, as in `problem.supply.car_running`.
    """
    count, region, fleet, state, watts = cars
    number = np.minimum(shared_out(max(steps, len(count)), count.astype(float)), count)
    offsets = offsets_of(number)
    owner = np.repeat(np.arange(len(count)), number)
    wholesale = regions.wholesale[region] + _ABOVE_WHOLESALE[fleet]
    plug = np.where(fleet == 0, regions.retail[region], wholesale)[owner] + random.normal(0.0, 0.02, len(owner))
    payout = _PAYOUT[fleet][owner] * random.lognormal(0.0, 0.35, len(owner))
    wear = np.where(state == 0, 0.0, Economics().wear_per_compute_hour)[owner]
    cost = watts[owner] / 1000.0 * (plug + regions.carbon[region][owner]) + payout + wear
    cost = np.round(cost[np.lexsort((cost, owner))], 6)
    # Cars of a supply are cut at random into its steps, at least one in each.
    cuts = np.cumsum(random.exponential(1.0, len(owner)))
    base = np.concatenate([[0.0], cuts])[offsets[:-1]]
    reached = (cuts - base[owner]) / (cuts[offsets[1:] - 1] - base)[owner]
    filled = np.floor(reached * (count - number)[owner] + 1e-9).astype(np.int64)
    before = np.concatenate([[0], filled[:-1]])
    before[offsets[:-1]] = 0
    return offsets, filled - before + 1, cost


@dataclass(frozen=True, slots=True, eq=False)
class _Pools:
    names: list[str]
    region: Ints
    hardware: Ints
    steps_offsets: Ints
    steps_count: Ints
    steps_cost: Floats


def _pools(random: Random, regions: Regions, servers: int) -> _Pools:
    """Triton pools, one after the other over the regions, sizes within a factor of about four."""
    number = min(MOST_POOLS, servers, max(1, round(servers / SERVERS_PER_POOL)))
    size = shared_out(servers, random.lognormal(0.0, 0.6, number))
    region = np.arange(number) % len(regions.names)
    hardware = len(CARS) + (np.arange(number) // len(regions.names) + np.arange(number)) % len(SERVERS)
    opportunity = random.uniform(1.3, 1.75, number)
    energy = regions.wholesale[region] + DATACENTER_ABOVE_WHOLESALE + regions.carbon[region]
    waking = np.maximum(IDLE_WATTS / 1000.0 * PUE * energy, 0.001)
    on = np.clip(np.round(size * _SERVER_ON).astype(np.int64), 0, size)
    both = (on > 0) & (on < size)
    count = np.stack([on, size - on], axis=1)
    cost = np.round(np.stack([opportunity, opportunity + waking], axis=1), 6)
    taken = count > 0
    names = [
        f"triton/{regions.names[r]}/{SERVERS[h - len(CARS)]}-{at}"
        for at, (r, h) in enumerate(zip(region, hardware, strict=True))
    ]
    return _Pools(names, region, hardware, offsets_of(1 + both), count[taken], cost[taken])
