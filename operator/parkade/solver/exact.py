"""The exact finish of small problems by HiGHS: a better plan, better prices, and what HiGHS proves of them.

The linear relaxation is solved by column generation. Its prices say of every column how much dearer a plan with it is
at least; what no plan better than the incumbent, or than the rounded relaxation, can use is left out (reduced-cost
fixing), and the rest is solved in whole numbers: first the columns that prices favour, for a good plan, then all that
are left, for a proof.

All of it is only a suggestion: the kernel checks the plan for feasibility and recomputes cost and bound, because HiGHS
works within tolerances and its dual bound is not a certificate.
"""

from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np

from parkade.problem.arrays import ProblemArrays
from parkade.solver.columns import Columns, Floats, Indices, columns
from parkade.solver.rounding import plan_of, rounded

MOST_COLUMNS: Final = 2_000
"""In whole numbers; the root of a larger model may take HiGHS a second in which it asks for no limit."""
FEW_COLUMNS: Final = 1_000
"""Up to here all columns are taken at once."""
FAVOURED: Final = 2
"""Columns for each row in the first integer model."""
PRICED_IN: Final = 2_000
"""Columns added at a time by column generation."""
WORK_PER_NODE: Final = 50
"""Arc evaluations, for each column, that a branch-and-bound node counts as: a rough equivalent."""
TOLERANCE: Final = 1e-9
"""At its default of 1e-6 HiGHS calls plans optimal that an exactly feasible one undercuts."""
MARGIN: Final = 1e-6
"""Of the gap, by which columns must be too dear to be left out: far above the rounding of a reduced cost."""


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best plan and prices so far."""

    replicas: Indices
    """[arcs]"""
    units: Indices
    """[supplies]"""
    short: Floats
    """[covers]"""
    prices: Floats
    """[covers + resources + limits], none negative."""
    objective: float
    """$/h."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What HiGHS suggests."""

    replicas: Indices
    """[arcs]"""
    prices: Floats
    """[covers + resources + limits], none negative."""
    bound: float
    """$/h that HiGHS finds no plan to undercut, within its tolerances."""
    timed_out: bool


def finish(problem: ProblemArrays, incumbent: Incumbent, *, work_limit: int, time_limit: float | None = None) -> Finish:
    """Suggest prices and replicas.

    Args:
        problem: to solve.
        incumbent: feasible; where to start from.
        work_limit: as the kernel's; every machine stops at the same node.
        time_limit: seconds that HiGHS may run in all.
    """
    model = columns(problem)
    signs = np.ones(len(model.row_lower))
    signs[model.covers :] = -1.0
    start = plan_of(problem, incumbent.replicas, incumbent.units, incumbent.short)
    search = _Search(model, incumbent.objective, start, time_limit)
    relaxed = search.relax(model.project(signs * incumbent.prices))
    search.consider(rounded(problem, model, relaxed))
    if search.contenders > FEW_COLUMNS:
        search.branch(FAVOURED * len(model.row_lower), work_limit)
    search.branch(MOST_COLUMNS, work_limit)
    replicas = np.rint(search.best[: model.arcs]).astype(np.int64)
    return Finish(replicas, signs * search.prices, min(search.bound, search.objective), search.timed_out)


