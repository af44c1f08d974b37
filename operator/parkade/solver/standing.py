"""Whether a problem asks what the last one asked, and the last answer as a solution of it.

A search that goes on finds ever smaller savings. While nothing that a plan was decided on has changed, it stands.
"""

from dataclasses import replace
from hashlib import blake2b
from itertools import chain

import numpy as np

from parkade.problem.arrays import Array, ProblemArrays
from parkade.solver.arrays import SolutionArrays
from parkade.solver.columns import columns
from parkade.solver.prepared import MOST_ARCS
from parkade.solver.rounding import fits, needed, plan_of
from parkade.solver.solution import Status

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
    model, counts = columns(problem), replicas.astype(np.float64)
    if not fits(problem, model, counts):
        return None
    units, short = needed(problem, model, counts)
    free = np.where(problem.supplies_steps_cost < 0.0, problem.supplies_steps_count, 0)
    supply = np.repeat(np.arange(len(units)), np.ediff1d(problem.supplies_steps_offsets))
    units = np.maximum(units, np.bincount(supply, free, len(units)).astype(np.int64))  # they cost less than nothing
    objective = float(model.cost @ plan_of(problem, replicas, units, short))
    shortfall = float(problem.demands_covers_short_cost @ short)
    served = abs(objective - shortfall)
    status: Status = "feasible" if proof.status == "optimal" else proof.status
    if objective - proof.bound <= OPTIMAL_GAP * served + OPTIMAL_SHORTFALL * shortfall:
        status = "optimal"
    gap = (objective - proof.bound) / max(served, 1e-9)
    return replace(proof, status=status, objective=objective, gap=gap, replicas=replicas, units=units, short=short)


def _rows(values: Array, offsets: Array, chosen: Array) -> Array:
    """The rows of the chosen, one after the other."""
    first, lengths = offsets[chosen].astype(np.int64), np.ediff1d(offsets)[chosen].astype(np.int64)
    found: Array = values[np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())]
    return found
