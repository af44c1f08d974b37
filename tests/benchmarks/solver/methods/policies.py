"""Policies without a model of the whole: each demand is served in turn, the dearest shortfall first.

- price: the cheapest marginal cost for what a replica covers, on any place;
- datacenter: the same, on servers only;
- cars: the same, on cars as far as they go, then on servers;
- spread: after SpotHedge (SkyServe): replicas of a demand spread over the regions of cars, a quarter more of them than
  needed, and what cars do not cover on servers.

None moves what runs: when demands have changed, replicas that still help stay, and only what is missing is added.
"""

import numpy as np

from benchmarks.solver.answers import Answer, Counts, Floats, NotApplicable, Task, running
from benchmarks.solver.filling import Filling
from benchmarks.solver.greedy import by_value, serve
from benchmarks.solver.places import domains, is_vehicle
from parkade.problem.arrays import ProblemArrays

OVERPROVISION = 1.25


def prepare(task: Task) -> ProblemArrays:
    """The arrays."""
    return ProblemArrays.from_npz(task.problem)


def solve(problem: ProblemArrays, task: Task, *, policy: str) -> Answer:
    """Serve every demand by the policy.

    Raises:
        NotApplicable: it needs servers, and there are none.
    """
    cars = is_vehicle(problem)
    if policy == "datacenter" and cars.all():
        raise NotApplicable("there are no servers")
    filling, domain = Filling(problem), domains(problem)
    if task.before is not None:
        _keep(filling, running(task.before), np.where(cars & (policy == "spread"), OVERPROVISION, 1.0))
    for demand in by_value(problem):
        if policy == "spread":
            _spread(filling, int(demand), cars, domain)
        elif policy == "cars":
            serve(filling, int(demand), cars)
        serve(filling, int(demand), None if policy == "price" else ~cars)
    return Answer(replicas=filling.replicas)


def _keep(filling: Filling, replicas: Counts, boost: Floats) -> None:
    """Cheapest first, so that what is too much is the dearest; `boost` is per supply."""
    problem = filling.problem
    arcs = np.flatnonzero(replicas)
    for arc in arcs[np.argsort(problem.arcs_cost[arcs], kind="stable")]:
        filling.keep(int(arc), int(replicas[arc]), float(boost[problem.arcs_supply[arc]]))


def _spread(filling: Filling, demand: int, cars: np.ndarray, domain: np.ndarray) -> None:
    """One replica at a time on the cheapest car of the region that has the fewest of this demand."""
    arcs = filling.arcs(demand)
    supply = filling.problem.arcs_supply[arcs]
    held = np.zeros(int(domain.max(initial=0)) + 1)
    while (missing := filling.missing(demand, OVERPROVISION)).any():
        ratio = filling.cost_per_gain(demand, missing)
        ratio[~cars[supply]] = np.inf
        open_ = np.isfinite(ratio)
        if not open_.any():
            return
        fewest = np.where(open_, held[domain[supply]], np.inf)
        arc = int(np.argmin(np.where(fewest == fewest.min(), ratio, np.inf)))
        filling.place(arcs.start + arc, 1)
        held[domain[supply[arc]]] += 1
