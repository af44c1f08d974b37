"""The operator as a process in a real cluster, and what a user, a router and carlet do around it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from parkade.cluster import ClusterClient
from parkade.cluster.resources import (
    CELLS,
    CONFIG_MAPS,
    LEASES,
    NODES,
    PODS,
    REGIONS,
    TRITON_POOLS,
    VEHICLE_POOLS,
    WORKLOADS,
)
from parkade.errors import ClusterRefused
from parkade.local import ports
from parkade.local.plane import Plane

SYSTEM, SPACE, CELL = "parkade-system", "vision", "ca-home-0"
LEASE_SECONDS = 3


def eventually(look: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Await a truthy answer; an object that is not there yet is none."""
    ends, answer = time.monotonic() + seconds, None
    while time.monotonic() < ends:
        with suppress(ClusterRefused, OSError):
            answer = look()
            if answer:
                return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; last seen: {answer!r}")


class OperatorProcess:
    """`parkade operator` with settings of its own."""

    def __init__(self, plane: Plane, folder: Path, name: str, **more: str) -> None:
        self.metrics_port, self.health_port = ports.choose(2)
        self.log = folder / f"{name}.log"
        settings = {
            "KUBECONFIG": str(plane.kubeconfig),
            "PARKADE_NAMESPACE": SYSTEM,
            "PARKADE_IDENTITY": name,
            "PARKADE_MODEL_STORE": (folder / "store").as_uri(),
            "PARKADE_STATUS_URL": "Router",
            "PARKADE_METRICS_PORT": str(self.metrics_port),
            "PARKADE_HEALTH_PORT": str(self.health_port),
            "PARKADE_LEASE_SECONDS": str(LEASE_SECONDS),
            "PARKADE_RESYNC": "2",
        } | more
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "parkade", "operator"], env=inherited | settings, stdout=log, stderr=log
            )

    def probe(self, path: str) -> int:
        """Status of a health probe."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def cycles(self) -> float:
        """How many turns the cycle took."""
        lines = [line for line in self.metrics().splitlines() if line.startswith("parkade_cycles_total{")]
        return sum(float(line.split()[-1]) for line in lines)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


class World:
    """What a user and carlet do, and what can be seen."""

    def __init__(self, plane: Plane, client: ClusterClient, folder: Path) -> None:
        self.plane, self.client, self.folder = plane, client, folder
        self.operators: list[OperatorProcess] = []
        self.model = folder / "model.onnx"
        self.model.write_bytes(b"a model")

    def operate(self, name: str, **settings: str) -> OperatorProcess:
        """An operator with settings of its own, by the names of their variables."""
        self.operators.append(OperatorProcess(self.plane, self.folder, name, **settings))
        return self.operators[-1]

    def apply(self, *manifests: dict[str, Any], status: bool = False, manager: str = "test") -> None:
        text = "\n".join(json.dumps(manifest) for manifest in manifests)
        flags = ("--subresource=status",) if status else ()
        self.plane.kubectl(
            "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", *flags, "-f", "-", stdin=text
        )

    def cell(self) -> dict[str, Any]:
        return self.client.get(CELLS.path(name=CELL))

    def workload(self, name: str = "sign-reader") -> dict[str, Any]:
        return self.client.get(WORKLOADS.path(SPACE, name))

    def condition(self, kind: str, name: str = "sign-reader") -> tuple[str, str]:
        conditions = self.workload(name).get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))

    def orders(self) -> dict[str, int]:
        return {row["workload"]: row["replicas"] for row in self.cell()["spec"].get("assignments", [])}

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.client.list(PODS.path(SPACE))]

    def act_as_carlet(self, vehicles: int = 4, ready: int | None = None) -> None:
        """Report cars that charge at home, and how many of each order are ready (all, if not said)."""
        cell = eventually(self.cell, "the cell")
        orders = cell["spec"].get("assignments", [])
        rows = [
            {
                "workload": row["workload"],
                "desired": row["replicas"],
                "ready": row["replicas"] if ready is None else ready,
                "observedGeneration": cell["metadata"]["generation"],
            }
            for row in orders
        ]
        counts = dict.fromkeys(("registered", "here", "eligible"), vehicles)
        column = {"link": "WiFi", "state": "Charging", "vehicles": vehicles, "free": vehicles}
        status = {"vehicles": counts, "supply": [column | {"rttMillis": {"p50": 18, "p99": 40}}], "assignments": rows}
        meta = {"name": CELL}
        self.apply(
            {"apiVersion": CELLS.api, "kind": "VehicleCell", "metadata": meta, "status": status},
            status=True,
            manager="carlet",
        )
        labels = {"parkade.dev/cell": CELL, "type": "virtual-kubelet"}
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": CELL, "labels": labels}})

    def route(self, host: str = "127.0.0.1", name: str = "test") -> None:
        """A router's Lease, fresh for ten minutes."""
        says = {f"parkade.dev/{door}": f"{host}:{port}" for door, port in (("http", 81), ("grpc", 82), ("cars", 83))}
        self.apply(
            {
                "apiVersion": LEASES.api,
                "kind": "Lease",
                "metadata": {
                    "name": f"parkade-router-{name}",
                    "namespace": SYSTEM,
                    "labels": {"parkade.dev/component": "router"},
                    "annotations": says,
                },
                "spec": fresh(name),
            }
        )

    def announce_carlet(self, name: str = "c0") -> None:
        """A carlet's Lease, fresh for ten minutes."""
        meta = {"name": f"parkade-carlet-{name}", "namespace": SYSTEM, "labels": {"parkade.dev/component": "carlet"}}
        meta["annotations"] = {"parkade.dev/term": "1", "parkade.dev/members": name, "parkade.dev/link": "up"}
        self.apply({"apiVersion": LEASES.api, "kind": "Lease", "metadata": meta, "spec": fresh(name)})

    def switch(self, **content: str) -> None:
        meta = {"name": "parkade-settings", "namespace": SYSTEM}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": content})

    def serve(self) -> None:
        """Bring the workload up in the cell."""
        self.apply(region(), vehicle_pool(), self.sign_reader())
        self.act_as_carlet()
        eventually(self.orders, "an order to the cell")
        self.act_as_carlet()
        eventually(lambda: self.condition("Ready")[0] == "True", "the workload is ready")

    def sign_reader(self, name: str = "sign-reader", **spec: Any) -> dict[str, Any]:
        artifact = {"source": self.model.as_uri(), "sha256": A_MODEL}
        profiles = [{"hardware": "hw4", "serviceTime": "12ms"}]
        model = {"name": name, "memory": "900Mi", "artifacts": [artifact], "profiles": profiles}
        body = {"model": model, "demand": [{"region": "us-ca", "rate": "20"}], "latency": {"target": "500ms"}} | spec
        meta = {"name": name, "namespace": SPACE}
        return {"apiVersion": WORKLOADS.api, "kind": "InferenceWorkload", "metadata": meta, "spec": body}

    def _empty(self, path: str) -> bool:
        return not self.client.list(path)

    def sweep(self) -> None:
        """Delete everything, and wait until nothing is left; an operator must be running."""
        kinds = (WORKLOADS, VEHICLE_POOLS, TRITON_POOLS, REGIONS)
        for resource in kinds:
            for item in self.client.list(resource.path()):
                meta = item["metadata"]
                self.client.delete(resource.path(meta.get("namespace", ""), meta["name"]))
        # a Triton pool stays until its models are unloaded; one applied anew meanwhile would go with it
        for resource in (*kinds, CELLS):
            eventually(partial(self._empty, resource.path()), f"{resource.path()} is empty", 60)
        self.client.delete(NODES.path(name=CELL))


