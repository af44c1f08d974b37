"""Real peers of the agent: certificates, tiny ONNX models, a store with Range, a router, a NATS server; and clocks."""

import asyncio
import hashlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
import onnx

from parkade.local import binaries
from parkade.local.pki import Authority
from parkade.local.ports import choose
from parkade.vehicle.clock import Sources
from parkade.vehicle.tls import Certificates


@dataclass(frozen=True)
class Pki:
    authority: Authority
    vehicle: Certificates
    server_cert: Path
    server_key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_cert, self.server_key)
        return context

    def mutual_context(self) -> ssl.SSLContext:
        context = self.server_context()
        context.load_verify_locations(self.vehicle.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


# models


def onnx_model(nodes: list, inputs: dict, outputs: dict, initializers: list | None = None) -> bytes:
    """Tensors are `name: (element type, shape)`; a str axis is free."""

    def infos(tensors: dict) -> list:
        return [onnx.helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()]

    graph = onnx.helper.make_graph(nodes, "tiny", infos(inputs), infos(outputs), initializers or [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def affine(factor: float = 2.0) -> bytes:
    """y = x * factor over [n, 3] of FP32."""
    constant = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [1], [factor])
    node = onnx.helper.make_node("Mul", ["x", "factor"], ["y"])
    shape = {"x": (onnx.TensorProto.FLOAT, ["n", 3])}
    return onnx_model([node], shape, {"y": (onnx.TensorProto.FLOAT, ["n", 3])}, [constant])


def slow(steps: int) -> bytes:
    """A loop of matrix products: long enough to be caught in flight, interruptible between operators."""
    matrix = np.eye(256, dtype=np.float32)
    constants = [
        onnx.numpy_helper.from_array(matrix, "matrix"),
    ]
    names = ["x"] + [f"h{step}" for step in range(1, steps)] + ["y"]
    nodes = [onnx.helper.make_node("MatMul", [before, "matrix"], [after]) for before, after in pairwise(names)]
    shape = (onnx.TensorProto.FLOAT, [256, 256])
    return onnx_model(nodes, {"x": shape}, {"y": shape}, constants)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# a model store over HTTPS

DROP = 4096
"""Bytes that a slow store sends at a time."""


class Shelf:
    """Serves `contents` under /models/<digest>, with Range; each request may be cut after some bytes."""

    def __init__(self) -> None:
        self.port = 0
        self.contents: dict[str, bytes] = {}
        self.cut: list[int] = []
        """Bytes of bodies after which connections break, one after another."""
        self.statuses: list[int] = []
        """Answers of the next requests instead of the content."""
        self.ranges: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.peers: list[object] = []
        """Certificates that clients showed."""
        self.elsewhere = ""
        """Where every request is redirected to."""
        self.honour_range = True
        self.rate = inf
        """Bytes a second of each body."""

    def put(self, content: bytes) -> str:
        self.contents[digest_of(content)] = content
        return digest_of(content)

    def url(self, digest: str) -> str:
        return f"https://127.0.0.1:{self.port}/models/{digest}?expires=1&signature=secret"


@contextmanager
def over_tls(
    pki: Pki | None, handler: type[BaseHTTPRequestHandler], *, ask: bool = False, files: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """The port of a web server with the server's certificate. Handshakes are the handlers' threads' affair.

    `ask` makes it take a client's certificate where one is shown; `files` are other certificate and key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(files or (pki.server_cert, pki.server_key)))
    if ask:
        context.load_verify_locations(pki.vehicle.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def handler_of(shelf: Shelf) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = shelf.contents.get(self.path.split("?")[0].removeprefix("/models/"))
            asked = self.headers.get("Range", "")
            shelf.ranges.append(asked)
            shelf.heads.append(dict(self.headers))
            shelf.peers.append(self.connection.getpeercert() or None)
            if shelf.statuses or content is None or shelf.elsewhere:
                self.send_response(shelf.statuses.pop(0) if shelf.statuses else 307 if shelf.elsewhere else 404)
                if shelf.elsewhere:
                    self.send_header("Location", shelf.elsewhere)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            first, _, last = asked.removeprefix("bytes=").partition("-") if shelf.honour_range else ("", "", "")
            begin, end = int(first or 0), min(int(last or len(content) - 1) + 1, len(content))
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
            body = content[begin:end]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if shelf.cut:
                shelf.cut[0] -= len(body)
                if shelf.cut[0] < 0:
                    body = body[: shelf.cut.pop(0)]
                    self.close_connection = True
            self.pour(body)

        def pour(self, body: bytes) -> None:
            step = DROP if shelf.rate < inf else max(len(body), 1)
            with suppress(OSError):  # who asked is gone
                for at in range(0, len(body), step):
                    self.wfile.write(body[at : at + step])
                    time.sleep(step / shelf.rate)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


# a NATS server


@dataclass
class NatsServer:
    directory: Path
    pki: Pki
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'tls {{ cert_file: "{self.pki.server_cert}", key_file: "{self.pki.server_key}" }}\n'
        )
        self.process = subprocess.Popen(
            [binaries.upstream("nats-server", print), "-c", str(config), "-l", str(self.directory / "nats.log")]
        )
        for _ in range(500):
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.directory / "nats.log").read_text()
            threading.Event().wait(0.01)
        raise AssertionError("nats-server does not listen")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    """A port that nobody else is given."""
    return choose(1)[0]


# a router


@dataclass
class Offered:
    """One connection that a car dialled; the router speaks HTTP on it."""

    head: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    subject_names: list[str]

    async def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None):
        self.send(method, path, body, headers)
        return await self.answer()

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.writer.write(request_bytes(method, path, body, headers))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await read_head(self.reader)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(status.split()[1]), headers, body

    async def ended(self) -> bool:
        return await self.reader.read(1) == b""


def request_bytes(method: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    lines = {"Host": "car", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: parkade-serve/1\r\n\r\n"


class Router:
    """Takes offers as scripted: each entry of `script` is the bytes that answer one offer; then always 101."""

    def __init__(self) -> None:
        self.script: list[bytes] = []
        self.offers: asyncio.Queue[Offered] = asyncio.Queue()
        self.requests: list[str] = []
        self.address = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, context: ssl.SSLContext, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._offered, "127.0.0.1", port, ssl=context)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _offered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            first, head = await read_head(reader)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return
        self.requests.append(first)
        answer = self.script.pop(0) if self.script else SWITCH
        writer.write(answer)
        if not answer.startswith(SWITCH):
            writer.close()
            return
        certificate = writer.get_extra_info("peercert") or {}
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        await self.offers.put(Offered(head, reader, writer, names))

    async def next(self) -> Offered:
        return await asyncio.wait_for(self.offers.get(), 10)

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            if writer.transport is not None:
                writer.transport.abort()


# orders and requests


ASK = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()


def assignment(shelf, content: bytes, router: str, **changes) -> dict:
    digest = digest_of(content)
    entry = {
        "workload": "vision/reader", "model": "reader", "digest": digest, "bytes": len(content), "format": "onnx",
        "memory": 2**20, "url": shelf.url(digest) if shelf else "", "router": router,
    }  # fmt: skip
    return entry | changes


def desired(*assignments: dict, revision: str = "r1", cell: str = "ca-home-hw4-0", **more: object) -> bytes:
    message = {"v": 1, "cell": cell, "revision": revision, "assignments": list(assignments), **more}
    return json.dumps(message).encode()


async def ask_app(app, body: bytes) -> int:
    """One inference by the application itself, without a connection; its status."""
    sent = []

    done = asyncio.Event()

    async def once():
        if not done.is_set():
            done.set()
            return {"type": "http.request", "body": body}
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v2/models/reader/infer", "headers": []}
    await app(scope, once, send)
    return sent[0]["status"]


# clocks


@dataclass
class Hand:
    """Clocks that a test moves."""

    wall: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, tzinfo=UTC))
    ticks: float = 100.0
    running: float = 50.0
    boot: str = "first"

    def sources(self) -> Sources:
        return Sources(lambda: self.wall, lambda: self.ticks, lambda: self.running, self.boot)

    def pass_(self, seconds: float, *, asleep: bool = False) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds
        self.running += 0 if asleep else seconds

    def set_wall(self, by: float) -> None:
        self.wall += timedelta(seconds=by)

    def reboot(self, off: float, set_by: float = 0) -> None:
        """The machine is off for so long, and wakes with a wall clock that is so wrong."""
        self.wall += timedelta(seconds=off + set_by)
        self.ticks, self.running, self.boot = 3.0, 1.0, self.boot + "'"


async def until(condition: Callable[[], object], seconds: float = 45.0) -> None:
    """Await a condition; the loop's own steps drive it."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- conditions of many parts, awaited from outside
            await asyncio.sleep(0.005)
