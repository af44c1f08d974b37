"""Plans as values of the columns: whole replicas with the units and shortfalls that follow from them."""

import numpy as np

from parkade.problem.arrays import ProblemArrays
from parkade.solver.columns import Columns, Floats, Indices

SLACK = 1e-9
"""Relative; what arithmetic adds to a whole number is no reason for another unit."""
COVER_SLACK = 1e-12
"""Relative; the tolerance of a cover."""


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
    over = _activity(model, up) > _most(problem, model) * (1.0 + SLACK)
    column = np.repeat(np.arange(model.arcs), np.diff(model.starts[: model.arcs + 1]))
    too_many = np.zeros(model.arcs, np.bool_)
    too_many[column[over[model.rows[: len(column)]]]] = True
    replicas = np.where(too_many, np.floor(wanted + SLACK), up)
    units, short = needed(problem, model, replicas)
    return plan_of(problem, replicas.astype(np.int64), np.minimum(units, _offered(problem)), short)


def fits(problem: ProblemArrays, model: Columns, replicas: Floats) -> bool:
    """Whether no row is overused, with all units in use, and no arc has more than it may."""
    within = _activity(model, replicas) <= _most(problem, model) * (1.0 + SLACK)
    return bool(within[model.covers :].all() and (replicas <= problem.arcs_max).all())


def needed(problem: ProblemArrays, model: Columns, replicas: Floats) -> tuple[Indices, Floats]:
    """Units that replicas need, [supplies], and what is short, [covers]."""
    taken = _activity(model, replicas)
    supply = _supply_of(problem.supplies_capacity_offsets)
    resources = slice(model.covers, model.covers + len(supply))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(taken[resources] > 0.0, taken[resources] / problem.supplies_capacity_amount, 0.0)
    units = np.zeros(len(problem.supplies_steps_offsets) - 1)
    np.maximum.at(units, supply, np.ceil(each * (1.0 - SLACK)))
    lower = model.row_lower[: model.covers]
    short = lower - taken[: model.covers]
    return units.astype(np.int64), np.where(short > COVER_SLACK * lower, short, 0.0)


def _activity(model: Columns, replicas: Floats) -> Floats:
    """[rows], what replicas add to each."""
    column = np.repeat(np.arange(model.arcs), np.diff(model.starts[: model.arcs + 1]))
    rows, values = model.rows[: len(column)], model.values[: len(column)]
    found: Floats = np.bincount(rows, values * replicas[column], minlength=len(model.row_lower)).astype(np.float64)
    return found


def _most(problem: ProblemArrays, model: Columns) -> Floats:
    """[rows], with all units in use."""
    supply = _supply_of(problem.supplies_capacity_offsets)
    most = model.row_upper.copy()
    most[model.covers : model.covers + len(supply)] = problem.supplies_capacity_amount * _offered(problem)[supply]
    return most


def _offered(problem: ProblemArrays) -> Indices:
    """[supplies], all units."""
    ends = np.concatenate([[0], np.cumsum(problem.supplies_steps_count.astype(np.int64))])
    return np.diff(ends[problem.supplies_steps_offsets])


def _supply_of(offsets: Indices) -> Indices:
    """The supply of each entry of rows."""
    return np.repeat(np.arange(len(offsets) - 1), np.ediff1d(offsets))
