"""Where models run in these tests: cars that dial in, and a datacenter that speaks KServe v2; both with moods."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import numpy as np
import uvicorn
from tritonclient.grpc import service_pb2, service_pb2_grpc
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from parkade.local.pki import Authority
from parkade.vehicle import kserve_grpc
from parkade.vehicle.kserve import KServe, Served
from parkade.vehicle.runtime import Cancellation
from parkade.vehicle.tensors import BadRequest, TensorSpec

MODEL = "doubler"
WORKLOAD = "vision/doubler"
CELL = "cell-0"
POOL = "pool"


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition that another process or thread makes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


# what runs in a car and in the datacenter


class Doubler:
    """y = 2 x over [n] of FP32; another factor is a lie, and one that grows is a model whose answers vary."""

    inputs = (TensorSpec("x", "FP32", (-1,)),)
    outputs = (TensorSpec("y", "FP32", (-1,)),)
    platform = "test"

    def __init__(self, factor: float = 2.0, growth: float = 0.0) -> None:
        self.factor, self.growth = factor, growth

    def infer(self, feeds, wanted, _cancellation) -> list:
        if feeds["x"].ndim != 1:
            raise BadRequest(f"unexpected shape for input 'x': {list(feeds['x'].shape)} is not [n]")
        self.factor += self.growth
        return [feeds["x"] * np.float32(self.factor) for _ in wanted]

    def close(self) -> None:
        pass


def served(executor: ThreadPoolExecutor, model: Doubler | None = None) -> Served:
    return Served(MODEL, "1", model or Doubler(), executor, accepts=lambda: True, record=lambda *_: None)


async def say(send, status: int, body: bytes, headers: tuple, length: int | None) -> None:
    announced = str(len(body) if length is None else length).encode()
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", announced)]})
    await send({"type": "http.response.body", "body": body, "more_body": length is not None})


CANNED: dict[str, tuple[int, bytes, tuple, int | None]] = {
    "garbage": (200, b"\x00\xff garbage", ((b"content-type", b"application/json"),), None),
    "cut off": (200, b'{"outputs":[', (), 4096),
    "lies about its header": (200, b'{"outputs":[]}', ((b"inference-header-content-length", b"999"),), None),
    "has no model": (404, b'{"error":"not here"}', (), None),
    "broken": (500, b'{"error":"broken"}', (), None),
    "does not do that": (501, b'{"error":"cars do not do BF16"}', (), None),
    "not ready": (503, b'{"error":"not now"}', (), None),
}
"""Status, body, headers and announced length of what a place says in a mood."""


class Moody:
    """An ASGI application that is honest until told otherwise."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.honest = KServe(served(executor))
        self.models = {
            "lies": KServe(served(executor, Doubler(3.0))),
            "is not exact": KServe(served(executor, Doubler(2.0001))),
            "varies": KServe(served(executor, Doubler(3.0, growth=1.0))),
        }
        self.mood = "honest"
        self.takes = 0.0
        """Seconds before an answer."""
        self.entered = threading.Event()
        self.requests = 0
        self.headers: list[dict[str, str]] = []
        self.abort: Callable[[], None] = lambda: None

    async def __call__(self, scope, receive, send) -> None:
        self.requests += 1
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.entered.set()
        if self.mood in CANNED:
            status, body, headers, length = CANNED[self.mood]
            await say(send, status, body, headers, length)
        elif self.mood == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif self.mood != "dies":
            await asyncio.sleep(0.3 if self.mood == "slow" else self.takes)
            while self.mood == "held":  # noqa: ASYNC110 -- the mood is changed by another thread
                await asyncio.sleep(0.005)
            await self.models.get(self.mood, self.honest)(scope, receive, send)
        if self.mood in ("dies", "cut off"):
            self.abort()


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, coroutine) -> "Future":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


def http_server(app: Moody, state: ServerState) -> HttpToolsProtocol:
    """HTTP/1.1 for one connection, on the running event loop."""
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
        timeout_keep_alive=3600,
    )  # fmt: skip
    config.load()
    return HttpToolsProtocol(config, state, {})


# cars


class Offer(asyncio.Protocol):
    """Sends the offer and turns the connection round when the router takes it."""

    def __init__(self, request: bytes, app: Moody) -> None:
        self.request, self.app, self.head = request, app, b""
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.server: HttpToolsProtocol | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.server:
            self.server.data_received(data)
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " in head:
            self.server = http_server(self.app, ServerState())
            self.server.connection_made(self.transport)
            if rest:
                self.server.data_received(rest)
        if not self.answer.done():
            self.answer.set_result(self.head)

    def connection_lost(self, exc) -> None:
        if self.server:
            self.server.connection_lost(exc)
        if not self.answer.done():
            self.answer.set_result(self.head)
        self.closed.set_result(None)


