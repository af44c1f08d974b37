"""Whether a problem asks what the last one asked, and the last answer as a solution of it.

A search that goes on finds ever smaller savings. While nothing that a plan was decided on has changed, it stands; and
it stands where a search finds none.
"""

from dataclasses import replace
from hashlib import blake2b
from itertools import chain

import numpy as np

from parkade.problem.arrays import Array, ProblemArrays
from parkade.solver.arrays import SolutionArrays
from parkade.solver.prepared import MOST_ARCS
from parkade.solver.rounding import SLACK, plan_of
from parkade.solver.solution import Status

COVER_SLACK = 1e-12
"""Relative; the tolerance of a cover."""
OPTIMAL_GAP = 1e-6
OPTIMAL_SHORTFALL = 1e-11
"""Of what is paid without the shortfall, and of the shortfall's cost: up to here a solution is called optimal."""


def question(problem: ProblemArrays) -> bytes:
    """A digest of all that does not depend on what runs; nothing for a large problem, which is never asked the same.

    What runs shows in cheaper arcs beside those that bring replicas up, in their maxima, and in limits of changes. So
    the dearest arc between a demand and a supply speaks for both.
    """
    if len(problem.arcs_demand) > MOST_ARCS:
        return b""
    demand, supply = problem.arcs_demand.astype(np.int64), problem.arcs_supply.astype(np.int64)
    order = np.lexsort((problem.arcs_cost, supply, demand))
    last = (np.diff(demand[order], append=-1) != 0) | (np.diff(supply[order], append=-1) != 0)
    arcs = order[last]
    parts = [
        *(ids for ids in (problem.demands_id, problem.demands_covers_id, problem.supplies_id) if ids is not None),
        problem.demands_covers_quantity, problem.demands_covers_short_cost,
        problem.supplies_steps_offsets, problem.supplies_steps_count, problem.supplies_steps_cost,
        problem.supplies_capacity_offsets, problem.supplies_capacity_name, problem.supplies_capacity_amount,
        demand[arcs], supply[arcs], problem.arcs_cost[arcs], _rows(problem.arcs_yields, problem.yields_offsets, arcs),
        _rows(problem.arcs_use_resource, problem.arcs_use_offsets, arcs),
        _rows(problem.arcs_use_amount, problem.arcs_use_offsets, arcs),
    ]  # fmt: skip
    digest = blake2b(digest_size=16)
    for text in chain.from_iterable((str((part.dtype, part.shape)).encode(), part.tobytes()) for part in parts):
        digest.update(text)
    return digest.digest()


def standing(problem: ProblemArrays, replicas: Array, proof: SolutionArrays) -> SolutionArrays | None:
    """The plan of `replicas`, [arcs], with the bound that another solution proves; None if the plan breaks a row."""
    used = np.flatnonzero(replicas)
    counts = replicas[used].astype(np.float64)
    units = _units(problem, used, counts)
    if units is None or (replicas > problem.arcs_max).any() or not _keeps_limits(problem, replicas):
        return None
    short = _short(problem, used, counts)
    shortfall = float(problem.demands_covers_short_cost @ short)
    paid = plan_of(problem, np.zeros(0, np.int64), units, np.zeros(0)) @ problem.supplies_steps_cost
    served = float(problem.arcs_cost[used].astype(np.float64) @ counts) + float(paid)
    left = served + shortfall - proof.bound
    status: Status = "feasible" if proof.status == "optimal" else proof.status
    if left <= OPTIMAL_GAP * abs(served) + OPTIMAL_SHORTFALL * shortfall:
        status = "optimal"
    gap = left / max(abs(served), 1e-9)
    return replace(
        proof, status=status, objective=served + shortfall, gap=gap, replicas=replicas, units=units, short=short
    )


def _units(problem: ProblemArrays, used: Array, counts: Array) -> Array | None:
    """[K] units that the replicas need; None if there are not so many. Those that cost less than nothing are taken."""
    uses = problem.arcs_use_offsets
    first = problem.supplies_capacity_offsets.astype(np.int64)
    lengths = np.ediff1d(uses)[used].astype(np.int64)
    row = np.repeat(first[problem.arcs_supply[used]], lengths) + _rows(problem.arcs_use_resource, uses, used)
    amount = _rows(problem.arcs_use_amount, uses, used).astype(np.float64) * np.repeat(counts, lengths)
    capacity = problem.supplies_capacity_amount
    taken = np.bincount(row, amount, len(capacity))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(taken > 0.0, np.ceil(taken / capacity * (1.0 - SLACK)), 0.0)
    step = np.repeat(np.arange(len(first) - 1), np.ediff1d(problem.supplies_steps_offsets))
    offered = np.bincount(step, problem.supplies_steps_count, len(first) - 1)
    needed = np.bincount(
        step, np.where(problem.supplies_steps_cost < 0.0, problem.supplies_steps_count, 0), len(offered)
    )
    np.maximum.at(needed, np.repeat(np.arange(len(offered)), np.ediff1d(first)), each)
    return needed.astype(np.int64) if (needed <= offered).all() else None


def _short(problem: ProblemArrays, used: Array, counts: Array) -> Array:
    """[C], in each cover's own unit."""
    first = problem.demands_covers_offsets.astype(np.int64)
    lengths = np.ediff1d(first)[problem.arcs_demand[used]]
    ends = np.cumsum(lengths)
    cover = np.arange(lengths.sum()) + np.repeat(first[problem.arcs_demand[used]] - (ends - lengths), lengths)
    amount = _rows(problem.arcs_yields, problem.yields_offsets, used).astype(np.float64) * np.repeat(counts, lengths)
    quantity = problem.demands_covers_quantity.astype(np.float64)
    short = quantity - np.bincount(cover, amount, len(quantity))
    return np.where(short > COVER_SLACK * quantity, short, 0.0)


def _keeps_limits(problem: ProblemArrays, replicas: Array) -> bool:
    limit = np.repeat(np.arange(len(problem.limits_bound)), np.ediff1d(problem.limits_terms_offsets))
    amount = problem.limits_terms_coefficient.astype(np.float64) * replicas[problem.limits_terms_arc]
    taken = np.bincount(limit, amount, len(problem.limits_bound))
    return bool((taken <= problem.limits_bound * (1.0 + SLACK)).all())


def _rows(values: Array, offsets: Array, chosen: Array) -> Array:
    """The rows of the chosen, one after the other."""
    first, lengths = offsets[chosen].astype(np.int64), np.ediff1d(offsets)[chosen].astype(np.int64)
    found: Array = values[np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())]
    return found
