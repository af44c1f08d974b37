"""The whole problem by OR-Tools CP-SAT, which knows whole numbers only.

A row is multiplied until its right-hand side is 720,720; yields and capacities are rounded down, quantities and uses
up, so that what CP-SAT calls feasible is. Its own bound is of the rounded problem.
"""

import numpy as np
from ortools.sat.python import cp_model

from benchmarks.solver.answers import THREADS, Answer, Counts, Floats, Task
from benchmarks.solver.matrix import Matrix, prepare

__all__ = ["prepare", "solve"]

PARTS = 720_720
"""Whole numbers that a quantity, a unit or a limit is cut into: divisible by 1 to 16, as replicas divide a unit."""


def solve(model: Matrix, task: Task) -> Answer:
    """Minimise the true costs over the scaled rows."""
    scaled, right, per_part = _scaled(model)
    cp = cp_model.CpModel()
    shortest = right[: model.covers]
    most = np.concatenate([model.upper[: model.whole].astype(np.int64), shortest])
    variables = [cp.new_int_var(0, int(upper), "") for upper in most]
    of_row: list[list[int]] = [[] for _ in right]
    column = np.repeat(np.arange(len(model.cost)), np.diff(model.starts))
    for entry, row in enumerate(model.rows):
        of_row[row].append(entry)
    for row, members in enumerate(of_row):
        terms = [variables[column[entry]] for entry in members]
        total = cp_model.LinearExpr.weighted_sum(terms, [int(scaled[entry]) for entry in members])
        cp.add(total >= int(right[row]) if row < model.covers else total <= int(right[row]))
    cost = model.cost.copy()
    cost[model.whole :] *= per_part
    cp.minimize(cp_model.LinearExpr.weighted_sum(variables, cost.tolist()))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = task.limit
    solver.parameters.num_workers = THREADS
    status = solver.solve(cp)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Answer(complete=False)
    replicas: Counts = np.array([solver.value(variable) for variable in variables[: model.arcs]], np.int64)
    return Answer(replicas=replicas, bound=solver.best_objective_bound, complete=status == cp_model.OPTIMAL)


def _scaled(model: Matrix) -> tuple[Counts, Counts, Floats]:
    """Whole entries, whole right-hand sides, and of each cover how much one part is."""
    side = model.sides
    units = np.zeros(len(side))
    np.maximum.at(units, model.rows, np.abs(np.where(model.values < 0.0, model.values, 0.0)))
    whole = np.where(side > 0.0, side, np.where(units > 0.0, units, 1.0))
    times = PARTS / whole
    times[: model.covers] = np.where(side[: model.covers] > 0.0, times[: model.covers], 1.0)
    entries = model.values * times[model.rows]
    cover = model.rows < model.covers
    rounded = np.where(cover, np.floor(entries + 1e-6), np.ceil(entries - 1e-6)).astype(np.int64)
    shortfall = np.repeat(np.arange(len(model.cost)), np.diff(model.starts)) >= model.whole
    rounded[shortfall] = 1
    right = np.where(np.arange(len(side)) < model.covers, np.ceil(side * times), np.floor(side * times + 1e-6))
    return rounded, right.astype(np.int64), 1.0 / times[: model.covers]
