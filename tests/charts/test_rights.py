"""What each component may ask of the API server: all that its work takes, and no more."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charts.accounts import as_account, grant
from charts.conftest import Render
from charts.manifests import one
from parkade.errors import LocalPlaneError
from parkade.local.plane import Plane
from parkade.local.ports import choose

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NEEDS = {
    "parkade-operator": [
        "list inferenceworkloads.parkade.dev -A",
        "watch gridevents.parkade.dev",
        "patch inferenceworkloads.parkade.dev -A",
        "patch inferenceworkloads.parkade.dev --subresource=status -A",
        "patch regions.parkade.dev --subresource=status",
        "create vehiclecells.parkade.dev",
        "delete vehiclecells.parkade.dev",
        "create pods -A",
        "delete pods -A",
        "patch services -A",
        "patch endpointslices.discovery.k8s.io -A",
        "watch nodes",
        "create events -A",
        "watch configmaps -A",
        "get secrets -A",
        "watch leases.coordination.k8s.io -A",
        "update leases.coordination.k8s.io/parkade-operator -n parkade-system",
        "create leases.coordination.k8s.io -n parkade-system",
    ],
    "carlet": [
        "watch vehiclecells.parkade.dev",
        "patch vehiclecells.parkade.dev --subresource=status",
        "list vehiclenodepools.parkade.dev",
        "create nodes",
        "delete nodes",
        "patch nodes --subresource=status",
        "watch pods -A",
        "delete pods -A",
        "patch pods --subresource=status -A",
        "update leases.coordination.k8s.io -n kube-node-lease",
        "watch leases.coordination.k8s.io -n parkade-system",
        "create leases.coordination.k8s.io -n parkade-system",
        "patch leases.coordination.k8s.io -n parkade-system",
        "delete leases.coordination.k8s.io -n parkade-system",
        "create events -A",
    ],
    "parkade-uninstall": [
        "list inferenceworkloads.parkade.dev -A",
        "patch inferenceworkloads.parkade.dev -A",
        "patch tritonpools.parkade.dev",
        "delete vehiclecells.parkade.dev",
        "delete nodes",
        "delete pods -A",
        "delete services -A",
        "delete endpointslices.discovery.k8s.io -A",
        "delete leases.coordination.k8s.io -n parkade-system",
        "delete leases.coordination.k8s.io -n kube-node-lease",
        "get deployments.apps/carlet -n parkade-system",
    ],
    "parkade-router": [
        "watch inferenceworkloads.parkade.dev -A",
        "create leases.coordination.k8s.io -n parkade-system",
        "patch leases.coordination.k8s.io -n parkade-system",
    ],
}
REFUSED = {
    "parkade-operator": [
        "list secrets -A",
        "watch secrets -A",
        "create nodes",
        "patch vehiclecells.parkade.dev --subresource=status",
        "update leases.coordination.k8s.io/kube-controller-manager -n kube-system",
        "create deployments.apps -A",
        "escalate clusterroles.rbac.authorization.k8s.io",
    ],
    "carlet": [
        "get secrets -A",
        "get configmaps -A",
        "create pods -A",
        "patch vehiclecells.parkade.dev",
        "patch inferenceworkloads.parkade.dev -A",
        "update leases.coordination.k8s.io -n parkade-system",
    ],
    "parkade-router": [
        "get secrets -A",
        "patch inferenceworkloads.parkade.dev -A",
        "list pods -A",
        "create leases.coordination.k8s.io -n kube-node-lease",
    ],
    "parkade-uninstall": [
        "delete inferenceworkloads.parkade.dev -A",
        "create pods -A",
        "get secrets -n parkade-system",
        "delete leases.coordination.k8s.io -n kube-system",
        "list deployments.apps -n parkade-system",
        "delete deployments.apps -n parkade-system",
    ],
    "parkade-nats": ["list inferenceworkloads.parkade.dev -A", "get secrets -n parkade-system"],
}


@pytest.fixture(scope="module")
def granted(render: Render, plane: Plane) -> Callable[[str, str], bool]:
    """Install the chart's accounts and roles; ask the API server's own authorizer."""
    grant(plane, render())

    def ask(component: str, request: str) -> bool:
        account = f"--as=system:serviceaccount:parkade-system:{component}"
        command = ["kubectl", "--kubeconfig", str(plane.kubeconfig), "auth", "can-i", *request.split(), account]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout.strip() in ("yes", "no"), done.stderr
        return done.stdout.strip() == "yes"

    return ask


def test_the_operator_may_write_routes(render: Render) -> None:
    """The authorizer of a server without the Gateway API cannot be asked."""
    rules = one(render(), "ClusterRole", "parkade-operator")["rules"]
    (rule,) = [rule for rule in rules if rule["apiGroups"] == ["gateway.networking.k8s.io"]]
    assert set(rule["resources"]) == {"httproutes", "grpcroutes"}
    assert set(rule["verbs"]) == {"get", "list", "create", "patch", "delete"}


@pytest.mark.parametrize("component", NEEDS)
def test_a_component_may_do_its_work(component: str, granted: Callable[[str, str], bool]) -> None:
    assert [request for request in NEEDS[component] if not granted(component, request)] == []


@pytest.mark.parametrize("component", REFUSED)
def test_a_component_may_do_no_more(component: str, granted: Callable[[str, str], bool]) -> None:
    assert [request for request in REFUSED[component] if granted(component, request)] == []


def test_the_operator_does_its_work_under_its_own_account(
    granted: Callable[[str, str], bool], plane: Plane, repository_root: Path, tmp_path: Path
) -> None:
    assert granted("parkade-operator", "list regions.parkade.dev")
    account = as_account(plane, "parkade-operator", tmp_path / "kubeconfig")
    ports = choose(2)
    environment = os.environ | {
        "KUBECONFIG": str(account),
        "PARKADE_MODEL_STORE": (tmp_path / "models").as_uri(),
        "PARKADE_METRICS_PORT": str(ports[0]),
        "PARKADE_HEALTH_PORT": str(ports[1]),
    }
    examples = [f"--filename={repository_root / 'examples' / name}.yaml" for name in ("regions", "tritonpool")]
    plane.kubectl("apply", *examples)
    log = tmp_path / "operator.log"
    with log.open("wb") as output:
        operator = subprocess.Popen(
            [sys.executable, "-m", "parkade", "operator"], env=environment, stdout=output, stderr=output
        )
        try:
            for thing, honoured in (("region/us-ca", True), ("tritonpool/austin-a100", False)):
                plane.kubectl("wait", thing, f"--for=condition=FieldsHonoured={honoured}", "--timeout=120s")
        except LocalPlaneError as error:
            pytest.fail(f"{error}; the operator says:\n{log.read_text()[-2000:]}")
        finally:
            operator.terminate()
            operator.wait(timeout=30)
            plane.kubectl("delete", *examples)
    assert "orbidden" not in log.read_text()


def test_the_uninstall_runs_under_its_own_account(
    granted: Callable[[str, str], bool], plane: Plane, tmp_path: Path
) -> None:
    assert granted("parkade-uninstall", "list regions.parkade.dev")
    kubeconfig = as_account(plane, "parkade-uninstall", tmp_path / "kubeconfig")
    command = [sys.executable, "-m", "parkade", "uninstall", f"--kubeconfig={kubeconfig}", "--seconds=60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
