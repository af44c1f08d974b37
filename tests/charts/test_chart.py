"""The Helm chart: renders, is taken by a real API server, and grants each component what it needs and no more."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from parkade.local.plane import Plane
from parkade.local.ports import choose
from parkade.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

Render = Callable[..., str]
VARIANTS: dict[str, tuple[str, ...]] = {
    "as it comes": (),
    "one operator that observes": ("--set", "operator.replicas=1", "--set", "settings.mode=Observe"),
    "one carlet": ("--set", "carlet.replicas=1"),
    "fleet link elsewhere": ("--set", "nats.enabled=false", "--set", "nats.url=tls://nats.example:4222"),
    "models on a claim of your own": ("--set", "modelStore.existingClaim=shared"),
    "callers by service account, with quotas": (
        "--set", "router.auth.mode=token-review", "--set", "router.quota.default.rate=100",
        "--set", "router.quota.namespaces.vision.rate=2000", "--set", "router.quota.namespaces.vision.burst=4000",
    ),
    "callers by an issuer": (
        "--set", "router.auth.mode=jwt", "--set", "router.auth.issuer=https://issuer.example",
        "--set", "router.auth.jwks=https://issuer.example/keys",
    ),
    "requests as spans": (
        "--set-json", 'router.tracing={"endpoint": "http://collector.observability:4318", "percent": 0.05}',
    ),
    "models in a bucket": (
        "--set", "carlet.modelsElsewhere.url=s3+https://s3.example/models", "--set", "carlet.stagePercent=0",
        "--set", "carlet.modelsElsewhere.credentials=bucket",
    ),
    "no services for workloads": ("--set", "operator.services=false", "--set", "router.zone=us-ca-a"),
    "behind a Gateway": (
        "--set-json",
        'operator.gateway={"http": "a/b/http", "grpc": "a/b/grpc", "hostname": "{name}.{namespace}.models.example"}',
    ),
    "reached from outside": (
        "--set", "router.service.type=LoadBalancer", "--set", "router.carsAdvertise=cars.example:443",
        "--set", "imagePullSecrets[0].name=pull", "--set-string", "operator.env.PARKADE_RESYNC=5",
    ),
}  # fmt: skip


def objects(rendered: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(rendered) if document]


def pods(rendered: str) -> list[tuple[str, dict[str, Any]]]:
    workloads = ("Deployment", "StatefulSet")
    found = [thing for thing in objects(rendered) if thing["kind"] in workloads]
    return [(thing["metadata"]["name"], thing["spec"]["template"]["spec"]) for thing in found]


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS)
def test_the_api_server_takes_what_helm_renders(arguments: tuple[str, ...], render: Render, plane: Plane) -> None:
    printed = plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=render(*arguments))
    assert "deployment.apps/parkade-operator serverside-applied" in printed
    assert "deployment.apps/carlet serverside-applied" in printed
    assert "deployment.apps/parkade-router serverside-applied" in printed


def test_helm_finds_nothing_to_blame(helm: Path, repository_root: Path) -> None:
    done = subprocess.run(
        [helm, "lint", "--strict", repository_root / "charts" / "parkade"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_container_is_sandboxed_and_probed(render: Render) -> None:
    assert {name for name, _ in pods(render())} == {"parkade-operator", "carlet", "parkade-router", "parkade-nats"}
    for name, pod in pods(render()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False, "a Service named parkade-* would set PARKADE_* variables"
        assert pod["serviceAccountName"] == name
        for container in pod["containers"]:
            sandbox = container["securityContext"]
            assert sandbox["readOnlyRootFilesystem"] is True
            assert sandbox["allowPrivilegeEscalation"] is False
            assert sandbox["capabilities"] == {"drop": ["ALL"]}
            assert container["livenessProbe"]
            assert container["readinessProbe"]
            assert container["resources"]["requests"]
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("services", [True, False])
def test_the_operator_understands_its_environment(services: bool, render: Render) -> None:  # noqa: FBT001 -- pytest's
    rendered = render("--set", f"operator.services={str(services).lower()}")
    (pod,) = (pod for name, pod in pods(rendered) if name == "parkade-operator")
    environment = {entry["name"]: entry.get("value", "from-the-pod") for entry in pod["containers"][0]["env"]}
    settings = Settings.from_environment(environment)
    assert (settings.services, settings.status_url) == (services, "Service" if services else "Router")
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert (settings.metrics_port, settings.health_port) == (ports["metrics"], ports["health"])
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert settings.model_store.removeprefix("file://") in mounts


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("settings.mode=Watch", "'Apply', 'Observe'"),
        ("operator.replica=2", "additional properties 'replica' not allowed"),
        ("nats.url=nats://link:4222", "does not match pattern"),
        ("operator.replicas=0", "minimum"),
        ("carlet.replicas=0", "minimum"),
        ("carlet.modelsElsewhere.url=s3://models", "does not match pattern"),
        ("router.auth.mode=jwt", "issuer"),
        ("router.quota.default.rate=0", "exclusiveMinimum"),
        ("router.tracing.endpoint=collector:4317", "does not match pattern"),
        ("router.tracing.percent=101", "maximum"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: str, sentence: str, render: Render) -> None:
    with pytest.raises(ValueError, match="values don't meet the specifications") as refusal:
        render("--set", value)
    assert sentence in str(refusal.value)


ADMISSION: dict[str, tuple[set[str], bool]] = {
    "as it comes": (set(), False),
    "callers by service account, with quotas": (
        {"--auth=token-review", "--auth-audience=parkade", "--quota=/etc/parkade/quota/quota.json"}, True,
    ),
    "callers by an issuer": (
        {
            "--auth=jwt", "--auth-audience=parkade", "--auth-issuer=https://issuer.example",
            "--jwks=https://issuer.example/keys", "--auth-namespace-claim=/kubernetes.io/namespace",
        },
        False,
    ),
}  # fmt: skip
"""Flags of the router, and whether it may have tokens reviewed."""


@pytest.mark.parametrize("variant", ADMISSION)
def test_callers_are_asked_only_where_that_is_set(variant: str, render: Render) -> None:
    flags, reviews = ADMISSION[variant]
    rendered = render(*VARIANTS[variant])
    (pod,) = (pod for name, pod in pods(rendered) if name == "parkade-router")
    arguments = set(pod["containers"][0]["args"])
    assert {it for it in arguments if it.startswith(("--auth", "--jwks", "--quota"))} == flags
    rules = [rule for thing in objects(rendered) for rule in thing.get("rules", [])]
    assert any("tokenreviews" in rule["resources"] for rule in rules) == reviews
    quotas = [thing["data"] for thing in objects(rendered) if thing["metadata"]["name"] == "parkade-router-quota"]
    assert len(quotas) == len([it for it in flags if it.startswith("--quota")])
    for data in quotas:
        assert json.loads(data["quota.json"])["namespaces"] == {"vision": {"rate": 2000, "burst": 4000}}


TRACING = {
    "as it comes": set(),
    "requests as spans": {"--otlp-endpoint=http://collector.observability:4318", "--trace-percent=0.05"},
}


@pytest.mark.parametrize("variant", TRACING)
def test_spans_are_sent_only_where_a_collector_is_named(variant: str, render: Render) -> None:
    (pod,) = (pod for name, pod in pods(render(*VARIANTS[variant])) if name == "parkade-router")
    arguments = pod["containers"][0]["args"]
    assert {it for it in arguments if it.startswith(("--otlp", "--trace"))} == TRACING[variant]


@pytest.mark.parametrize(
    ("variant", "flags", "secrets"),
    [
        ("as it comes", {"--stage-percent=20"}, []),
        (
            "models in a bucket",
            {"--stage-percent=0", "--models-elsewhere=s3+https://s3.example/models"},
            [{"secretRef": {"name": "bucket"}}],
        ),
    ],
)
def test_cars_are_sent_to_a_bucket_only_where_one_is_named(
    variant: str, flags: set[str], secrets: list[dict[str, Any]], render: Render
) -> None:
    (pod,) = (pod for name, pod in pods(render(*VARIANTS[variant])) if name == "carlet")
    (container,) = pod["containers"]
    assert {it for it in container["args"] if it.startswith(("--stage", "--models-elsewhere"))} == flags
    assert container.get("envFrom", []) == secrets


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
    "parkade-nats": ["list inferenceworkloads.parkade.dev -A", "get secrets -n parkade-system"],
}


@pytest.fixture(scope="module")
def granted(render: Render, plane: Plane) -> Callable[[str, str], bool]:
    """Install the chart's accounts and roles; ask the API server's own authorizer."""
    kinds = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    rules = [thing for thing in objects(render()) if thing["kind"] in kinds]
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(rules))

    def ask(component: str, request: str) -> bool:
        account = f"--as=system:serviceaccount:parkade-system:{component}"
        command = ["kubectl", "--kubeconfig", str(plane.kubeconfig), "auth", "can-i", *request.split(), account]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout.strip() in ("yes", "no"), done.stderr
        return done.stdout.strip() == "yes"

    return ask


def test_the_operator_may_write_routes(render: Render) -> None:
    """The authorizer of a server without the Gateway API cannot be asked."""
    rules = [rule for thing in objects(render()) if thing["kind"] == "ClusterRole" for rule in thing["rules"]]
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
    account = tmp_path / "kubeconfig"
    account.write_bytes(plane.kubeconfig.read_bytes())
    token = plane.kubectl("create", "token", "parkade-operator", "--namespace=parkade-system").strip()
    for words in (("set-credentials", "pod", f"--token={token}"), ("set-context", "--current", "--user=pod")):
        subprocess.run(["kubectl", "--kubeconfig", account, "config", *words], check=True, capture_output=True)
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
                plane.kubectl("wait", thing, f"--for=condition=FieldsHonoured={honoured}", "--timeout=30s")
        finally:
            operator.terminate()
            operator.wait(timeout=30)
            plane.kubectl("delete", *examples)
    assert "orbidden" not in log.read_text()


MONITORED = [f"--set=monitoring.{part}.enabled=true" for part in ("podMonitor", "rules", "dashboards")]


def test_nothing_is_monitored_unless_asked_for(render: Render) -> None:
    kinds = {thing["kind"] for thing in objects(render())}
    assert not kinds & {"PodMonitor", "PrometheusRule"}
    assert not [name for thing in objects(render()) if "dashboard" in (name := thing["metadata"]["name"])]


def test_what_prometheus_and_grafana_are_given(render: Render, repository_root: Path) -> None:
    chart = repository_root / "charts" / "parkade"
    pages = "--set=monitoring.rules.runbooks=https://wiki.example/runbooks"
    things = objects(render(*MONITORED, pages, "--set=monitoring.podMonitor.labels.release=prom"))
    (monitor,) = (thing for thing in things if thing["kind"] == "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    (chosen,) = monitor["spec"]["selector"]["matchExpressions"]
    ports = {
        thing["spec"]["template"]["metadata"]["labels"][chosen["key"]]: [
            port["name"] for container in thing["spec"]["template"]["spec"]["containers"] for port in container["ports"]
        ]
        for thing in things
        if thing["kind"] in ("Deployment", "StatefulSet")
    }
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert sorted(chosen["values"]) == sorted(part for part, names in ports.items() if endpoint["port"] in names)
    (rules,) = (thing for thing in things if thing["kind"] == "PrometheusRule")
    shipped = (chart / "rules" / "parkade.yaml").read_text()
    wanted = shipped.replace("https://parkade.dev/docs/runbooks", "https://wiki.example/runbooks")
    assert rules["spec"] == yaml.safe_load(wanted)
    assert "wiki.example" in wanted
    boards = {
        name: text
        for thing in things
        if "grafana_dashboard" in thing["metadata"]["labels"]
        for name, text in thing["data"].items()
    }
    assert boards == {file.name: file.read_text() for file in (chart / "dashboards").iterdir()}
