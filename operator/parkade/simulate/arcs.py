"""The arcs of an instance, a block of workloads at a time: eligible places, costs, uses, replicas that run already."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.settings import Economics
from parkade.simulate.covers import Covers, Replicas, covers_of, short_costs
from parkade.simulate.numbers import Flags, Floats, Ints, Random, starts_of
from parkade.simulate.places import (
    CARS,
    DATACENTER,
    DATACENTER_ABOVE_WHOLESALE,
    DYNAMIC_WATTS,
    MEMORY_GB,
    PUE,
    Places,
)
from parkade.simulate.reaching import MAX_UTILISATION, RATE_SAFETY, Classes, reaching
from parkade.simulate.regions import Regions
from parkade.simulate.workloads import Workloads
from parkade.units import BYTES_PER_GB, SECONDS_PER_HOUR

_WARM_UP_HOURS: Final = 60.0 / SECONDS_PER_HOUR
_RISK_SHARE, _LEAST_RISK = 0.02, 0.001
"""As in `problem.arcs`: of the unit's cost for the chance that a start fails, and $/h at least."""
_ARTIFACT_SHARE: Final = 0.6
"""Of a model's memory that its file takes."""
_LATE_FACTOR: Final = Economics().late_cost_factor
_KEPT_SHARE: Final = 0.4
"""Of its places on which a running workload has replicas, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What all blocks share."""

    regions: Regions
    places: Places
    classes: Classes
    workloads: Workloads
    demand_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Arcs of the workloads of one block, sorted by workload and place, kept before new, and their covers."""

    demand: Ints
    """uint32 [n], index of the workload in the instance."""
    place: Ints
    """uint32 [n]"""
    cost: Floats
    """float32 [n], $/h"""
    most: Ints
    """uint32 [n]"""
    kept: Flags
    """[n]"""
    yields: Floats
    """float32, arc after arc"""
    use: Floats
    """float32 [n + servers], the second use of an arc on a server after its first"""
    wanted: Flags
    """[B, KINDS]"""
    quantity: Floats
    """[B, KINDS]"""
    short_cost: Floats
    """[B, KINDS]"""
    missing: int
    """Replicas that running workloads lack: what the hungriest cover asks for at usual yields, less what runs."""


@dataclass(frozen=True, slots=True, eq=False)
class _Money:
    """$/h of one replica of each of n ways, and what it takes."""

    use: Floats
    """[n, 2]: share of a car and 0, or share of a server's compute and GB of its memory."""
    unit: Floats
    """[n], of the units used."""
    running: Floats
    """[n], beyond the units."""
    move: Floats
    """[n], of bringing it up."""


def block_of(scene: Scene, rows: slice, random: Random) -> Block:
    """Expand the workloads in `rows`."""
    found, fit, late = _eligible(scene, rows)
    money = _money(scene, rows, found, fit, late)
    covers = covers_of(scene.workloads, rows, scene.places, found, scene.demand_scale)
    full = money.running + money.move + money.unit
    short_cost = short_costs(scene.workloads, rows, found, covers, full)
    room = scene.places.units[found.place] * fit
    kept = np.minimum(_kept_replicas(scene, rows, random, found, (money.running + money.unit) / found.rate), room)
    # A running replica's arc stands before that of further ones.
    at = np.repeat(np.arange(len(kept)), 1 + (kept > 0))
    first = np.diff(at, prepend=-1) > 0
    is_kept = first & (kept[at] > 0)
    yields = covers.yields.astype(np.float32)
    server = scene.places.link[found.place] == DATACENTER
    taken = np.stack([np.ones(len(at), bool), server[at]], axis=1)
    most = np.minimum(room, _useful(covers, yields, found.row))
    return Block(
        demand=(found.row + rows.start)[at].astype(np.uint32),
        place=found.place[at].astype(np.uint32),
        cost=(money.running[at] + money.move[at] * ~is_kept).astype(np.float32),
        most=np.where(is_kept, kept[at], most[at]).astype(np.uint32),
        kept=is_kept,
        yields=yields[at][covers.wanted[found.row[at]]],
        use=_rounded_down(money.use, server)[at][taken],
        wanted=covers.wanted,
        quantity=covers.quantity,
        short_cost=short_cost,
        missing=_missing(covers, found.row, kept),
    )


def _eligible(scene: Scene, rows: slice) -> tuple[Replicas, Ints, Flags]:
    """Ways to run the workloads, with (replicas in one unit, whether they are late), by workload and place.

    Where some callers are answered in time nowhere, all places that may run the workload serve them too late. What no
    place may run loses its restrictions: any A100 may have it.
    """
    places, classes, workloads = scene.places, scene.classes, scene.workloads
    reach = reaching(workloads, rows, classes, scene.regions)
    trusted = workloads.fleets[rows][:, places.fleet]
    reached = reach.reached[:, classes.of_place] * trusted
    late: Flags = np.logical_not((reached & 1).any(axis=1) & (reached & 2).any(axis=1))
    reached[late] = 3 * ((reach.late_rate[late] > 0.0)[:, classes.of_place] & trusted[late])
    rate = np.where(late[:, None], reach.late_rate, reach.rate)
    lost = np.flatnonzero(~reached.any(axis=1))
    reached[np.ix_(lost, np.flatnonzero(places.hardware == len(CARS)))] = 3
    rate[np.ix_(lost, np.flatnonzero(classes.hardware == len(CARS)))] = (
        MAX_UTILISATION / (RATE_SAFETY * workloads.service[rows][lost, len(CARS)])
    )[:, None]
    row, place = np.nonzero(reached)
    of = classes.of_place[place]
    found = Replicas(row, place, rate[row, of], reached[row, place])
    fit = reach.fit[row, of]
    server = places.link[place] == DATACENTER
    in_server = np.floor(MEMORY_GB[places.hardware[place]] / workloads.memory[rows][row])
    return found, np.where(server, in_server, fit).astype(np.int64), late[row]


