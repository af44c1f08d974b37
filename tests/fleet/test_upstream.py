"""The end-to-end suite of the virtual-kubelet library, against the node of a cell that a driven vehicle serves.

The suite makes pods of its own, with names, images and environments of its choice. A cell shows the pods that the
operator makes for its orders, and nothing else; so an admission policy gives the suite's pods what the operator's have,
labels and tolerations, and the address that the suite waits for, which pods of cars do not have.
"""

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.manifests import NAMESPACE
from benchmarks.fleet.places import FleetPlane, until
from parkade.local import pki
from parkade.local.processes import LaunchSpec

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

WORKLOAD = "sign-reader"
PASSED = {
    "TestGetPods",
    "TestPodLifecycleGracefulDelete",
    "TestPodLifecycleForceDelete",
    "TestCreatePodWithOptionalInexistentSecrets",
    "TestCreatePodWithMandatoryInexistentSecrets",
    "TestCreatePodWithOptionalInexistentConfigMap",
    "TestCreatePodWithMandatoryInexistentConfigMap",
}
NOT_APPLICABLE = {"TestGetStatsSummary", "TestGetMetricsResource"}
MADE_BY_SUITE = "has(object.metadata.generateName) && object.metadata.generateName.matches('^(nginx|env-test)-')"
LIBRARY = re.compile(r"github\.com/virtual-kubelet/virtual-kubelet (v\S+)")


def policy(name: str, resource: str, operation: str, *mutations: dict) -> list[dict]:
    """A policy of the cluster that changes the suite's pods, with its binding."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": [operation]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "suite", "expression": MADE_BY_SUITE}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "mutations": mutations,
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    return [
        head | {"kind": "MutatingAdmissionPolicy", "spec": spec},
        head | {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}},
    ]


def applied(expression: str) -> dict:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def policies() -> list[dict]:
    labels = (
        "Object{metadata: Object.metadata{labels: "
        f'{{"parkade.dev/cell": string(object.spec.nodeName), "parkade.dev/workload": "{WORKLOAD}"}}}}}}'
    )
    tolerations = '[JSONPatch{op: "add", path: "/spec/tolerations", value: [{"operator": "Exists"}]}]'
    address = 'Object{status: Object.status{podIP: "192.0.2.1", podIPs: [Object.status.podIPs{ip: "192.0.2.1"}]}}'
    like_the_operator = (applied(labels), {"patchType": "JSONPatch", "jsonPatch": {"expression": tolerations}})
    return [
        *policy("like-the-operator", "pods", "CREATE", *like_the_operator),
        *policy("address-of-a-pod", "pods/status", "UPDATE", applied(address)),
    ]


class OutsidePlane(FleetPlane):
    """The kubelet API on an address that is not loopback: the API server passes no `nodes/proxy` on to loopback."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder, vehicles=2, servers=1, cell=4, workloads=(WORKLOAD,))
        self.address = address

    def _carlet(self) -> LaunchSpec:
        spec = super()._carlet()
        listen = f"--kubelet-listen={self.address}:{self.ports['carlet-kubelet']}"
        return LaunchSpec((*spec.argv, listen, f"--kubelet-advertise={self.address}"), spec.env)


def own_address() -> str:
    """By which others reach this machine; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has only loopback, to which the API server passes no nodes/proxy on")
        address: str = probe.getsockname()[0]
        return address


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    address = own_address()
    plane = OutsidePlane(tmp_path_factory.mktemp("upstream"), address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pki, "LOCAL_ADDRESSES", (*pki.LOCAL_ADDRESSES, address))
        plane.build()
        try:
            plane.start()
            with Drivers(plane, vehicles=plane.vehicles) as drivers:
                until(lambda: drivers.report()["ready"] >= plane.ordered, "the workload is ready", 120.0)
                listed = {"apiVersion": "v1", "kind": "List", "items": policies()}
                plane.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
                yield plane
        finally:
            plane.stop()


def test_the_suite_passes_but_for_what_cannot_apply(plane, repository_root):
    module = repository_root / "e2e" / "virtualkubelet"
    until(lambda: dry_run_is_changed(plane), "the policies work", 60.0)
    flags = [f"-kubeconfig={plane.kubeconfig}", f"-namespace={NAMESPACE}", f"-node-name={plane.cells[0]}"]
    done = subprocess.run(
        ["go", "test", "-count=1", "-json", ".", "-args", *flags],
        cwd=module,
        check=False,
        capture_output=True,
        text=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ended = {
        event["Test"]: event["Action"]
        for event in events
        if event["Action"] in {"pass", "fail", "skip"} and "Test" in event
    }
    by_end = {
        end: {test.partition("/")[2] for test, how in ended.items() if how == end} - {""} for end in ended.values()
    }
    said = "".join(event.get("Output", "") for event in events)
    assert by_end == {"pass": PASSED, "skip": NOT_APPLICABLE}, said + done.stderr
    assert done.returncode == 0


def dry_run_is_changed(plane) -> bool:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "nginx-probe-", "namespace": NAMESPACE},
        "spec": {"nodeName": plane.cells[0], "containers": [{"name": "nginx", "image": "foo"}]},
    }
    answer = plane.api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", params={"dryRun": "All"}, json=pod)
    return "parkade.dev/workload" in answer.raise_for_status().json()["metadata"].get("labels", {})


def test_the_suite_is_that_of_the_library_carlet_uses(repository_root):
    versions = {
        LIBRARY.search((repository_root / module / "go.mod").read_text()).group(1)
        for module in ("operator/carlet", "e2e/virtualkubelet")
    }
    assert len(versions) == 1
