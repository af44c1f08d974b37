"""Places: vehicles alike in pool, link and state over all cells, and the equal servers of a Triton pool.

One unit of a vehicle place is one car, one unit of a Triton place is one server.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from parkade.api import Region, TritonPool, VehicleCell, VehicleNodePool
from parkade.problem.cordons import offered_cells
from parkade.problem.costs import CostSplit, Running
from parkade.problem.energy import EnergyRate, energy_rate, plug_watts
from parkade.problem.reasons import Tier
from parkade.problem.schedule import holds
from parkade.settings import Economics, RoundTrip
from parkade.snapshot import Snapshot, by_pool
from parkade.units import SECONDS_PER_HOUR

STATES: Final = ("Charging", "Awake", "Asleep")

OFFLINE_DEPARTURES_PER_HOUR: Final = 0.066
"""Of a parked car: ln 2 over the median dwell of 10.5 h; 35,339 home sessions have p50 11.1 h and p5 0.78 h."""

LEAVING_HOURS: Final = (5 / 60, 15 / 60, 1.0)
"""Of the three shares of `VehicleCell.status.supply[].leaving`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Equal units of a place."""

    count: int
    running: Running
    """Of one unit while anything runs on it."""


@dataclass(frozen=True, slots=True)
class Place:
    """One supply of the problem, with its names."""

    id: str
    """`pool/link/state`, or the Triton pool's name."""
    tier: Tier
    pool: str
    region: str
    jurisdiction: str
    hardware: str
    memory: int
    """Bytes for models in one unit."""
    slots: int
    """Replicas that one unit runs at a time."""
    steps: tuple[Step, ...]
    rate: EnergyRate
    legs: tuple[RoundTrip, ...] = ()
    """Network beyond the region: the vehicle's link."""
    per_gb: float = 0.0
    """$ per GB over the vehicle's link, both directions."""
    departures_per_hour: float = 0.0
    """Of one unit."""
    availability: float = 1.0
    """Share of the time that a replica placed here is there: what leaves is replaced within `linkLoss.keepFor`."""
    keep_seconds: float = 0.0
    """A silent car's replicas are given to others after this long."""
    fleet: str = ""
    pue: float = 1.0
    dynamic_watts: float = 0.0
    """Of one busy Triton server beyond idle; the default of a profile's joules is this times the service time."""

    @property
    def units(self) -> int:
        """Cars or servers."""
        return sum(step.count for step in self.steps)


@dataclass(frozen=True, slots=True)
class Column:
    """Cars of one cell, or of a whole pool when planning offline, that are alike in link and state."""

    cell: str
    link: str
    state: str
    vehicles: int
    """Eligible, and here or silent with what they hold."""
    held: int
    """Of these, cars that hold a model."""
    round_trip: RoundTrip | None = None
    """Observed, seconds."""
    leaving: tuple[int, ...] = ()
    """Percent that leave by 5, 15 and 60 minutes, as observed; only zeros are what cells write where no car told."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What places are made from besides their pool and region."""

    snapshot: Snapshot
    economics: Economics
    offline: bool
    """Whether pools offer what they expect instead of what is observed."""

    @cached_property
    def offered(self) -> tuple[VehicleCell, ...]:
        """Cells as a plan may use them."""
        return offered_cells(self.snapshot)

    @cached_property
    def offered_of(self) -> Mapping[str, tuple[VehicleCell, ...]]:
        """The same by pool."""
        return by_pool(self.offered)


def vehicle_places(pool: VehicleNodePool, region: Region, facts: Facts) -> Iterator[Place]:
    """Places of one vehicle pool, in the order of their ids; links outside the owners' contract are none."""
    economics = facts.economics
    rate = energy_rate(region, facts.snapshot.now, facts.snapshot.series, pool)
    columns = pool_columns(pool, facts)
    prices = {link.name: link.per_gb.value for link in pool.spec.links}
    hardware = pool.spec.hardware
    for link, state in sorted({(c.link, c.state) for c in columns if c.link in pool.spec.contract.links}):
        alike = [column for column in columns if (column.link, column.state) == (link, state)]
        count = sum(column.vehicles for column in alike)
        if count == 0:
            continue
        departures = _departures(alike)
        keep = pool.spec.link_loss.keep_for.seconds
        yield Place(
            id=f"{pool.key}/{link}/{state}",
            tier="Vehicle",
            pool=pool.key,
            region=region.key,
            jurisdiction=region.spec.jurisdiction,
            hardware=hardware.name,
            memory=hardware.memory.bytes,
            slots=hardware.slots,
            steps=(Step(count, car_running(pool, state, rate, economics)),),
            rate=rate,
            legs=(_round_trip(alike, economics.link_round_trip[link]),),
            per_gb=prices.get(link, 0.0),
            departures_per_hour=departures,
            availability=1.0 / (1.0 + departures * keep / SECONDS_PER_HOUR),
            keep_seconds=keep,
            fleet=pool.spec.match.fleet,
        )


def car_running(pool: VehicleNodePool, state: str, rate: EnergyRate, economics: Economics) -> Running:
    """One busy car: marginal energy at the plug for its counterfactual state, the owner's payout, and wear.

    The payout is net: the electricity is paid on top (`netPositive`). Charging cars wear nothing more, because their
    computer would be on anyway.
    """
    wear = 0.0 if state == "Charging" else economics.wear_per_compute_hour
    return rate.running(plug_watts(pool, state)) + Running(
        CostSplit(payout=pool.spec.payout.per_compute_hour.value, wear=wear)
    )


