"""Against a real API server: placements are watched, a Lease names the router, and an outage stops nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plain
from parkade.errors import LocalPlaneError
from parkade.local.plane import NAMESPACE, Plane
from router.peers import Router, cell, http_caller, values
from router.places import MODEL, WORKLOAD, Datacenter, Fleet, until

pytestmark = pytest.mark.cluster

NAMESPACE_OF_WORKLOAD, NAME = WORKLOAD.split("/")
OBJECT = {
    "apiVersion": "parkade.dev/v1alpha1",
    "kind": "InferenceWorkload",
    "metadata": {"name": NAME, "namespace": NAMESPACE_OF_WORKLOAD},
    "spec": {
        "model": {
            "name": MODEL,
            "artifacts": [{"source": "https://models.example/doubler.onnx", "sha256": "0" * 64}],
            "memory": "1Mi",
            "profiles": [{"hardware": "hw4", "serviceTime": "1ms"}],
        },
        "demand": [{"region": "us-ca", "rate": "1"}],
        "latency": {"target": "150ms", "timeout": "5s"},
    },
}


def make_namespace(plane: Plane, name: str) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(namespace))


@pytest.fixture
def running(plane: Plane, router: Router) -> Iterator[Router]:
    """The router on the plane, with the workload created and without placements yet."""
    make_namespace(plane, NAMESPACE_OF_WORKLOAD)
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(OBJECT))
    router.start("--kubeconfig", str(plane.kubeconfig), "--id", "test", "--zone", "us-ca-a")
    yield router
    router.stop()
    plane.kubectl("delete", "iw", NAME, "-n", NAMESPACE_OF_WORKLOAD, "--ignore-not-found")


def place(plane: Plane, *placements: dict) -> None:
    rows = [{"reason": "CheapestPlace", **placement} for placement in placements]
    patch = json.dumps({"status": {"placements": rows}})
    plane.kubectl("patch", "iw", NAME, "-n", NAMESPACE_OF_WORKLOAD, "--subresource=status", "--type=merge", "-p", patch)


def lease(plane: Plane) -> dict:
    return json.loads(plane.kubectl("get", "lease", "parkade-router-test", "-n", NAMESPACE, "-o", "json"))


def has_lease(plane: Plane) -> bool:
    try:
        lease(plane)
    except LocalPlaneError:
        return False
    return True


def test_the_lease_says_where_the_router_is(plane: Plane, running: Router) -> None:
    until(lambda: has_lease(plane))
    found = lease(plane)
    assert found["metadata"]["labels"]["parkade.dev/component"] == "router"
    annotations = {f"parkade.dev/{name}": running.addresses[name] for name in ("http", "grpc", "cars", "metrics")}
    annotations["parkade.dev/zone"] = "us-ca-a"
    assert annotations.items() <= found["metadata"]["annotations"].items()
    assert (found["spec"]["holderIdentity"], found["spec"]["leaseDurationSeconds"]) == ("test", 15)
    renewed = found["spec"]["renewTime"]
    until(lambda: lease(plane)["spec"]["renewTime"] > renewed)
    assert lease(plane)["spec"]["acquireTime"] == found["spec"]["acquireTime"]
    running.terminate()
    assert running.process.wait(10) == 0
    assert not has_lease(plane)


def test_an_api_server_that_is_away_stops_nothing(
    plane: Plane, running: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    url = f"http://{running.http}/v2/models/{MODEL}"
    until(lambda: plain.get(f"http://{running.http}/v2/health/ready").is_success)
    assert plain.get(f"{url}/ready").status_code == 400
    place(plane, datacenter.placement(share=100))
    until(lambda: plain.get(f"{url}/ready").is_success)
    plane.processes.stop("kube-apiserver")
    try:
        with http_caller(running) as http:
            for _ in range(20):
                np.testing.assert_array_equal(http.double(values()), values() * 2)
    finally:
        plane.start_control_plane()
    place(plane, cell(100))
    (car,) = fleet.joined("a")
    with http_caller(running) as http:
        http.double(values())
    assert car.app.requests == 1
    plane.kubectl("delete", "iw", NAME, "-n", NAMESPACE_OF_WORKLOAD)
    until(lambda: plain.get(url).status_code == 404)


def token(plane: Plane, namespace: str, audience: str = "parkade") -> dict[str, str]:
    """A fresh token of the namespace's service account `default`, as a header."""
    text = plane.kubectl("create", "token", "default", "-n", namespace, "--audience", audience)
    return {"authorization": f"Bearer {text.strip()}"}


def make_account(plane: Plane, namespace: str) -> None:
    make_namespace(plane, namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(account))


def test_service_accounts_call_by_their_tokens(plane: Plane, router: Router, request: pytest.FixtureRequest) -> None:
    router.flags = ("--auth", "token-review")
    running, datacenter = request.getfixturevalue("running"), request.getfixturevalue("datacenter")
    place(plane, datacenter.placement(share=100))
    for namespace in (NAMESPACE_OF_WORKLOAD, "maps"):
        make_account(plane, namespace)
    own, other = token(plane, NAMESPACE_OF_WORKLOAD), token(plane, "maps")
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    url = f"http://{running.http}/v2/models/{MODEL}/infer"

    def status(headers: dict[str, str]) -> int:
        return plain.post(url, json=body, headers=headers).status_code

    until(lambda: status(own) == 200)
    assert status(other) == 403
    assert status(token(plane, NAMESPACE_OF_WORKLOAD, "https://elsewhere.example")) == 401
    assert status({"authorization": "Bearer nonsense"}) == 401
    assert status({}) == 401
    plane.kubectl("annotate", "iw", NAME, "-n", NAMESPACE_OF_WORKLOAD, "parkade.dev/callers=maps")
    until(lambda: status(other) == 200)
    unseen = token(plane, "maps")
    plane.processes.stop("kube-apiserver")
    try:
        assert (status(own), status(other)) == (200, 200), "who was known stays known"
        assert status(unseen) == 503
    finally:
        plane.start_control_plane()
    until(lambda: status(unseen) == 200, 30)


def passing_on(routers: list[Router]) -> Router:
    """The router that passes requests on; until it knows the other and is connected, each answers by itself."""

    def found() -> Router | None:
        for router in routers:
            with http_caller(router) as http:
                http.double(values())
        return next((router for router in routers if router.metric("forwarded_total", outcome="answered")), None)

    until(found)
    router = found()
    assert router
    return router


def test_routers_find_each_other_by_their_leases(
    plane: Plane, running: Router, router_binary: Path, datacenter: Datacenter, tmp_path: Path
) -> None:
    place(plane, datacenter.placement(share=100))
    running.stop()
    flags = ("--kubeconfig", str(plane.kubeconfig), "--peers-listen", "127.0.0.1:0")
    routers = [Router(router_binary, running.authority, tmp_path / name, id=name) for name in ("a", "b")]
    try:
        for router in routers:
            router.folder.mkdir()
            router.start(*flags, "--id", router.id).ready()
        other = passing_on(routers)
        (owner,) = (router for router in routers if router is not other)
        owner.terminate()
        until(lambda: other.metric("owns", workload=WORKLOAD) == 1)
        before = other.metric("forwarded_total")
        with http_caller(other) as http:
            http.double(values())
        assert other.metric("forwarded_total") == before
        assert owner.process.wait(10) == 0
    finally:
        for router in routers:
            router.stop()
