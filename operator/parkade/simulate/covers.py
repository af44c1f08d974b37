"""The covers of an instance: what each of eight kinds asks for and what a replica adds to it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.settings import Economics
from parkade.simulate.numbers import Flags, Floats, Ints, starts_of
from parkade.simulate.places import DATACENTER, Places
from parkade.simulate.regions import Regions
from parkade.simulate.workloads import Workloads

FIRST, SECOND, ALL, MIN_REPLICAS, SPREAD, DEPARTURES, VERIFY, BATCH = range(8)
KINDS: Final = 8
"""Columns of the arrays below: rate of the first, second, and all callers, and so on."""
BURST: Final = 1.25
"""A server's burst yield over its rate, when cars have left."""


@dataclass(frozen=True, slots=True, eq=False)
class Replicas:
    """What the covers ask of n ways to run B workloads, sorted by workload."""

    row: Ints
    """[n], workload within the block."""
    place: Ints
    """[n]"""
    rate: Floats
    """[n], requests/s."""
    reached: Ints
    """[n], bits of the caller groups."""


@dataclass(frozen=True, slots=True, eq=False)
class Covers:
    """Covers of B workloads, and the yields of n replicas."""

    wanted: Flags
    """[B, KINDS]"""
    quantity: Floats
    """[B, KINDS]"""
    yields: Floats
    """[n, KINDS], saturated at the quantity."""


def covers_of(workloads: Workloads, rows: slice, places: Places, found: Replicas, demand_scale: float) -> Covers:
    """Covers that some replica can help to meet.

    Two caller groups that the same places reach are one; a region is survived only if anything is outside it.
    """
    count = len(workloads.demand[rows])
    rate = np.stack([found.rate] * KINDS, axis=1)
    home = workloads.home[rows, 0][found.row]
    server = places.link[found.place] == DATACENTER
    at_home = places.region[found.place] == home
    rate[:, FIRST] *= found.reached & 1
    rate[:, SECOND] *= found.reached >> 1
    rate[:, MIN_REPLICAS] = 1.0
    rate[:, SPREAD] *= ~at_home
    leaving = workloads.leaving[rows][found.row]
    rate[:, DEPARTURES] *= np.where(server, BURST, np.where(at_home, 1.0 - leaving, 1.0))
    rate[:, VERIFY] *= server
    helped = np.logical_or.reduceat(rate > 0.0, starts_of(found.row, count)[:-1], axis=0)
    differ = np.logical_or.reduceat((found.reached == 1) | (found.reached == 2), starts_of(found.row, count)[:-1])
    quantity = _quantities(workloads, rows, demand_scale)
    wanted = helped & (quantity > 0.0)
    wanted[:, [FIRST, SECOND]] &= differ[:, None]
    return Covers(wanted, quantity, np.minimum(rate, quantity[found.row]))


def _quantities(workloads: Workloads, rows: slice, demand_scale: float) -> Floats:
    """[B, KINDS] in each cover's own unit; 0 where a workload does not want it."""
    batch, verify = workloads.batch[rows], workloads.verify[rows]
    demand = workloads.demand[rows] * demand_scale
    online = demand * (1.0 + verify) * ~batch
    quantity = np.zeros((len(demand), KINDS))
    quantity[:, FIRST] = online * workloads.first_share[rows]
    quantity[:, SECOND] = online * (1.0 - workloads.first_share[rows])
    quantity[:, ALL] = online
    quantity[:, MIN_REPLICAS] = workloads.min_replicas[rows]
    quantity[:, SPREAD] = online / 2.0 * workloads.spread[rows]
    quantity[:, DEPARTURES] = online * (workloads.leaving[rows] > 0.0)
    quantity[:, VERIFY] = demand * verify
    quantity[:, BATCH] = demand * batch
    return quantity.astype(np.float32).astype(np.float64)  # what one replica saturates has to be met by it exactly


def short_costs(workloads: Workloads, rows: slice, found: Replicas, covers: Covers, full: Floats) -> Floats:
    """[B, KINDS], $/h for a unit that is not covered.

    (1 + priority / 100) * 10 * the dearest full cost for a unit; half of that for covers other than the rate. For batch
    work it is what waiting costs: serving it in the dearest later hour that it still needs.

    Args:
        workloads: of the instance.
        rows: the block.
        found: [n] ways to run them.
        covers: their yields.
        full: [n], $/h of a replica with the units it uses.
    """
    starts = starts_of(found.row, len(covers.quantity))[:-1]
    useful = covers.yields > 0.0
    each = np.where(useful, full[:, None] / np.where(useful, covers.yields, 1.0), 0.0)
    factors = Economics()
    factor = np.full(KINDS, factors.short_cost_factor * factors.structure_cost_factor)
    factor[[FIRST, SECOND, ALL]] = factors.short_cost_factor
    urgency = 1.0 + workloads.priority[rows] / 100.0
    cost = np.maximum.reduceat(each, starts, axis=0) * factor * urgency[:, None]
    mean = np.add.reduceat(each[:, BATCH], starts) / np.maximum(np.add.reduceat(useful[:, BATCH], starts), 1)
    cost[:, BATCH] = mean * workloads.waiting[rows]
    floored: Floats = np.maximum(cost, 1e-3)
    return floored


def cover_names(workloads: Workloads, at: Ints, kind: Ints, regions: Regions) -> list[str]:
    """Names of covers given by workload and kind."""
    names = []
    for workload, which in zip(at.tolist(), kind.tolist(), strict=True):
        first, second = (regions.names[home] for home in workloads.home[workload])
        both = first if first == second else "+".join(sorted((first, second)))
        names.append(
            (f"rate/{first}", f"rate/{second}", f"rate/{both}", "min-replicas", f"spread/{first}",
             f"departures/{first}", "verify", "batch")[which]
        )  # fmt: skip
    return names
