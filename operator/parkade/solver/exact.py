"""The exact finish of small problems by HiGHS: a better plan and better prices, both only as suggestions.

The kernel checks the plan for integer feasibility and recomputes cost and bound, because HiGHS works within
tolerances and its dual bound is not a certificate.
"""

from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np

from parkade.problem.format import Problem
from parkade.solver.solution import Prices, Solution

MOST_DEMANDS: Final = 100
MOST_ARCS: Final = 5_000
WORK_PER_NODE: Final = 200
"""Arc evaluations, for each arc, that a branch-and-bound node counts as: a rough equivalent."""
TOLERANCE: Final = 1e-9
"""At its default of 1e-6 HiGHS calls plans optimal that an exactly feasible one undercuts."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What HiGHS suggests."""

    replicas: tuple[int, ...]
    prices: Prices
    timed_out: bool


def node_limit(problem: Problem, work_limit: int) -> int:
    """Branch-and-bound nodes for a work limit, so that every machine stops at the same place; 0: do not try."""
    if not problem.arcs or len(problem.arcs) > MOST_ARCS or len(problem.demands) > MOST_DEMANDS:
        return 0
    return work_limit // (WORK_PER_NODE * len(problem.arcs))


def finish(problem: Problem, solution: Solution, *, nodes: int, time_limit: float | None = None) -> Finish:
    """Solve the linear relaxation for prices and the integer problem, from the solution, for replicas."""
    model = _Model(problem, nodes)
    model.relax(time_limit)
    prices = model.prices()
    replicas = model.integers(solution, time_limit)
    return Finish(replicas or solution.replicas, prices, model.timed_out)


class _Model:
    """Columns: replicas per arc, units per step, shortfall per cover. Rows: covers, resources, limits."""

    def __init__(self, problem: Problem, nodes: int) -> None:
        self._problem = problem
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy is not typed here
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("random_seed", 0),
            ("mip_feasibility_tolerance", TOLERANCE),
            ("primal_feasibility_tolerance", TOLERANCE),
            ("mip_rel_gap", 1e-7),
            ("mip_abs_gap", TOLERANCE),
            ("mip_max_nodes", nodes),
        ):
            self._highs.setOptionValue(option, value)
        self._add_columns()
        self._add_rows()
        self.timed_out = False

    def _add_columns(self) -> None:
        problem = self._problem
        steps = [step for supply in problem.supplies for step in supply.steps]
        covers = [cover for demand in problem.demands for cover in demand.covers]
        costs = [arc.cost for arc in problem.arcs] + [step.cost for step in steps]
        costs += [cover.short_cost for cover in covers]
        upper = [*(arc.max for arc in problem.arcs), *(step.count for step in steps)]
        self._integers = len(upper)
        upper_all = np.array([*upper, *(highspy.kHighsInf for _ in covers)], dtype=np.float64)
        count = len(costs)
        none, empty = np.zeros(0, dtype=np.int32), np.zeros(0)
        self._highs.addCols(
            count, np.array(costs), np.zeros(count), upper_all, 0, np.zeros(count, dtype=np.int32), none, empty
        )

    def _add_rows(self) -> None:
        problem = self._problem
        by_demand: list[list[int]] = [[] for _ in problem.demands]
        by_supply: list[list[int]] = [[] for _ in problem.supplies]
        for index, arc in enumerate(problem.arcs):
            by_demand[arc.demand].append(index)
            by_supply[arc.supply].append(index)
        short = self._integers
        for demand, arcs in zip(problem.demands, by_demand, strict=True):
            for position, cover in enumerate(demand.covers):
                terms = [(arc, problem.arcs[arc].yields[position]) for arc in arcs]
                self._add_row(cover.quantity, highspy.kHighsInf, [*terms, (short, 1.0)])
                short += 1
        step = len(problem.arcs)
        for supply, arcs in zip(problem.supplies, by_supply, strict=True):
            units = range(step, step + len(supply.steps))
            step += len(supply.steps)
            for resource, capacity in sorted(supply.capacity.items()):
                terms = [(arc, problem.arcs[arc].use.get(resource, 0.0)) for arc in arcs]
                self._add_row(-highspy.kHighsInf, 0.0, [*terms, *((unit, -capacity) for unit in units)])
        for limit in problem.limits:
            self._add_row(-highspy.kHighsInf, limit.bound, list(limit.terms))

    def _add_row(self, lower: float, upper: float, terms: list[tuple[int, float]]) -> None:
        present = [(column, value) for column, value in terms if value != 0.0]
        columns = np.array([column for column, _ in present], dtype=np.int32)
        self._highs.addRow(lower, upper, len(present), columns, np.array([value for _, value in present]))

    def _run(self, time_limit: float | None) -> None:
        if time_limit is not None:
            # HiGHS counts the time of all runs of one model together.
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + time_limit / 2)
        self._highs.run()
        self.timed_out |= self._highs.getModelStatus() == highspy.HighsModelStatus.kTimeLimit

    def relax(self, time_limit: float | None) -> None:
        self._run(time_limit)

    def prices(self) -> Prices:
        """Duals of the relaxation, in the problem's shape; the kernel projects them into their valid ranges."""
        duals = iter(self._highs.getSolution().row_dual)
        problem = self._problem
        covers = tuple(tuple(next(duals) for _ in demand.covers) for demand in problem.demands)
        supplies = tuple(tuple(-next(duals) for _ in supply.capacity) for supply in problem.supplies)
        return Prices(covers, supplies, tuple(-next(duals) for _ in problem.limits))

    def integers(self, solution: Solution, time_limit: float | None) -> tuple[int, ...] | None:
        count = self._integers
        columns = np.arange(count, dtype=np.int32)
        kinds = np.full(count, int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        self._highs.changeColsIntegrality(count, columns, kinds)
        start = highspy.HighsSolution()
        start.col_value = [*map(float, solution.replicas), *self._steps(solution), *sum(solution.short, ())]
        self._highs.setSolution(start)
        self._run(time_limit)
        values = self._highs.getSolution().col_value
        if not values:
            return None
        return tuple(max(0, round(value)) for value in values[: len(self._problem.arcs)])

    def _steps(self, solution: Solution) -> list[float]:
        """Units of each step, cheapest first, in the file's order of steps."""
        taken: list[float] = []
        for supply, units in zip(self._problem.supplies, solution.units, strict=True):
            by_step = [0.0] * len(supply.steps)
            left = units
            for position in sorted(range(len(supply.steps)), key=lambda index: supply.steps[index].cost):
                by_step[position] = float(min(left, supply.steps[position].count))
                left -= int(by_step[position])
            taken.extend(by_step)
        return taken
