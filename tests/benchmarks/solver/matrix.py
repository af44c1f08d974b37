"""A problem as one sparse matrix, for all solvers of linear and integer programmes alike.

Columns: replicas of each arc, units of each step, shortfall of each cover.
Rows: covers (>=), resources (<= 0), limits (<=).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import Counts, Floats, Task
from parkade.problem.arrays import ProblemArrays, offsets_of


@dataclass(frozen=True)
class Matrix:
    """N columns, M rows; the entries stand column after column."""

    cost: Floats
    """[N], $/h for one."""
    upper: Floats
    """[N]; the least is 0."""
    starts: Counts
    """[N+1], where each column's entries begin."""
    rows: NDArray[np.int32]
    values: Floats
    row_lower: Floats
    """[M]"""
    row_upper: Floats
    """[M]"""
    arcs: int
    """They are the first columns."""
    whole: int
    """Arcs and steps are whole numbers; the rest are shortfalls."""

    @property
    def covers(self) -> int:
        """They are the first rows, one for each shortfall."""
        return len(self.cost) - self.whole

    def proved(self, row_prices: Floats) -> float:
        """$/h: the bound D of docs/placement.md at a solver's row prices, put into their ranges first.

        Prices are signed as in linear programming: theta of covers, -pi of resources, -mu of limits.
        """
        theta = np.clip(row_prices[: self.covers], 0.0, self.cost[self.whole :])
        prices = np.concatenate([theta, np.minimum(row_prices[self.covers :], 0.0)])
        column = np.repeat(np.arange(len(self.cost)), np.diff(self.starts))
        worth = np.bincount(column, self.values * prices[self.rows], minlength=len(self.cost))
        gained = np.maximum(worth - self.cost, 0.0)[: self.whole] @ self.upper[: self.whole]
        return float(self.sides @ prices - gained)

    @property
    def sides(self) -> Floats:
        """[M]: the side of each row that is finite."""
        return np.where(np.isfinite(self.row_lower), self.row_lower, self.row_upper)


def prepare(task: Task) -> Matrix:
    """Read a task's problem."""
    return matrix(ProblemArrays.from_npz(task.problem))


def matrix(problem: ProblemArrays) -> Matrix:
    """Lay a problem out."""
    arcs, steps = len(problem.arcs_demand), len(problem.supplies_steps_count)
    covers, resources = len(problem.demands_covers_quantity), len(problem.supplies_capacity_name)
    parts = [
        _yields(problem),
        _uses(problem, covers),
        _terms(problem, covers + resources),
        _capacities(problem, arcs, covers),
        (np.arange(covers) + arcs + steps, np.arange(covers), np.ones(covers)),
    ]
    lengths = sum(np.bincount(column, minlength=arcs + steps + covers) for column, _, _ in parts)
    starts = offsets_of(np.asarray(lengths))
    rows, values = np.zeros(starts[-1], np.int32), np.zeros(starts[-1])
    free = starts[:-1].copy()
    for column, row, value in parts:  # sorted by column each, so an entry's place is its column's next free one
        count = np.bincount(column, minlength=len(free))
        place = np.repeat(free - (np.cumsum(count) - count), count) + np.arange(len(column))
        rows[place], values[place] = row, value
        free += count
    costs = [problem.arcs_cost, problem.supplies_steps_cost, problem.demands_covers_short_cost]
    quantity, bound = problem.demands_covers_quantity, problem.limits_bound
    return Matrix(
        cost=np.concatenate(costs, dtype=np.float64),
        upper=np.concatenate([problem.arcs_max, problem.supplies_steps_count, np.full(covers, np.inf)]),
        starts=starts, rows=rows, values=values,
        row_lower=np.concatenate([quantity, np.full(resources + len(bound), -np.inf)]),
        row_upper=np.concatenate([np.full(covers, np.inf), np.zeros(resources), bound]),
        arcs=arcs,
        whole=arcs + steps,
    )  # fmt: skip


Part = tuple[Counts, Counts, NDArray[np.floating]]
"""Column, row and value of entries."""


def _within(offsets: Counts) -> tuple[Counts, Counts]:
    """The row of flat arrays that each entry belongs to, and its position there."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return row, np.arange(len(row)) - offsets[row]


def _yields(problem: ProblemArrays) -> Part:
    arc, position = _within(problem.yields_offsets)
    return (
        arc,
        problem.demands_covers_offsets.astype(np.int64)[problem.arcs_demand[arc]] + position,
        problem.arcs_yields,
    )


def _uses(problem: ProblemArrays, before: int) -> Part:
    arc, _ = _within(problem.arcs_use_offsets.astype(np.int64))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    return arc, before + first[problem.arcs_supply[arc]] + problem.arcs_use_resource, problem.arcs_use_amount


def _terms(problem: ProblemArrays, before: int) -> Part:
    limit, _ = _within(problem.limits_terms_offsets.astype(np.int64))
    order = np.argsort(problem.limits_terms_arc, kind="stable")
    arc = problem.limits_terms_arc.astype(np.int64)
    return arc[order], before + limit[order], problem.limits_terms_coefficient[order]


def _capacities(problem: ProblemArrays, arcs: int, before: int) -> Part:
    """Each step of a supply gives all of its resources."""
    supply, _ = _within(problem.supplies_steps_offsets.astype(np.int64))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    step, position = _within(offsets_of(np.diff(first)[supply]))
    resource = first[supply[step]] + position
    return arcs + step, before + resource, -problem.supplies_capacity_amount[resource]
