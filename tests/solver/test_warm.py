"""The next solve starts where the last one ended: what runs moves only for what pays for the move."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest

import worlds
from benchmarks.solver.evaluation import cost_of
from oracles.checker import faults
from parkade.plan import Plan, plan_once
from parkade.problem.arrays import ProblemArrays
from parkade.problem.flattening import flatten
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.solver import SolutionArrays
from parkade.solver.prepared import Prepared
from parkade.solver.solve import Terms, prove
from parkade.solver.standing import standing
from parkade.solver.warm import Memory, solve_from
from solver.crowds import crowd
from strategies import contended, random_problem

MORE = 1.01
"""The demand of a workload after a change of 1 %."""


def world(count: int, *, changed: int = -1, austin: str = "0.85") -> Snapshot:
    """Workloads that compete for few cars in two regions and for servers at two prices."""
    random = Random(7)  # noqa: S311 -- repeatable, not secret
    tx = {"region": "us-tx", "energyPrice": {"perKWh": "0.2"}}
    pools = [
        worlds.cars(payout={"perComputeHour": "0.01"}),
        worlds.cars("tx-home", payout={"perComputeHour": "0.02"}, **tx),
    ]

    def servers(name: str, region: str, cost: str) -> object:
        urls = [{"http": f"{name}-{at}.example:8000", "grpc": f"{name}-{at}.example:8001"} for at in range(count // 12)]
        return worlds.servers(name, region=region, endpoints={"urls": urls}, opportunityCost={"perServerHour": cost})

    pooled = [servers("austin", "us-tx", austin), servers("fresno", "us-ca", "1.1")]
    workloads = []
    for index in range(count):
        rate = random.uniform(5, 400) * (MORE if index == changed else 1.0)
        workloads.append(
            worlds.workload(
                f"w{index:03}",
                demand=[{"region": random.choice(("us-ca", "us-tx")), "rate": f"{rate:.4f}"}],
                model={"memory": random.choice(("300Mi", "900Mi", "6Gi"))},
                placement={"minReplicas": random.choice((1, 2, 3))},
                priority=random.choice((0, 50, 100)),
            )
        )
    cells = [worlds.cell(pool, shard, count // 3) for pool in pools for shard in range(3)]
    regions = [worlds.region(), worlds.region("us-tx", energyPrice={"perKWh": "0.06"})]
    return worlds.snapshot([*regions, *pools, *pooled, *workloads, *cells], servers=worlds.live(pooled))


class Solver:
    """As the cycle keeps it: the last state, and here the last problem too."""

    def __init__(self) -> None:
        self.memory: Memory | None = None
        self.problem: ProblemArrays
        self.before: SolutionArrays
        self.solution: SolutionArrays

    def __call__(self, problem: ProblemArrays) -> SolutionArrays:
        self.stayed = self.memory.plan_in(problem) if self.memory else None
        self.problem = problem
        self.solution, self.memory = solve_from(problem, self.memory, Terms())
        return self.solution


def planned(snapshot: Snapshot, solver: Solver) -> Plan:
    return plan_once(snapshot, Economics(), solver)


@pytest.mark.parametrize("count", [24, pytest.param(130, marks=pytest.mark.slow)])
def test_a_cycle_with_nothing_changed_changes_nothing(count: int) -> None:
    snapshot, solver = world(count), Solver()
    plan = planned(snapshot, solver)
    assert plan.cost.move > 0.0
    for _ in range(2):
        snapshot = worlds.applied(snapshot, plan)
        again = planned(snapshot, solver)
        assert (again.cells, again.servers, again.cost.move) == (plan.cells, plan.servers, 0.0)
        assert again.certificate.bound <= again.certificate.objective
        plan = again


@pytest.mark.parametrize("count", [24, pytest.param(130, marks=pytest.mark.slow)])
def test_a_change_of_a_percent_moves_only_what_pays_for_its_move(count: int) -> None:
    snapshot, solver = world(count), Solver()
    plan = planned(snapshot, solver)
    running = worlds.applied(snapshot, plan)
    planned(running, solver)
    for changed in range(0, count, count // 2):
        planned(replace(running, workloads=world(count, changed=changed).workloads), solver)
        problem, replicas, stayed = solver.problem, solver.solution.replicas, solver.stayed
        assert stayed is not None
        cost = cost_of(problem, replicas)
        assert cost.faults == ()
        assert cost.total <= cost_of(problem, stayed).total + 1e-9
        for demand in np.unique(problem.arcs_demand[replicas != stayed]):
            back = np.where(problem.arcs_demand == demand, stayed, replicas)
            without = cost_of(problem, back)
            assert without.faults or without.total >= cost.total - 1e-9


def test_dearer_servers_let_the_next_solve_start_from_nothing() -> None:
    snapshot, solver = world(24), Solver()
    plan = planned(snapshot, solver)
    running = worlds.applied(snapshot, plan)
    memory = solver.memory
    assert memory is not None
    assert memory.state_for(solver.problem) is not None
    planned(replace(running, triton_pools=world(24, austin="1.7").triton_pools), solver)
    assert memory.state_for(solver.problem) is None


def test_what_comes_and_goes_keeps_the_places_of_the_others() -> None:
    """Ids, not indices: the first demand and the first supply go, others come."""
    problem = crowd(120)
    _, memory = solve_from(flatten(problem), None, Terms())
    fewer = replace(
        problem,
        demands=(*problem.demands[1:], replace(problem.demands[0], id="late")),
        arcs=tuple(replace(arc, demand=(arc.demand - 1) % 120) for arc in problem.arcs),
    )
    before, now = memory.state_for(flatten(problem)), memory.state_for(flatten(fewer))
    assert before is not None
    assert now is not None

    def by_name(of: object, state: object) -> dict[tuple[str, int], int]:
        found = {}
        for arc, count in zip(state["replicas.arc"].tolist(), state["replicas.count"].tolist(), strict=True):
            found[of.demands[of.arcs[arc].demand].id, of.arcs[arc].supply] = count
        return found

    others = {key: count for key, count in by_name(problem, before).items() if key[0] != "w0"}
    assert by_name(fewer, now) == others
    assert np.isnan(now["theta"][-2:]).all()
    assert np.isfinite(now["theta"][:-2]).all()
    assert solve_from(flatten(fewer), memory, Terms())[0].objective > 0.0


@pytest.mark.parametrize("seed", range(30))
def test_a_plan_that_stands_is_priced_as_the_checker_does(seed: int) -> None:
    problem = random_problem(Random(seed))  # noqa: S311 -- repeatable, not secret
    prepared = Prepared.of(flatten(problem))
    found = prove(prepared, Terms()).solution
    stands = standing(flatten(problem), found.replicas, found)
    assert stands is not None
    assert faults(json.loads(problem.to_json()), json.loads(stands.to_json(prepared.shape))) == []
    assert stands.objective == pytest.approx(found.objective, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_a_plan_that_breaks_a_row_does_not_stand(seed: int) -> None:
    arrays = flatten(contended(seed))
    found = prove(Prepared.of(arrays), Terms()).solution
    for more in (np.ones_like(found.replicas), arrays.arcs_max + 1 - found.replicas):
        replicas = found.replicas + more
        assert cost_of(arrays, replicas).faults
        assert standing(arrays, replicas, found) is None
