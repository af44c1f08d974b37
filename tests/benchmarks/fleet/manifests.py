"""What the planes of the benchmark are told to have: the examples' objects, with names and sizes of the benchmark."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
NAMESPACE: Final = "bench"
Manifest = dict[str, Any]


def namespace() -> Manifest:
    """Of the workloads."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def workload(name: str, digest: str) -> Manifest:
    """The example under another name, with one model."""
    found = _example("workload")
    found["metadata"] = {"name": name, "namespace": NAMESPACE}
    found["spec"]["model"]["artifacts"][0]["sha256"] = digest
    return found


def pool(name: str, fleet: str, vehicles: int) -> Manifest:
    """The example under another name, for one fleet."""
    found = _example("vehiclenodepool")
    found["metadata"]["name"] = name
    found["spec"] |= {"match": {"fleet": fleet, "hardware": "hw4"}, "vehicles": vehicles}
    del found["spec"]["contract"]["quietHours"]  # the figures must not depend on the hour
    return found


def orders(workloads: Iterable[str], digest: str, replicas: int) -> list[Manifest]:
    """So many replicas of each workload."""
    return [{"workload": f"{NAMESPACE}/{name}", "digest": digest, "replicas": replicas} for name in workloads]


def cell(pool: str, shard: int, most: int, assignments: list[Manifest]) -> Manifest:
    """A cell for at most so many vehicles, with orders."""
    return {
        "apiVersion": "parkade.dev/v1alpha1",
        "kind": "VehicleCell",
        "metadata": {"name": f"{pool}-us-ca-{shard}"},
        "spec": {"pool": pool, "region": "us-ca", "shard": shard, "maxVehicles": most, "assignments": assignments},
    }


def pod(workload: str, cell: str) -> Manifest:
    """A workload's pod in a cell, as the operator makes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{workload}-{cell}",
            "namespace": NAMESPACE,
            "labels": {"parkade.dev/workload": workload, "parkade.dev/cell": cell},
        },
        "spec": {
            "nodeName": cell,
            "containers": [{"name": "model", "image": f"parkade.dev/model:{workload}"}],
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
        },
    }


def _example(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text())
    return found
