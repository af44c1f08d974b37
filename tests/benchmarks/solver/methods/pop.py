"""POP: demands are dealt at random to k parts, each part gets a k-th of every step and limit, parts are solved alone.

Two parts are solved at a time. Large demands are not split over several parts, which the paper proposes for clients
that are no small share of the whole: a demand with several covers has no such split.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from benchmarks.solver.answers import Answer, Counts, Floats, Task
from benchmarks.solver.evaluation import entries
from benchmarks.solver.greedy import round_and_fill
from benchmarks.solver.matrix import matrix
from benchmarks.solver.methods import highs, ours
from parkade.problem.arrays import ProblemArrays, offsets_of

AT_A_TIME = 2
SEED = 11


def prepare(task: Task) -> ProblemArrays:
    """The arrays."""
    return ProblemArrays.from_npz(task.problem)


def solve(problem: ProblemArrays, task: Task, *, parts: int, by: str) -> Answer:
    """Solve each part by `lp`, `mip` or `ours`; relaxed flows are rounded and filled up on the whole problem."""
    share = AT_A_TIME * task.limit / parts
    solver = SOLVERS[by]

    def run(part: tuple[Counts, ProblemArrays]) -> tuple[Counts, Found]:
        return part[0], solver(part[1], share)

    merged: Floats = np.zeros(len(problem.arcs_demand))
    complete = True
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for arcs, (flow, to_the_end) in pool.map(run, split(problem, parts)):
            if flow is None:
                return Answer(complete=False, note="a part found no plan in its share of the time")
            merged[arcs] = flow
            complete &= to_the_end
    replicas = round_and_fill(problem, merged) if by == "lp" else np.rint(merged).astype(np.int64)
    return Answer(replicas=replicas, complete=complete)


Found = tuple[Floats | None, bool]
"""The replicas of a part's arcs, whole or not, and whether the search came to its end."""


def _by_lp(part: ProblemArrays, limit: float) -> Found:
    model = matrix(part)
    solver = highs.relax(model, limit, threads=1)
    return highs.flow(solver, model), highs.complete(solver)


def _by_mip(part: ProblemArrays, limit: float) -> Found:
    solver, replicas = highs.branch(matrix(part), limit, threads=1)
    return None if replicas is None else replicas.astype(np.float64), highs.complete(solver)


def _by_ours(part: ProblemArrays, limit: float) -> Found:
    found = ours.solve_arrays(part.to_mapping(), limit, 1)
    return None if found.replicas is None else found.replicas.astype(np.float64), found.complete


SOLVERS: dict[str, Callable[[ProblemArrays, float], Found]] = {"lp": _by_lp, "mip": _by_mip, "ours": _by_ours}


def split(problem: ProblemArrays, parts: int) -> Iterator[tuple[Counts, ProblemArrays]]:
    """Each part with the indices of its arcs in the whole."""
    random = np.random.default_rng(SEED)
    of_demand = random.permutation(len(problem.demands_covers_offsets) - 1) % parts
    first = random.integers(0, parts, len(problem.supplies_steps_count))
    for part in range(parts):
        # What does not divide goes, unit by unit, to the parts from a random one on.
        whole, rest = np.divmod(problem.supplies_steps_count.astype(np.int64), parts)
        counts = whole + ((part - first) % parts < rest)
        arcs = np.flatnonzero(of_demand[problem.arcs_demand] == part)
        yield arcs, _part(problem, np.flatnonzero(of_demand == part), arcs, counts, 1.0 / parts)


def _part(problem: ProblemArrays, demands: Counts, arcs: Counts, counts: Counts, share: float) -> ProblemArrays:
    renamed = np.zeros(len(problem.demands_covers_offsets) - 1, np.int64)
    renamed[demands] = np.arange(len(demands))
    place = np.full(len(problem.arcs_demand), -1)
    place[arcs] = np.arange(len(arcs))
    covers_of, covers = entries(problem.demands_covers_offsets.astype(np.int64), demands)
    uses_of, uses = entries(problem.arcs_use_offsets.astype(np.int64), arcs)
    _, yields = entries(problem.yields_offsets, arcs)
    lengths = np.diff(problem.limits_terms_offsets.astype(np.int64))
    limit = np.repeat(np.arange(len(lengths)), lengths)
    terms = np.flatnonzero(place[problem.limits_terms_arc] >= 0)
    return replace(
        problem,
        demands_id=None, demands_covers_id=None, arcs_id=None, arcs_yields_offsets=None,
        demands_covers_offsets=offsets_of(np.bincount(covers_of, minlength=len(demands))),
        demands_covers_quantity=problem.demands_covers_quantity[covers],
        demands_covers_short_cost=problem.demands_covers_short_cost[covers],
        supplies_steps_count=counts,
        arcs_demand=renamed[problem.arcs_demand[arcs]],
        arcs_supply=problem.arcs_supply[arcs],
        arcs_cost=problem.arcs_cost[arcs],
        arcs_max=problem.arcs_max[arcs],
        arcs_yields=problem.arcs_yields[yields],
        arcs_use_offsets=offsets_of(np.bincount(uses_of, minlength=len(arcs))),
        arcs_use_resource=problem.arcs_use_resource[uses],
        arcs_use_amount=problem.arcs_use_amount[uses],
        limits_bound=problem.limits_bound * share,
        limits_terms_offsets=offsets_of(np.bincount(limit[terms], minlength=len(lengths))),
        limits_terms_arc=place[problem.limits_terms_arc[terms]],
        limits_terms_coefficient=problem.limits_terms_coefficient[terms],
    )  # fmt: skip
