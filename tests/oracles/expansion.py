"""All arcs of class tables by numpy, one step after the other over all pairs: what the kernel's are compared with."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from parkade.problem.arcs import Rows, Tables, costs, loads, takes_alone, unit_costs
from parkade.problem.columns import Bools, Floats, Ints
from parkade.problem.covers import ALL, APART, CoverColumns, Kind
from parkade.problem.expansion import LEAST_SHORT_COST
from parkade.settings import Economics
from parkade.units import BYTES_PER_GB


def arcs(tables: Tables) -> dict[str, Any]:
    """By the names of `expansion.Arcs` and of `Rows`."""
    rows = _rows(tables)
    loaded = loads(tables, rows)
    chosen, offsets = _chosen(tables, rows)
    counts = np.diff(offsets)
    each = np.repeat(np.arange(len(rows)), counts)
    places, workloads = tables.places, tables.workloads
    replicas = Replicas(
        loaded.rate[each], loaded.burst[each], loaded.mask[each], places.of_region[rows.place[each]],
        places.car[rows.place[each]], rows.apart[each],
    )  # fmt: skip
    yielded = yields(tables.covers, chosen, replicas, tables.shocks)
    most = _most(tables, rows, loaded.fits, _useful(tables, chosen, yielded, offsets))
    good = most > 0
    rows, loaded = rows.take(good), type(loaded)(*(getattr(loaded, name)[good] for name in loaded.__slots__))
    yielded, chosen, counts = yielded[good[each]], chosen[good[each]], counts[good]
    spent, unit, car = costs(tables, rows, loaded), unit_costs(tables, rows, loaded), places.car[rows.place]
    ranges = np.flatnonzero(np.diff(rows.workload, prepend=-1))
    cost = spent.total + late_penalties(rows, loaded.rate, spent.total + unit, ranges, tables.economics)
    bytes_each = workloads.request[rows.workload] + workloads.response[rows.workload]
    best = np.zeros(len(workloads.workloads))
    np.maximum.at(best, rows.workload, loaded.rate)
    return {
        **{name: getattr(rows, name) for name in rows.__slots__},
        "cost": cost,
        "most": most[good],
        "yields": yielded,
        "watts": spent.watts + np.where(car, places.unit_watts[rows.place] * loaded.share, 0.0),
        "megabits": np.where(car, loaded.carried * bytes_each * 8.0 / 1e6, 0.0),
        **uses(tables, rows, loaded.fits, loaded.compute),
        "short_cost": _short_costs(tables, chosen, yielded, np.repeat(cost + unit, counts)),
        "best_rate": best,
    }


def _rows(tables: Tables) -> Rows:
    """All arcs that might be worth having, sorted by workload, place, in time before late, kept before new."""
    places, reached = tables.places, tables.reached
    usable = tables.usable[tables.of_usable]
    alike = reached.of_kind
    answered = (reached.mask[alike] > 0) | (tables.workloads.demand[:, None] == 0.0)
    in_time = usable & answered[:, places.of_class]
    late = usable & (reached.late[alike, None] > 0)
    parts = []
    for number, pairs in enumerate((in_time, late)):
        w, k = np.nonzero(pairs)
        kept = _has_kept(tables, w, k)
        if number == 1:  # replicas that run are offered once
            kept &= ~in_time[w, k]
        for which, is_kept in ((kept, True), (np.ones(len(w), dtype=np.bool_), False)):
            for servers in (False, True):
                some = np.flatnonzero(which & ~places.car[k]) if servers else np.flatnonzero(which)
                flags = (number == 1, is_kept, not servers)
                parts.append((w[some], k[some], *(np.full(len(some), flag) for flag in flags)))
    joined = Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    code = joined.late * 4 + ~joined.kept * 2 + ~joined.apart
    return joined.take(np.lexsort((code, joined.place, joined.workload)))


def _has_kept(tables: Tables, w: Ints, k: Ints) -> Bools:
    held = [w * len(tables.places.places) + k for (w, k), (replicas, _) in tables.kept.items() if replicas > 0]
    return np.isin(w * len(tables.places.places) + k, np.array(held, dtype=np.int64))


def _chosen(tables: Tables, rows: Rows) -> tuple[Ints, Ints]:
    """Covers of each arc, arc after arc, and where each arc's begin."""
    first = tables.covers.offsets[rows.workload]
    counts = tables.covers.offsets[rows.workload + 1] - first
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1] - first, counts), offsets


def _useful(tables: Tables, chosen: Ints, yielded: Floats, offsets: Ints) -> Ints:
    """Replicas that the hungriest cover can use, by arc."""
    quantity = tables.covers.quantity[chosen]
    wanted = np.divide(quantity, yielded, out=np.zeros(len(chosen)), where=yielded > 0.0)
    most = np.zeros(len(offsets) - 1)
    some = np.flatnonzero(np.diff(offsets))
    if len(some):
        most[some] = np.maximum.reduceat(wanted, offsets[some])
    found: Ints = np.ceil(most - 1e-9).astype(np.int64)
    return found


def _most(tables: Tables, rows: Rows, fits: Ints, useful: Ints) -> Ints:
    """Most replicas worth having: what runs, or what the hungriest cover can use, within what the place holds."""
    places, k = tables.places, rows.place
    room = places.units[k] * fits
    room = np.where(rows.apart & ~places.car[k], np.minimum(APART, places.units[k]), room)
    most: Ints = np.minimum(room, useful)
    for index in np.flatnonzero(rows.kept).tolist():
        replicas, units = tables.kept[int(rows.workload[index]), int(k[index])]
        first = replicas if places.car[k[index]] else min(APART, units)
        most[index] = first if rows.apart[index] else replicas - first
    if tables.most_new:
        key, width = rows.workload * len(places.places) + k, len(places.places)
        for (workload, place), limit in tables.most_new.items():
            here = (key == workload * width + place) & ~rows.kept
            most[here] = np.minimum(most[here], limit)
    return most


