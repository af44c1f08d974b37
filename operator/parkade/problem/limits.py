"""Limits over arcs of all workloads: the churn budget, kilowatts, megabits, and what packing found too much."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.api import Region
from parkade.problem.arcs import Tables
from parkade.problem.columns import Bools, Ints
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
    chosen = np.flatnonzero(~arcs.rows.kept & (running[arcs.rows.workload] > 0))
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
    for zone, kilowatts in sorted(economics.zone_kilowatts.items()):
        inside = np.array([name == zone for name in zones], dtype=np.bool_)
        yield from _limit(f"power/{zone}", kilowatts, arcs.watts / 1000.0, _in(tables, arcs, inside))


def uplink_limits(tables: Tables, arcs: Arcs, economics: Economics) -> Iterator[LimitRow]:
    """Mbit/s of requests and answers over the links of a region's cars, where the region has a limit."""
    for region, megabits in sorted(economics.uplink_megabits.items()):
        inside = np.array([name == region for name in tables.places.regions], dtype=np.bool_)
        yield from _limit(f"uplink/{region}", megabits, arcs.megabits, _in(tables, arcs, inside))


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


def _in(tables: Tables, arcs: Arcs, inside: Bools) -> Bools:
    found: Bools = inside[tables.places.of_region[arcs.rows.place]]
    return found


def _limit(name: str, bound: float, each: Numbers, inside: Bools) -> Iterator[LimitRow]:
    chosen = np.flatnonzero(inside & (each > 0.0))
    if len(chosen):
        yield LimitRow(name, bound, chosen, each[chosen])


def terms(limits: Sequence[LimitRow]) -> tuple[Ints, Ints, Numbers]:
    """Offsets, arcs and coefficients of all limits."""
    offsets = np.concatenate([[0], np.cumsum([len(limit.arcs) for limit in limits])]).astype(np.int64)
    arcs = np.concatenate([np.zeros(0, dtype=np.int64), *(limit.arcs for limit in limits)])
    return offsets, arcs, np.concatenate([np.zeros(0), *(limit.coefficients for limit in limits)])
