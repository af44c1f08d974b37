"""The chart's hooks as real pods: Secrets made, a request sent by `helm test`, and nothing left after an uninstall."""

from pathlib import Path

import pytest

from demo.client import Load
from localnode.release import Release
from parkade.local.plane import NAMESPACE

pytestmark = [pytest.mark.cluster, pytest.mark.triton, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
RELEASED = "app.kubernetes.io/name=parkade"
OURS = {
    "deployments,statefulsets,jobs,pods,services,configmaps,serviceaccounts,roles,rolebindings": RELEASED,
    "clusterroles,clusterrolebindings,networkpolicies,poddisruptionbudgets": RELEASED,
    "nodes,pods,services,endpointslices": "parkade.dev/workload",
    "nodes,pods": "parkade.dev/cell",
    "leases": "parkade.dev/component",
    "vehiclecells": "parkade.dev/pool",
}
"""What may be there of ours, and the label by which it is found."""


def left(release: Release) -> set[str]:
    found = set()
    for kinds, label in OURS.items():
        for item in release.node.json(kinds, "--all-namespaces", "--selector", label)["items"]:
            found.add(f"{item['kind']} {item['metadata']['name']}")
    return found


def secrets(release: Release) -> set[str]:
    """Those that are not Helm's own."""
    found = release.node.json("secrets", "--namespace", NAMESPACE)["items"]
    return {it["metadata"]["name"] for it in found if not it["metadata"]["name"].startswith("sh.helm")}


def test_the_job_has_made_the_secrets_and_is_gone(release: Release) -> None:
    assert secrets(release) == {"parkade-tls", "parkade-ca", "parkade-fleet"}
    assert not {name for name in left(release) if "parkade-secrets" in name}


def test_helm_test_sends_a_real_request(release: Release, load: Load) -> None:
    release.install("--set", f"test.model={load.model}")
    said = release.helm("test", "parkade", "--logs", "--timeout", "180s")
    assert "is ready" in said
    assert f"{load.model} answered" in said


def test_an_uninstall_leaves_nothing_but_what_it_says(release: Release, load: Load) -> None:
    plane = release.node.plane
    plane.kubectl(
        "apply", "-f", str(ROOT / "examples" / "regions.yaml"), "-f", str(ROOT / "examples" / "vehiclenodepool.yaml")
    )
    release.node.await_that("a cell has its node", lambda: any(name.startswith("Node ") for name in left(release)))
    served = release.node.json("inferenceworkloads", "--all-namespaces")["items"]
    assert any("parkade.dev/models" in it["metadata"]["finalizers"] for it in served), load.model

    release.helm("uninstall", "parkade", "--wait", "--timeout", "240s")

    release.node.await_that("the pods have ended", lambda: not {it for it in left(release) if it.startswith("Pod ")})
    assert left(release) == set()
    leases = release.node.json("leases", "--all-namespaces")["items"]
    nodes = {it["metadata"]["name"] for it in release.node.json("nodes")["items"]}
    assert {it["metadata"]["name"] for it in leases if it["metadata"]["namespace"] == "kube-node-lease"} == nodes
    assert not [it for it in leases if it["metadata"]["namespace"] == NAMESPACE]
    kinds = "inferenceworkloads,tritonpools,vehiclenodepools,regions"
    found = release.node.json(kinds, "--all-namespaces")["items"]
    assert {it["kind"] for it in found} == {"InferenceWorkload", "TritonPool", "VehicleNodePool", "Region"}
    assert not [it["metadata"]["name"] for it in found if it["metadata"].get("finalizers")]
    assert secrets(release) == {"parkade-tls", "parkade-ca", "parkade-fleet"}
    claims = release.node.json("persistentvolumeclaims", "--namespace", NAMESPACE)["items"]
    assert {it["metadata"]["name"] for it in claims} == {"parkade-models", "data-parkade-nats-0"}
    plane.kubectl(
        "delete", "crd", *(f"{it}.parkade.dev" for it in (*kinds.split(","), "vehiclecells")), "--timeout=60s"
    )
