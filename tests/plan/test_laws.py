"""Laws that hold for every plan, by hypothesis."""

import json
from collections import Counter
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import worlds
from parkade.api import Reason
from parkade.plan import Plan, plan_once
from parkade.plan.explain import PAYOUT, at_prices
from parkade.plan.naming import whole_percents
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.solver import solve

LAW = settings(max_examples=15, deadline=None)


@st.composite
def facts(draw: st.DrawFn) -> Snapshot:
    """A live cluster with cells, servers and one to three workloads; nothing runs yet."""
    home = worlds.cars(
        payout={"perComputeHour": draw(st.sampled_from(("0", "0.04", "0.2")))},
        links=[{"name": "WiFi", "perGB": draw(st.sampled_from(("0", "0.05", "0.5")))}],
        hardware={"name": "hw4", "memory": "4Gi", "slots": draw(st.integers(1, 3))},
    )
    triton = worlds.servers(
        count=draw(st.integers(1, 3)),
        hardware={"name": "a100", "memory": "4Gi", "instances": draw(st.integers(1, 4))},
        opportunityCost={"perServerHour": draw(st.sampled_from(("0", "0.3", "0.85")))},
    )
    workloads = [
        worlds.workload(
            name,
            demand=[{"region": "us-ca", "rate": draw(st.sampled_from(("0", "5", "60", "150")))}],
            model={"memory": draw(st.sampled_from(("300Mi", "900Mi", "2Gi")))},
            placement={"minReplicas": draw(st.integers(1, 3))},
            priority=draw(st.sampled_from((0, 100))),
        )
        for name in ("a", "b", "c")[: draw(st.integers(1, 3))]
    ]
    cells = [worlds.cell(home, shard, draw(st.integers(0, 4))) for shard in range(2)]
    return worlds.snapshot([worlds.region(), home, triton, *workloads, *cells], servers=worlds.live([triton]))


def planned(snapshot: Snapshot) -> Plan:
    return plan_once(snapshot, Economics(), solve)


def text(plan: Plan) -> str:
    return json.dumps(plan.to_dict(), sort_keys=True)


def cars_used(plan: Plan) -> int:
    return sum(p.replicas for part in plan.workloads for p in part.placements if p.tier == "Vehicle")


@LAW
@given(facts())
def test_equal_snapshots_give_byte_equal_plans(snapshot):
    shuffled = replace(snapshot, workloads=snapshot.workloads[::-1], vehicle_pools=snapshot.vehicle_pools[::-1])
    assert text(planned(snapshot)) == text(planned(shuffled))


@LAW
@given(facts())
def test_no_order_exceeds_a_cell_or_a_server(snapshot):
    plan = planned(snapshot)
    memory = {w.key: w.spec.model.memory.bytes for w in snapshot.workloads}
    (pool,) = snapshot.vehicle_pools
    cells = {cell.key: cell for cell in snapshot.cells}
    for order in plan.cells:
        cars = sum(column.vehicles for column in cells[order.cell].status.supply)
        assert sum(a.replicas for a in order.assignments) <= cars * pool.spec.hardware.slots
        assert sum(a.replicas * memory[a.workload] for a in order.assignments) <= cars * pool.spec.hardware.memory.bytes
    (triton,) = snapshot.triton_pools
    for order in plan.servers:
        assert sum(model.instances for model in order.models) <= triton.spec.hardware.instances
        assert sum(m.instances * memory[m.workload] for m in order.models) <= triton.spec.hardware.memory.bytes


@LAW
@given(facts())
def test_orders_are_the_placements(snapshot):
    plan = planned(snapshot)
    ordered: Counter[tuple[str, str]] = Counter()
    for order in plan.cells:
        ordered.update({(a.workload, order.cell): a.replicas for a in order.assignments})
    for server in plan.servers:
        ordered.update({(m.workload, server.pool): m.instances for m in server.models})
    placed = {(part.workload, p.place): p.replicas for part in plan.workloads for p in part.placements}
    assert +ordered == Counter(placed)
    for part in plan.workloads:
        assert sum(placement.share for placement in part.placements) == (100 if part.placements else 0)


@LAW
@given(facts())
def test_a_plan_that_is_applied_is_the_next_plan(snapshot):
    plan = planned(snapshot)
    # three packing rounds may leave a replica out, which the plan says; the next cycle tries again
    assume(not any(short.reason is Reason.NOT_PACKED for part in plan.workloads for short in part.shortfalls))
    again = planned(worlds.applied(snapshot, plan))
    assert (again.cells, again.servers) == (plan.cells, plan.servers)
    assert again.cost.move == 0.0


@LAW
@given(facts(), st.sampled_from((0.05, 0.3, 1.0)))
def test_a_dearer_payout_never_moves_replicas_towards_cars(snapshot, raised):
    before, after = planned(snapshot), planned(at_prices(snapshot, PAYOUT, raised))
    # a shortfall's price follows the dearest place, so compare plans without any
    assume(not any(part.shortfalls for plan in (before, after) for part in plan.workloads))
    assume(snapshot.vehicle_pools[0].spec.hardware.slots == 1)
    assert cars_used(after) <= cars_used(before)


@LAW
@given(facts())
def test_the_bound_is_below_the_packed_plan(snapshot):
    proof = planned(snapshot).certificate
    assert proof.bound <= proof.objective + 1e-9
    assert proof.packed_gap >= proof.gap - 1e-9


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
def test_whole_percents_add_up(weights):
    percents = whole_percents(weights)
    assert sum(percents) == 100
    assert all(abs(p - 100 * w / sum(weights)) < 1 for p, w in zip(percents, weights, strict=True))
