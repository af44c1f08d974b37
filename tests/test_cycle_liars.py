"""A car that lies, from the spot check of a router to the event on the workload: all parts are real but the car."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from handlers.world import CELL, SPACE, World, eventually, operated, region, triton_pool, vehicle_pool
from parkade.cluster.resources import EVENTS
from parkade.local.plane import Plane
from router.conftest import authority, fleet, router, router_binary  # noqa: F401 -- fixtures
from router.peers import Router, http_caller, values
from router.places import MODEL, Fleet, until
from serving import onnx_files
from triton_server import LocalTriton

pytestmark = [pytest.mark.cluster, pytest.mark.triton]

KEY = "vision/sign-reader"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalTriton]:
    with LocalTriton(tmp_path / "triton") as server:
        yield server


@pytest.fixture
def world(plane: Plane, tmp_path: Path) -> Iterator[World]:
    with operated(plane, tmp_path) as world:
        yield world


def reader(world: World) -> dict:
    """A model that answers its input, so that a car which doubles it lies. Triton cannot answer everybody alone."""
    world.model.write_bytes(onnx_files.identity(onnx_files.FLOAT, ("n",)))
    artifact = {"source": world.model.as_uri(), "sha256": hashlib.sha256(world.model.read_bytes()).hexdigest()}
    profiles = [{"hardware": "cpu", "serviceTime": "90ms"}, {"hardware": "hw4", "serviceTime": "5ms"}]
    model = {"name": MODEL, "memory": "100Mi", "artifacts": [artifact], "profiles": profiles}
    return world.sign_reader(model=model, trust={"verifyPercent": 25, "tolerance": "0.001"})


def told(world: World) -> list[dict]:
    """Warnings about the workload with this reason."""
    events = world.client.list(EVENTS.path(SPACE))
    return [event for event in events if event["reason"] == "AnswersDisagree"]


def test_a_car_that_lies_becomes_an_event_of_its_workload(
    world: World,
    server: LocalTriton,
    router: Router,  # noqa: F811
    fleet: Fleet,  # noqa: F811
) -> None:
    world.operate("a", PARKADE_OBSERVE_SECONDS="1")
    pool = triton_pool(server.repository, (server.ports.http, server.ports.grpc))
    world.apply(region(), vehicle_pool(), pool, reader(world))
    world.act_as_carlet()
    router.flags = ("--region", "us-ca", "--id", "real")
    router.start("--kubeconfig", str(world.plane.kubeconfig))
    eventually(lambda: server.answers(f"/v2/models/{MODEL}/ready"), "Triton holds the model, to check cars with", 60)
    liar = fleet.car("liar", **{"Parkade-Workload": KEY, "Parkade-Cell": CELL}).join()
    for tier in ("Vehicle", "Datacenter"):
        eventually(lambda tier=tier: router.metric("credits", workload=KEY, tier=tier) > 0, f"{tier} may answer")
    assert told(world) == []
    with http_caller(router) as http:
        lies = 0
        while router.metric("verifications_total", workload=KEY, outcome="disagreed") == 0:
            lies += int((http.double(values(8)) == values(8) * 2).all())
            assert lies < 100, "every fourth answer is looked at"
        until(lambda: router.metric("credits", workload=KEY, tier="Vehicle") == 0)
        np.testing.assert_array_equal(http.double(values(8)), values(8))
    assert lies
    (event,) = eventually(lambda: told(world), "the event")
    assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "sign-reader")
    assert re.search(r"cars answer what Triton does not compute \(spot checks that disagreed: [1-9]", event["message"])
    assert "liar" not in str(event), "a car stays unnamed"
    liar.stays = False
    assert b'"AnswersDisagree"' in liar.answer_to_offer()
