"""HiGHS: the linear relaxation by simplex or interior point, and branch and bound.

OR-Tools brings its own copy of HiGHS, so that the two cannot live in one process.
"""

import highspy
import numpy as np

from benchmarks.solver.answers import THREADS, Answer, Counts, Floats, Task
from benchmarks.solver.matrix import Matrix, prepare

__all__ = ["branch", "complete", "flow", "prepare", "relax", "solve"]

TOLERANCE = 1e-9
"""At its default of 1e-6 branch and bound returns plans that break a supply's or a limit's row."""


def solve(model: Matrix, task: Task, *, solver: str) -> Answer:
    """By `simplex` or `ipm`: the relaxation's value, and D at its row prices; by `mip`: a plan and its own bound."""
    if solver == "mip":
        highs, replicas = branch(model, task.limit)
        return Answer(replicas=replicas, bound=highs.getInfo().mip_dual_bound, complete=complete(highs))
    highs = relax(model, task.limit, solver=solver)
    if not complete(highs):
        return Answer(complete=False)
    prices = np.array(highs.getSolution().row_dual)
    return Answer(value=highs.getInfo().objective_function_value, bound=model.proved(prices))


def relax(model: Matrix, limit: float, *, solver: str = "simplex", threads: int = THREADS) -> highspy.Highs:
    """Run; the interior point method without crossover, since no vertex is asked for."""
    highs = _loaded(model, limit, threads=threads)
    highs.setOptionValue("solver", solver)
    highs.setOptionValue("run_crossover", "off")
    highs.run()
    return highs


def branch(model: Matrix, limit: float, *, threads: int = THREADS) -> tuple[highspy.Highs, Counts | None]:
    """Run; with the best replicas, if any were found."""
    highs = _loaded(model, limit, threads=threads)
    kinds = np.full(model.whole, int(highspy.HighsVarType.kInteger), np.uint8)
    highs.changeColsIntegrality(model.whole, np.arange(model.whole, dtype=np.int32), kinds)
    highs.setOptionValue("mip_feasibility_tolerance", TOLERANCE)
    highs.setOptionValue("primal_feasibility_tolerance", TOLERANCE)
    highs.run()
    values = flow(highs, model)
    return highs, None if values is None else np.rint(values).astype(np.int64)


def flow(highs: highspy.Highs, model: Matrix) -> Floats | None:
    """[A]: replicas of each arc, whole or not; None where nothing feasible was found."""
    if highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    return np.array(highs.getSolution().col_value)[: model.arcs]


def complete(highs: highspy.Highs) -> bool:
    """It came to its end."""
    return bool(highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)


def _loaded(model: Matrix, limit: float, *, threads: int) -> highspy.Highs:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(model.cost), len(model.row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = model.cost, np.zeros(len(model.cost)), model.upper
    lp.row_lower_, lp.row_upper_ = model.row_lower, model.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = model.starts, model.rows, model.values
    highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", threads), ("time_limit", limit)):
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    return highs
