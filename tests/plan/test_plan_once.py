import json
from dataclasses import replace

import pytest

import worlds
from parkade.api import Reason
from parkade.plan import Plan, plan_once
from parkade.settings import Economics
from parkade.snapshot import LoadedModel, Rejection, Snapshot
from parkade.snapshot.versions import version_of
from parkade.solver import solve


def planned(facts: Snapshot, *, offline: bool = False) -> Plan:
    return plan_once(facts, Economics(), solve, offline=offline)


def places(plan: Plan, key: str) -> dict[str, int]:
    part = plan.workload(key)
    assert part is not None
    return {placement.place: placement.replicas for placement in part.placements}


def test_cheap_cars_win_and_the_plan_says_what_the_others_would_cost():
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.servers(), worlds.workload()])
    part = planned(facts, offline=True).workload("vision/sign-reader")
    assert part is not None
    (only,) = part.placements
    assert (only.place, only.tier, only.replicas, only.share) == ("ca-home-hw4", "Vehicle", 2, 100)
    assert only.reason is Reason.CHEAPEST_PLACE
    assert "0.155 $/h at ca-home-hw4" in only.message
    assert "$/h at austin-a100" in only.message
    # two Charging cars at 0.0776 $/h, and the bringing up of both
    assert part.cost.total - part.cost.move == pytest.approx(0.1552, abs=1e-4)
    assert part.expected.watts == pytest.approx(227.27, abs=0.01)
    assert 0.06 < part.expected.p99 < 0.12


def test_an_only_place_says_what_is_wrong_with_the_others():
    pool, empty, triton = worlds.cars(), worlds.cars("tx-hw4"), worlds.servers()
    facts = worlds.snapshot(
        [worlds.region(), pool, worlds.cell(pool), empty, triton, worlds.workload()], servers=worlds.live([triton])
    )
    for left in (
        replace(facts, servers=()),
        replace(facts, servers=tuple(replace(server, live=False) for server in facts.servers)),
    ):
        (only,) = planned(left).workload("vision/sign-reader").placements
        assert only.reason is Reason.ONLY_PLACE
        assert "austin-a100 has no Triton server that answers" in only.message
        assert "tx-hw4 has no car that may work now" in only.message
    alone = worlds.snapshot([worlds.region(), pool, worlds.cell(pool), worlds.workload()])
    (only,) = planned(alone).workload("vision/sign-reader").placements
    assert "no other pool exists" in only.message


def test_a_priced_byte_sends_the_same_workload_to_the_datacenter():
    paid = worlds.cars(links=[{"name": "WiFi", "perGB": "0.50"}])
    facts = worlds.snapshot([worlds.region(), paid, worlds.servers(), worlds.workload()])
    assert places(planned(facts, offline=True), "vision/sign-reader") == {"austin-a100": 2}


def test_two_replicas_go_to_two_servers():
    pool = worlds.servers()
    facts = worlds.snapshot([worlds.region(), pool, worlds.workload()], servers=worlds.live([pool]))
    plan = planned(facts)
    assert [[model.instances for model in order.models] for order in plan.servers] == [[1], [1]]
    assert plan.cost.opportunity == pytest.approx(1.70)


def test_one_server_still_serves_both_replicas():
    pool = worlds.servers(count=1)
    facts = worlds.snapshot([worlds.region(), pool, worlds.workload()], servers=worlds.live([pool]))
    plan = planned(facts)
    assert [[model.instances for model in order.models] for order in plan.servers] == [[2]]
    assert plan.workload("vision/sign-reader").shortfalls == ()


def test_a_digest_s_version_is_what_servers_hold():
    pool = worlds.servers(count=1)
    facts = worlds.snapshot([worlds.region(), pool, worlds.workload()], servers=worlds.live([pool]))
    (order,) = planned(facts).servers
    assert order.models[0].digest == worlds.digest("sign-reader")
    again = planned(worlds.applied(facts, planned(facts)))
    assert again.servers == (order,)
    assert again.workload("vision/sign-reader").cost.move == 0.0


