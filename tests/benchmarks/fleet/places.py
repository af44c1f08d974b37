"""A plane for the benchmark: a control plane, several NATS servers in one cluster, carlet, and cells with orders."""

import hashlib
import json
import re
import resource
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from benchmarks.fleet import manifests
from benchmarks.fleet.manifests import NAMESPACE
from parkade.local import binaries, ports
from parkade.local.pki import KeyPair
from parkade.local.plane import Plane
from parkade.local.processes import LaunchSpec

FLEET, POOL = "driven", "driven"
DESCRIPTORS: Final = 20_000
"""Of a process, where it may have so many: more clients would be more in one heap than a server should have here."""
SPARE: Final = 3_000
"""Descriptors for routes, streams and other clients."""


def descriptors() -> int:
    """How many a process started from here gets: as many as it may, which is often more than it has."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return min(most, DESCRIPTORS)
    return DESCRIPTORS


CLIENTS_PER_SERVER: Final = max(1_000, descriptors() - SPARE)
WORKLOADS: Final = ("sign-reader", "lane-reader")
FRUGAL: Final = {"GOGC": "50"}
"""For NATS and drivers: Go leaves half as much garbage as by default, so that 100,000 vehicles fit in 24 GiB."""
HELD: Final = 0.15
"""Replicas of each workload for each vehicle."""
LOOKING: Final = 3.0
"""Times as long as a look took passes before the next: a large fleet must not spend its cores on being counted."""
POD_MAKERS: Final = 4
"""Connections by which pods are made; more would only queue at an API server on two cores."""
ARTIFACT: Final = b"a model that nobody loads " * 4096


@dataclass(frozen=True)
class Load:
    """What one process used."""

    seconds: float
    """Of processor."""
    memory: int
    """Resident bytes."""


class FleetPlane(Plane):
    """Without operator and routers: the cells are made here."""

    def __init__(
        self, directory: Path, vehicles: int, servers: int, cell: int, workloads: tuple[str, ...] = WORKLOADS
    ) -> None:
        super().__init__(directory)
        self.vehicles, self.servers, self.workloads = vehicles, servers, workloads
        self.cells = [f"{POOL}-us-ca-{shard}" for shard in range(-(-vehicles // cell))]
        self.cell_size = cell
        self.pids: dict[str, int] = {}
        self.digest = hashlib.sha256(ARTIFACT).hexdigest()

    @cached_property
    def link_ports(self) -> list[int]:
        """A port for clients and one for the cluster of each server."""
        return ports.choose(2 * self.servers)

    @property
    def nats_urls(self) -> list[str]:
        """One for each server."""
        return [f"tls://127.0.0.1:{port}" for port in self.link_ports[: self.servers]]

    @property
    def nats_url(self) -> str:
        """All servers, for carlet."""
        return ",".join(self.nats_urls)

    def build(self, *, control_plane: bool = True, parkade: bool = True) -> None:
        """Build what runs here, which is all but the router."""
        super().build(control_plane=control_plane, parkade=False)
        if parkade:
            binaries.upstream("nats-server", self.say)
            binaries.carlet(self.say)

    def start(self) -> None:
        """Start everything but vehicles and return when carlet is ready."""
        self.start_control_plane()
        self.install()
        self._start_links()
        self._stage()
        self._apply()
        self.pids["carlet"] = self.processes.start("carlet", self._carlet())
        self.await_url("carlet", f"http://127.0.0.1:{self.ports['carlet-metrics']}/readyz")

    def stop(self, *, purge: bool = False) -> list[str]:
        """Stop everything."""
        self.api.close()
        return super().stop(purge=purge)

    def _start_links(self) -> None:
        pair = self.authority.issue("nats", common_name="nats")
        self.carlet(
            "fleet", "init", "--dir", str(self.fleet), "--nats-port", str(self.link_ports[0]),
            "--jetstream-dir", str(self.data / "jetstream"), "--tls-cert", str(pair.certificate),
            "--tls-key", str(pair.key), "--ca", str(self.authority.certificate),
        )  # fmt: skip
        program = binaries.upstream("nats-server", self.say)
        written = (self.fleet / "nats.conf").read_text()
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self.link_ports[self.servers :])
        for number, port in enumerate(self.link_ports[: self.servers]):
            text = re.sub(r"(?m)^server_name: .*$", f"server_name: parkade-{number}", written)
            text = re.sub(r"(?m)^port: .*$", f"port: {port}", text)
            text = text.replace(str(self.data / "jetstream"), str(self.data / f"jetstream-{number}"))
            if self.servers > 1:
                listen = f"127.0.0.1:{self.link_ports[self.servers + number]}"
                text += f'cluster {{\n  name: parkade\n  listen: "{listen}"\n  routes: [{routes}]\n}}\n'
            file = self.fleet / f"nats-{number}.conf"
            file.touch(mode=0o600)
            file.write_text(text)
            name = f"nats-{number}"
            self.pids[name] = self.processes.start(name, LaunchSpec((str(program), "-c", str(file)), FRUGAL))

    def _stage(self) -> None:
        folder = self.model_store / "sha256"
        folder.mkdir(parents=True)
        (folder / self.digest).write_bytes(ARTIFACT)

    def _apply(self) -> None:
        objects = [manifests.namespace(), manifests.pool(POOL, FLEET, self.vehicles)]
        objects += [manifests.workload(name, self.digest) for name in self.workloads]
        self._apply_all([*objects, *map(self.cell, range(len(self.cells)))])
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        until(lambda: self.api.get(account).is_success, "the namespace has its account, which pods need", 60.0)
        self.make_pods()

    def cell(self, shard: int) -> dict[str, Any]:
        """A cell with orders."""
        orders = manifests.orders(self.workloads, self.digest, self.replicas)
        return manifests.cell(POOL, shard, self.cell_size, orders)

    def make_pods(self) -> None:
        """Make each pod that is missing, as the operator does."""
        pods = [manifests.pod(name, cell) for cell in self.cells for name in self.workloads]
        with ThreadPoolExecutor(POD_MAKERS) as makers:
            for answer in makers.map(lambda pod: self.api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", json=pod), pods):
                if answer.status_code != httpx.codes.CONFLICT:
                    answer.raise_for_status()

    def _apply_all(self, objects: list[dict[str, Any]]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    @property
    def replicas(self) -> int:
        """Of each workload in each cell."""
        per_cell = self.vehicles / len(self.cells)
        return max(1, int(HELD * per_cell))

    @property
    def ordered(self) -> int:
        """Replicas of all cells."""
        return self.replicas * len(self.workloads) * len(self.cells)

    @cached_property
    def admin(self) -> KeyPair:
        """Who may do everything."""
        return self.authority.issue("admin", common_name="parkade-admin", organisation="system:masters")

    @cached_property
    def api(self) -> httpx.Client:
        """The API server, for reading."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        return httpx.Client(base_url=self.control.server, verify=context, timeout=30.0, trust_env=False)

    def metrics(self) -> dict[str, float]:
        """What carlet counts, by name and labels."""
        text = httpx.get(f"http://127.0.0.1:{self.ports['carlet-metrics']}/metrics", timeout=30.0, trust_env=False).text
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def present(self, presence: str) -> int:
        """Vehicles of the pool by presence, as carlet has it."""
        return int(self.metrics().get(f'parkade_vehicles{{pool="{POOL}",presence="{presence}"}}', 0))

    def changed(self, presence: str) -> int:
        """How often a vehicle of the pool came to a presence since carlet began."""
        by_evidence = re.compile(rf'parkade_vehicle_changes_total{{.*presence="{presence}"')
        return int(sum(value for name, value in self.metrics().items() if by_evidence.match(name)))

    def shown(self, here: int) -> bool:
        """Whether the API server shows so many vehicles here, and every order of every cell met."""
        cells = self.api.get("/apis/parkade.dev/v1alpha1/vehiclecells").raise_for_status().json()["items"]
        found = [cell.get("status", {}) for cell in cells]
        met = all(
            line["ready"] >= line["desired"]
            for status in found
            for line in status.get("assignments", [{"ready": 0, "desired": 1}])
        )
        return met and sum(status.get("vehicles", {}).get("here", 0) for status in found) == here

    def loads(self) -> Mapping[str, Load]:
        """What carlet and the NATS servers use; the servers together."""
        found = {name: load([pid]) for name, pid in self.pids.items() if name == "carlet"}
        return found | {"nats": load(pid for name, pid in self.pids.items() if name != "carlet")}


def load(pids: Iterable[int]) -> Load:
    """What processes use together."""
    processes = [psutil.Process(pid) for pid in pids]
    times = [process.cpu_times() for process in processes]
    return Load(sum(each.user + each.system for each in times), sum(process.memory_info().rss for process in processes))


def until(condition: Callable[[], object], what: str, seconds: float) -> float:
    """Wait for a condition and return the seconds that it took."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        with suppress(httpx.TransportError):
            if condition():
                return time.monotonic() - began
        now = time.monotonic()
        if now - began > seconds:
            raise RuntimeError(f"{what}: not after {seconds:g} s")
        time.sleep(max(0.1, LOOKING * (now - asked)))
