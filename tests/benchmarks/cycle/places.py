"""A plane with an operator, which makes the cells; vehicles are driven."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.fleet import manifests
from benchmarks.fleet.manifests import NAMESPACE, Manifest
from benchmarks.fleet.places import CLIENTS_PER_SERVER, FLEET, POOL, FleetPlane, Load, load, until

MEMORY: Final = "256Mi"
"""Of one replica, so that cars have room for several."""
APPLIED_AT_ONCE: Final = 200


@dataclass(frozen=True)
class Size:
    """What the cluster holds."""

    workloads: int
    cells: int
    cars: int
    """Vehicles of each cell."""


class CyclePlane(FleetPlane):
    """Cells and pods are made by the operator."""

    def __init__(self, directory: Path, size: Size) -> None:
        vehicles = size.cells * size.cars
        names = tuple(f"reader-{number:04d}" for number in range(size.workloads))
        super().__init__(directory, vehicles, -(-vehicles // CLIENTS_PER_SERVER), size.cars, names)
        self.cells = [f"{POOL}-{shard}" for shard in range(size.cells)]

    def _apply(self) -> None:
        self.kubectl("apply", "-f", str(manifests.ROOT / "examples/regions.yaml"))
        pool = manifests.pool(POOL, FLEET, self.vehicles)
        pool["spec"]["cell"] = {"maxVehicles": self.cell_size}
        self._apply_all([manifests.namespace(), pool])
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        until(lambda: self.api.get(account).is_success, "the namespace has its account, which pods need", 60.0)
        objects = [self.workload(name) for name in self.workloads]
        for first in range(0, len(objects), APPLIED_AT_ONCE):
            self._apply_all(objects[first : first + APPLIED_AT_ONCE])

    def workload(self, name: str) -> Manifest:
        """A small workload for cars alone, of the one file that is staged."""
        workload = manifests.workload(name, self.digest)
        spec = workload["spec"]
        spec["model"] |= {"name": name, "memory": MEMORY}
        artifact = spec["model"]["artifacts"][0]
        artifact["source"] = (self.data / "reader.onnx").as_uri()
        del artifact["secretRef"]
        spec["model"]["profiles"] = [row for row in spec["model"]["profiles"] if row["hardware"] == "hw4"]
        spec["demand"] = [{"region": "us-ca", "rate": "20"}]
        spec["placement"] = {"tiers": ["Vehicle"], "minReplicas": 2}
        spec["trust"] = {"fleets": [FLEET]}
        return workload

    def start(self) -> None:
        """Start everything but vehicles and return when the operator is ready."""
        super().start()
        self.pids["operator"] = self.processes.start("operator", self._operator())
        self.await_url("operator", f"http://127.0.0.1:{self.ports['operator-health']}/readyz")

    def operator_load(self) -> Load:
        """What the operator uses."""
        return load([self.pids["operator"]])

    def operator_metrics(self) -> dict[str, float]:
        """What the operator counts, by name and labels."""
        text = httpx.get(
            f"http://127.0.0.1:{self.ports['operator-metrics']}/metrics", timeout=30.0, trust_env=False
        ).text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def patch(self, path: str, body: Manifest) -> str:
        """Merge a change into an object; returns its new resourceVersion."""
        answer = self.api.patch(
            path, content=json.dumps(body), headers={"content-type": "application/merge-patch+json"}
        ).raise_for_status()
        return str(answer.json()["metadata"]["resourceVersion"])
