"""A plan under construction, for methods that add replicas: what is placed, what is missing, what room is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import Counts, Floats
from parkade.problem.arrays import ProblemArrays

SLACK = 1e-10
"""Of a right-hand side, that a plan may exceed it by: below the 1e-9 that the problem allows."""


@dataclass(frozen=True)
class Rows:
    """What one replica of each arc takes of resources and of limits, padded to P entries an arc."""

    row: NDArray[np.int32]
    """[A, P]: resources first, then limits; the last row is nothing's."""
    amount: Floats
    """[A, P]"""
    room: Floats
    """[rows]: capacity of all units together, or the limit's bound."""


def rows_of(problem: ProblemArrays) -> Rows:
    """Both kinds of rows alike: a replica fits if each of its rows has room."""
    capacity = problem.supplies_capacity_amount.astype(np.float64)
    uses = np.repeat(np.arange(len(problem.arcs_demand)), np.diff(problem.arcs_use_offsets.astype(np.int64)))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    limits = np.repeat(np.arange(len(problem.limits_bound)), np.diff(problem.limits_terms_offsets.astype(np.int64)))
    arc = np.concatenate([uses, problem.limits_terms_arc.astype(np.int64)])
    row = np.concatenate(
        [first[problem.arcs_supply[uses]] + problem.arcs_use_resource, limits + len(capacity)], dtype=np.int32
    )
    amount = np.concatenate([problem.arcs_use_amount, problem.limits_terms_coefficient], dtype=np.float64)
    units = np.add.reduceat(np.append(problem.supplies_steps_count, 0), problem.supplies_steps_offsets[:-1])
    units[np.diff(problem.supplies_steps_offsets.astype(np.int64)) == 0] = 0
    of_resource = np.repeat(np.arange(len(units)), np.diff(first))
    room = np.concatenate([capacity * units[of_resource], problem.limits_bound, [np.inf]])
    order = np.argsort(arc, kind="stable")
    lengths = np.bincount(arc, minlength=len(problem.arcs_demand))
    place = np.arange(len(arc)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    shape = (len(problem.arcs_demand), int(lengths.max(initial=1)))
    padded_row, padded_amount = np.full(shape, len(room) - 1, np.int32), np.zeros(shape)
    padded_row[arc[order], place], padded_amount[arc[order], place] = row[order], amount[order]
    return Rows(padded_row, padded_amount, room * (1.0 + SLACK))


class Merit:
    """The price of each supply's next unit, in the order cheapest first."""

    def __init__(self, problem: ProblemArrays) -> None:
        offsets = problem.supplies_steps_offsets.astype(np.int64)
        supply = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((problem.supplies_steps_cost, supply))
        self._cost = np.append(problem.supplies_steps_cost[order].astype(np.float64), np.inf)
        self._left = np.append(problem.supplies_steps_count[order].astype(np.float64), np.inf)
        self._at, self._end = offsets[:-1].copy(), offsets[1:]
        self.price = np.where(self._at < self._end, self._cost[self._at], np.inf)
        """[K], $/h of one more unit."""

    def take(self, supply: int, units: float) -> None:
        """Draw units, or a fraction of one: a server shared by others is paid in proportion."""
        at, end = int(self._at[supply]), int(self._end[supply])
        while at < end and units >= self._left[at]:
            units -= self._left[at]
            at += 1
        if at < end:
            self._left[at] -= units
            self.price[supply] = self._cost[at]
        self._at[supply] = at

    def left(self, supply: int) -> float:
        """Units left at the present price."""
        at = int(self._at[supply])
        return float(self._left[at]) if at < self._end[supply] else np.inf


class Filling:
    """Adds replicas while there is room; the arcs of a problem must stand demand after demand."""

    def __init__(self, problem: ProblemArrays) -> None:
        if (problem.arcs_demand[1:] < problem.arcs_demand[:-1]).any():
            raise ValueError("the arcs are not sorted by demand; write the instance again")
        self.problem = problem
        self.rows = rows_of(problem)
        self.room = self.rows.room
        """[rows] that is left."""
        self.replicas: Counts = np.zeros(len(problem.arcs_demand), np.int64)
        self.covered = np.zeros(len(problem.demands_covers_quantity))
        """[C]"""
        self.merit = Merit(problem)
        unit = np.append(
            problem.supplies_capacity_amount.astype(np.float64), np.full(len(problem.limits_bound) + 1, np.inf)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(self.rows.amount > 0.0, self.rows.amount / unit[self.rows.row], 0.0)
        self.share = share.max(axis=1, initial=0.0)
        """[A], units that one replica takes: of the resource it uses most."""
        demands = len(problem.demands_covers_offsets) - 1
        self._arcs = np.searchsorted(problem.arcs_demand, np.arange(demands + 1))
        self._covers = problem.demands_covers_offsets.astype(np.int64)
        self._yields = problem.yields_offsets

    def arcs(self, demand: int) -> slice:
        """The demand's arcs."""
        return slice(int(self._arcs[demand]), int(self._arcs[demand + 1]))

    def covers(self, demand: int) -> slice:
        """The demand's covers."""
        return slice(int(self._covers[demand]), int(self._covers[demand + 1]))

    def yields(self, demand: int) -> Floats:
        """[arcs of the demand, its covers]."""
        arcs, covers = self.arcs(demand), self.covers(demand)
        flat = self.problem.arcs_yields[self._yields[arcs.start] : self._yields[arcs.stop]]
        return flat.reshape(arcs.stop - arcs.start, covers.stop - covers.start).astype(np.float64)

    def _yields_of(self, arc: int) -> Floats:
        """[covers of its demand]"""
        return self.problem.arcs_yields[self._yields[arc] : self._yields[arc + 1]].astype(np.float64)

    def missing(self, demand: int, boost: float = 1.0) -> Floats:
        """Of each cover; `boost` times the quantity is wanted. Rounding is not missing."""
        covers = self.covers(demand)
        wanted = self.problem.demands_covers_quantity[covers] * boost
        left = wanted - self.covered[covers]
        return np.where(left > wanted * 1e-12, left, 0.0)

    def fits(self, arcs: slice) -> NDArray[np.bool_]:
        """Whether one more replica has room."""
        rows = self.rows
        fits = (rows.amount[arcs] <= self.room[rows.row[arcs]]).all(axis=1)
        return fits & (self.replicas[arcs] < self.problem.arcs_max[arcs])

    def most(self, arc: int) -> int:
        """How many more replicas of the arc have room."""
        most = int(self.problem.arcs_max[arc]) - int(self.replicas[arc])
        for row, amount in zip(self.rows.row[arc], self.rows.amount[arc], strict=True):
            if amount > 0.0:
                most = min(most, int(max(0.0, self.room[row]) / amount))
        return most

    def place(self, arc: int, count: int) -> None:
        """Add replicas that fit."""
        problem = self.problem
        self.replicas[arc] += count
        np.subtract.at(self.room, self.rows.row[arc], self.rows.amount[arc] * count)
        self.covered[self.covers(int(problem.arcs_demand[arc]))] += self._yields_of(arc) * count
        self.merit.take(int(problem.arcs_supply[arc]), float(self.share[arc]) * count)

    def keep(self, arc: int, count: int, boost: float = 1.0) -> int:
        """Leave running what still has room and still helps to cover; how many of the `count` that is."""
        missing = self.missing(int(self.problem.arcs_demand[arc]), boost)
        yields = self._yields_of(arc)
        useful = (yields > 0.0) & (missing > 0.0)
        helps = np.max(np.ceil(missing[useful] / yields[useful]), initial=0.0)
        kept = min(count, self.most(arc), int(min(helps, 1e9)))
        if kept > 0:
            self.place(arc, kept)
        return kept

    def cost_per_gain(self, demand: int, missing: Floats) -> Floats:
        """[arcs of the demand]: $/h of one replica for each $/h of shortfall that it ends; infinite where it cannot."""
        arcs = self.arcs(demand)
        worth = self.problem.demands_covers_short_cost[self.covers(demand)]
        gain = np.minimum(self.yields(demand), missing) @ worth
        drawn = np.where(
            self.share[arcs] > 0.0, self.merit.price[self.problem.arcs_supply[arcs]] * self.share[arcs], 0.0
        )
        useful = (gain > 0.0) & self.fits(arcs)
        return np.where(useful, (self.problem.arcs_cost[arcs] + drawn) / np.where(useful, gain, 1.0), np.inf)

    def alike(self, arc: int, missing: Floats) -> int:
        """How many replicas of the arc are worth the same: until a cover is nearly met or units get dearer."""
        problem = self.problem
        yields = self._yields_of(arc)
        useful = (yields > 0.0) & (missing > 0.0)
        until_met = np.min(missing[useful] / yields[useful], initial=np.inf)
        share = self.share[arc]
        until_dearer = self.merit.left(int(problem.arcs_supply[arc])) / share if share > 0.0 else np.inf
        return max(1, min(self.most(arc), int(min(until_met, np.ceil(until_dearer), 1e9))))
