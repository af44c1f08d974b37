"""The router process, what it is told, and its callers."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http

import plain
from parkade.local.pki import Authority
from router.places import CELL, MODEL, WORKLOAD, until


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
    id: str = "0"
    others: Path | None = None
    """The file that names all routers; without it this one is alone."""
    delay: int = 0
    """Seconds that it still serves after SIGTERM."""
    process: "subprocess.Popen[str] | None" = None
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def placements(self) -> Path:
        return self.folder / "placements.json"

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    def start(self, *source: str) -> "Router":
        uri = f"parkade://router/{self.id}"
        pair = self.authority.issue(f"router-{self.id}", common_name="127.0.0.1", uris=(uri,), listens=True)
        # A router that is started again is where it was.
        ports = {name: self.addresses.get(name, "127.0.0.1:0") for name in ("http", "grpc", "cars", "metrics")}
        if self.others:
            ports["peers-listen"] = self.addresses.get("peers", "127.0.0.1:0")
            source = ("--placements", str(self.placements), "--peers", str(self.others))
        command = [
            str(self.binary), *(f"--{name}={address}" for name, address in ports.items()),
            "--shutdown-delay-seconds", str(self.delay), *(("--id", self.id) if self.others else ()),
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
        self.ready()
        return self

    def ready(self) -> None:
        until(lambda: plain.get(f"http://{self.http}/v2/health/ready").is_success)

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
        text = plain.get(f"http://{self.addresses['metrics']}/metrics").text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith(f"parkade_router_{name}{{")]
        return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))

    def lines(self, count: int) -> list[dict]:
        """The access log once it has this many lines."""
        until(lambda: len(self.access_log.read_text().splitlines()) >= count)
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    @property
    def is_closed(self) -> bool:
        """Whether nobody can connect any more."""
        try:
            plain.get(f"http://{self.http}/v2/health/live")
        except (httpx.ConnectError, httpx.ReadError):  # refused, or not accepted before the end and reset
            return True
        return False

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and start it again where it was; returns when it is ready."""
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()
        self.start()
        self.ready()

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

    @staticmethod
    def tensor(array: np.ndarray, *, binary: bool = True):
        tensor = over_http.InferInput("x", list(array.shape), "FP32")
        tensor.set_data_from_numpy(array, binary_data=binary)
        return tensor

    def double(self, array: np.ndarray, *, binary: bool = True, **options) -> np.ndarray:
        wanted = over_http.InferRequestedOutput("y", binary_data=binary)
        tensor = self.tensor(array, binary=binary)
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
