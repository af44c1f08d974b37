"""A real Triton server on free ports, and a store whose sources are served over HTTP."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from parkade.serving import Endpoint, ModelRepository, ModelStore
from triton_server import LocalTriton


class PoolServer(LocalTriton):
    """A server as the operator sees it."""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("here", self.http, self.grpc)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolServer]:
    """The session's server; a test that stops it starts one of its own instead."""
    with PoolServer(tmp_path_factory.mktemp("triton")) as local:
        yield local


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PoolServer]:
    """A server that the test starts, kills and starts again."""
    local = PoolServer(tmp_path)
    yield local
    local.stop()


@dataclass
class Sources:
    """What a web server answers by path, and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    slow: dict[str, threading.Event] = field(default_factory=dict)
    """Paths that stop half-way until the event is set."""
    cut: set[str] = field(default_factory=set)
    """Paths whose connection breaks half-way."""
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def sources() -> Iterator[Sources]:
    """A real web server with models."""
    held: Sources

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            held.asked.append(self.path)
            held.headers.append(dict(self.headers))
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            data = held.files.get(path)
            if data is None:
                self.send_error(404 if "secret" not in path else 403)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if not body:
                return
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            if path in held.slow:
                held.slow[path].wait(20)
            if path not in held.cut:
                self.wfile.write(data[half:])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        held = Sources(f"http://127.0.0.1:{web.server_port}")
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield held
        for event in held.slow.values():
            event.set()
        web.shutdown()
        thread.join(5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ModelStore]:
    """An empty store in a folder."""
    store = ModelStore(f"file://{tmp_path}/store")
    yield store
    store.close()


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Shelf:
    """Stages bytes and gives the repository of the session's server."""

    store: ModelStore
    folder: Path
    repository: ModelRepository

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        (self.folder / digest).write_bytes(data)
        source = f"file://{self.folder}/{digest}"
        self.store.stage(digest, source)
        self.store.wait(digest, 10)
        assert self.store.stage(digest, source).state == "Staged"
        return digest


@pytest.fixture
def shelf(server: PoolServer, store: ModelStore, tmp_path: Path) -> Shelf:
    """For tests on the session's server."""
    return Shelf(store, tmp_path, ModelRepository(f"file://{server.repository}", "python", store))
