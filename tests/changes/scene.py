"""A small world to compare with plans: one region, a vehicle pool with a cell, a Triton pool, one workload."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from parkade.api import InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool, parse
from parkade.changes import FINALIZER, Comparison
from parkade.plan import (
    CellAssignment,
    CellOrder,
    Certificate,
    CostSplit,
    Expected,
    Placement,
    Plan,
    ServedModel,
    ServerOrder,
    WorkloadPlan,
)
from parkade.problem.reasons import Reason as PlanReason
from parkade.snapshot import LoadedModel, RouterAddress, Snapshot, StagedArtifact, TritonServer
from parkade.snapshot.versions import version_of

NOW = datetime(2026, 8, 18, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
DIGEST = "ab" * 32
VERSION = version_of(DIGEST)
KEY = "vision/sign-reader"
CELL = "ca-home-0"
POOL = "austin"
S1, S2 = "10.0.0.1:8000", "10.0.0.2:8000"


def _object(kind: str, name: str, spec: dict[str, Any], **extra: Any):
    meta = {"name": name, "uid": f"uid-{name}", "generation": 1} | extra.pop("metadata", {})
    return parse({"apiVersion": "parkade.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec} | extra)


def region(name: str = "us-ca") -> Region:
    return _object("Region", name, {"jurisdiction": "US", "energyPrice": {"perKWh": "0.11"}})


def triton_pool(memory: str = "8Gi", name: str = POOL) -> TritonPool:
    spec = {
        "region": "us-ca",
        "endpoints": {"urls": [{"http": s, "grpc": s.replace("8000", "8001")} for s in (S1, S2)]},
        "models": {"repository": "file:///models", "backend": "onnxruntime"},
        "hardware": {"name": "a100", "memory": memory, "instances": 4},
        "power": {"maxWatts": 400},
    }
    return _object("TritonPool", name, spec, metadata={"finalizers": [FINALIZER]})


def vehicle_pool(vehicles: int = 40, size: int = 20) -> VehicleNodePool:
    spec = {
        "region": "us-ca",
        "match": {"fleet": "owners", "hardware": "hw4"},
        "vehicles": vehicles,
        "hardware": {"name": "hw4", "memory": "8Gi"},
        "cell": {"maxVehicles": size},
        "power": {"computeWatts": 100},
    }
    return _object("VehicleNodePool", "ca-home", spec)


def cell(
    name: str = CELL, replicas: int = 0, ready: int = 0, key: str = KEY, *, registered: int = 0, term: int = 7
) -> VehicleCell:
    row = {"workload": key, "digest": DIGEST, "replicas": replicas, "share": 100, "priority": 100}
    spec = {
        "pool": "ca-home",
        "region": "us-ca",
        "shard": int(name.rpartition("-")[2]),
        "maxVehicles": 20,
        "term": term,
        "assignments": [row] if replicas else [],
    }
    status = {
        "vehicles": {"registered": registered, "here": registered, "eligible": registered},
        "assignments": [{"workload": key, "desired": replicas, "ready": ready, "observedGeneration": 1}]
        if ready
        else [],
    }
    return _object("VehicleCell", name, spec, status=status)


def workload(
    key: str = KEY,
    *,
    model: str = "sign-reader",
    deleted: datetime | None = None,
    claimed: bool = True,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> InferenceWorkload:
    namespace, _, name = key.partition("/")
    meta: dict[str, Any] = {"namespace": namespace, "finalizers": [FINALIZER] if claimed else []}
    if deleted is not None:
        meta["deletionTimestamp"] = deleted.isoformat()
    body = {
        "model": {
            "name": model,
            "memory": "1Gi",
            "artifacts": [{"source": "https://models.example/m.onnx", "sha256": DIGEST}],
            "profiles": [{"hardware": h, "serviceTime": "10ms"} for h in ("hw4", "a100")],
        },
        "demand": [{"region": "us-ca", "rate": "10"}],
        "latency": {"target": "150ms"},
    } | spec
    body = {field: value for field, value in body.items() if value is not None}
    return _object("InferenceWorkload", name, body, metadata=meta, status=status or {})


def offers(*servers: str, cells: tuple[str, ...] = ()) -> dict[str, Any]:
    """A status that sends requests to these servers and cells."""
    places: list[dict[str, Any]] = [{"place": c, "tier": "Vehicle", "replicas": 1, "share": 50} for c in cells]
    endpoints = [{"http": s, "grpc": s, "replicas": 1} for s in servers]
    if endpoints:
        places.append({"place": POOL, "tier": "Datacenter", "replicas": 1, "share": 50, "endpoints": endpoints})
    return {"placements": places}


def server(http: str = S1, *models: LoadedModel, live: bool = True, pool: str = POOL) -> TritonServer:
    return TritonServer(pool, http, http.replace("8000", "8001"), live, tuple(models), "" if live else "refused")


def loaded(
    name: str = "sign-reader", instances: int = 1, *, ready: bool = True, version: int = VERSION, failure: str = ""
) -> LoadedModel:
    return LoadedModel(name, version, instances, ready, failure)


STAGED = StagedArtifact(DIGEST, "https://models.example/m.onnx", "Staged", 100)
ROUTER = RouterAddress("r0", "127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002")


def snapshot(**facts: Any) -> Snapshot:
    known: dict[str, Any] = {
        "now": NOW,
        "term": 7,
        "mode": "Apply",
        "workloads": (workload(),),
        "regions": (region(),),
        "triton_pools": (triton_pool(),),
        "vehicle_pools": (vehicle_pool(),),
        "cells": (cell(),),
        "servers": (server(S1), server(S2)),
        "artifacts": (STAGED,),
        "routers": (ROUTER,),
    }
    return Snapshot(**(known | facts))


def on_cell(replicas: int, place: str = CELL, share: int = 100) -> Placement:
    return Placement(place, "Vehicle", replicas, share, PlanReason.CHEAPEST_PLACE, "ca-home")


def on_pool(replicas: int = 1, share: int = 100) -> Placement:
    return Placement(POOL, "Datacenter", replicas, share, PlanReason.CHEAPEST_PLACE, POOL)


def served(key: str = KEY, model: str = "sign-reader", instances: int = 1) -> ServedModel:
    return ServedModel(key, model, DIGEST, VERSION, instances)


def plan(
    *parts: WorkloadPlan,
    cells: dict[str, tuple[CellAssignment, ...]] | None = None,
    servers: dict[str, tuple[ServedModel, ...]] | None = None,
) -> Plan:
    """A plan that names all cells and servers given; others get nothing."""
    orders = tuple(CellOrder(name, rows) for name, rows in sorted(({CELL: ()} | (cells or {})).items()))
    at = {S1: (), S2: ()} | (servers or {})
    return Plan(
        solved_at=NOW,
        workloads=parts,
        cells=orders,
        servers=tuple(ServerOrder(POOL, http, models) for http, models in sorted(at.items())),
        certificate=Certificate("optimal", 1.0, 1.0, 0.0, 0.0),
        cost=CostSplit(energy=1.0),
        expected=Expected(),
    )


def part(*placements: Placement, key: str = KEY, model: str = "sign-reader", **more: Any) -> WorkloadPlan:
    return WorkloadPlan(key, model, placements, Expected(0.05, 100.0, 20.0, 0.5), **more)


def assigned(replicas: int, key: str = KEY, share: int = 100) -> CellAssignment:
    return CellAssignment(key, DIGEST, replicas, share, 100)


def to_cell(replicas: int, **facts: Any) -> Comparison:
    """Everything planned in the cell."""
    return compare(snapshot(**facts), plan(part(on_cell(replicas)), cells={CELL: (assigned(replicas),)}))


def to_triton(*servers: str, instances: int = 1, **facts: Any) -> Comparison:
    """Everything planned on these servers."""
    at = {http: (served(instances=instances),) for http in servers}
    return compare(snapshot(**facts), plan(part(on_pool(len(servers))), servers=at))


def compare(seen: Snapshot, planned: Plan, **more: Any) -> Comparison:
    """With every unoffered model drained long ago, unless `unoffered` says otherwise."""
    since = {(s.pool, s.http, m.name): LONG_AGO for s in seen.servers for m in s.models}
    return Comparison(seen, planned, more.pop("unoffered", since), **more)


def without(comparison: Comparison, **facts: Any) -> Comparison:
    """The same with other facts."""
    return replace(comparison, snapshot=replace(comparison.snapshot, **facts), _fates={})
