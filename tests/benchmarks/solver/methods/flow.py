"""Minimum cost flow by OR-Tools, where the problem is one: replicas flow from demands to supplies.

That asks for one cover a demand with yields that do not depend on the place, one resource of which a replica takes one
unit, and no limits. Other problems are refused: a flow that ignores covers is a plan of another problem.
"""

import numpy as np
from ortools.graph.python import min_cost_flow

from benchmarks.solver.answers import Answer, Counts, NotApplicable, Task
from parkade.problem.arrays import ProblemArrays

PER_DOLLAR = 1_000_000
"""Costs are whole millionths of a $/h."""


def prepare(task: Task) -> ProblemArrays:
    """The arrays."""
    return ProblemArrays.from_npz(task.problem)


def solve(problem: ProblemArrays, task: Task) -> Answer:
    """Source -> demand -> supply -> sink, with a way past the supplies for each replica that is short."""
    del task
    wanted, value, last = _wants(problem)
    demands, supplies = len(wanted), len(problem.supplies_steps_offsets) - 1
    sink = demands + supplies
    step = np.repeat(np.arange(supplies), np.diff(problem.supplies_steps_offsets.astype(np.int64)))
    every = np.arange(demands)
    tail = np.concatenate([problem.arcs_demand, demands + step, every, every])
    head = np.concatenate([demands + problem.arcs_supply.astype(np.int64), np.full(len(step) + 2 * demands, sink)])
    most = np.concatenate([
        problem.arcs_max, problem.supplies_steps_count, np.minimum(wanted, 1), np.maximum(wanted - 1, 0)
    ])  # fmt: skip
    # Units that cost less than nothing are bought anyway, so drawing them is free.
    cost = np.concatenate([problem.arcs_cost, np.maximum(problem.supplies_steps_cost, 0.0), last, value])
    network = min_cost_flow.SimpleMinCostFlow()
    flows = network.add_arcs_with_capacity_and_unit_cost(
        tail.astype(np.int32), head.astype(np.int32), most.astype(np.int64), np.rint(cost * PER_DOLLAR).astype(np.int64)
    )
    nodes = np.append(every, sink).astype(np.int32)
    network.set_nodes_supplies(nodes, np.append(wanted, -wanted.sum()).astype(np.int64))
    if network.solve() != network.OPTIMAL:
        return Answer(complete=False)
    replicas: Counts = np.asarray(network.flows(flows[: len(problem.arcs_demand)]), np.int64)
    return Answer(replicas=replicas)


def _wants(problem: ProblemArrays) -> tuple[Counts, np.ndarray, np.ndarray]:
    """Of each demand: replicas, $/h of a replica that is short, and of the last one, which covers less.

    Raises:
        NotApplicable: the problem is no flow.
    """
    if (np.diff(problem.demands_covers_offsets.astype(np.int64)) != 1).any():
        raise NotApplicable("no flow: demands have several covers")
    if len(problem.limits_bound):
        raise NotApplicable("no flow: there are limits")
    single = (np.diff(problem.supplies_capacity_offsets.astype(np.int64)) == 1).all()
    if not single or (problem.arcs_use_amount != problem.supplies_capacity_amount[problem.arcs_supply]).any():
        raise NotApplicable("no flow: replicas share units")
    demands = len(problem.demands_covers_quantity)
    each, least = np.zeros(demands), np.full(demands, np.inf)
    np.maximum.at(each, problem.arcs_demand, problem.arcs_yields)
    np.minimum.at(least, problem.arcs_demand, problem.arcs_yields)
    if (each != least).any():
        raise NotApplicable("no flow: yields depend on the place")
    quantity, short = problem.demands_covers_quantity, problem.demands_covers_short_cost
    wanted = np.ceil(quantity / each * (1.0 - 1e-12)).astype(np.int64)
    return wanted, short * each, short * (quantity - (wanted - 1) * each)
