"""The operator with real Triton servers: load, move to cars and back, restart, delete, and models that are no good."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.world import CELL, SPACE, World, eventually, operated, region, triton_pool, vehicle_pool
from parkade.cluster.resources import TRITON_POOLS
from parkade.local.plane import Plane
from serving import onnx_files
from triton_server import LocalTriton

pytestmark = [pytest.mark.cluster, pytest.mark.triton]


class Server(LocalTriton):
    """One of the servers of a pool, which share a repository."""

    def holds(self, model: str = "sign-reader") -> bool:
        return self.answers(f"/v2/models/{model}/ready")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    with (
        Server(tmp_path / "triton-0", tmp_path / "repository") as one,
        Server(tmp_path / "triton-1", tmp_path / "repository") as two,
    ):
        yield [one, two]


@pytest.fixture
def world(plane: Plane, tmp_path: Path, servers: list[Server]) -> Iterator[World]:
    with operated(plane, tmp_path) as world:
        world.model.write_bytes(onnx_files.identity(onnx_files.FLOAT, ("n", 4)))
        addresses = [(server.ports.http, server.ports.grpc) for server in servers]
        world.apply(region(), triton_pool(servers[0].repository, *addresses))
        yield world


def reader(world: World, name: str = "sign-reader", *, file: Path | None = None, sha256: str = "", **spec: Any):
    """A workload that both tiers may run, with two replicas at least."""
    model = file or world.model
    artifact = {"source": model.as_uri(), "sha256": sha256 or hashlib.sha256(model.read_bytes()).hexdigest()}
    profiles = [{"hardware": hardware, "serviceTime": "5ms"} for hardware in ("cpu", "hw4")]
    model = {"name": name, "memory": "100Mi", "artifacts": [artifact], "profiles": profiles}
    return world.sign_reader(name, **({"model": model, "placement": {"minReplicas": 2}} | spec))


def endpoints(world: World) -> list[str]:
    places = world.workload().get("status", {}).get("placements", [])
    return [endpoint["http"] for place in places for endpoint in place.get("endpoints", [])]


def ready(world: World, name: str = "sign-reader") -> bool:
    return world.condition("Ready", name)[0] == "True"


def test_a_model_is_loaded_offered_and_gone_with_its_workload(world: World, servers: list[Server]) -> None:
    world.operate("a")
    world.apply(reader(world))
    eventually(lambda: ready(world), "the workload is ready")
    offered = eventually(lambda: endpoints(world), "an endpoint is offered")
    holding = [server.http for server in servers if server.holds()]
    assert sorted(offered) == sorted(holding)
    assert (servers[0].repository / "sign-reader").is_dir()
    world.plane.kubectl("delete", "iw", "-n", SPACE, "sign-reader", "--timeout=45s")
    assert not any(server.holds() for server in servers)
    assert not (servers[0].repository / "sign-reader").exists()


def test_a_killed_triton_gets_its_models_back(world: World, servers: list[Server]) -> None:
    world.operate("a")
    world.apply(reader(world))
    eventually(lambda: ready(world), "the workload is ready")
    lost = next(server for server in servers if server.holds())
    lost.kill()
    eventually(lambda: ready(world) and lost.http not in endpoints(world), "the other serves")
    pool = world.client.get(TRITON_POOLS.path(name="austin"))["status"]
    assert (pool["servers"], pool["ready"]) == (2, 1)
    lost.start()
    eventually(lambda: world.client.get(TRITON_POOLS.path(name="austin"))["status"]["ready"] == 2, "both are back")
    assert ready(world)


def test_a_move_to_cars_keeps_triton_until_the_cars_answer(world: World, servers: list[Server]) -> None:
    world.operate("a")
    world.apply(reader(world))
    eventually(lambda: ready(world), "the workload is ready on Triton")
    world.apply(vehicle_pool())
    world.act_as_carlet(ready=0)
    dear = triton_pool(servers[0].repository, *[(server.ports.http, server.ports.grpc) for server in servers])
    dear["spec"]["opportunityCost"] = {"perServerHour": "50"}
    world.apply(dear)
    eventually(lambda: world.orders().get("vision/sign-reader"), "the cars have their order")
    world.act_as_carlet(ready=0)
    assert any(server.holds() for server in servers), "Triton serves until the cars do"
    assert endpoints(world)
    world.act_as_carlet()
    eventually(lambda: not any(server.holds() for server in servers), "Triton has let go")
    assert [place["place"] for place in world.workload()["status"]["placements"]] == [CELL]


def test_a_wrong_digest_and_a_broken_model_are_told_and_others_go_on(world: World, servers: list[Server]) -> None:
    broken = world.folder / "broken.onnx"
    broken.write_bytes(b"this is no model")
    world.operate("a")
    world.apply(reader(world, "broken", file=broken), reader(world, "lying", sha256="0" * 64), reader(world))
    eventually(lambda: ready(world), "the good one is ready")
    eventually(lambda: world.condition("Ready", "broken") == ("False", "ModelRejected"), "the broken one is told")
    eventually(lambda: "False" in world.condition("Ready", "lying"), "the lying one is told")
    said = {c["reason"]: c["message"] for c in world.workload("lying")["status"]["conditions"]}
    assert "correct the manifest" in said["DigestMismatch"]
    assert not any(server.holds("broken") for server in servers)


def test_deleting_pool_and_workload_together_leaves_no_model(world: World, servers: list[Server]) -> None:
    world.operate("a")
    world.apply(reader(world))
    eventually(lambda: ready(world), "the workload is ready")
    world.plane.kubectl("delete", "tritonpool/austin", "--wait=false")
    world.plane.kubectl("delete", "iw", "-n", SPACE, "sign-reader", "--timeout=45s")
    world.plane.kubectl("wait", "--for=delete", "tritonpool/austin", "--timeout=45s")
    assert not any(server.holds() for server in servers)
    assert not (servers[0].repository / "sign-reader").exists()
