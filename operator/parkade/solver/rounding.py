"""Plans as values of the columns: whole replicas with the units and shortfalls that follow from them."""

import numpy as np

from parkade.problem.arrays import ProblemArrays
from parkade.solver.columns import Columns, Floats, Indices

SLACK = 1e-9
"""Relative; what arithmetic adds to a whole number is no reason for another unit."""


def plan_of(problem: ProblemArrays, replicas: Indices, units: Indices, short: Floats) -> Floats:
    """[columns] of a plan: its units are taken from the cheapest steps."""
    counts, offsets = problem.supplies_steps_count.astype(np.int64), problem.supplies_steps_offsets.astype(np.int64)
    supply = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((problem.supplies_steps_cost, supply))
    before = np.concatenate([[0], np.cumsum(counts[order])])
    left = units[supply] - (before[:-1] - before[offsets[supply]])
    taken = np.zeros(len(counts))
    taken[order] = np.clip(left, 0, counts[order])
    return np.concatenate([replicas, taken, short], dtype=np.float64)


def rounded(problem: ProblemArrays, model: Columns, relaxed: Floats) -> Floats:
    """[columns] of a plan near the relaxation's values: rounded up, and down where that is too much for a row."""
    wanted = relaxed[: model.arcs]
    up = np.ceil(wanted - SLACK)
    column = np.repeat(np.arange(model.arcs), np.diff(model.starts[: model.arcs + 1]))
    rows, values = model.rows[: len(column)], model.values[: len(column)]

    def activity(replicas: Floats) -> Floats:
        found: Floats = np.bincount(rows, values * replicas[column], minlength=len(model.row_lower)).astype(np.float64)
        return found

    ends: Indices = problem.supplies_capacity_offsets.astype(np.int64)
    supply = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    offered = np.diff(np.concatenate([[0], np.cumsum(problem.supplies_steps_count)])[problem.supplies_steps_offsets])
    resources = slice(model.covers, model.covers + len(supply))
    most = model.row_upper.copy()
    most[resources] = problem.supplies_capacity_amount * offered[supply]
    over = activity(up) > most * (1.0 + SLACK)
    too_many = np.zeros(model.arcs, np.bool_)
    too_many[column[over[rows]]] = True
    replicas = np.where(too_many, np.floor(wanted + SLACK), up)
    taken = activity(replicas)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(taken[resources] > 0.0, taken[resources] / problem.supplies_capacity_amount, 0.0)
    units = np.zeros(len(offered))
    np.maximum.at(units, supply, np.ceil(each * (1.0 - SLACK)))
    short = np.maximum(0.0, model.row_lower[: model.covers] - taken[: model.covers])
    return plan_of(problem, replicas.astype(np.int64), np.minimum(units, offered).astype(np.int64), short)
