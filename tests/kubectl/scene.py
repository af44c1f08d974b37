"""Surveys to look at: an installation in which all is well, and what goes wrong in it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from parkade.api import Condition, GridEvent, InferenceWorkload, parse
from parkade.api.tritonpool import TritonPoolStatus
from parkade.api.vehiclecell import VehicleCellStatus
from parkade.api.vehiclenodepool import PoolVehicles, VehicleNodePoolStatus
from parkade.api.workload import WorkloadStatus
from parkade.cluster.surveying import LeaseFace, Survey
from worlds import NOW, cars, cell, region, servers, workload

SERVER = "https://192.0.2.7:6443"


def stamp(**before: float) -> str:
    """A time before now, as the API writes it."""
    return (NOW - timedelta(**before)).isoformat().replace("+00:00", "Z")


def condition(kind: str, status: Any = "True", reason: str = "", message: str = "", **before: float) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, last_transition_time=stamp(**before or {"hours": 1})
    )


def well(**others: Condition) -> tuple[Condition, ...]:
    """Conditions of a workload that serves; others replace them by type."""
    found = {
        "Placed": condition("Placed", "True", "CheapestPlace", "2 in ca-home-hw4-0"),
        "Ready": condition("Ready", "True", "Ready", "2 replicas answer"),
        "SLOMet": condition("SLOMet", "True", "TargetMet", "expected 81ms at p99 and the target is 200ms"),
        "FieldsHonoured": condition("FieldsHonoured", "True", "AllFieldsHonoured"),
    }
    return tuple((found | others).values())


def served(name: str = "sign-reader", conditions: tuple[Condition, ...] = (), **status: Any) -> InferenceWorkload:
    """A workload that runs; `status` has fields in the spelling of manifests."""
    shown = {
        "url": f"{name}.vision.svc:8000",
        "modelName": name,
        "replicas": 5,
        "observedGeneration": 1,
        "placements": [
            {"place": "ca-home-hw4-0", "tier": "Vehicle", "replicas": 3, "share": 75, "reason": "CheapestPlace",
             "region": "us-ca", "jurisdiction": "US"},
            {"place": "austin-a100", "tier": "Datacenter", "replicas": 2, "share": 25, "reason": "KeepsFallback",
             "region": "us-ca", "jurisdiction": "US",
             "endpoints": [{"http": "t:8000", "grpc": "t:8001", "replicas": 2}]},
        ],
        "expected": {"p99": "81ms", "costPerHour": "0.5370", "watts": 412, "gramsCO2PerHour": 107},
        "observed": {"rate": "59.4", "p50": "21.3ms", "p99": "88.1ms", "failed": "0"},
        "plan": {"gap": "0.0021", "solvedAt": stamp(minutes=12)},
    }  # fmt: skip
    found = workload(name, status=shown | status)
    return found.model_copy(update={"status": found.status.model_copy(update={"conditions": conditions or well()})})


def lease(component: str, name: str, seconds_ago: float = 2.0, **more: Any) -> LeaseFace:
    renewed = NOW - timedelta(seconds=seconds_ago)
    return replace(LeaseFace(name, component, name, renewed, 15.0, NOW - timedelta(days=3), 12), **more)


def operator(seconds_ago: float = 2.0, cycle: float = 4.0, trouble: str = "") -> LeaseFace:
    says = {"last-cycle": stamp(seconds=cycle)} | ({"trouble": trouble} if trouble else {})
    return lease("operator", "parkade-operator-7f9c-x2x", seconds_ago, says=says)


def grid_event(name: str = "elrp-2026-01-01", hours: float = 3.0) -> GridEvent:
    start, end = (stamp(hours=-hours - more) for more in (0, 5))
    spec = {"regions": ["us-ca"], "start": start, "end": end, "reduce": {"targetKW": 500}}
    found = parse({"apiVersion": "parkade.dev/v1alpha1", "kind": "GridEvent", "metadata": {"name": name}, "spec": spec})
    assert isinstance(found, GridEvent)
    message = "accepted, but not acted on in this release: spec.reduce; remove them or wait for a later release"
    said = condition("FieldsHonoured", "False", "FieldsNotHonoured", message)
    return found.model_copy(update={"status": found.status.model_copy(update={"conditions": (said,)})})


def showing(resource: Any, status: Any) -> Any:
    return resource.model_copy(update={"status": status})


def survey(**changes: Any) -> Survey:
    """All is well; changes replace fields."""
    pool, triton = cars(), servers()
    counts = PoolVehicles(registered=20000, here=18234, silent=22, gone=1744, eligible=4410, serving=812)
    ready = (condition("Ready", "True", "Ready"), condition("FieldsHonoured"))
    cell_status = VehicleCellStatus(
        conditions=(condition("Ready", "True", "OrdersMet"), condition("Schedulable"), condition("MessagesUnderstood"))
    )
    facts = Survey(
        now=NOW,
        server=SERVER,
        system="parkade-system",
        workloads=(served("sign-detector"), served()),
        regions=(region(),),
        triton_pools=(showing(triton, TritonPoolStatus(servers=2, ready=2, models=3, conditions=ready)),),
        vehicle_pools=(showing(pool, VehicleNodePoolStatus(vehicles=counts, cells=40, conditions=ready)),),
        cells=(showing(cell(pool), cell_status),),
        leases=(operator(), lease("carlet", "carlet-5d-a"), lease("carlet", "carlet-5d-b"), lease("router", "r-0")),
    )  # fmt: skip
    return replace(facts, **changes)


def failing(name: str, reason: str, message: str) -> InferenceWorkload:
    """A workload that does not answer."""
    return served(name, well(Ready=condition("Ready", "False", reason, message)), replicas=0, placements=[])


__all__ = [
    "NOW",
    "WorkloadStatus",
    "condition",
    "failing",
    "grid_event",
    "lease",
    "operator",
    "served",
    "showing",
    "survey",
    "well",
]
