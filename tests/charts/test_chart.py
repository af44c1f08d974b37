"""The Helm chart: renders, is taken by a real API server, and sets what its values say."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.conftest import Render
from charts.manifests import Manifest, errands, objects, one, pods
from parkade.local.plane import Plane
from parkade.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

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
    "secrets and definitions of your own": ("--set", "secrets.generate=false", "--set", "crds.install=false"),
    "nothing but what is needed may be reached": (
        "--set", "networkPolicies.egress.enabled=true", "--set", "nats.mqttPort=1883", "--set-json",
        'networkPolicies.egress.router=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 8000}]}]',
    ),
    "everybody may be reached": ("--set", "networkPolicies.enabled=false", "--set", "crds.keep=false"),
    "on nodes of their own": (
        "--set", "router.replicas=3", "--set", "router.priorityClassName=system-cluster-critical",
        "--set", "router.nodeSelector.pool=parkade", "--set-json", 'router.tolerations=[{"operator": "Exists"}]',
        "--set-json", 'router.affinity={"nodeAffinity": {}}', "--set", "router.podAnnotations.a=b",
    ),
    "tested by a request": ("--set", "test.model=sign-reader", "--set", "test.tokenSecret=caller"),
    "reached from outside": (
        "--set", "router.service.type=LoadBalancer", "--set", "router.carsAdvertise=cars.example:443",
        "--set", "imagePullSecrets[0].name=pull", "--set-string", "operator.env.PARKADE_RESYNC=5",
    ),
}  # fmt: skip


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
        check_sandbox(pod)
        assert pod["automountServiceAccountToken"] is (name != "parkade-nats")
        assert {it["topologyKey"] for it in pod["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone", "kubernetes.io/hostname",
        }  # fmt: skip
        for container in pod["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def check_sandbox(pod: Manifest) -> None:
    for container in pod["containers"]:
        sandbox = container["securityContext"]
        assert sandbox["readOnlyRootFilesystem"] is True
        assert sandbox["allowPrivilegeEscalation"] is False
        assert sandbox["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"]
        assert "memory" in container["resources"]["limits"]


def test_what_ends_by_itself_is_sandboxed_alike(render: Render) -> None:
    found = dict(errands(render()))
    assert found.keys() == {"parkade-secrets", "parkade-uninstall", "parkade-test"}
    for name, pod in found.items():
        check_sandbox(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is (name != "parkade-test")
    for account in (it for it in objects(render()) if it["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_account_and_no_right_of_a_hook_stays(render: Render) -> None:
    """A hook's objects are not of the release: Helm deletes them only where they say so."""
    hooks = [it for it in objects(render()) if "helm.sh/hook" in it["metadata"].get("annotations", {})]
    assert {it["kind"] for it in hooks} >= {"Job", "ServiceAccount", "Role", "ClusterRole", "Pod"}
    for hook in hooks:
        assert hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize("replicas", [1, 3])
def test_one_pod_of_several_may_be_evicted_at_a_time(replicas: int, render: Render) -> None:
    """A budget of a lone pod would hold up every drain of its node for ever."""
    values = [f"--set={part}.replicas={replicas}" for part in ("operator", "carlet", "router")]
    budgets = [it for it in objects(render(*values)) if it["kind"] == "PodDisruptionBudget"]
    names = {it["metadata"]["name"] for it in budgets}
    assert names == ({"parkade-operator", "carlet", "parkade-router"} if replicas > 1 else set())
    assert all(it["spec"]["maxUnavailable"] == 1 for it in budgets)


def test_what_drains_has_the_time(render: Render) -> None:
    grace = {name: pod["terminationGracePeriodSeconds"] for name, pod in pods(render())}
    (router,) = (pod for name, pod in pods(render()) if name == "parkade-router")
    flags = dict(it.removeprefix("--").split("=", 1) for it in router["containers"][0]["args"])
    assert grace["parkade-router"] > int(flags["shutdown-delay-seconds"]) + int(flags["drain-seconds"])
    assert grace["parkade-operator"] > 30, "the cycle under way may take that long"


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ((), "parkade-router.parkade-system.svc:8443"),
        (("--set", "router.replicas=3"), "$(POD_IP):8443"),
        (("--set", "router.carsAdvertise=cars.example:443"), "cars.example:443"),
    ],
)
def test_cars_are_told_an_address_that_the_certificate_names(
    values: tuple[str, ...], address: str, render: Render
) -> None:
    rendered = render(*values)
    (router,) = (pod for name, pod in pods(rendered) if name == "parkade-router")
    assert f"--advertise-cars={address}" in router["containers"][0]["args"]
    (job,) = (pod for name, pod in errands(rendered) if name == "parkade-secrets")
    (names,) = (it for it in job["containers"][0]["args"] if it.startswith("--names="))
    assert address.rpartition(":")[0] in [*names.removeprefix("--names=").split(","), "$(POD_IP)"]


def test_pods_go_where_the_values_say(render: Render) -> None:
    found = dict(pods(render(*VARIANTS["on nodes of their own"])))
    router = found["parkade-router"]
    assert router["priorityClassName"] == "system-cluster-critical"
    assert router["nodeSelector"] == {"pool": "parkade"}
    assert router["tolerations"] == [{"operator": "Exists"}]
    assert router["affinity"] == {"nodeAffinity": {}}
    assert "nodeSelector" not in found["carlet"]
    metadata = one(render(*VARIANTS["on nodes of their own"]), "Deployment", "parkade-router")["spec"]["template"][
        "metadata"
    ]
    assert metadata["annotations"] == {"a": "b"}


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
        ("operator.replica=2", "/operator"),
        ("networkPolicies.egress.operators=1", "/networkPolicies/egress"),
        ("operators.replicas=2", "additional properties 'operators' not allowed"),
        ("router.tolerations=all", "got string, want array"),
        ("router.resources.limit.memory=1Gi", "additional properties 'limit' not allowed"),
        ("nats.enabled=false", "/nats/url"),
        ("nats.connectRate=many", "got string, want integer"),
        ("settings.paused=maybe", "got string, want boolean"),
        ("secrets.names=cars.example:443", "got string, want array"),
        ("test.seconds=0", "minimum"),
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


def test_every_value_is_described_and_every_key_is_known(repository_root: Path) -> None:
    """What values.yaml has and what its schema knows are the same keys, but for those that are free."""
    chart = repository_root / "charts" / "parkade"
    schema = json.loads((chart / "values.schema.json").read_text())

    def known(part: Manifest, where: str = "") -> set[str]:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if "properties" not in part:
            return {where}
        assert part["additionalProperties"] is False, where
        inner = (known(it, f"{where}.{key}") for key, it in part["properties"].items())
        return {where}.union(*inner)

    def written(value: Any, where: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {where}
        return {where}.union(*(written(it, f"{where}.{key}") for key, it in value.items()))

    paths, values = known(schema), written(yaml.safe_load((chart / "values.yaml").read_text()))
    optional = {".global"} | {it for it in paths if it.startswith((".router.quota.",)) or ".affinity." in it}
    optional |= {it for it in paths if it.endswith(".resources.claims")}
    assert paths - values - optional == set()
    assert {it for it in values - paths if ".resources." not in it and ".labels." not in it} == set()


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
