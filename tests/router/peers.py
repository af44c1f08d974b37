"""The router's peers: the router process itself, cars that dial in, a datacenter that speaks KServe v2, callers."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
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


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition that another process or thread makes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


# what runs in a car and in the datacenter


class Doubler:
    """y = 2 x over [n] of FP32."""

    inputs = (TensorSpec("x", "FP32", (-1,)),)
    outputs = (TensorSpec("y", "FP32", (-1,)),)
    platform = "test"

    def infer(self, feeds, wanted, cancellation) -> list:
        if feeds["x"].ndim != 1:
            raise BadRequest(f"unexpected shape for input 'x': {list(feeds['x'].shape)} is not [n]")
        return [feeds["x"] * 2 for _ in wanted]

    def close(self) -> None:
        pass


def served(executor: ThreadPoolExecutor) -> Served:
    return Served(MODEL, "1", Doubler(), executor, accepts=lambda: True, record=lambda *_: None)


async def say(send, status: int, body: bytes, headers: tuple = (), length: int | None = None) -> None:
    announced = str(len(body) if length is None else length).encode()
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", announced)]})
    await send({"type": "http.response.body", "body": body, "more_body": length is not None})


class Moody:
    """An ASGI application that is honest until told otherwise."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.honest = KServe(served(executor))
        self.mood = "honest"
        self.entered = threading.Event()
        self.requests = 0
        self.headers: list[dict[str, str]] = []
        self.abort: Callable[[], None] = lambda: None

    async def __call__(self, scope, receive, send) -> None:
        self.requests += 1
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.entered.set()
        match self.mood:
            case "honest":
                await self.honest(scope, receive, send)
            case "slow":
                await asyncio.sleep(0.3)
                await self.honest(scope, receive, send)
            case "hang":
                while (await receive())["type"] != "http.disconnect":
                    pass
            case "dies":
                self.abort()
            case "garbage":
                await say(send, 200, b"\x00\xff garbage", ((b"content-type", b"application/json"),))
            case "cut off":
                await say(send, 200, b'{"outputs":[', length=4096)
                self.abort()
            case "lies about its header":
                await say(send, 200, b'{"outputs":[]}', ((b"inference-header-content-length", b"999"),))
            case "has no model":
                await say(send, 404, b'{"error":"not here"}')
            case "broken":
                await say(send, 500, b'{"error":"broken"}')
            case "not ready":
                await say(send, 503, b'{"error":"not now"}')


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
            config = uvicorn.Config(
                self.app, http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None,
                access_log=False, timeout_keep_alive=3600,
            )  # fmt: skip
            config.load()
            self.server = HttpToolsProtocol(config, ServerState(), {})
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
                await self.offer.closed
            await asyncio.sleep(0.02)

    async def _dial(self) -> Offer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        request = f"POST /v1/serve HTTP/1.1\r\nHost: router\r\n{lines}Content-Length: 0\r\n\r\n".encode()
        host, port = self.fleet.router.cars.split(":")
        loop = asyncio.get_running_loop()
        _, offer = await loop.create_connection(
            lambda: Offer(request, self.app), host, int(port), ssl=self.context, server_hostname=host
        )
        return offer


class Fleet:
    """Cars of one router, on an event loop in a thread."""

    def __init__(self, authority: Authority, router: "Router") -> None:
        self.authority, self.router = authority, router
        self.loop = asyncio.new_event_loop()
        self.executor = ThreadPoolExecutor(2)
        self.cars: list[Car] = []
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, coroutine) -> "Future":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

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
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()
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


