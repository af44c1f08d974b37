"""What a plan truly costs, whether it is one, and how far it is from what is proved.

Shares no code with the solver or with any method. Nothing is repaired: a plan that breaks a row is infeasible.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import Counts, Floats
from parkade.problem.arrays import ProblemArrays

TOLERANCE = 1e-9
"""Of a supply's or a limit's right-hand side: the problem's own."""
COVER_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Cost:
    """Of whole replicas."""

    total: float
    """$/h with the shortfall."""
    shortfall: float
    """$/h"""
    faults: tuple[str, ...]
    """The rows that the plan breaks; none of a feasible one."""

    def gap(self, bound: float) -> float:
        """Of the plan to a lower bound in $/h: relative to what is paid without the shortfall."""
        return (self.total - bound) / max(abs(self.total - self.shortfall), 1e-9)


def cost_of(problem: ProblemArrays, replicas: Counts) -> Cost:
    """Price a plan: arcs, the units that they need in merit order, and what is short."""
    used = np.flatnonzero(replicas)
    counts = replicas[used].astype(np.float64)
    units, faults = _units(problem, used, counts)
    if (replicas < 0).any() or (replicas > problem.arcs_max).any():
        faults.append("an arc has fewer replicas than none or more than its most")
    faults += _limit_faults(problem, replicas)
    short = _short(problem, used, counts)
    shortfall = float(short @ problem.demands_covers_short_cost)
    arcs = float(problem.arcs_cost[used].astype(np.float64) @ counts)
    return Cost(arcs + _units_cost(problem, units) + shortfall, shortfall, tuple(faults))


def started(problem: ProblemArrays, before: Counts, after: Counts) -> int:
    """Replicas of a demand on a supply in the second plan that did not run there in the first."""
    pair = problem.arcs_demand.astype(np.int64) * len(problem.supplies_steps_offsets) + problem.arcs_supply
    changed = np.flatnonzero((before > 0) | (after > 0))
    where = np.unique(pair[changed], return_inverse=True)[1]
    more = np.bincount(where, (after - before)[changed].astype(np.float64))
    return int(np.maximum(more, 0.0).sum())


def entries(offsets: NDArray[np.int64], rows: Counts) -> tuple[Counts, Counts]:
    """Of some rows of flat arrays: which of `rows` each entry belongs to, and where the entry is."""
    lengths = offsets[rows + 1] - offsets[rows]
    which = np.repeat(np.arange(len(rows)), lengths)
    ends = np.cumsum(lengths)
    return which, np.arange(len(which)) - np.repeat(ends - lengths, lengths) + np.repeat(offsets[rows], lengths)


def _short(problem: ProblemArrays, used: Counts, counts: Floats) -> Floats:
    """[C]"""
    offsets = problem.demands_covers_offsets.astype(np.int64)
    which, at = entries(problem.yields_offsets, used)
    first = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(used)))])
    cover = offsets[problem.arcs_demand[used]][which] + np.arange(len(at)) - first[which]
    quantity = problem.demands_covers_quantity.astype(np.float64)
    covered = np.bincount(cover, problem.arcs_yields[at].astype(np.float64) * counts[which], minlength=len(quantity))
    return np.where(covered >= quantity * (1.0 - COVER_TOLERANCE), 0.0, quantity - covered)


def _units(problem: ProblemArrays, used: Counts, counts: Floats) -> tuple[Floats, list[str]]:
    """[K]: whole units of each supply that hold what is placed on it."""
    first = problem.supplies_capacity_offsets.astype(np.int64)
    which, at = entries(problem.arcs_use_offsets.astype(np.int64), used)
    row = first[problem.arcs_supply[used]][which] + problem.arcs_use_resource[at]
    capacity = problem.supplies_capacity_amount.astype(np.float64)
    taken = np.bincount(row, problem.arcs_use_amount[at].astype(np.float64) * counts[which], minlength=len(capacity))
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(taken > 0.0, np.ceil(taken / (capacity * (1.0 + TOLERANCE))), 0.0)
    supply = np.repeat(np.arange(len(first) - 1), np.diff(first))
    units = np.zeros(len(first) - 1)
    np.maximum.at(units, supply, needed)
    most = np.bincount(_step_supplies(problem), problem.supplies_steps_count, minlength=len(units))
    over = np.flatnonzero(units > most)
    return units, [f"supply {k} would need {units[k]:.0f} units of {most[k]:.0f}" for k in over[:3]]


def _step_supplies(problem: ProblemArrays) -> Counts:
    offsets = problem.supplies_steps_offsets.astype(np.int64)
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _units_cost(problem: ProblemArrays, units: Floats) -> float:
    """Cheapest first; units that cost less than nothing are taken in any case."""
    supply = _step_supplies(problem)
    order = np.lexsort((problem.supplies_steps_cost, supply))
    cost = problem.supplies_steps_cost[order].astype(np.float64)
    count = problem.supplies_steps_count[order].astype(np.float64)
    before = np.concatenate([[0.0], np.cumsum(count)])
    left = units[supply] - (before[:-1] - before[problem.supplies_steps_offsets.astype(np.int64)[supply]])
    taken = np.where(cost < 0.0, count, np.clip(left, 0.0, count))
    return float(taken @ cost)


def _limit_faults(problem: ProblemArrays, replicas: Counts) -> list[str]:
    lengths = np.diff(problem.limits_terms_offsets.astype(np.int64))
    limit = np.repeat(np.arange(len(lengths)), lengths)
    amount = problem.limits_terms_coefficient * replicas[problem.limits_terms_arc]
    taken = np.bincount(limit, amount, minlength=len(lengths))
    over = np.flatnonzero(taken > problem.limits_bound * (1.0 + TOLERANCE))
    return [f"limit {at} is {taken[at]:.6g} of {problem.limits_bound[at]:.6g}" for at in over[:3]]
