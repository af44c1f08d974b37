"""The operator and a real router: what is asked is seen, shown and planned, from nothing on."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as over_http

import plain
from handlers.world import CELL, World, eventually, operated, region, vehicle_pool
from parkade.local.plane import Plane
from router.conftest import authority, fleet, router, router_binary  # noqa: F401 -- fixtures
from router.peers import HttpCaller, Router, values
from router.places import MODEL, Fleet, until

pytestmark = pytest.mark.cluster

KEY = "vision/sign-reader"


@pytest.fixture
def world(plane: Plane, tmp_path: Path) -> Iterator[World]:
    with operated(plane, tmp_path) as world:
        yield world


def test_the_first_request_is_held_until_a_replica_answers_it(world: World, router: Router, fleet: Fleet) -> None:  # noqa: F811
    model = world.sign_reader()["spec"]["model"] | {"name": MODEL}
    resting = world.sign_reader(
        model=model, placement={"minReplicas": 0}, latency={"target": "500ms", "timeout": "60s"}
    )
    del resting["spec"]["demand"]
    world.operate("a")
    world.apply(region(), vehicle_pool(), resting)
    world.act_as_carlet()
    eventually(lambda: world.condition("Placed") == ("True", "NoDemand"), "nothing runs, and that is as it should be")
    assert world.orders() == {}
    router.flags = ("--region", "us-ca", "--id", "real")
    router.start("--kubeconfig", str(world.plane.kubeconfig))
    answers: list[np.ndarray] = []

    def ask() -> None:
        client = over_http.InferenceServerClient(router.http, network_timeout=90)
        answers.append(client.infer(MODEL, [HttpCaller.tensor(values())]).as_numpy("y"))
        client.close()

    until(lambda: "parkade_router_waiting{" in plain.get(f"http://{router.addresses['metrics']}/metrics").text)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        eventually(lambda: world.orders().get(KEY), "a car is ordered to serve")
        car = fleet.car("a", **{"Parkade-Workload": KEY, "Parkade-Cell": CELL}).join()
        world.act_as_carlet()
    finally:
        asking.join(90)
    np.testing.assert_array_equal(answers[0], values() * 2)
    assert car.app.requests == 1
    eventually(lambda: world.condition("Ready")[0] == "True", "the workload is ready")
    shown = eventually(lambda: world.workload()["status"]["observed"].get("byRegion"), "what was observed is shown")
    assert [row["region"] for row in shown] == ["us-ca"]
