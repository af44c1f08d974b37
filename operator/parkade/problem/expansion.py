"""Class tables as the arcs of a problem: the last step of framing, block by block of workloads.

The tables hold all that is decided; what happens here is the same few formulas for every (workload, place) pair, and no
look at names: one pass over the pairs that holds nothing but its own result.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.problem.arcs import Rows, Tables, costs, late_penalties, loads, takes_alone, unit_costs
from parkade.problem.columns import Bools, Floats, Ints
from parkade.problem.covers import APART, Kind, Replicas, yields
from parkade.units import BYTES_PER_GB

BLOCK_PAIRS: Final = 200_000
"""(workload, place) pairs of one block: some 50 MB."""

LEAST_SHORT_COST: Final = 1e-3
"""$/h: where nothing costs anything, or nothing yields, a shortfall still has to be the worse choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Arcs:
    """A arcs, sorted by workload and place."""

    rows: Rows
    rate: Floats
    """[A], requests/s that one replica may take"""
    cost: Floats
    """[A], $/h of one replica beyond its unit, with the penalty of late ones"""
    penalty: Floats
    """[A], $/h for being late; not money that anybody pays"""
    most: Ints
    """[A], most replicas"""
    yields_offsets: Ints
    """[A + 1]"""
    yields: Floats
    """By arc, and cover of its workload"""
    fits: Ints
    """[A], replicas that one unit holds"""
    compute: Floats
    """[A], share of a server's compute"""
    watts: Floats
    """[A], of one replica with its share of a unit"""
    megabits: Floats
    """[A], per second over the vehicle's link; 0 for servers"""
    short_cost: Floats
    """[C], $/h for each unit of a cover that is not met"""


def expand(tables: Tables) -> Arcs:
    """All arcs on which at least one replica is worth having."""
    blocks = [_block(tables, start, stop) for start, stop in _blocks(tables)]
    if not blocks:
        blocks = [_block(tables, 0, 0)]
    counts = np.concatenate([np.diff(block.yields_offsets) for block in blocks])
    return Arcs(
        Rows(*(np.concatenate(column) for column in zip(*(it.rows.columns() for it in blocks), strict=True))),
        rate=np.concatenate([it.rate for it in blocks]),
        cost=np.concatenate([it.cost for it in blocks]),
        penalty=np.concatenate([it.penalty for it in blocks]),
        most=np.concatenate([it.most for it in blocks]),
        yields_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        yields=np.concatenate([it.yields for it in blocks]),
        fits=np.concatenate([it.fits for it in blocks]),
        compute=np.concatenate([it.compute for it in blocks]),
        watts=np.concatenate([it.watts for it in blocks]),
        megabits=np.concatenate([it.megabits for it in blocks]),
        short_cost=np.concatenate([it.short_cost for it in blocks]),
    )


def _blocks(tables: Tables) -> Iterator[tuple[int, int]]:
    count, size = len(tables.workloads.workloads), max(1, BLOCK_PAIRS // max(1, len(tables.places.places)))
    return ((start, min(start + size, count)) for start in range(0, count, size))


def _block(tables: Tables, start: int, stop: int) -> Arcs:
    rows = _rows(tables, start, stop)
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
    spent, unit = costs(tables, rows, loaded), unit_costs(tables, rows, loaded)
    cost = spent.total
    ranges = np.flatnonzero(np.diff(rows.workload, prepend=-1))
    penalty = late_penalties(rows, loaded.rate, cost + unit, ranges, tables.economics)
    cost = cost + penalty
    bytes_each = workloads.request[rows.workload] + workloads.response[rows.workload]
    on_link = np.where(places.car[rows.place], loaded.carried * bytes_each * 8.0 / 1e6, 0.0)
    own = tables.covers.offsets[[start, stop]]
    return Arcs(
        rows, loaded.rate, cost, penalty, most[good],
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), yielded, loaded.fits, loaded.compute,
        spent.watts + np.where(places.car[rows.place], places.unit_watts[rows.place] * loaded.share, 0.0), on_link,
        _short_costs(tables, (int(own[0]), int(own[1])), chosen, yielded, np.repeat(cost + unit, counts)),
    )  # fmt: skip


def _rows(tables: Tables, start: int, stop: int) -> Rows:
    """Arcs of the workloads from `start` to `stop`, sorted by workload, place, in time before late, kept before new."""
    places, reached = tables.places, tables.reached
    usable = tables.usable[tables.of_usable[start:stop]]
    alike = reached.of_kind[start:stop]
    answered = (reached.mask[alike] > 0) | (tables.workloads.demand[start:stop, None] == 0.0)
    in_time = usable & answered[:, places.of_class]
    late = usable & (reached.late[alike, None] > 0)
    parts = []
    for number, pairs in enumerate((in_time, late)):
        w, k = np.nonzero(pairs)
        w = w + start
        kept = _has_kept(tables, w, k)
        if number == 1:  # replicas that run are offered once
            kept &= ~in_time[w - start, k]
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


def _short_costs(tables: Tables, own: tuple[int, int], chosen: Ints, yielded: Floats, full: Floats) -> Floats:
    """$/h for each unit of a cover that is not met: so dear that the dearest place is taken before.

    (1 + priority / 100) * factor * the dearest full cost for a unit of this cover over the workload's arcs; others than
    rate covers cost the share `structure_cost_factor` of that.
    """
    economics, covers = tables.economics, tables.covers
    each = np.divide(full, yielded, out=np.zeros(len(chosen)), where=yielded > 0.0)
    dearest = np.zeros(own[1] - own[0])
    np.maximum.at(dearest, chosen - own[0], each)
    kinds = covers.kind[own[0] : own[1]]
    priority = tables.workloads.priority[covers.workload[own[0] : own[1]]]
    factor = economics.short_cost_factor * np.where(kinds == Kind.RATE, 1.0, economics.structure_cost_factor)
    found: Floats = np.maximum((1.0 + priority / 100.0) * factor * dearest, LEAST_SHORT_COST)
    return found


def uses(tables: Tables, arcs: Arcs, alone_index: Ints, alone_count: Ints) -> tuple[Ints, Ints, Floats]:
    """Offsets, resource indices and amounts of what arcs use: a share of a car, or of a server's resources.

    Args:
        tables: workloads and places.
        arcs: A of them.
        alone_index: [A], index of the arc's `apart/...` resource, where it takes one.
        alone_count: [K], such resources of each place; they come before `compute`, `instances`, `memory`.
    """
    rows, car = arcs.rows, tables.places.car[arcs.rows.place]
    alone = takes_alone(tables, rows)
    counts = np.where(car, 1, 3 + alone)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    resource, amount = np.zeros(offsets[-1], dtype=np.int64), np.zeros(offsets[-1])
    amount[offsets[:-1][car]] = 1.0 / arcs.fits[car]
    resource[offsets[:-1][alone]], amount[offsets[:-1][alone]] = alone_index[alone], 1.0
    memory = tables.workloads.memory[rows.workload] / BYTES_PER_GB
    base = (offsets[:-1] + alone)[~car]
    for number, each in enumerate((arcs.compute, np.ones(len(rows)), memory)):
        resource[base + number] = alone_count[rows.place[~car]] + number
        amount[base + number] = each[~car]
    return offsets, resource, amount