def test_pooled_compute_that_no_server_has_is_solved_again():
    def half(name: str) -> object:
        profile = {"hardware": "a100", "serviceTime": "2ms", "scv": "0.1", "maxRatePerServer": "100"}
        return worlds.workload(name, model={"profiles": [profile]}, placement={"minReplicas": 1})

    pool = worlds.servers()
    # 60 of 100 requests/s each: three of them fit two pooled servers, but only two fit real ones
    facts = worlds.snapshot([worlds.region(), pool, half("a"), half("b"), half("c")], servers=worlds.live([pool]))
    plan = planned(facts)
    loads = [sum(model.instances for model in order.models) for order in plan.servers]
    assert loads == [1, 1]
    assert plan.certificate.rounds > 1
    assert plan.certificate.packed_gap > plan.certificate.gap
    short = [part for part in plan.workloads if part.shortfalls]
    assert len(short) == 1
    assert short[0].shortfalls[0].message


def test_cars_that_left_are_replaced_by_free_ones():
    pool = worlds.cars()
    facts = worlds.snapshot([worlds.region(), pool, worlds.cell(pool, vehicles=4), worlds.workload()])
    running = worlds.applied(facts, planned(facts))
    left = worlds.cell(pool, vehicles=3, free=2, assignments=[
        {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 2}
    ])  # fmt: skip
    again = planned(replace(running, cells=(left,)))
    assert places(again, "vision/sign-reader") == {"ca-home-hw4-0": 2}


def test_every_cell_and_live_server_has_an_order_even_if_empty():
    pool, triton = worlds.cars(), worlds.servers()
    held = [{"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 2}]
    facts = worlds.snapshot(
        [worlds.region(), pool, triton, worlds.cell(pool, free=2, assignments=held), worlds.workload(suspend=True)],
        servers=worlds.live([triton]),
    )
    plan = planned(facts)
    assert [(order.cell, order.assignments) for order in plan.cells] == [("ca-home-hw4-0", ())]
    assert [order.models for order in plan.servers] == [(), ()]
    left_out = plan.workload("vision/sign-reader").left_out
    assert left_out is not None
    assert left_out.reason is Reason.SUSPENDED


def test_a_workload_that_cannot_be_read_keeps_its_cars():
    pool = worlds.cars()
    held = [{"workload": "vision/broken", "digest": worlds.digest("broken"), "replicas": 3}]
    facts = worlds.snapshot(
        [worlds.region(), pool, worlds.cell(pool, free=1, assignments=held), worlds.workload()],
        unreadable=frozenset({"vision/broken"}),
    )
    (order,) = planned(facts).cells
    assert {a.workload: a.replicas for a in order.assignments} == {"vision/broken": 3, "vision/sign-reader": 1}


def test_several_models_share_a_car_with_slots_and_memory():
    pool = worlds.cars(hardware={"name": "hw4", "memory": "8Gi", "slots": 2})
    facts = worlds.snapshot(
        [worlds.region(), pool, worlds.cell(pool, vehicles=2), worlds.workload("a"), worlds.workload("b")]
    )
    (order,) = planned(facts).cells
    assert [a.replicas for a in order.assignments] == [2, 2]


def test_a_plan_is_plain_json():
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.servers(), worlds.workload()])
    plan = planned(facts, offline=True)
    document = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert document["workloads"][0]["placements"][0]["reason"] == "CheapestPlace"
    assert document["solved_at"] == "2026-01-01T00:00:00+00:00"


def test_nothing_meets_the_target_but_requests_are_served():
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.workload(latency={"target": "20ms"})])
    part = planned(facts, offline=True).workload("vision/sign-reader")
    assert part is not None
    assert part.placements[0].reason is Reason.LATE_BUT_SERVED
    assert "raise latency.target" in part.placements[0].message
    assert part.expected.p99 > 0.02
    assert part.shortfalls == ()


def test_spread_puts_capacity_into_a_second_region():
    far = worlds.region("us-tx", latency=[{"to": "us-ca", "p50": "38ms", "p99": "61ms"}])
    away = worlds.cars("tx-hw4", region="us-tx", payout={"perComputeHour": "0.10"})
    objects = [worlds.region(), far, worlds.cars(), away]
    narrow = worlds.snapshot([*objects, worlds.workload()])
    assert places(planned(narrow, offline=True), "vision/sign-reader") == {"ca-home-hw4": 2}
    wide = worlds.snapshot([*objects, worlds.workload(placement={"minReplicas": 2, "spread": 2})])
    part = planned(wide, offline=True).workload("vision/sign-reader")
    assert {p.place: (p.replicas, p.reason) for p in part.placements} == {
        "ca-home-hw4": (1, Reason.CHEAPEST_PLACE),
        "tx-hw4": (1, Reason.SPREAD_REQUIRED),
    }


