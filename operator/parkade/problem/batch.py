"""Finite work with a deadline: how fast it must go, and what it is worth to wait for a cheaper hour."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from parkade.api import Region, TritonPool, VehicleNodePool
from parkade.api.workload import Batch
from parkade.problem.arcs import Tables, loads, unit_costs
from parkade.problem.columns import Floats, Ints
from parkade.problem.energy import SeriesTexts, energy_rate
from parkade.problem.expansion import LEAST_SHORT_COST, Arcs
from parkade.units import SECONDS_PER_HOUR

MOST_HOURS: Final = 336
"""That are looked ahead: no forecast of prices is worth more than two weeks."""

Pools = Mapping[str, VehicleNodePool | TritonPool]


def items_per_second(batch: Batch, now: datetime) -> float:
    """min(maxRate, items left / time left); after the deadline what is left within an hour.

    Nobody counts finished items yet, so all of them are left.
    """
    seconds = (batch.deadline.time - now).total_seconds()
    pace = batch.items / (seconds if seconds > 0.0 else SECONDS_PER_HOUR)
    return min(pace, batch.max_rate.value) if batch.max_rate else pace


def value_of_waiting(costs: Sequence[float], capacity: float, left: float) -> float | None:
    """$ per item of the dearest hour still needed, when all items are poured into the cheapest hours.

    Args:
        costs: $ per item in each hour from now until the deadline; of equal ones the earlier is taken.
        capacity: items that one hour can hold.
        left: items to be done.

    Returns:
        None where this hour is needed itself, so that nothing is gained by waiting.
    """
    needed = math.ceil(left / capacity - 1e-9) if capacity > 0.0 else len(costs)
    chosen = sorted(range(len(costs)), key=lambda hour: (costs[hour], hour))[:needed]
    return None if 0 in chosen or not chosen else costs[chosen[-1]]


def with_patience(
    tables: Tables, arcs: Arcs, regions: Mapping[str, Region], pools: Pools, world: tuple[datetime, SeriesTexts]
) -> Floats:
    """[C], short costs in which a batch that may wait pays no more than the hour that it waits for, $/h.

    Energy and carbon follow their series, everything else stays; all places that may run the batch are free for it.
    """
    found = arcs.short_cost.copy()
    for row in np.flatnonzero(tables.workloads.batch).tolist():
        batch = tables.workloads.workloads[row].spec.batch
        own = np.flatnonzero(arcs.rows.workload == row)
        if batch is None or not len(own):
            continue
        hours = math.ceil((batch.deadline.time - world[0]).total_seconds() / SECONDS_PER_HOUR)
        costs = _hourly(tables, arcs, own, (regions, pools, world, min(max(hours, 1), MOST_HOURS)))
        capacity = SECONDS_PER_HOUR * _room(tables, arcs, own)
        if batch.max_rate:
            capacity = min(capacity, SECONDS_PER_HOUR * batch.max_rate.value)
        value = value_of_waiting(costs.tolist(), capacity, batch.items)
        if value is not None:
            first = int(tables.covers.offsets[row])
            found[first] = min(found[first], max(value * SECONDS_PER_HOUR, LEAST_SHORT_COST))
    return found


def _room(tables: Tables, arcs: Arcs, own: Ints) -> float:
    """Items/s of all places that the arcs lead to."""
    places, first = np.unique(arcs.rows.place[own], return_index=True)
    loaded = loads(tables, arcs.rows.take(own[first]))
    return float((tables.places.units[places] * loaded.fits * loaded.rate).sum())


def _hourly(
    tables: Tables,
    arcs: Arcs,
    own: Ints,
    world: tuple[Mapping[str, Region], Pools, tuple[datetime, SeriesTexts], int],
) -> Floats:
    """[hours], $ per item at the cheapest place."""
    regions, pools, (now, texts), hours = world
    rows = arcs.rows.take(own)
    loaded = loads(tables, rows)
    full = arcs.cost[own] + unit_costs(tables, rows, loaded)
    prices: dict[str, Floats] = {}
    for at in np.unique(rows.place).tolist():
        place = tables.places.places[at]
        if place.pool not in prices:
            rates = (
                energy_rate(regions[place.region], now + timedelta(hours=hour), texts, pools[place.pool])
                for hour in range(hours)
            )
            prices[place.pool] = np.array([rate.dollars + rate.carbon_dollars for rate in rates])
    by_hour = np.array([prices[tables.places.places[at].pool] for at in rows.place.tolist()])
    changes = (by_hour - by_hour[:, :1]) * arcs.watts[own, None] / 1000.0
    found: Floats = ((full[:, None] + changes) / (loaded.rate[:, None] * SECONDS_PER_HOUR)).min(axis=0)
    return found
