"""What an uninstall leaves in a real API server: the users' objects, free, and nothing that Parkade made."""

import time
from typing import Any

import pytest

from cluster.test_fronts import NAME, Site
from parkade.changes import ApplyCell, CreatePod, SetFinalizers, Target
from parkade.cluster import Applying, ClusterClient, Recorder
from parkade.cluster.clearing import Clearing
from parkade.cluster.resources import (
    CELLS,
    LEASES,
    NODES,
    PODS,
    SERVICES,
    SLICES,
    TRITON_POOLS,
    VEHICLE_POOLS,
    WORKLOADS,
)
from parkade.errors import InvalidInput
from parkade.local.plane import Plane

pytestmark = pytest.mark.cluster

POOL, CELL, TRITON = "clearing-home-hw4", "clearing-home-hw4-0", "clearing-a100"
NODE_LEASES = "kube-node-lease"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "carlet"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "carlet", "image": "carlet"}]},
        },
    },
}


def target(client: ClusterClient, kind: str, path: str) -> Target:
    meta = client.get(path)["metadata"]
    return Target(kind, meta.get("namespace", ""), meta["name"], meta["uid"])


def lease(client: ClusterClient, namespace: str, name: str, **labels: str) -> None:
    meta = {"name": name, "labels": labels}
    client.create(LEASES.path(namespace), {"apiVersion": LEASES.api, "kind": LEASES.kind, "metadata": meta})


def node(client: ClusterClient, name: str, **labels: str) -> None:
    client.create(NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    lease(client, NODE_LEASES, name)


@pytest.fixture
def site(client: ClusterClient, plane: Plane, namespace: str, repository_root: Any) -> Site:
    """A workload with its Service, and a cell with its node, its pod and its Leases, as the cycle makes them."""
    site = Site(client, plane, namespace)
    for number in (1, 2):
        site.router(number)
    site.turn()
    examples = repository_root / "examples"
    for file, old, new in (("vehiclenodepool", "ca-home-hw4", POOL), ("tritonpool", "austin-a100", TRITON)):
        text = (examples / f"{file}.yaml").read_text().replace(f"name: {old}", f"name: {new}")
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    applying = Applying(client, Recorder(client, "test"))
    workload = target(client, WORKLOADS.kind, WORKLOADS.path(namespace, NAME))
    for held in (workload, target(client, TRITON_POOLS.kind, TRITON_POOLS.path(name=TRITON))):
        applying.apply(SetFinalizers(held, ("parkade.dev/models",)))
    pool = target(client, VEHICLE_POOLS.kind, VEHICLE_POOLS.path(name=POOL))
    applying.apply(
        ApplyCell(cell=CELL, pool=pool, region="us-ca", shard=0, max_vehicles=10, closing=False, term=1, assignments=())
    )
    plane.kubectl("wait", "serviceaccount/default", f"--namespace={namespace}", "--for=create", "--timeout=60s")
    applying.apply(CreatePod(workload, CELL, "fronts"))
    node(client, CELL, **{"parkade.dev/cell": CELL, "type": "virtual-kubelet"})
    lease(client, namespace, "parkade-operator")
    lease(client, namespace, "parkade-carlet-a", **{"parkade.dev/component": "carlet"})
    return site


def left(client: ClusterClient, namespace: str) -> set[str]:
    """What is there of the scene, Leases of its namespace included."""
    found = {
        resource.kind
        for resource in (PODS, SERVICES, SLICES)
        for item in client.list(resource.path(namespace))
        if item["metadata"]["name"].startswith(NAME)
    }
    for resource, name in ((CELLS, CELL), (NODES, CELL), (VEHICLE_POOLS, POOL), (TRITON_POOLS, TRITON)):
        found |= {resource.kind for item in client.list(resource.path()) if item["metadata"]["name"] == name}
    found |= {f"Lease {item['metadata']['name']}" for item in client.list(LEASES.path(namespace))}
    return found | {
        "Lease of the node" for item in client.list(LEASES.path(NODE_LEASES)) if item["metadata"]["name"] == CELL
    }


def finalizers(client: ClusterClient, path: str) -> list[str]:
    return list(client.get(path)["metadata"].get("finalizers") or ())


def test_nothing_of_ours_is_left_and_the_users_objects_are_free(
    client: ClusterClient, site: Site, namespace: str
) -> None:
    whole = {"Pod", "Service", "EndpointSlice", "VehicleCell", "Node", "VehicleNodePool", "TritonPool"}
    leases = {f"Lease parkade-{name}" for name in ("router-1", "router-2", "operator", "carlet-a")}
    assert left(client, namespace) == whole | leases | {"Lease of the node"}
    client.merge(
        WORKLOADS.path(namespace, NAME), {"metadata": {"finalizers": ["parkade.dev/models", "example.com/mine"]}}
    )
    node(client, "clearing-somebody-elses", type="virtual-kubelet")
    copied = {"app.kubernetes.io/managed-by": "parkade", "app.kubernetes.io/part-of": "parkade"}
    meta = {"name": "copied", "labels": copied | {"parkade.dev/workload": NAME}}
    spec = {"ports": [{"port": 80}]}
    client.create(SERVICES.path(namespace), {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    lease(client, namespace, "somebody-elses")

    told: list[str] = []
    Clearing(client, namespace, told.append).run(60)

    assert left(client, namespace) == {"VehicleNodePool", "TritonPool", "Lease somebody-elses"}
    assert finalizers(client, WORKLOADS.path(namespace, NAME)) == ["example.com/mine"]
    assert finalizers(client, TRITON_POOLS.path(name=TRITON)) == []
    assert client.get(SERVICES.path(namespace, "copied"))
    assert client.get(NODES.path(name="clearing-somebody-elses"))
    assert {f"Node {CELL}: deleted", f"InferenceWorkload {namespace}/{NAME}: let go"} <= set(told)

    told.clear()
    Clearing(client, namespace, told.append).run(60)
    assert told == [], "a second time there is nothing to do"
    site.plane.kubectl("delete", "crd", "--dry-run=server", "inferenceworkloads.parkade.dev")
    client.merge(WORKLOADS.path(namespace, NAME), {"metadata": {"finalizers": None}})
    client.delete(WORKLOADS.path(namespace, NAME))
    for resource, name in ((TRITON_POOLS, TRITON), (VEHICLE_POOLS, POOL), (NODES, "clearing-somebody-elses")):
        client.delete(resource.path(name=name))
    deadline = time.monotonic() + 30
    while client.list(WORKLOADS.path(namespace)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client.list(WORKLOADS.path(namespace)) == []


def test_it_does_nothing_while_parkade_is_installed(client: ClusterClient, namespace: str) -> None:
    """A tool that applies hooks like any other manifest must not take a fleet down."""
    client.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", DEPLOYMENT)
    lease(client, namespace, "parkade-operator")
    with pytest.raises(InvalidInput, match=r"Deployment carlet is in namespace .*: run `helm uninstall` first"):
        Clearing(client, namespace, print).run(5)
    assert client.get(LEASES.path(namespace, "parkade-operator"))
