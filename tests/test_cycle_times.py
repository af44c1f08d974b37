"""The operator, a real router and cars that take other than the manifest says: the plan corrects itself, once."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.http as over_http

from handlers.world import CELL, OperatorProcess, World, eventually, operated, region, vehicle_pool
from parkade.local.plane import Plane
from router.conftest import authority, fleet, router, router_binary  # noqa: F401 -- fixtures
from router.peers import HttpCaller, Router, values
from router.places import MODEL, Fleet

pytestmark = pytest.mark.cluster

KEY = "vision/sign-reader"
CARS = 8
TAKES = 0.4
"""Seconds of a car's work: long enough that a busy machine adds little to it."""
CYCLES = 20


@pytest.fixture
def world(plane: Plane, tmp_path: Path) -> Iterator[World]:
    with operated(plane, tmp_path) as world:
        yield world


def reader(world: World, declared: str, rate: str) -> dict:
    model = world.sign_reader()["spec"]["model"] | {"name": MODEL}
    model["profiles"] = [{"hardware": "hw4", "serviceTime": declared, "scv": "0.1"}]
    target = {"target": "10s", "timeout": "20s"}
    return world.sign_reader(model=model, demand=[{"region": "us-ca", "rate": rate}], latency=target)


@contextlib.contextmanager
def asking(address: str, callers: int = 6) -> Iterator[None]:
    """So many callers who ask again and again."""
    over = threading.Event()

    def ask() -> None:
        client = over_http.InferenceServerClient(address, network_timeout=30)
        while not over.is_set():
            client.infer(MODEL, [HttpCaller.tensor(values())])
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def orders_of(world: World, operator: OperatorProcess, cycles: int) -> set[int | None]:
    """Replicas ordered in so many further cycles."""
    found, enough = set(), operator.cycles() + cycles

    def done() -> bool:
        found.add(world.orders().get(KEY))
        return operator.cycles() >= enough

    eventually(done, f"{cycles} cycles", 120)
    return found


@dataclass(frozen=True)
class Wrong:
    """A profile, what is asked, and replicas by that profile and in truth."""

    declared: str
    rate: str
    before: int
    after: int


@pytest.mark.parametrize("wrong", [Wrong("100ms", "5", 1, 3), Wrong("1600ms", "3", 6, 2)])
def test_a_wrong_profile_is_corrected_and_the_plan_stays(
    world: World,
    router: Router,  # noqa: F811
    fleet: Fleet,  # noqa: F811
    wrong: Wrong,
) -> None:
    operator = world.operate("a", PARKADE_RESYNC="0.5", PARKADE_OBSERVE_SECONDS="1")
    world.apply(region(), vehicle_pool(), reader(world, wrong.declared, wrong.rate))
    world.act_as_carlet(CARS)
    eventually(lambda: world.orders().get(KEY) == wrong.before, f"{wrong.before} replicas, as the manifest says")
    world.act_as_carlet(CARS)
    router.flags = ("--region", "us-ca", "--id", "real")
    router.start("--kubeconfig", str(world.plane.kubeconfig))
    for number in range(CARS):
        car = fleet.car(f"car-{number}", **{"Parkade-Workload": KEY, "Parkade-Cell": CELL}).join()
        car.app.takes = TAKES
    eventually(lambda: router.metric("credits", workload=KEY) == CARS, "the cars are there")
    with asking(router.http):
        eventually(lambda: world.orders().get(KEY) == wrong.after, f"{wrong.after} replicas, as it really is", 60)
        world.act_as_carlet(CARS)
        assert orders_of(world, operator, CYCLES) == {wrong.after}
        operator.stop()
        operator = world.operate("b", PARKADE_RESYNC="0.5", PARKADE_OBSERVE_SECONDS="1")
        eventually(lambda: operator.probe("/readyz") == 200 and operator.cycles() > 0, "another leads")
        assert orders_of(world, operator, CYCLES) == {wrong.after}, "a new leader goes on with what is known"
    (row,) = world.workload()["status"]["observed"]["times"]
    assert row["hardware"] == "hw4"
    assert 400.0 <= float(row["time"].removesuffix("ms")) < 600.0
    said = {c["type"]: c["message"] for c in world.workload()["status"]["conditions"]}
    assert f"{row['time']} (observed)" in said["Placed"]