class Datacenter:
    """A server of KServe v2 over HTTP and gRPC, scripted; `tests/router/test_triton.py` has a real Triton."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(2)
        self.served = served(self.executor)
        self.app = Moody(self.executor)
        self.metadata: list[dict[str, str]] = []
        self.http = self.grpc = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._grpc = grpc.server(self.executor, options=[("grpc.max_receive_message_length", -1)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(self), self._grpc)
        self.grpc = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    def start(self) -> "Datacenter":
        port = int(self.http.split(":")[1]) if self.http else 0
        config = uvicorn.Config(
            self.app, port=port, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=3600
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started)
        self.http = "127.0.0.1:{}".format(self._server.servers[0].sockets[0].getsockname()[1])
        return self

    def stop(self) -> None:
        """HTTP goes away, as a server that was killed."""
        if self._server:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
            self._server = None

    def close(self) -> None:
        self.stop()
        self._grpc.stop(None).wait()
        self.executor.shutdown()

    def placement(self, share: int = 0, replicas: int = 2) -> dict:
        endpoint = {"http": self.http, "grpc": self.grpc, "replicas": replicas}
        return {"place": POOL, "tier": "Datacenter", "share": share, "replicas": replicas, "endpoints": [endpoint]}


def cell(share: int = 100, name: str = CELL) -> dict:
    return {"place": name, "tier": "Vehicle", "share": share, "replicas": 2}


def workload(*placements: dict, timeout: str = "5s", **spec: object) -> dict:
    namespace, name = WORKLOAD.split("/")
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"name": MODEL}, "latency": {"target": "150ms", "timeout": timeout}, **spec},
        "status": {"placements": list(placements)},
    }


# the router and its callers


@dataclass
class Router:
    """One router process; stopped by the id of its process."""

    binary: Path
    authority: Authority
    folder: Path
    flags: tuple[str, ...] = ()
    process: "subprocess.Popen[str] | None" = None
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def placements(self) -> Path:
        return self.folder / "placements.json"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    def start(self, *source: str) -> "Router":
        pair = self.authority.issue("router", common_name="127.0.0.1")
        command = [
            str(self.binary), *[part for port in ("http", "grpc", "cars", "metrics") for part in (f"--{port}", "127.0.0.1:0")],
            "--ca", str(self.authority.certificate), "--cert", str(pair.certificate), "--key", str(pair.key),
            "--access-log", str(self.access_log), *(source or ("--placements", str(self.placements))), *self.flags,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARKADE_")}
        log = (self.folder / "router.log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        self.addresses = json.loads(self.process.stdout.readline())
        return self

    def plan(self, *objects: dict) -> "Router":
        """Write the placements; the router is awaited where it runs."""
        draft = self.placements.with_suffix(".draft")
        draft.write_text(json.dumps(objects))
        draft.replace(self.placements)
        return self

    def planned(self, *placements: dict, **spec: object) -> "Router":
        self.plan(workload(*placements, **spec)).start()
        until(lambda: httpx.get(f"http://{self.http}/v2/health/ready").is_success)
        return self

    @property
    def http(self) -> str:
        return self.addresses["http"]

    @property
    def grpc(self) -> str:
        return self.addresses["grpc"]

    @property
    def cars(self) -> str:
        return self.addresses["cars"]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        text = httpx.get(f"http://{self.addresses['metrics']}/metrics").text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith(f"parkade_router_{name}{{")]
        return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))

    def lines(self, count: int) -> list[dict]:
        """The access log once it has this many lines."""
        until(lambda: len(self.access_log.read_text().splitlines()) >= count)
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process.stdout.close()


def values(count: int = 4) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


class HttpCaller:
    """The public client over HTTP."""

    def __init__(self, address: str, concurrency: int = 1) -> None:
        self.client = over_http.InferenceServerClient(address, concurrency=concurrency, network_timeout=30)

    def double(self, array: np.ndarray, *, binary: bool = True, **options) -> np.ndarray:
        tensor = over_http.InferInput("x", list(array.shape), "FP32")
        tensor.set_data_from_numpy(array, binary_data=binary)
        wanted = over_http.InferRequestedOutput("y", binary_data=binary)
        return self.client.infer(MODEL, [tensor], outputs=[wanted], **options).as_numpy("y")


class GrpcCaller:
    """The public client over gRPC."""

    def __init__(self, address: str) -> None:
        self.client = over_grpc.InferenceServerClient(address)

    @staticmethod
    def tensor(array: np.ndarray):
        tensor = over_grpc.InferInput("x", list(array.shape), "FP32")
        tensor.set_data_from_numpy(array)
        return tensor

    def double(self, array: np.ndarray, **options) -> np.ndarray:
        return self.client.infer(MODEL, [self.tensor(array)], **options).as_numpy("y")


@contextlib.contextmanager
def http_caller(router: Router, concurrency: int = 1) -> Iterator[HttpCaller]:
    caller = HttpCaller(router.http, concurrency)
    try:
        yield caller
    finally:
        caller.client.close()


@contextlib.contextmanager
def grpc_caller(router: Router) -> Iterator[GrpcCaller]:
    caller = GrpcCaller(router.grpc)
    try:
        yield caller
    finally:
        caller.client.close()
