"""What a packed solution takes and costs, by (workload, place) and in all."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from parkade.plan.packing import Packed
from parkade.problem.costs import CostSplit, Running
from parkade.problem.framing import Framed
from parkade.problem.supply import Place
from parkade.problem.ways import Way
from parkade.solver import SolutionArrays

SMALLEST_SHORTFALL = 1e-6
"""Of a cover's quantity; less is rounding."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A solution after packing."""

    counts: tuple[int, ...]
    """Replicas by arc."""
    units: tuple[int, ...]
    """Cars or servers by place."""
    short: tuple[tuple[float, ...], ...]
    """By workload and cover, in the cover's unit."""
    objective: float
    """$/h, with shortfalls and penalties, of the problem as first framed."""
    short_cost: float
    """$/h of the shortfalls in it."""

    def gap(self, bound: float) -> float:
        """Against a bound of the same problem; a shortfall never flatters it."""
        return (self.objective - bound) / max(abs(self.objective - self.short_cost), 1e-9)


def tally(framed: Framed, solution: SolutionArrays, packed: Packed) -> Tally:
    """Take out what was not packed, newest replicas first, and add up again."""
    counts = solution.replicas.astype(np.int64)
    _take_out(framed, counts, packed.left)
    units = tuple(packed.units.get(index, taken) for index, taken in enumerate(solution.units.tolist()))
    short = _short(framed, counts)
    penalty = float(short @ framed.arcs.short_cost)
    money = float(framed.arcs.cost @ counts)
    money += sum(units_cost(place, taken).cost.total for place, taken in zip(framed.places, units, strict=True))
    covers = framed.tables.covers
    rows = tuple(tuple(short[start:stop].tolist()) for start, stop in pairwise(covers.offsets.tolist()))
    return Tally(tuple(counts.tolist()), units, rows, money + penalty, penalty)


def _take_out(framed: Framed, counts: NDArray[np.int64], left: Mapping[tuple[int, int], int]) -> None:
    for pair, missing in left.items():
        rows, own = framed.arcs.rows, framed.pairs.get(pair, range(0))
        dropped = missing
        for index in sorted(own, key=lambda i: (rows.kept[i], rows.apart[i], -i)):
            taken = min(int(counts[index]), dropped)
            counts[index] -= taken
            dropped -= taken


def _short(framed: Framed, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """By cover, in its own unit; what is less than rounding is 0."""
    covers, arcs = framed.tables.covers, framed.arcs
    covered = np.zeros(len(covers.quantity))
    for index in np.flatnonzero(counts).tolist():
        first = covers.offsets[arcs.rows.workload[index]]
        own = arcs.yields[arcs.yields_offsets[index] : arcs.yields_offsets[index + 1]]
        covered[first : first + len(own)] += own * counts[index]
    missing = covers.quantity - covered
    return np.where(missing > SMALLEST_SHORTFALL * np.maximum(covers.quantity, 1.0), missing, 0.0)


def units_cost(place: Place, units: int) -> Running:
    """What the cheapest `units` of a place take."""
    total = Running()
    for step in sorted(place.steps, key=lambda step: step.running.cost.total):
        taken = min(units, step.count)
        total, units = total + step.running.times(taken), units - taken
    return total


def shares(framed: Framed, counts: Sequence[int]) -> Mapping[tuple[int, int], float]:
    """Share of its workload's requests that each (workload, place) takes; by replicas where nothing is asked."""
    weights: dict[tuple[int, int], float] = {}
    for way, count in used(framed, counts):
        pair = way.workload, way.place
        weights[pair] = weights.get(pair, 0.0) + count * (way.load or 1e-9)
    totals: dict[int, float] = {}
    for (workload, _), weight in weights.items():
        totals[workload] = totals.get(workload, 0.0) + weight
    return {pair: weight / totals[pair[0]] for pair, weight in sorted(weights.items())}


def runnings(framed: Framed, result: Tally) -> Mapping[tuple[int, int], Running]:
    """Money, watts and grams by (workload, place).

    A place's units are divided by what each workload takes of them. Requests cost for the rate that is expected, not
    for what the replicas could take; bringing up is paid by new replicas.
    """
    taken: dict[tuple[int, int], float] = {}
    dynamic: dict[tuple[int, int], Running] = {}
    capable: dict[int, float] = {}
    whole: dict[int, float] = defaultdict(float)
    for way, count in used(framed, result.counts):
        pair = way.workload, way.place
        taken[pair] = taken.get(pair, 0.0) + count * way.share
        whole[way.place] += count * way.share
        dynamic[pair] = dynamic.get(pair, Running()) + way.running.times(count)
        capable[way.workload] = capable.get(way.workload, 0.0) + count * way.load
    found = {}
    for (workload, at), amount in sorted(taken.items()):
        demand = float(framed.tables.workloads.demand[workload])
        served = min(1.0, demand / capable[workload]) if capable[workload] > 0.0 else 1.0
        units = units_cost(framed.places[at], result.units[at]).times(amount / whole[at])
        found[workload, at] = units + _scaled(dynamic[workload, at], served)
    return found


def _scaled(running: Running, served: float) -> Running:
    move = running.cost.move
    scaled = running.times(served)
    return scaled + Running(CostSplit(move=move - scaled.cost.move))


def used(framed: Framed, counts: Sequence[int]) -> Iterator[tuple[Way, int]]:
    """Arcs that carry replicas, and how many."""
    chosen = np.flatnonzero(np.array(counts, dtype=np.int64))
    framed.ways.fetch(chosen)
    return ((framed.ways[index], counts[index]) for index in chosen.tolist())
