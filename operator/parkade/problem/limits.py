"""Limits over arcs of all workloads: the churn budget, kilowatts, megabits, and what packing found too much."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.api import Region
from parkade.problem.arcs import Tables
from parkade.problem.columns import Ints
from parkade.problem.expansion import Arcs, Numbers
from parkade.settings import Economics

LEAST_CHURN: Final = 10
"""New replicas that are always allowed: of a few dozen replicas 20 % would freeze every plan."""

Caps = Mapping[tuple[int, int], int]
"""Most replicas of (workload, place), by index."""


@dataclass(frozen=True, slots=True, eq=False)
class LimitRow:
    """sum of coefficient * replicas <= bound."""

    id: str
    bound: float
    arcs: Ints
    coefficients: Numbers


def churn_limit(arcs: Arcs, running: Ints, wanted: Ints, economics: Economics) -> LimitRow | None:
    """New replicas of workloads that run already, within one plan: `churn_percent` of what runs, and what is missing.

    First placements are free, and replicas that replace lost ones are not churn.

    Args:
        arcs: of W workloads.
        running: [W], replicas that run.
        wanted: [W], fewest that could do.
        economics: `churn_percent`.
    """
    chosen = np.flatnonzero(~arcs.rows.kept & (running > 0)[arcs.rows.workload])
    if not len(chosen):
        return None
    missing = int(np.maximum(wanted - running, 0)[running > 0].sum())
    budget = math.ceil(economics.churn_percent / 100.0 * int(running.sum()))
    return LimitRow("churn", float(max(LEAST_CHURN, budget) + missing), chosen, np.ones(len(chosen)))


def zone_limits(tables: Tables, arcs: Arcs, regions: Mapping[str, Region], economics: Economics) -> Iterator[LimitRow]:
    """Kilowatts of each grid zone that has a limit: cars at the plug, and what requests add to servers.

    A server's idle power is spent anyway. A zone is `Region.spec.gridZone`; zones that nobody limits are unlimited.
    """
    zones = [regions[name].spec.grid_zone if name in regions else "" for name in tables.places.regions]
    for zone, chosen in _parts(tables, arcs, (zones, economics.zone_kilowatts), arcs.watts):
        yield LimitRow(f"power/{zone}", economics.zone_kilowatts[zone], chosen, arcs.watts[chosen] / 1000.0)


def uplink_limits(tables: Tables, arcs: Arcs, economics: Economics) -> Iterator[LimitRow]:
    """Mbit/s of requests and answers over the links of a region's cars, where the region has a limit."""
    limits = economics.uplink_megabits
    for region, chosen in _parts(tables, arcs, (tables.places.regions, limits), arcs.megabits):
        yield LimitRow(f"uplink/{region}", limits[region], chosen, arcs.megabits[chosen])


def packed_limits(arcs: Arcs, caps: Caps) -> Iterator[LimitRow]:
    """What fits no real car or server is not planned again."""
    for (workload, place), most in sorted(caps.items()):
        chosen = np.flatnonzero((arcs.rows.workload == workload) & (arcs.rows.place == place))
        yield LimitRow(f"packed/{workload}/{place}", float(most), chosen, np.ones(len(chosen)))


def fewest_replicas(tables: Tables, arcs: Arcs) -> Ints:
    """[W], replicas that could do: minReplicas, or the demand at the best rate."""
    demand, best = tables.workloads.demand, arcs.best_rate
    needed = np.ceil(np.divide(demand, best, out=np.zeros(len(best)), where=best > 0.0)).astype(np.int64)
    return np.maximum(tables.workloads.least, needed)


def _parts(
    tables: Tables, arcs: Arcs, named: tuple[Sequence[str], Mapping[str, float]], each: Numbers
) -> Iterator[tuple[str, Ints]]:
    """Arcs of each part of the world that has a limit, where they take something of it.

    Args:
        tables: R regions.
        arcs: A of them.
        named: the part that each region belongs to, and limits by part.
        each: [A], what a replica takes.
    """
    of_region, limits = named
    index = {part: at for at, part in enumerate(sorted(limits))}
    if not index:
        return
    of_place = np.array([index.get(part, -1) for part in of_region], dtype=np.int16)[tables.places.of_region]
    of_arc = np.where(each > 0.0, of_place[arcs.rows.place], np.int16(-1))
    order = np.argsort(of_arc, kind="stable")  # one pass for all parts
    ends = np.searchsorted(of_arc[order], np.arange(len(index) + 1))
    for part, at in index.items():
        if ends[at] < ends[at + 1]:
            yield part, order[ends[at] : ends[at + 1]]


def terms(limits: Sequence[LimitRow]) -> tuple[Ints, Ints, Numbers]:
    """Offsets, arcs and coefficients of all limits."""
    offsets = np.concatenate([[0], np.cumsum([len(limit.arcs) for limit in limits])]).astype(np.int64)
    arcs = np.concatenate([np.zeros(0, dtype=np.int64), *(limit.arcs for limit in limits)])
    return offsets, arcs, np.concatenate([np.zeros(0), *(limit.coefficients for limit in limits)])
