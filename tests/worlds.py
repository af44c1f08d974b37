"""Snapshots to plan: two regions, cars at home and on Starlink, Triton servers; every number can be chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from parkade.api import InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool, parse
from parkade.plan import Plan
from parkade.snapshot import LoadedModel, Snapshot, StagedArtifact, TritonServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _object(kind: str, name: str, spec: Mapping[str, Any], **more: Any) -> Any:
    metadata = {"name": name, **more.pop("metadata", {})}
    return parse({"apiVersion": "parkade.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, **more})


def region(name: str = "us-ca", **spec: Any) -> Region:
    defaults = {"jurisdiction": "US", "energyPrice": {"perKWh": "0.11"}, "carbonPrice": {"perTonne": "80"}}
    return _object("Region", name, defaults | {"carbonIntensity": {"gramsPerKWh": 260}} | spec)


def cars(name: str = "ca-home-hw4", **spec: Any) -> VehicleNodePool:
    defaults = {
        "region": "us-ca",
        "match": {"fleet": "owners-ca", "hardware": "hw4"},
        "vehicles": 4,
        "expected": {"pluggedIn": 100, "charging": 100, "awake": 0, "links": {"WiFi": 100}},
        "hardware": {"name": "hw4", "memory": "8Gi", "slots": 1},
        "power": {"computeWatts": 100},
        "energyPrice": {"perKWh": "0.31"},
        "payout": {"perComputeHour": "0.04"},
    }
    return _object("VehicleNodePool", name, defaults | spec)


def servers(name: str = "austin-a100", count: int = 2, **spec: Any) -> TritonPool:
    urls = [{"http": f"triton-{i}.example:8000", "grpc": f"triton-{i}.example:8001"} for i in range(count)]
    defaults = {
        "region": "us-ca",
        "endpoints": {"urls": urls},
        "models": {"repository": "file:///srv/models"},
        "hardware": {"name": "a100", "memory": "80Gi", "instances": 4},
        "power": {"idleWatts": 90, "maxWatts": 400},
        "opportunityCost": {"perServerHour": "0.85"},
    }
    return _object("TritonPool", name, defaults | spec)


def workload(name: str = "sign-reader", namespace: str = "vision", **spec: Any) -> InferenceWorkload:
    metadata = {"namespace": namespace} | spec.pop("metadata", {})
    model = {
        "name": name,
        "artifacts": [{"source": f"https://models.example/{name}.onnx", "sha256": digest(name)}],
        "memory": "900Mi",
        "profiles": [
            {"hardware": "hw4", "serviceTime": "12ms", "scv": "0.1"},
            {"hardware": "a100", "serviceTime": "2ms", "scv": "0.1", "joules": "0.6", "maxRatePerServer": "1900"},
        ],
    } | spec.pop("model", {})
    defaults = {
        "demand": [{"region": "us-ca", "rate": "60"}],
        "latency": {"target": "200ms"},
        "payload": {"request": "20Ki", "response": "1Ki"},
        "placement": {"minReplicas": 2},
    }
    status = spec.pop("status", {})
    body = {field: value for field, value in ({"model": model} | defaults | spec).items() if value is not None}
    return _object("InferenceWorkload", name, body, metadata=metadata, status=status)


def cell(pool: VehicleNodePool, shard: int = 0, vehicles: int = 4, free: int | None = None, **more: Any) -> VehicleCell:
    column = {"link": "WiFi", "state": "Charging", "vehicles": vehicles, "free": vehicles if free is None else free}
    spec = {"pool": pool.key, "region": pool.spec.region, "shard": shard, "maxVehicles": 500}
    spec["assignments"] = more.pop("assignments", [])
    vehicles = {"here": vehicles, "silent": more.pop("silent", 0)}
    ready = [{"workload": key, "desired": count, "ready": count} for key, count in more.pop("ready", {}).items()]
    status = {"supply": [column | more.pop("column", {})], "vehicles": vehicles, "assignments": ready}
    return _object("VehicleCell", f"{pool.key}-{shard}", spec, status=status)


def snapshot(objects: Sequence[Any], **more: Any) -> Snapshot:
    def of(kind: type) -> tuple[Any, ...]:
        return tuple(sorted((it for it in objects if isinstance(it, kind)), key=lambda it: it.key))

    more.setdefault("artifacts", staged(of(InferenceWorkload)))
    return Snapshot(
        now=NOW, term=1, mode=more.pop("mode", "Apply"),
        workloads=of(InferenceWorkload), regions=of(Region), triton_pools=of(TritonPool),
        vehicle_pools=of(VehicleNodePool), cells=of(VehicleCell), **more,
    )  # fmt: skip


def staged(workloads: Sequence[InferenceWorkload], state: Any = "Staged", **more: Any) -> tuple[StagedArtifact, ...]:
    """Every file of the workloads is in this state."""
    files = {str(file.sha256): str(file.source) for entry in workloads for file in entry.spec.model.artifacts}
    return tuple(StagedArtifact(sha256, source, state, **more) for sha256, source in sorted(files.items()))


def live(pools: Sequence[TritonPool]) -> tuple[TritonServer, ...]:
    """Every server of the pools answers and holds nothing."""
    return tuple(
        TritonServer(pool.key, url.http, url.grpc, live=True)
        for pool in pools
        for url in pool.spec.endpoints.urls or ()
    )


def applied(facts: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot once everything that the plan orders is running."""
    cells = []
    for order in plan.cells:
        old = next(entry for entry in facts.cells if entry.key == order.cell)
        manifest = old.manifest()
        manifest["spec"]["assignments"] = [
            {"workload": a.workload, "digest": a.digest, "replicas": a.replicas, "share": a.share}
            for a in order.assignments
        ]
        busy = sum(a.replicas for a in order.assignments)
        for column in manifest["status"]["supply"]:
            held = min(busy, column.get("vehicles", 0))
            column["free"], busy = column.get("vehicles", 0) - held, busy - held
        cells.append(parse(manifest))
    found = []
    for server in facts.servers:
        order = next(it for it in plan.servers if it.http == server.http)
        models = tuple(LoadedModel(m.model, m.version, m.instances, ready=True) for m in order.models)
        found.append(replace(server, models=models))
    return replace(facts, cells=tuple(cells), servers=tuple(found))