def _money(scene: Scene, rows: slice, found: Replicas, fit: Ints, late: Flags) -> _Money:
    """Costs as `problem.arcs` makes them, at the load expected of a replica."""
    places, workloads, row = scene.places, scene.workloads, found.row
    server = places.link[found.place] == DATACENTER
    each = workloads.demand[rows] / np.maximum(workloads.min_replicas[rows], 1)
    load = np.minimum(found.rate, each[row])
    memory = workloads.memory[rows][row]
    of_server = workloads.server_rate[rows][row, places.hardware[found.place]]
    compute = np.minimum(load / np.where(server, of_server, 1.0), 1.0)
    use = np.where(server[:, None], np.stack([compute, memory], axis=1), np.stack([1.0 / fit, 0.0 * fit], axis=1))
    share = np.maximum(use[:, 0], use[:, 1] / MEMORY_GB[places.hardware[found.place]])
    unit = places.dearest[found.place] * share
    per_gb = scene.classes.per_gb[scene.classes.of_place[found.place]]
    hourly = load * SECONDS_PER_HOUR / BYTES_PER_GB
    both, answers = workloads.request[rows] + workloads.response[rows], workloads.response[rows]
    region = places.region[found.place]
    price = scene.regions.wholesale[region] + DATACENTER_ABOVE_WHOLESALE + scene.regions.carbon[region]
    dynamic = DYNAMIC_WATTS / 1000.0 * PUE * price * compute
    egress = hourly * answers[row] * Economics().egress_per_gb
    running = np.where(server, dynamic + egress, hourly * both[row] * per_gb)
    cheapest = np.minimum.reduceat((running + unit) / found.rate, starts_of(row, len(each))[:-1])
    running += np.where(late, _LATE_FACTOR * np.maximum(cheapest, 0.0)[row] * found.rate, 0.0)
    move = memory * _ARTIFACT_SHARE * per_gb + np.abs(unit) * _WARM_UP_HOURS
    move += np.maximum(_LEAST_RISK, _RISK_SHARE * np.abs(unit))
    return _Money(use, unit, running, move)


def _kept_replicas(scene: Scene, rows: slice, random: Random, found: Replicas, cost_per_rate: Floats) -> Ints:
    """[n], replicas that run already: where it was cheap some time ago, more of them in cheaper places."""
    workloads, row = scene.workloads, found.row
    demand, running = workloads.demand[rows], workloads.running[rows]
    starts = starts_of(row, len(demand))
    ways = np.diff(starts)
    usual = np.add.reduceat(found.rate, starts[:-1]) / ways
    number = np.minimum(np.ceil(_KEPT_SHARE * ways), np.ceil(demand / usual)) * (running > 0.0)
    order = np.lexsort((cost_per_rate * random.lognormal(0.0, 1.2, len(row)), row))
    rank = np.empty(len(row), np.int64)
    rank[order] = np.arange(len(row)) - starts[row]
    weight = np.where(rank < number[row], 1.0 / (32.0 + rank), 0.0)
    carried = np.add.reduceat(weight * found.rate, starts[:-1])
    factor = demand * running / np.where(carried > 0.0, carried, 1.0)
    return np.ceil(weight * factor[row] - 0.5 * (rank > 0)).astype(np.int64)


def _useful(covers: Covers, yields: Floats, row: Ints) -> Ints:
    """[n], replicas that the hungriest cover can use."""
    asked = covers.quantity[row]
    helps = covers.wanted[row] & (yields > 0.0)
    needed = np.ceil(asked / np.where(helps, yields, 1.0) - 1e-9)
    most: Floats = needed.max(axis=1, initial=1.0, where=helps)
    return most.astype(np.int64)


def _missing(covers: Covers, row: Ints, kept: Ints) -> int:
    """Replicas that running workloads of the block lack."""
    starts = starts_of(row, len(covers.quantity))[:-1]
    helps = np.add.reduceat(covers.yields > 0.0, starts, axis=0, dtype=np.int64)
    usual = np.add.reduceat(covers.yields, starts, axis=0) / np.maximum(helps, 1)
    needed = np.where(covers.wanted, covers.quantity / np.where(usual > 0.0, usual, 1.0), 0.0).max(axis=1)
    running = np.add.reduceat(kept, starts)
    return int(np.ceil(np.where(running > 0, np.maximum(needed - running, 0.0), 0.0)).sum())


def _rounded_down(use: Floats, server: Flags) -> Floats:
    """float32; shares of a car are rounded down, because three thirds have to fit into one."""
    rounded = use.astype(np.float32)
    above = ~server & (rounded[:, 0] > use[:, 0])
    rounded[above, 0] = np.nextafter(rounded[above, 0], np.float32(0.0))
    return rounded
