import numpy as np
import pytest

from benchmarks.solver.answers import Task
from benchmarks.solver.evaluation import cost_of
from benchmarks.solver.filling import Filling
from benchmarks.solver.instances import dense
from benchmarks.solver.methods import kube, policies, pop
from parkade.problem.flattening import flatten
from parkade.problem.format import Arc, Cover, Demand, Problem, Step, Supply
from strategies import contended


@pytest.fixture
def task(tmp_path):
    return Task(tmp_path / "none.npz", 1.0, tmp_path)


def pods_of_two_on(servers):
    """A workload that wants two replicas; each takes a quarter of a server."""
    return flatten(
        Problem(
            (Demand("w", (Cover("min-replicas", 2.0, 1.0),)),),
            (Supply("pool", (Step(servers, 1.0),), {"compute": 1.0, "memory": 80.0}),),
            (Arc("new", 0, 0, (1.0,), 0.01, {"compute": 0.25, "memory": 20.0}, 2),),
            (),
        )
    )


@pytest.mark.parametrize(
    ("nodes", "found"), [(99, 99), (100, 100), (300, 144), (1_000, 420), (5_000, 500), (9_500, 475)]
)
def test_kube_samples_as_many_nodes_as_the_scheduler(nodes, found):
    assert kube.nodes_to_find(nodes) == found


@pytest.mark.parametrize(("most_allocated", "servers_used"), [(False, 2), (True, 1)])
def test_kube_spreads_or_packs(most_allocated, servers_used):
    scheduler = kube.Scheduler(Filling(pods_of_two_on(3)), most_allocated=most_allocated)
    scheduler.schedule(0)
    assert len(scheduler.pods) == servers_used


def test_kube_moves_no_pod(task):
    problem = pods_of_two_on(3)
    first = kube.solve(problem, task, most_allocated=False).replicas
    later = Task(task.problem, 1.0, task.folder, task.folder)
    assert np.array_equal(kube.solve(problem, later, most_allocated=False).replicas, first)


@pytest.mark.parametrize("policy", ["price", "spread", "datacenter", "cars"])
@pytest.mark.parametrize("problem", [dense(30, 20), flatten(contended(3))], ids=["dense", "limits"])
def test_policies_make_plans(policy, problem, task):
    plan = policies.solve(problem, task, policy=policy)
    nothing = cost_of(problem, np.zeros_like(plan.replicas))
    cost = cost_of(problem, plan.replicas)
    assert cost.faults == ()
    assert cost.shortfall < nothing.shortfall


def test_policies_place_where_they_say(task):
    problem = dense(30, 20)
    pools = np.arange(20) % 10 == 9
    of_pools = pools[problem.arcs_supply]
    assert not policies.solve(problem, task, policy="datacenter").replicas[~of_pools].any()
    assert policies.solve(problem, task, policy="cars").replicas[~of_pools].any()


def test_the_parts_of_pop_add_up():
    problem = flatten(contended(3))
    parts = list(pop.split(problem, 3))
    assert np.array_equal(np.sort(np.concatenate([arcs for arcs, _ in parts])), np.arange(len(problem.arcs_demand)))
    counts = sum(part.supplies_steps_count for _, part in parts)
    assert np.array_equal(counts, problem.supplies_steps_count)
    assert sum(part.limits_bound for _, part in parts) == pytest.approx(problem.limits_bound)
    for arcs, part in parts:
        assert np.array_equal(part.arcs_cost, problem.arcs_cost[arcs])
        assert type(part).from_mapping(part.to_mapping()).arcs_yields.sum() == part.arcs_yields.sum()


@pytest.mark.parametrize("by", ["lp", "mip", "ours"])
def test_pop_makes_plans(by, task):
    problem = dense(30, 20)
    plan = pop.solve(problem, task, parts=4, by=by)
    assert cost_of(problem, plan.replicas).faults == ()
