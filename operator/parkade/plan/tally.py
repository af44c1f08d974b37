"""What a packed solution takes and costs, by (workload, place) and in all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parkade.plan.packing import Packed
from parkade.problem.arcs import Way, capacity
from parkade.problem.costs import CostSplit, Running
from parkade.problem.framing import Framed
from parkade.problem.reach import rates
from parkade.problem.supply import Place
from parkade.solver import Solution

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


def tally(framed: Framed, solution: Solution, packed: Packed) -> Tally:
    """Take out what was not packed, newest replicas first, and add up again."""
    counts = list(solution.replicas)
    left = dict(packed.left)
    for index in sorted(range(len(counts)), key=lambda i: (framed.ways[i].kept, framed.ways[i].apart, -i)):
        pair = framed.ways[index].workload, framed.ways[index].place
        dropped = min(counts[index], left.get(pair, 0))
        if dropped:
            counts[index] -= dropped
            left[pair] -= dropped
    units = tuple(packed.units.get(index, taken) for index, taken in enumerate(solution.units))
    short = _short(framed, counts)
    penalty = sum(
        missing * cover.short_cost
        for demand, row in zip(framed.problem.demands, short, strict=True)
        for cover, missing in zip(demand.covers, row, strict=True)
    )
    money = sum(arc.cost * count for arc, count in zip(framed.problem.arcs, counts, strict=True))
    money += sum(units_cost(place, taken).cost.total for place, taken in zip(framed.places, units, strict=True))
    return Tally(tuple(counts), units, short, money + penalty, penalty)


def _short(framed: Framed, counts: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    covered = [[0.0] * len(demand.covers) for demand in framed.problem.demands]
    for arc, count in zip(framed.problem.arcs, counts, strict=True):
        if count:
            for index, gained in enumerate(arc.yields):
                covered[arc.demand][index] += gained * count
    return tuple(
        tuple(
            missing if (missing := cover.quantity - got) > SMALLEST_SHORTFALL * max(cover.quantity, 1.0) else 0.0
            for cover, got in zip(demand.covers, row, strict=True)
        )
        for demand, row in zip(framed.problem.demands, covered, strict=True)
    )


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
    for way, count in zip(framed.ways, counts, strict=True):
        if count:
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
    for way, count in zip(framed.ways, result.counts, strict=True):
        if count:
            pair = way.workload, way.place
            taken[pair] = taken.get(pair, 0.0) + count * dominant_share(way, framed.places[way.place])
            dynamic[pair] = dynamic.get(pair, Running()) + way.running.times(count)
            capable[way.workload] = capable.get(way.workload, 0.0) + count * way.load
    found = {}
    for (workload, at), amount in sorted(taken.items()):
        whole = sum(other for (_, place), other in taken.items() if place == at)
        demand = sum(rates(framed.workloads[workload].resource).values())
        served = min(1.0, demand / capable[workload]) if capable[workload] > 0.0 else 1.0
        units = units_cost(framed.places[at], result.units[at]).times(amount / whole)
        found[workload, at] = units + _scaled(dynamic[workload, at], served)
    return found


def _scaled(running: Running, served: float) -> Running:
    move = running.cost.move
    scaled = running.times(served)
    return scaled + Running(CostSplit(move=move - scaled.cost.move))


def dominant_share(way: Way, place: Place) -> float:
    """The largest share of any resource of one unit that a replica takes."""
    own = capacity(place, ())
    return max((amount / own[name] for name, amount in way.use if name in own), default=0.0)