@dataclass
class Car:
    """One car with one slot; `name` is in its certificate."""

    fleet: "Fleet"
    context: ssl.SSLContext
    app: Moody
    headers: dict[str, str]
    offer: Offer | None = None
    stays: bool = True
    task: "Future[None] | None" = None

    def join(self) -> "Car":
        """Dial, and dial again whenever the connection ends, until `leave`."""
        self.task = self.fleet.run(self._stay())
        return self

    def leave(self) -> None:
        """Finish what is under way, then go: uvicorn closes an idle connection at once."""
        self.stays = False
        if self.offer and self.offer.server:
            self.fleet.loop.call_soon_threadsafe(self.offer.server.shutdown)

    def vanish(self) -> None:
        """Drop the connection with whatever it carries."""
        self.stays = False
        self.fleet.loop.call_soon_threadsafe(self._abort)

    def answer_to_offer(self) -> bytes:
        """Dial once and return the router's answer."""
        return self.fleet.run(self._once()).result(10)

    def is_taken(self) -> bool:
        return bool(self.offer and self.offer.server and not self.offer.closed.done())

    def _abort(self) -> None:
        if self.offer:
            self.offer.transport.abort()

    async def _once(self) -> bytes:
        offer = await self._dial()
        answer = await offer.answer
        offer.transport.abort()
        return answer

    async def _stay(self) -> None:
        while self.stays:
            with contextlib.suppress(OSError):
                self.offer = await self._dial()
                self.app.abort = self._abort
                if not self.stays:
                    self._abort()
                await self.offer.closed
            await asyncio.sleep(0.02)

    async def _dial(self) -> Offer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        request = f"POST /v1/serve HTTP/1.1\r\nHost: router\r\n{lines}Content-Length: 0\r\n\r\n".encode()
        host, port = self.fleet.address().split(":")
        loop = asyncio.get_running_loop()
        _, offer = await loop.create_connection(
            lambda: Offer(request, self.app), host, int(port), ssl=self.context, server_hostname=host
        )
        return offer


class Fleet(Loop):
    """Cars of one router."""

    def __init__(self, authority: Authority, address: Callable[[], str]) -> None:
        super().__init__()
        self.authority, self.address = authority, address
        self.executor = ThreadPoolExecutor(2)
        self.cars: list[Car] = []

    def car(self, name: str, fleet: str = "owners-ca", **headers: str) -> Car:
        pair = self.authority.issue(f"{fleet}-{name}", common_name=name, uris=(f"parkade://vehicle/{fleet}/{name}",))
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.load_cert_chain(pair.certificate, pair.key)
        offer = {
            "Connection": "Upgrade", "Upgrade": "parkade-serve/1", "Parkade-Workload": WORKLOAD,
            "Parkade-Model": MODEL, "Parkade-Digest": "0" * 64, "Parkade-Cell": CELL, "Parkade-Hardware": "hw4",
        }  # fmt: skip
        car = Car(self, context, Moody(self.executor), {**offer, **headers})
        self.cars.append(car)
        return car

    def joined(self, *names: str) -> list[Car]:
        """Cars that the router has taken."""
        cars = [self.car(name).join() for name in names]
        for car in cars:
            until(car.is_taken)
        return cars

    def stop(self) -> None:
        for car in self.cars:
            car.vanish()
        for car in self.cars:
            if car.task:
                car.task.result(10)
        self.end()
        self.executor.shutdown()


# a datacenter


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, datacenter: "Datacenter") -> None:
        self.datacenter = datacenter

    def ModelInfer(self, request, context):  # noqa: N802 -- the name in the protocol
        self.datacenter.metadata.append({item.key: item.value for item in context.invocation_metadata()})
        self.datacenter.app.requests += 1
        answer = kserve_grpc.answer(self.datacenter.served, request.SerializeToString(), Cancellation())
        return service_pb2.ModelInferResponse.FromString(answer.body)


class Datacenter(Loop):
    """A server of KServe v2 over HTTP and gRPC, scripted; `tests/router/test_triton.py` has a real Triton."""

    def __init__(self) -> None:
        super().__init__()
        self.executor = ThreadPoolExecutor(2)
        self.served = served(self.executor)
        self.app = Moody(self.executor)
        self.metadata: list[dict[str, str]] = []
        self.http = ""
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._grpc = grpc.server(self.executor, options=[("grpc.max_receive_message_length", -1)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(self), self._grpc)
        self.grpc = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    def start(self) -> "Datacenter":
        self.run(self._start(int(self.http.split(":")[1]) if self.http else 0)).result(10)
        return self

    def stop(self) -> None:
        """HTTP goes away, as a server that was killed."""
        self.run(self._stop()).result(10)

    def close(self) -> None:
        self.stop()
        self._grpc.stop(None).wait()
        self.end()
        self.executor.shutdown()

    async def _start(self, port: int) -> None:
        self._server = await self.loop.create_server(lambda: http_server(self.app, self._state), "127.0.0.1", port)
        self.http = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
            for connection in self._state.connections:
                connection.transport.abort()
            for task in self._state.tasks:
                task.cancel()
            await asyncio.gather(*self._state.tasks, return_exceptions=True)
            self._server = None

    def placement(self, share: int = 0, replicas: int = 2) -> dict:
        endpoint = {"http": self.http, "grpc": self.grpc, "replicas": replicas}
        return {"place": POOL, "tier": "Datacenter", "share": share, "replicas": replicas, "endpoints": [endpoint]}