def fresh(holder: str) -> dict[str, Any]:
    """What a Lease says that was renewed just now and lasts for ten minutes."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"holderIdentity": holder, "leaseDurationSeconds": 600, "renewTime": now}


A_MODEL = hashlib.sha256(b"a model").hexdigest()


def triton_pool(repository: Path, *servers: tuple[int, int], name: str = "austin") -> dict[str, Any]:
    spec = {
        "region": "us-ca",
        "endpoints": {"urls": [{"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}"} for http, grpc in servers]},
        "models": {"repository": repository.as_uri(), "backend": "python"},
        "hardware": {"name": "cpu", "memory": "8Gi", "instances": 4},
        "power": {"maxWatts": 100},
    }
    return {"apiVersion": TRITON_POOLS.api, "kind": "TritonPool", "metadata": {"name": name}, "spec": spec}


def region() -> dict[str, Any]:
    spec = {"jurisdiction": "US", "energyPrice": {"perKWh": "0.11"}}
    return {"apiVersion": REGIONS.api, "kind": "Region", "metadata": {"name": "us-ca"}, "spec": spec}


def vehicle_pool() -> dict[str, Any]:
    spec = {
        "region": "us-ca",
        "match": {"fleet": "owners-ca", "hardware": "hw4"},
        "vehicles": 8,
        "hardware": {"name": "hw4", "memory": "8Gi"},
        "power": {"computeWatts": 100},
        "links": [{"name": "WiFi"}],
    }
    return {"apiVersion": VEHICLE_POOLS.api, "kind": "VehicleNodePool", "metadata": {"name": "ca-home"}, "spec": spec}


def world_of(plane: Plane, client: ClusterClient, folder: Path) -> World:
    """A world with a namespace and a router, without settings or an earlier leader."""
    world = World(plane, client, folder)
    world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    world.route()
    client.delete(CONFIG_MAPS.path(SYSTEM, "parkade-settings"))
    client.delete(LEASES.path(SYSTEM, "parkade-operator"))
    return world


@contextmanager
def operated(plane: Plane, folder: Path) -> Iterator[World]:
    """A world that is swept after a test that passed; its operators are stopped in any case."""
    client = ClusterClient.connect(1000, 1000, plane.kubeconfig)
    world = world_of(plane, client, folder)
    try:
        yield world
        world.operate("sweeper")
        world.sweep()
    finally:
        for operator in world.operators:
            operator.stop()
            print(operator.log.read_text())  # noqa: T201 -- pytest shows it with a failure
        client.close()
