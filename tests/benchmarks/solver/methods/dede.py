"""DeDe: the relaxation by alternating between resources and demands (ADMM); then rounded and filled up as POP's is.

It stops by its own rule, when the augmented Lagrangian changes by less than 1 %. Rows are divided by their quantity or
capacity, without which its one penalty for all rows does not converge.
"""

import functools
import itertools
import operator
from typing import Any

import dede as dd
import numpy as np
import ray

from benchmarks.solver.answers import THREADS, Answer, Floats, Task
from benchmarks.solver.greedy import round_and_fill
from parkade.problem.arrays import ProblemArrays


def prepare(task: Task) -> ProblemArrays:
    """The arrays."""
    return ProblemArrays.from_npz(task.problem)


def solve(problem: ProblemArrays, task: Task) -> Answer:
    """Both sides' rows, the objective that belongs to them, and what the resources' side ends with."""
    del task
    replicas = dd.Variable(len(problem.arcs_demand), nonneg=True)
    drawn = dd.Variable(len(problem.supplies_steps_count), nonneg=True)
    short = dd.Variable(len(problem.demands_covers_quantity), nonneg=True)
    resources, costs = _resources(problem, replicas, drawn)
    demands, more = _demands(problem, replicas, short)
    objective = dd.Minimize(functools.reduce(operator.add, costs + more))
    model = dd.Problem(objective, resources + _limits(problem, replicas), demands)
    model.solve(num_cpus=THREADS, solver=dd.ECOS)
    return Answer(replicas=round_and_fill(problem, _values(model, replicas)))


def _rows(offsets: np.ndarray) -> list[slice]:
    return [slice(a, b) for a, b in itertools.pairwise(offsets.tolist())]


def _resources(problem: ProblemArrays, replicas: Any, drawn: Any) -> tuple[list[Any], list[Any]]:
    """A resource of a supply's units is drawn in steps."""
    rows, costs = [], []
    arc = np.repeat(np.arange(len(problem.arcs_demand)), np.diff(problem.arcs_use_offsets.astype(np.int64)))
    first = problem.supplies_capacity_offsets.astype(np.int64)
    row = first[problem.arcs_supply[arc]] + problem.arcs_use_resource
    for supply, steps in enumerate(_rows(problem.supplies_steps_offsets)):
        resources = range(first[supply], first[supply + 1])
        if steps.stop == steps.start or not np.isin(row, resources).any():
            continue  # DeDe fails on rows that no arc links to the other side
        rows.append(drawn[steps] <= problem.supplies_steps_count[steps].astype(float))
        for resource in resources:
            uses = np.flatnonzero(row == resource)
            if uses.size:
                share = problem.arcs_use_amount[uses] / problem.supplies_capacity_amount[resource]
                rows.append(share.astype(float) @ replicas[arc[uses]] <= dd.sum(drawn[steps]))
        if problem.supplies_steps_cost[steps].any():
            costs.append(problem.supplies_steps_cost[steps].astype(float) @ drawn[steps])
    return rows, costs


def _demands(problem: ProblemArrays, replicas: Any, short: Any) -> tuple[list[Any], list[Any]]:
    """A cover is met or short."""
    rows, costs = [], []
    for demand, covers in enumerate(_rows(problem.demands_covers_offsets)):
        arcs = np.flatnonzero(problem.arcs_demand == demand)
        if not arcs.size:
            continue
        offsets = problem.yields_offsets[arcs]
        for position, cover in enumerate(range(covers.start, covers.stop)):
            quantity = float(problem.demands_covers_quantity[cover]) or 1.0
            yields = problem.arcs_yields[offsets + position].astype(float) / quantity
            met = short[cover] / quantity + yields @ replicas[arcs]
            rows.append(met >= float(problem.demands_covers_quantity[cover]) / quantity)
        costs.append(problem.demands_covers_short_cost[covers].astype(float) @ short[covers])
        rows.append(replicas[arcs] <= problem.arcs_max[arcs].astype(float))
        costs.append(problem.arcs_cost[arcs].astype(float) @ replicas[arcs])
    return rows, costs


def _limits(problem: ProblemArrays, replicas: Any) -> list[Any]:
    """Rows of resources too: a limit makes one group of all the supplies it touches."""
    rows = []
    for limit, terms in enumerate(_rows(problem.limits_terms_offsets)):
        bound = float(problem.limits_bound[limit]) or 1.0
        coefficients = problem.limits_terms_coefficient[terms].astype(float) / bound
        rows.append(
            coefficients @ replicas[problem.limits_terms_arc[terms]] <= float(problem.limits_bound[limit]) / bound
        )
    return rows


def _values(model: Any, variable: Any) -> Floats:
    """DeDe leaves the values with its actors, in the order of their indices."""
    actors = model._subprob_cache.probs  # noqa: SLF001 -- it has no other way to its solution
    places = [place for part in ray.get([actor.get_solution_idx_r.remote() for actor in actors]) for place in part]
    values: Floats = np.zeros(variable.size)
    for (identity, position), value in zip(places, model.sol_r, strict=True):
        if identity == variable.id:
            values[position] = value
    return values
