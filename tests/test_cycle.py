"""The whole operator as a process against a real API server; cells' facts are written as carlet would write them."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.world import (
    CELL,
    LEASE_SECONDS,
    SPACE,
    SYSTEM,
    World,
    eventually,
    operated,
    region,
    triton_pool,
    vehicle_pool,
)
from parkade.cluster.resources import CELLS, EVENTS, LEASES, PODS, SERVICES, SLICES, WORKLOADS
from parkade.local.plane import Plane

pytestmark = pytest.mark.cluster


@pytest.fixture
def world(plane: Plane, tmp_path: Path) -> Iterator[World]:
    with operated(plane, tmp_path) as world:
        yield world


def test_a_workload_becomes_orders_pods_service_and_status(world: World) -> None:
    operator = world.operate("a")
    world.serve()
    status = world.workload()["status"]
    assert (status["url"], status["grpcUrl"], status["modelName"]) == ("127.0.0.1:81", "127.0.0.1:82", "sign-reader")
    assert [(row["place"], row["tier"]) for row in status["placements"]] == [(CELL, "Vehicle")]
    assert status["replicas"] == world.orders()["vision/sign-reader"]
    assert world.condition("Placed")[0] == "True"
    assert world.condition("SLOMet")[0] == "True"
    assert world.condition("FieldsHonoured") == ("True", "AllFieldsHonoured")
    eventually(lambda: world.pods() == [f"sign-reader-{CELL}"], "the face of the workload in the cell")
    service = world.client.get(SERVICES.path(SPACE, "sign-reader"))
    assert [port["port"] for port in service["spec"]["ports"]] == [8000, 8001]
    assert world.cell()["spec"]["term"] == 1
    assert (operator.probe("/healthz"), operator.probe("/readyz"), operator.probe("/nothing")) == (200, 200, 404)
    metrics = operator.metrics()
    assert 'parkade_replicas{tier="Vehicle",workload="vision/sign-reader"}' in metrics
    assert 'parkade_cycle_phase_seconds_count{phase="solve"}' in metrics


def test_nothing_is_planned_while_nothing_changes(world: World) -> None:
    operator = world.operate("a")
    world.serve()

    def counted(line: str) -> float:
        return next(float(text.split()[-1]) for text in operator.metrics().splitlines() if text.startswith(line))

    unchanged, plans = 'parkade_cycles_total{outcome="unchanged"}', 'parkade_cycle_phase_seconds_count{phase="plan"}'
    eventually(lambda: counted(unchanged) > 0, "all is settled")
    turns, planned = counted(unchanged), counted(plans)
    eventually(lambda: counted(unchanged) >= turns + 3, "turns go on")
    assert counted(plans) <= planned + 1, "a plan a minute is due anyway"
    more = {"spec": {"placement": {"minReplicas": world.orders()["vision/sign-reader"] + 1}}}
    world.client.merge(WORKLOADS.path(SPACE, "sign-reader"), more)
    wanted = more["spec"]["placement"]["minReplicas"]
    eventually(lambda: world.orders()["vision/sign-reader"] >= wanted, "a change is acted on")


def test_deleting_the_workload_leaves_nothing(world: World) -> None:
    world.operate("a")
    world.serve()
    eventually(world.pods, "a pod")
    world.plane.kubectl("delete", "iw", "-n", SPACE, "sign-reader", "--timeout=30s")
    assert world.orders() == {}
    eventually(lambda: not world.pods(), "no pod is left")
    eventually(lambda: not world.client.list(SERVICES.path(SPACE)), "no service is left")


def behind(world: World) -> list[str]:
    """Addresses behind the workloads' Services."""
    pieces = world.client.list(SLICES.path(SPACE))
    return sorted(address for piece in pieces for row in piece["endpoints"] for address in row["addresses"])


def test_the_service_follows_routers_and_comes_back(world: World) -> None:
    world.operate("a")
    world.serve()
    eventually(lambda: world.client.get(SERVICES.path(SPACE, "sign-reader")), "the Service")
    assert behind(world) == [], "a router on loopback is behind no Service"
    world.route("10.1.2.3", "far")
    try:
        eventually(lambda: behind(world) == ["10.1.2.3"], "the router that came")
        before = world.client.get(SERVICES.path(SPACE, "sign-reader"))["metadata"]["uid"]
        world.client.delete(SERVICES.path(SPACE, "sign-reader"))
        again = eventually(lambda: world.client.get(SERVICES.path(SPACE, "sign-reader")), "the Service is back")
        assert again["metadata"]["uid"] != before
    finally:
        world.client.delete(LEASES.path(SYSTEM, "parkade-router-far"))
    eventually(lambda: behind(world) == [], "the router that left")
    assert "other machines cannot reach" in world.operators[0].log.read_text()


def test_pods_that_vanish_come_back_and_no_order_changes(world: World) -> None:
    world.operate("a")
    world.serve()
    eventually(world.pods, "a pod")
    before, orders = world.client.list(PODS.path(SPACE))[0]["metadata"]["uid"], world.cell()["spec"]
    world.plane.kubectl("delete", "pods", "--all", "-n", SPACE)
    again = eventually(lambda: world.client.list(PODS.path(SPACE)), "the pod is back")
    assert again[0]["metadata"]["uid"] != before
    assert world.cell()["spec"] == orders


def test_one_leads_and_a_killed_leader_is_replaced_with_a_higher_term(world: World) -> None:
    first = world.operate("a")
    world.serve()
    second = world.operate("b")
    eventually(lambda: second.probe("/readyz") == 200, "the standby is ready")
    assert world.client.get(LEASES.path(SYSTEM, "parkade-operator"))["spec"]["holderIdentity"] == "a"
    orders = world.orders()
    first.kill()
    eventually(lambda: world.cell()["spec"]["term"] == 2, "the second leads", 5 * LEASE_SECONDS)
    assert world.orders() == orders
    assert world.client.get(LEASES.path(SYSTEM, "parkade-operator"))["spec"]["holderIdentity"] == "b"


