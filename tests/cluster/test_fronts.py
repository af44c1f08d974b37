"""Services and EndpointSlices on a real API server: made, followed, set right, and gone with their workload."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from changes.scene import compare, plan
from parkade.changes import Fronts
from parkade.changes.fronts import front_steps
from parkade.cluster import Applying, ClusterClient, Recorder, read
from parkade.cluster.resources import LEASES, SERVICES, SLICES, WORKLOADS
from parkade.errors import ClusterRefused
from parkade.local.plane import Plane

pytestmark = pytest.mark.cluster

NAME, SLICE = "sign-reader", "sign-reader-ipv4-80-81"
DEFAULT = Fronts()
SPEC = {
    "model": {
        "name": "fronts",
        "artifacts": [{"source": "https://models.example/m.onnx", "sha256": "0" * 64}],
        "memory": "1Mi",
        "profiles": [{"hardware": "hw4", "serviceTime": "1ms"}],
    },
    "demand": [{"region": "us-ca", "rate": "1"}],
    "latency": {"target": "150ms"},
}


class Site:
    """One namespace with a workload, its routers' Leases, and what the cycle does about the fronts."""

    def __init__(self, client: ClusterClient, plane: Plane, namespace: str) -> None:
        self.client, self.plane, self.namespace = client, plane, namespace
        self._applying = Applying(client, Recorder(client, "test"))
        meta = {"name": NAME, "namespace": namespace}
        workload = {"apiVersion": WORKLOADS.api, "kind": WORKLOADS.kind, "metadata": meta, "spec": SPEC}
        client.create(WORKLOADS.path(namespace), workload)

    def router(self, number: int, zone: str = "", *, age: float = 0.0) -> None:
        says = {"parkade.dev/http": f"10.1.2.{number}:80", "parkade.dev/grpc": f"10.1.2.{number}:81"}
        says |= {"parkade.dev/zone": zone} if zone else {}
        renewed = datetime.now(UTC) - timedelta(seconds=age)
        labels = {"parkade.dev/component": "router"}
        meta = {"name": f"parkade-router-{number}", "labels": labels, "annotations": says}
        spec = {
            "holderIdentity": str(number),
            "leaseDurationSeconds": 15,
            "renewTime": renewed.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        lease = {"apiVersion": LEASES.api, "kind": LEASES.kind, "metadata": meta, "spec": spec}
        self.client.apply(LEASES.path(self.namespace, f"parkade-router-{number}"), lease)

    def turn(self, fronts: Fronts = DEFAULT) -> list[str]:
        """Kinds of the steps that were due."""
        snapshot = read(self.client, self.namespace, term=1, now=datetime.now(UTC)).snapshot
        steps = [
            step
            for step in front_steps(compare(snapshot, plan()), fronts)
            if getattr(step, "namespace", "") == self.namespace
            or getattr(getattr(step, "workload", None), "namespace", "") == self.namespace
        ]
        for step in steps:
            self._applying.apply(step)
        return [step.kind for step in steps]

    def seen(self, kind: str, name: str) -> dict[str, Any]:
        words = ("get", kind, name, "-n", self.namespace, "-o", "json", "--show-managed-fields")
        found: dict[str, Any] = json.loads(self.plane.kubectl(*words))
        return found

    def addresses(self) -> list[str]:
        pieces = json.loads(self.plane.kubectl("get", "endpointslices", "-n", self.namespace, "-o", "json"))["items"]
        return sorted(address for piece in pieces for row in piece["endpoints"] for address in row["addresses"])


@pytest.fixture
def site(client: ClusterClient, plane: Plane, namespace: str) -> Iterator[Site]:
    site = Site(client, plane, namespace)
    yield site
    client.delete(WORKLOADS.path(namespace, NAME))


def test_kubectl_sees_a_service_and_the_routers_behind_it(site: Site) -> None:
    site.router(1, "us-ca-a")
    assert site.turn() == ["service", "slice"]
    service, piece = site.seen("service", NAME), site.seen("endpointslice", SLICE)
    assert [(p["name"], p["port"]) for p in service["spec"]["ports"]] == [("http", 8000), ("grpc", 8001)]
    assert "selector" not in service["spec"]
    assert service["spec"]["trafficDistribution"] == "PreferClose"
    assert service["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "parkade"
    labels = piece["metadata"]["labels"]
    assert labels["kubernetes.io/service-name"] == NAME
    assert labels["endpointslice.kubernetes.io/managed-by"] == "parkade"
    assert piece["endpoints"] == [
        {
            "addresses": ["10.1.2.1"],
            "conditions": {"ready": True},
            "zone": "us-ca-a",
            "hints": {"forZones": [{"name": "us-ca-a"}]},
        }
    ]
    for thing in (service, piece):
        (owner,) = thing["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("InferenceWorkload", NAME)
        assert {row["manager"] for row in thing["metadata"]["managedFields"]} == {"parkade-operator"}
    assert site.turn() == [], "what is right is left alone"


def test_slices_follow_routers_that_come_fall_silent_and_leave(site: Site, client: ClusterClient) -> None:
    site.turn()
    assert site.addresses() == []
    site.router(1)
    site.router(2)
    site.turn()
    assert site.addresses() == ["10.1.2.1", "10.1.2.2"]
    site.router(2, age=100)
    site.turn()
    assert site.addresses() == ["10.1.2.1"]
    site.router(1, age=55)
    assert site.turn() == []
    assert site.addresses() == ["10.1.2.1"], "all are silent: it may be the API server that was away"
    client.delete(LEASES.path(site.namespace, "parkade-router-1"))
    client.delete(LEASES.path(site.namespace, "parkade-router-2"))
    site.turn()
    assert site.addresses() == []


Spoil = Callable[[Site], None]


def _patch(kind: str, name: str, patch: dict[str, Any]) -> Spoil:
    words = ("patch", kind, name, "--type=merge", "-p", json.dumps(patch))
    return lambda site: site.plane.kubectl(*words, "-n", site.namespace) and None


def _delete(kind: str, name: str) -> Spoil:
    return lambda site: site.plane.kubectl("delete", kind, name, "-n", site.namespace) and None


SPOILT: dict[str, Spoil] = {
    "service deleted": _delete("service", NAME),
    "slice deleted": _delete("endpointslice", SLICE),
    "port moved": _patch("service", NAME, {"spec": {"ports": [{"name": "http", "port": 9000}]}}),
    "port added": _patch(
        "service", NAME, {"spec": {"ports": [{"name": "http", "port": 8000}, {"name": "ssh", "port": 22}]}}
    ),
    "selector added": _patch("service", NAME, {"spec": {"selector": {"app": "mine"}}}),
    "traffic spread": _patch("service", NAME, {"spec": {"trafficDistribution": None}}),
    "label taken off": _patch("service", NAME, {"metadata": {"labels": {"parkade.dev/workload": None}}}),
    "address replaced": _patch("endpointslice", SLICE, {"endpoints": [{"addresses": ["10.9.9.9"]}]}),
    "ports replaced": _patch("endpointslice", SLICE, {"ports": [{"name": "http", "port": 9000}]}),
    "slice untied": _patch("endpointslice", SLICE, {"metadata": {"labels": {"kubernetes.io/service-name": "other"}}}),
    "slice unlabelled": _patch("endpointslice", SLICE, {"metadata": {"labels": {"parkade.dev/workload": None}}}),
}


def _essence(site: Site) -> list[Any]:
    service, piece = site.seen("service", NAME), site.seen("endpointslice", SLICE)
    spec = service["spec"]
    return [
        spec["ports"], spec.get("selector"), spec.get("trafficDistribution"), service["metadata"]["labels"],
        piece["endpoints"], piece["ports"], piece["metadata"]["labels"],
    ]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_a_hand_deletes_or_edits_is_set_right(site: Site, spoil: Spoil) -> None:
    site.router(1, "us-ca-a")
    site.turn()
    before = _essence(site)
    spoil(site)
    assert site.turn() != []
    assert _essence(site) == before
    assert site.turn() == []


def test_everything_goes_with_the_workload(site: Site, client: ClusterClient) -> None:
    site.router(1)
    site.turn()
    client.delete(WORKLOADS.path(site.namespace, NAME))
    ends = time.monotonic() + 60.0
    paths = (SERVICES.path(site.namespace), SLICES.path(site.namespace))
    while any(client.list(path) for path in paths) and time.monotonic() < ends:
        time.sleep(0.2)
    assert [client.list(path) for path in paths] == [[], []]


def test_a_service_of_the_user_is_never_taken_over(site: Site, client: ClusterClient) -> None:
    own = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": {"ports": [{"port": 80}]}}
    client.create(SERVICES.path(site.namespace), own)
    with pytest.raises(ClusterRefused) as refusal:
        site.turn()
    assert refusal.value.already_exists
    assert [p["port"] for p in site.seen("service", NAME)["spec"]["ports"]] == [80]


def test_turned_off_they_go(site: Site, client: ClusterClient) -> None:
    site.router(1)
    site.turn()
    assert site.turn(Fronts("Router", services=False)) == ["front-delete", "front-delete"]
    assert client.list(SERVICES.path(site.namespace)) == []
    assert site.turn(Fronts("Router", services=False)) == []