def _short_costs(tables: Tables, chosen: Ints, yielded: Floats, full: Floats) -> Floats:
    """$/h for each unit of a cover that is not met: so dear that the dearest place is taken before.

    (1 + priority / 100) * factor * the dearest full cost for a unit of this cover over the workload's arcs; others than
    rate covers cost the share `structure_cost_factor` of that.
    """
    economics, covers = tables.economics, tables.covers
    each = np.divide(full, yielded, out=np.zeros(len(chosen)), where=yielded > 0.0)
    dearest = np.zeros(len(covers.kind))
    np.maximum.at(dearest, chosen, each)
    priority = tables.workloads.priority[covers.workload]
    factor = economics.short_cost_factor * np.where(covers.kind == Kind.RATE, 1.0, economics.structure_cost_factor)
    found: Floats = np.maximum((1.0 + priority / 100.0) * factor * dearest, LEAST_SHORT_COST)
    return found


def late_penalties(rows: Rows, rate: Floats, full: Floats, ranges: Ints, economics: Economics) -> Floats:
    """Late arcs cost `late_cost_factor` * the cheapest cost per request/s of their workload on top, $/h.

    Args:
        rows: n arcs, workload by workload.
        rate: [n], requests/s.
        full: [n], $/h of a replica with its share of a unit.
        ranges: [m], where each workload's arcs begin.
        economics: the factor.
    """
    if not len(rows) or not rows.late.any():
        return np.zeros(len(rows))
    each = np.divide(full, rate, out=np.full(len(rows), np.inf), where=rate > 0.0)
    in_time = np.minimum.reduceat(np.where(rows.late, np.inf, each), ranges)
    any_time = np.minimum.reduceat(each, ranges)
    cheapest = np.where(np.isfinite(in_time), in_time, any_time)
    cheapest = np.where(np.isfinite(cheapest), np.maximum(cheapest, 0.0), 0.0)
    counts = np.diff(np.append(ranges, len(rows)))
    penalty: Floats = np.where(rows.late, economics.late_cost_factor * np.repeat(cheapest, counts) * rate, 0.0)
    return penalty


@dataclass(frozen=True, slots=True, eq=False)
class Replicas:
    """What covers ask of n replicas."""

    rate: Floats
    """Requests/s that one takes."""
    burst: Floats
    """Requests/s that one takes for the minutes after many cars left."""
    mask: Ints
    """Caller groups whose requests it takes."""
    region: Ints
    car: Bools
    apart: Bools
    """Alone on its car, or the first on its server."""


def yields(covers: CoverColumns, chosen: Ints, replicas: Replicas, shocks: Floats) -> Floats:
    """What one replica adds to a cover, saturated at its quantity; shape (n,).

    Args:
        covers: C of them.
        chosen: [n], a cover for each replica.
        replicas: n of them.
        shocks: [R], share of a region's cars that may leave at once.
    """
    kind, argument, quantity = covers.kind[chosen], covers.argument[chosen], covers.quantity[chosen]
    inside = replicas.region == argument
    leaving = inside | (argument == ALL)
    staying = np.where(replicas.car & leaving, 1.0 - shocks[replicas.region], 1.0)
    after = np.where(replicas.car, replicas.rate * staying, replicas.burst)
    each = np.select(
        [kind == Kind.RATE, kind == Kind.READY, kind == Kind.APART, kind == Kind.SPREAD, kind == Kind.DEPARTURES],
        [
            np.where(replicas.mask & argument != 0, replicas.rate, 0.0),
            np.ones(len(chosen)),
            replicas.apart.astype(np.float64),
            np.where(inside, 0.0, replicas.rate),
            after,
        ],
        np.where(replicas.car, 0.0, replicas.rate),
    )
    return np.where(np.isin(kind, (Kind.READY, Kind.APART)), each, np.minimum(each, quantity))


def uses(tables: Tables, rows: Rows, fits: Ints, compute: Floats) -> dict[str, Any]:
    """A share of a car, or of a server's resources: `apart/...` by workload, `compute`, `instances`, `memory`."""
    car, alone = tables.places.car[rows.place], takes_alone(tables, rows)
    takers = sorted(set(zip(rows.place[alone].tolist(), rows.workload[alone].tolist(), strict=True)))
    count = np.bincount([place for place, _ in takers], minlength=len(tables.places.places))
    found: list[list[tuple[int, float]]] = []
    for at, (w, k) in enumerate(zip(rows.workload.tolist(), rows.place.tolist(), strict=True)):
        if car[at]:
            found.append([(0, 1.0 / fits[at])])
            continue
        own = [(sum(1 for taker in takers if taker[0] == k and taker[1] < w), 1.0)] if alone[at] else []
        amounts = float(compute[at]), 1.0, int(tables.workloads.memory[w]) / BYTES_PER_GB
        found.append(own + [(int(count[k]) + index, amount) for index, amount in enumerate(amounts)])
    by_workload = sorted(takers, key=lambda taker: (taker[1], taker[0]))
    return {
        "use_offsets": np.concatenate([[0], np.cumsum([len(row) for row in found])]).astype(np.int64),
        "use_resource": np.array([index for row in found for index, _ in row], dtype=np.int64),
        "use_amount": np.array([amount for row in found for _, amount in row]),
        "alone_place": np.array([place for place, _ in by_workload], dtype=np.int64),
        "alone_workload": np.array([workload for _, workload in by_workload], dtype=np.int64),
    }