class _Search:
    """The best plan, prices and bound so far."""

    def __init__(self, model: Columns, objective: float, best: Floats, time_limit: float | None) -> None:
        self._model = model
        self._left = np.inf if time_limit is None else time_limit
        self._complete = False
        self.objective = objective
        self.best = best
        """Value of each column."""
        self.prices: Floats = np.zeros(len(model.row_lower))
        self._reduced: Floats = model.cost
        self._relaxed = -np.inf
        """$/h, the relaxation's bound at these prices."""
        self.bound = -np.inf
        self.timed_out = False
        """The last run was cut short; what an earlier one left undone, it did."""

    @property
    def _gap(self) -> float:
        """$/h, with a margin, above which a reduced cost rules a column out."""
        return (self.objective - self._relaxed) * (1.0 + MARGIN) + TOLERANCE * max(1.0, abs(self.objective))

    @property
    def contenders(self) -> int:
        """Arcs and steps that a better plan might use."""
        return int(np.count_nonzero(self._reduced[: self._model.whole] <= self._gap))

    def _is_open(self) -> bool:
        """There is a gap to close, something left to try, and time."""
        gap = self.objective - self.bound
        return not self._complete and self._left > 0.0 and gap > TOLERANCE * max(1.0, abs(self.objective))

    def relax(self, prices: Floats) -> Floats:
        """Solve the linear relaxation: some columns, then those that its prices ask for, until they ask for none.

        Returns:
            Value of each column; the incumbent's where time ran out.
        """
        model, whole = self._model, self._model.whole
        found = self.best
        self._price(prices)
        inside = self.best > 0.0
        inside[whole:] = True
        inside[_least(self._reduced[:whole], FAVOURED * len(model.row_lower))] = True
        chosen = np.flatnonzero(inside)
        highs = _model(model, chosen, model.upper)
        while self._run(highs, 1.0):
            solution = highs.getSolution()
            found = np.zeros(len(model.cost))
            found[chosen] = solution.col_value
            reduced = self._price(model.project(np.array(solution.row_dual)))
            asked = np.flatnonzero((reduced < -TOLERANCE) & ~inside)
            if asked.size == 0:
                break
            asked = asked[_least(reduced[asked], PRICED_IN)]
            inside[asked] = True
            chosen = np.concatenate([chosen, asked])
            _add(highs, model, asked, model.upper)
        return found

    def consider(self, plan: Floats) -> None:
        """Start from another plan where it is cheaper."""
        cost = float(self._model.cost @ plan)
        if cost < self.objective:
            self.best, self.objective = plan, cost

    def _price(self, prices: Floats) -> Floats:
        """Reduced costs at the prices; they are kept where the bound is higher."""
        reduced = self._model.reduced_costs(prices)
        bound = self._model.bound(prices, reduced)
        if bound > self._relaxed:
            self.prices, self._reduced = prices, reduced
            self.bound = self._relaxed = bound
        return reduced

    def branch(self, most: int, work_limit: int) -> None:
        """Solve in whole numbers over at most about `most` columns, those that prices favour.

        A plan with a column that is left out costs at least the relaxation's bound and that column's reduced cost.
        """
        if not self._is_open():
            return
        model, whole = self._model, self._model.whole
        reduced, gap = self._reduced[:whole], self._gap
        dearest = float(np.partition(reduced, most)[most]) if self.contenders > most else gap
        self._complete = dearest >= gap
        inside = self.best > 0.0
        inside[whole:] = True
        inside[:whole] |= reduced <= dearest
        upper = model.upper.copy()
        dear = reduced * upper[:whole] > gap
        upper[:whole][dear] = np.floor(gap / reduced[dear])
        chosen = np.flatnonzero(inside)
        highs = _model(model, chosen, np.maximum(upper, self.best))
        _make_whole(highs, int(np.count_nonzero(inside[:whole])))
        highs.setOptionValue("mip_max_nodes", max(1, work_limit // (WORK_PER_NODE * len(chosen))))
        start = highspy.HighsSolution()
        start.col_value = list(self.best[chosen])
        highs.setSolution(start)
        self._run(highs, 1.0 if self._complete or most == MOST_COLUMNS else 0.5)
        self._take(highs, chosen, self._relaxed + dearest)

    def _take(self, highs: Any, chosen: Indices, others: float) -> None:  # noqa: ANN401 -- highspy is not typed
        """Keep what is better; `others` is what plans with columns left out cost at least."""
        found = highs.getInfo()
        self.bound = max(self.bound, min(found.mip_dual_bound, others, self.objective))
        values = np.array(highs.getSolution().col_value)
        if values.size and found.objective_function_value < self.objective:
            self.best = np.zeros(len(self._model.cost))
            self.best[chosen] = np.maximum(values, 0.0)
            self.objective = found.objective_function_value

    def _run(self, highs: Any, share: float) -> bool:  # noqa: ANN401 -- highspy is not typed
        """Run within a share of the time left; whether the run came to its end."""
        before = highs.getRunTime()  # of all runs of one model together
        highs.setOptionValue("time_limit", before + max(0.0, share * self._left))
        highs.run()
        self._left -= highs.getRunTime() - before
        self.timed_out = highs.getModelStatus() == highspy.HighsModelStatus.kTimeLimit
        return bool(highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)


def _least(values: Floats, count: int) -> Indices:
    """Positions of the `count` least values."""
    return np.argpartition(values, count)[:count] if count < len(values) else np.arange(len(values))


def _model(model: Columns, chosen: Indices, upper: Floats) -> Any:  # noqa: ANN401 -- highspy is not typed
    """The linear programme over some columns."""
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy is not typed
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("mip_feasibility_tolerance", TOLERANCE),
        ("primal_feasibility_tolerance", TOLERANCE),
        ("mip_rel_gap", 1e-7),
        ("mip_abs_gap", TOLERANCE),
    ):
        highs.setOptionValue(option, value)
    rows, none = len(model.row_lower), np.zeros(0, np.int32)
    highs.addRows(rows, model.row_lower, model.row_upper, 0, np.zeros(rows, np.int32), none, np.zeros(0))
    _add(highs, model, chosen, upper)
    return highs


def _add(highs: Any, model: Columns, chosen: Indices, upper: Floats) -> None:  # noqa: ANN401 -- highspy is not typed
    starts, rows, values = model.entries(chosen)
    cost, least = model.cost[chosen], np.zeros(len(chosen))
    highs.addCols(len(chosen), cost, least, upper[chosen], len(rows), starts[:-1].astype(np.int32),
                  rows.astype(np.int32), values)  # fmt: skip


def _make_whole(highs: Any, count: int) -> None:  # noqa: ANN401 -- highspy is not typed
    kinds = np.full(count, int(highspy.HighsVarType.kInteger), np.uint8)
    highs.changeColsIntegrality(count, np.arange(count, dtype=np.int32), kinds)
