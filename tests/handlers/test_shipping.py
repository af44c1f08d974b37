import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import worlds
from parkade import serving
from parkade.changes import StageArtifact
from parkade.cluster import ClusterClient
from parkade.cluster.resources import SECRETS
from parkade.handlers.shipping import REPOSITORY_SECONDS, ModelShipping
from parkade.handlers.working import Works
from parkade.local.plane import Plane
from parkade.snapshot import StoredModel


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shipping(tmp_path: Path, clock: Clock):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: x, user: {}}]}"
    )
    works = Works(lambda _: None)
    store = serving.ModelStore((tmp_path / "store").as_uri())
    made = ModelShipping(ClusterClient.connect(10, 10, kubeconfig), "parkade-system", store, works, clock)
    yield made
    works.close()
    made.close()


def test_repositories_are_looked_at_now_and_then_and_always_while_something_is_deleted(shipping, clock, tmp_path):
    (tmp_path / "repository" / "sign-reader" / "7").mkdir(parents=True)
    pool = worlds.servers(models={"repository": (tmp_path / "repository").as_uri()})
    facts = worlds.snapshot([pool, worlds.workload()])
    found = (StoredModel(pool.key, "sign-reader", (7,)),)
    assert shipping.stored(facts) == found
    clock.now = REPOSITORY_SECONDS - 1
    assert shipping.stored(facts) == ()
    gone = worlds.workload("gone", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert shipping.stored(worlds.snapshot([pool, gone])) == found
    clock.now *= 3
    assert shipping.stored(facts) == found


MODEL = b"a model"
DIGEST = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def asked() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """`host:port` of a web server that gives everybody the model, and the headers that it got."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", str(len(MODEL)))
            self.end_headers()
            self.wfile.write(MODEL)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{web.server_port}", got
        web.shutdown()
        thread.join(5)


@pytest.fixture
def secretive(plane: Plane, tmp_path: Path):
    """Shipping in a cluster where `default` has one Secret for sources and one for servers."""
    client = ClusterClient.connect(1000, 1000, plane.kubeconfig)
    secrets = {
        "source": {"headers": '{"Authorization": "Bearer t0ken"}'},
        "control": {"header": "x-control", "value": "hunter2"},
    }
    for name, text in secrets.items():
        body = {"apiVersion": SECRETS.api, "kind": SECRETS.kind, "metadata": {"name": name}, "stringData": text}
        client.create(SECRETS.path("default"), body)
    works = Works(lambda _: None)
    store = serving.ModelStore((tmp_path / "store").as_uri())
    made = ModelShipping(client, "default", store, works)
    yield made, store
    works.close()
    made.close()
    for name in secrets:
        client.delete(SECRETS.path("default", name))
    client.close()


@pytest.mark.cluster
def test_the_control_header_reaches_the_servers(secretive, asked):
    shipping, (address, got) = secretive[0], asked
    urls = {"urls": [{"http": address, "grpc": address}]}
    plain = worlds.servers(endpoints=urls)
    shipping.servers(worlds.snapshot([plain]))
    assert got
    assert not any("x-control" in headers for headers in got)
    shipping.servers(worlds.snapshot([worlds.servers(endpoints=urls, controlSecretRef={"name": "control"})]))
    assert got[-1]["x-control"] == "hunter2"


@pytest.mark.cluster
def test_credentials_reach_the_source_and_a_missing_secret_is_told(secretive, asked):
    (shipping, store), (address, got) = secretive, asked
    file = {"source": f"http://{address}/m.onnx", "sha256": DIGEST, "secretRef": {"name": "nowhere"}}
    facts = worlds.snapshot([worlds.workload(namespace="default", model={"artifacts": [file]})])
    step = StageArtifact("default/sign-reader", DIGEST, file["source"], "nowhere")
    shipping.start(step, facts)
    (fact,) = shipping.artifacts(facts)
    assert (fact.state, fact.reason) == ("Failed", "SourceUnavailable")
    assert "Secret default/nowhere cannot be used: it is not there; create it" in fact.message
    assert not got
    file["secretRef"] = {"name": "source"}
    mended = worlds.snapshot([worlds.workload(namespace="default", model={"artifacts": [file]})])
    shipping.artifacts(mended)
    store.wait(DIGEST, 10)
    assert [fact.state for fact in shipping.artifacts(mended)] == ["Staged"]
    assert got[-1]["authorization"] == "Bearer t0ken"