def test_two_signals_end_the_operator_cleanly_and_hand_the_lease_back(world: World) -> None:
    operator = world.operate("a")
    lease = LEASES.path(SYSTEM, "parkade-operator")
    world.apply(region())
    eventually(lambda: "regions" in operator.log.read_text(), "it watches and leads")

    def told_to_end() -> bool:
        operator.process.send_signal(signal.SIGTERM)
        return operator.process.poll() is not None

    eventually(told_to_end, "it has ended")
    assert operator.process.returncode == 0
    assert "Traceback" not in operator.log.read_text()
    assert not world.client.get(lease)["spec"]["holderIdentity"]


def test_observe_changes_nothing_but_what_is_shown(world: World) -> None:
    world.switch(mode="Observe")
    world.operate("a")
    world.apply(region(), vehicle_pool(), world.sign_reader())
    eventually(lambda: world.condition("Ready")[1], "the status is shown")
    assert world.client.list(CELLS.path()) == []
    assert world.client.list(SERVICES.path(SPACE)) == []
    assert "finalizers" not in world.workload()["metadata"]
    world.switch(mode="Apply")
    eventually(world.cell, "the cell is made once the mode is Apply")


def test_a_pause_plans_and_changes_nothing(world: World) -> None:
    world.switch(paused="true")
    operator = world.operate("a")
    world.apply(region(), vehicle_pool(), world.sign_reader())
    eventually(lambda: operator.log.read_text().count("paused by the ConfigMap") >= 2, "two cycles are paused")
    assert world.client.list(CELLS.path()) == []
    assert "status" not in world.workload()
    world.switch(paused="false")
    eventually(world.cell, "the cell is made once nobody pauses")


def test_a_cordoned_cell_gets_nothing_more_and_a_drained_one_is_emptied(world: World) -> None:
    world.operate("a")
    world.serve()
    eventually(world.pods, "a pod")
    before = world.orders()
    world.plane.kubectl("cordon", CELL)
    world.apply(world.sign_reader("another"))
    eventually(lambda: world.condition("Placed", "another")[0] == "False", "another finds no place")
    assert world.orders() == before
    assert world.condition("Placed")[0] == "True"
    world.plane.kubectl("drain", CELL, "--timeout=60s")
    eventually(lambda: world.orders() == {}, "the cell has no orders")
    assert world.pods() == []
    assert world.condition("Placed")[0] == "False"
    world.plane.kubectl("uncordon", CELL)
    world.act_as_carlet()
    eventually(lambda: len(world.orders()) == 2, "the cell has orders again, and more")


def test_a_taken_model_name_is_told_and_the_older_workload_goes_on(world: World) -> None:
    world.operate("a")
    world.serve()
    twin = world.sign_reader("twin")
    twin["spec"]["model"]["name"] = "sign-reader"
    world.apply(twin)
    eventually(lambda: world.condition("Placed", "twin") == ("False", "ModelNameTaken"), "the twin is refused")
    assert world.condition("Ready")[0] == "True"
    said = [event["reason"] for event in world.client.list(EVENTS.path(SPACE)) if "twin" in event["metadata"]["name"]]
    assert "ModelNameTaken" in said


def test_a_service_of_somebody_else_is_left_alone(world: World) -> None:
    meta = {"name": "sign-reader", "namespace": SPACE}
    world.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 5}]}})
    world.operate("a")
    world.serve()
    ports_now = world.client.get(SERVICES.path(SPACE, "sign-reader"))["spec"]["ports"]
    assert [port["port"] for port in ports_now] == [5]
    said = [event["message"] for event in world.client.list(EVENTS.path(SPACE))]
    assert any("a Service named sign-reader exists that Parkade did not make" in message for message in said)
    world.client.delete(SERVICES.path(SPACE, "sign-reader"))
    eventually(lambda: world.client.get(SERVICES.path(SPACE, "sign-reader"))["metadata"].get("labels"), "ours")


def test_what_is_accepted_and_not_acted_on_is_named_where_people_look(world: World) -> None:
    world.operate("a")
    event = {
        "regions": ["us-ca"],
        "start": "2026-08-18T16:00:00-07:00",
        "end": "2026-08-18T21:00:00-07:00",
        "reduce": {"targetKW": 500},
    }
    pool = triton_pool(world.folder, (1, 2))
    pool["spec"]["battery"] = {"capacityKWh": 3900, "powerKW": 1000}
    batch = {"items": 5, "deadline": "2026-12-01T06:00:00Z", "source": "s3://clips/", "results": "s3://hits/"}
    work = world.sign_reader("clips", batch=batch)
    del work["spec"]["demand"], work["spec"]["latency"]
    lever = {"apiVersion": WORKLOADS.api, "kind": "GridEvent", "metadata": {"name": "elrp"}, "spec": event}
    world.apply(region(), pool, work, lever)
    named = {
        ("gridevent", "elrp"): ("spec.reduce",),
        ("tritonpool", "austin"): ("spec.battery",),
        ("iw", "clips"): ("spec.batch", "BatchNotSupported"),
    }
    for (kind, name), words in named.items():
        space = ("-n", SPACE) if kind == "iw" else ()
        world.plane.kubectl("wait", "--for=condition=FieldsHonoured=False", f"{kind}/{name}", *space, "--timeout=20s")
        told = world.plane.kubectl("describe", kind, name, *space)
        for word in (*words, "accepted, but not acted on in this release"):
            assert word in told
        assert '""' not in told
    world.plane.kubectl("delete", "gridevent", "elrp")
