"""HTTPRoutes and GRPCRoutes on a real API server with the CRDs that the Gateway API publishes."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from changes.scene import compare, plan
from cluster.test_fronts import NAME, Site
from parkade.changes import Fronts, Gateway
from parkade.changes.routes import route_steps
from parkade.cluster import ClusterClient, read
from parkade.cluster.resources import ROUTES, WORKLOADS
from parkade.cluster.routes import read_routes
from parkade.errors import ClusterUnavailable
from parkade.local.plane import Plane
from router.places import until

pytestmark = pytest.mark.cluster

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.4.0"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its CRDs, from the Go module that it publishes."""
    folder = tmp_path_factory.mktemp("gateway-api")
    (folder / "go.mod").write_text("module test\n")
    command = ["go", "mod", "download", "-json", GATEWAY_API]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the Go module proxy does not give {GATEWAY_API}: {done.stdout or done.stderr}"[:300])
    return Path(json.loads(done.stdout)["Dir"]) / "config" / "crd" / "standard"


@pytest.fixture(scope="module")
def installed(plane: Plane, client: ClusterClient, definitions: Path) -> Iterator[None]:
    assert read_routes(client) is None, "without the CRDs there are no routes to look after"
    files = [f"--filename={definitions}/gateway.networking.k8s.io_{kind}.yaml" for kind in ("httproutes", "grpcroutes")]
    plane.kubectl("apply", "--server-side", *files)
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
    until(lambda: _is_served(client), 30)
    yield
    plane.kubectl("delete", *files)


def _is_served(client: ClusterClient) -> bool:
    """Its storage takes a moment after the CRD is established; the operator's next cycle would ask again."""
    try:
        return read_routes(client) is not None
    except ClusterUnavailable:
        return False


class RoutedSite(Site):
    """Its own namespace is the operator's, too."""

    def routes(self, gateway: Gateway) -> list[str]:
        """Kinds of the steps that were due."""
        fronts = Fronts(gateway=gateway, namespace=self.namespace)
        snapshot = read(self.client, self.namespace, term=1, now=datetime.now(UTC)).snapshot
        steps = route_steps(compare(snapshot, plan()), fronts)
        for step in steps:
            self._applying.apply(step)
        return [step.kind for step in steps]


@pytest.fixture
def site(installed: None, client: ClusterClient, plane: Plane, namespace: str) -> Iterator[RoutedSite]:  # noqa: ARG001
    site = RoutedSite(client, plane, namespace)
    yield site
    client.delete(WORKLOADS.path(namespace, NAME))
    site.routes(Gateway())


EDGE = Gateway("infra/edge/http", "infra/edge/grpc")


def test_the_api_server_takes_the_routes_and_gives_them_back_alike(site: RoutedSite) -> None:
    assert site.routes(EDGE) == ["route", "route", "route"]
    spec = site.seen("httproute", NAME)["spec"]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra", "name": "edge"}
    assert spec["parentRefs"] == [parent | {"sectionName": "http"}]
    assert spec["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/v2/models/fronts"}}]
    backend = {"group": "", "kind": "Service", "name": NAME, "port": 8000, "weight": 1}
    assert spec["rules"][0]["backendRefs"] == [backend]
    calls = site.seen("grpcroute", "parkade-router")["spec"]["rules"][0]
    assert calls["matches"] == [{"method": {"type": "Exact", "service": "inference.GRPCInferenceService"}}]
    assert calls["backendRefs"][0]["port"] == 8001
    assert site.routes(EDGE) == [], "what is right is left alone"


def test_a_host_name_is_written_and_taken_away(site: RoutedSite) -> None:
    named = Gateway("infra/edge", hostname="{name}.models.example")
    assert site.routes(named) == ["route"]
    assert site.seen("httproute", NAME)["spec"]["hostnames"] == [f"{NAME}.models.example"]
    assert site.routes(named) == []
    site.routes(EDGE)
    assert site.seen("httproute", NAME)["spec"]["hostnames"] == []
    assert site.routes(EDGE) == []


EDITS: dict[str, dict[str, Any]] = {
    "another path": {"rules": [{"matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": "mine", "port": 80}]}]},
    "a header too": {
        "rules": [
            {
                "matches": [{"path": {"value": "/v2/models/fronts"}, "headers": [{"name": "x", "value": "y"}]}],
                "backendRefs": [{"name": NAME, "port": 8000}],
            }
        ]
    },
    "another Gateway": {"parentRefs": [{"name": "mine"}]},
    "a host name": {"hostnames": ["mine.example"]},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_a_hand_edits_is_set_right(edit: dict[str, Any], site: RoutedSite) -> None:
    site.routes(EDGE)
    before = site.seen("httproute", NAME)["spec"]
    patch = json.dumps({"spec": edit})
    site.plane.kubectl("patch", "httproute", NAME, "-n", site.namespace, "--type=merge", "-p", patch)
    assert site.routes(EDGE) == ["route"]
    assert site.seen("httproute", NAME)["spec"] == before
    site.plane.kubectl("delete", "httproute", NAME, "-n", site.namespace)
    assert site.routes(EDGE) == ["route"]


def test_without_the_setting_they_go(site: RoutedSite, client: ClusterClient) -> None:
    site.routes(EDGE)
    assert site.routes(Gateway()) == ["front-delete"] * 3
    assert [client.list(resource.path(site.namespace)) for resource in ROUTES.values()] == [[], []]
