"""A problem as one sparse matrix, and what prices of its rows say of every column.

Columns: replicas of each arc, units of each step, shortfall of each cover. Rows: covers (>=), resources (<= 0), limits
(<=). Row prices are signed as in linear programming: theta of covers, -pi of resources, -mu of limits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parkade.problem.arrays import ProblemArrays

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """N columns and M rows; the entries stand column after column."""

    cost: Floats
    """[N], $/h for one."""
    upper: Floats
    """[N], most of each; shortfalls are unbounded. The least is 0."""
    starts: Indices
    """[N+1], where each column's entries begin."""
    rows: Indices
    values: Floats
    row_lower: Floats
    """[M]"""
    row_upper: Floats
    """[M]"""
    arcs: int
    whole: int
    """Arcs and steps come first and are whole numbers."""

    @property
    def covers(self) -> int:
        """Of which each has a shortfall column and one of the first rows."""
        return len(self.cost) - self.whole

    def reduced_costs(self, prices: Floats) -> Floats:
        """[N], $/h that one more of a column costs at the row prices."""
        columns = np.repeat(np.arange(len(self.cost)), np.diff(self.starts))
        worth = np.bincount(columns, self.values * prices[self.rows], minlength=len(self.cost))
        return self.cost - worth

    def project(self, prices: Floats) -> Floats:
        """The nearest row prices that prove a bound: 0 <= theta <= short cost, pi and mu not negative."""
        within = np.clip(prices[: self.covers], 0.0, self.cost[self.whole :])
        return np.concatenate([within, np.minimum(prices[self.covers :], 0.0)])

    def bound(self, prices: Floats, reduced: Floats) -> float:
        """$/h that no plan undercuts, within rounding: the Lagrangian dual at projected prices."""
        sides = np.where(np.isfinite(self.row_lower), self.row_lower, self.row_upper)
        saved = np.minimum(reduced[: self.whole], 0.0) * self.upper[: self.whole]
        return float(sides @ prices + saved.sum())

    def entries(self, chosen: Indices) -> tuple[Indices, Indices, Floats]:
        """Starts (one more than columns), rows and values of some columns."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return starts, self.rows[at], self.values[at]


def columns(problem: ProblemArrays) -> Columns:
    """Lay a problem out; entries of 0 are left out."""
    arcs, steps = len(problem.arcs_demand), len(problem.supplies_steps_count)
    covers, resources = len(problem.demands_covers_quantity), len(problem.supplies_capacity_name)
    parts = [
        _yields(problem),
        _uses(problem, covers),
        _terms(problem, covers + resources),
        _capacities(problem, arcs, covers),
        (np.arange(covers) + arcs + steps, np.arange(covers), np.ones(covers)),
    ]
    column, row, value = (np.concatenate([part[i] for part in parts]) for i in range(3))
    present = np.flatnonzero(value)
    order = present[np.lexsort((row[present], column[present]))]
    starts = np.concatenate([[0], np.cumsum(np.bincount(column[order], minlength=arcs + steps + covers))])
    least = problem.demands_covers_quantity.astype(np.float64)
    most = problem.limits_bound.astype(np.float64)
    return Columns(
        cost=np.concatenate(
            [problem.arcs_cost, problem.supplies_steps_cost, problem.demands_covers_short_cost], dtype=np.float64
        ),
        upper=np.concatenate([problem.arcs_max, problem.supplies_steps_count, np.full(covers, np.inf)]),
        starts=starts,
        rows=row[order],
        values=value[order].astype(np.float64),
        row_lower=np.concatenate([least, np.full(resources + len(most), -np.inf)]),
        row_upper=np.concatenate([np.full(covers, np.inf), np.zeros(resources), most]),
        arcs=arcs,
        whole=arcs + steps,
    )


Part = tuple[Indices, Indices, Floats]
"""Column, row and value of entries."""


def _within(offsets: Indices) -> tuple[Indices, Indices]:
    """The row that each entry belongs to, and the entry's position in it."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return row, np.arange(len(row)) - offsets[row]


def _yields(problem: ProblemArrays) -> Part:
    arc, position = _within(problem.yields_offsets)
    first = problem.demands_covers_offsets.astype(np.int64)
    return arc, first[problem.arcs_demand[arc]] + position, problem.arcs_yields


def _uses(problem: ProblemArrays, before: int) -> Part:
    arc, _ = _within(problem.arcs_use_offsets.astype(np.int64))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    row = before + first[problem.arcs_supply[arc]] + problem.arcs_use_resource
    return arc, row, problem.arcs_use_amount


def _terms(problem: ProblemArrays, before: int) -> Part:
    limit, _ = _within(problem.limits_terms_offsets.astype(np.int64))
    return problem.limits_terms_arc.astype(np.int64), before + limit, problem.limits_terms_coefficient


def _capacities(problem: ProblemArrays, arcs: int, before: int) -> Part:
    supply, _ = _within(problem.supplies_steps_offsets.astype(np.int64))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    resources = np.diff(first)[supply]
    step, position = _within(np.concatenate([[0], np.cumsum(resources)]))
    resource = first[supply[step]] + position
    return arcs + step, before + resource, -problem.supplies_capacity_amount[resource]