def test_too_few_cars_leave_a_shortfall_with_a_remedy():
    heavy = worlds.workload(demand=[{"region": "us-ca", "rate": "2000"}])
    part = planned(worlds.snapshot([worlds.region(), worlds.cars(), heavy]), offline=True).workload(heavy.key)
    assert part is not None
    assert [(entry.cover, entry.reason) for entry in part.shortfalls] == [
        ("rate/us-ca", Reason.NOT_ENOUGH_CAPACITY),
        ("departures/us-ca", Reason.NOT_ENOUGH_SPARE),
    ]
    assert all("add cars or servers" in entry.message for entry in part.shortfalls)
    assert "while cars that leave together are replaced" in part.shortfalls[1].message
    assert part.replicas == 4


def test_a_broken_workload_moves_nobody_and_gets_nothing():
    pool, triton = worlds.cars(), worlds.servers()
    good, broken = worlds.workload(), worlds.workload("broken", priority=900)
    world = [worlds.region(), pool, triton, worlds.cell(pool, vehicles=2)]
    running = worlds.snapshot([*world, good], servers=worlds.live([triton]))
    running = worlds.applied(running, planned(running))
    before = planned(running)
    assert places(before, good.key) == {"ca-home-hw4-0": 2}
    failed = worlds.staged([broken], "Failed", reason="DigestMismatch", message="another sha256")
    rejected = tuple(Rejection(broken.key, worlds.digest("broken"), at.key, "bad", worlds.NOW) for at in (pool, triton))
    for trouble in (
        {"artifacts": (*running.artifacts, *failed)},
        {"artifacts": running.artifacts},
        {"artifacts": (*running.artifacts, *worlds.staged([broken])), "rejections": rejected},
    ):
        after = planned(replace(running, workloads=(broken, good), **trouble))
        assert (after.cells, after.servers) == (before.cells, before.servers)
        assert after.workload(broken.key).left_out is not None


def test_an_older_model_whose_successor_cannot_be_had_keeps_its_cars():
    pool = worlds.cars()
    held = [{"workload": "vision/old", "digest": worlds.digest("the one before"), "replicas": 3}]
    old, other = worlds.workload("old"), worlds.workload()
    facts = worlds.snapshot(
        [worlds.region(), pool, worlds.cell(pool, free=1, assignments=held), old, other],
        artifacts=(*worlds.staged([old], "Failed"), *worlds.staged([other])),
    )
    (order,) = planned(facts).cells
    assert {a.workload: a.replicas for a in order.assignments} == {other.key: 1}


def test_an_older_model_whose_successor_cannot_be_had_keeps_its_instances():
    triton = worlds.servers(count=1, hardware={"name": "a100", "memory": "80Gi", "instances": 3})
    old, other = worlds.workload("old"), worlds.workload()
    (server,) = worlds.live([triton])
    server = replace(server, models=(LoadedModel("old", 7, 2, ready=True),))
    facts = worlds.snapshot(
        [worlds.region(), triton, old, other],
        servers=(server,), artifacts=(*worlds.staged([old], "Fetching"), *worlds.staged([other])),
    )  # fmt: skip
    (order,) = planned(facts).servers
    assert [(model.model, model.instances) for model in order.models] == [("sign-reader", 1)]


def test_two_replicas_share_the_only_server_that_answers():
    triton = worlds.servers()
    facts = worlds.snapshot([worlds.region(), triton, worlds.workload()], servers=worlds.live([triton]))
    first, *others = facts.servers
    gone = tuple(replace(server, live=False, models=()) for server in others)
    for running in (0, 1):
        version = version_of(str(facts.workloads[0].spec.model.artifacts[0].sha256))
        models = (LoadedModel("sign-reader", version, 1, ready=True),) if running else ()
        plan = planned(replace(facts, servers=(replace(first, models=models), *gone)))
        assert places(plan, "vision/sign-reader") == {"austin-a100": 2}
        (order,) = plan.servers
        assert [model.instances for model in order.models] == [2]