def pool_columns(pool: VehicleNodePool, facts: Facts) -> tuple[Column, ...]:
    """What is observed in the pool's cells; offline, what is expected of the pool."""
    if facts.offline:
        return tuple(_expected_columns(pool))
    return tuple(column for cell in facts.offered_of.get(pool.key, ()) for column in cell_columns(cell, pool))


def cell_columns(cell: VehicleCell, pool: VehicleNodePool) -> tuple[Column, ...]:
    """Columns of one cell. Silent cars count with what they hold: they are given up only after `linkLoss.keepFor`.

    A closing cell offers only the cars that hold a model: they may keep it.
    """
    columns = [
        Column(
            cell.key,
            column.link,
            column.state,
            max(0, column.vehicles - column.free) if cell.spec.closing else column.vehicles,
            max(0, column.vehicles - column.free),
            _observed(column.rtt_millis.p50, column.rtt_millis.p99),
            column.leaving,
        )
        for column in sorted(cell.status.supply, key=lambda column: (column.link, column.state))
    ]
    ordered = sum(assignment.replicas for assignment in cell.spec.assignments)
    held = sum(column.held for column in columns)
    silent = min(cell.status.vehicles.silent, max(0, ordered - held))
    if silent == 0:
        return tuple(columns)
    if not columns:
        state = "Charging" if pool.spec.expected.charging >= 50 else "Asleep"
        return (Column(cell.key, pool.spec.contract.links[0], state, silent, silent),)
    first = columns[0]
    grown = Column(
        first.cell, first.link, first.state, first.vehicles + silent, first.held + silent,
        first.round_trip, first.leaving,
    )  # fmt: skip
    return (grown, *columns[1:])


def triton_place(pool: TritonPool, region: Region, facts: Facts) -> Place | None:
    """The live servers of a Triton pool that are not kept for others; offline, of those that `endpoints.urls` lists.

    None when there are none. A live server is on, so its idle power is spent anyway: using it costs what it is worth to
    others. The dynamic energy of requests is on the arcs.
    """
    count = sum(server.live for server in facts.snapshot.servers if server.pool == pool.key)
    if facts.offline:
        count = len(pool.spec.endpoints.urls or ())
    count -= kept_free(pool, count, facts.snapshot.now)
    if count == 0:
        return None
    power, hardware = pool.spec.power, pool.spec.hardware
    worth = CostSplit(opportunity=pool.spec.opportunity_cost.per_server_hour.value)
    return Place(
        id=pool.key,
        tier="Datacenter",
        pool=pool.key,
        region=region.key,
        jurisdiction=region.spec.jurisdiction,
        hardware=hardware.name,
        memory=hardware.memory.bytes,
        slots=hardware.instances,
        steps=(Step(count, Running(worth)),),
        rate=energy_rate(region, facts.snapshot.now, facts.snapshot.series, pool),
        pue=power.pue.value,
        dynamic_watts=power.max_watts - power.idle_watts,
    )


def kept_free(pool: TritonPool, servers: int, now: datetime) -> int:
    """Of so many servers, those kept for others in this hour: `keepFree.percent` of them, rounded up."""
    keep = pool.spec.keep_free
    return math.ceil(servers * keep.percent / 100.0 - 1e-9) if keep and holds(keep.schedule, now) else 0


def _expected_columns(pool: VehicleNodePool) -> Iterator[Column]:
    """Expected cars by link and state, rounded down.

    Charging cars are plugged in; Awake ones are as likely plugged in as the others. Of a pool whose contract requires
    a plug only plugged-in cars count.
    """
    expected, vehicles = pool.spec.expected, pool.spec.vehicles
    charging = expected.charging / 100.0
    usable = expected.plugged_in / 100.0 if pool.spec.contract.require_plugged_in else 1.0
    others = usable - charging
    awake = others * expected.awake / (100.0 - expected.charging) if expected.charging < 100 else 0.0
    shares: Mapping[str, float] = {"Charging": charging, "Awake": awake, "Asleep": others - awake}
    for link, percent in sorted(expected.links.items()):
        for state in STATES:
            count = math.floor(vehicles * shares[state] * percent / 100.0 + 1e-9)
            yield Column("", link, state, count, 0)


def _observed(p50_millis: int, p99_millis: int) -> RoundTrip | None:
    return (p50_millis / 1000.0, max(p50_millis, p99_millis) / 1000.0) if p50_millis > 0 else None


def _departures(columns: list[Column]) -> float:
    """Departures per hour and car: the steepest of the shares that leave within 5, 15 and 60 minutes.

    The shares are averaged over the cars first, or the steepest would be that of the noisiest cell. Cars of which
    nothing is observed count as the offline expectation.
    """
    vehicles = sum(column.vehicles for column in columns)
    told = [column for column in columns if any(column.leaving)]
    rates = [0.0] * len(LEAVING_HOURS)
    for column in told:
        for index, percent in enumerate(column.leaving):
            rates[index] += column.vehicles * percent / 100.0 / LEAVING_HOURS[index]
    silent = vehicles - sum(column.vehicles for column in told)
    return (max(rates) + OFFLINE_DEPARTURES_PER_HOUR * silent) / vehicles


def _round_trip(columns: list[Column], offline: RoundTrip) -> RoundTrip:
    """Mean of the cells' medians, and of their 99th percentiles, weighted by cars."""
    seen = [(column.vehicles, column.round_trip) for column in columns if column.round_trip is not None]
    vehicles = sum(count for count, _ in seen)
    if vehicles == 0:
        return offline
    p50 = sum(count * trip[0] for count, trip in seen) / vehicles
    p99 = sum(count * trip[1] for count, trip in seen) / vehicles
    return round(p50, 4), round(p99, 4)
