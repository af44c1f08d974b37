"""What is kept of each collection that a cycle reads, each object turned into a value at the edge."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from parkade.api import GridEvent, InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool, parse
from parkade.api.base import Resource as Kind
from parkade.changes import Target
from parkade.cluster.client import Json
from parkade.cluster.fronts import OURS, service_face, slice_face
from parkade.cluster.resources import (
    CELLS,
    GRID_EVENTS,
    NODES,
    PODS,
    REGIONS,
    SERVICES,
    SLICES,
    TRITON_POOLS,
    VEHICLE_POOLS,
    WORKLOADS,
    Resource,
)
from parkade.errors import InvalidManifest
from parkade.snapshot import PodFace, ServiceFace, SliceFace

T = TypeVar("T")
K = TypeVar("K", bound=Kind)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that exists and breaks its kind's rules."""

    target: Target
    message: str


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """A collection, those of its objects that matter, and what of each."""

    resource: Resource
    keep: Callable[[Json], T]
    selector: str = ""
    """Of labels."""


def _own(resource: Resource, _kind: type[K]) -> View[K | Unreadable]:
    """Objects of a kind of Parkade's own, which is the resource's."""

    def keep(item: Json) -> K | Unreadable:
        manifest = item | {"apiVersion": resource.api, "kind": resource.kind}  # lists leave both out of their items
        try:
            found = parse(manifest)
        except InvalidManifest as error:
            meta: dict[str, Any] = item.get("metadata") or {}
            name, namespace = str(meta.get("name", "")), str(meta.get("namespace", ""))
            return Unreadable(Target(resource.kind, namespace, name, str(meta.get("uid", ""))), str(error))
        return cast("K", found)

    return View(resource, keep)


def _pod_face(pod: Json) -> PodFace:
    meta = pod["metadata"]
    labels = meta["labels"]
    return PodFace(
        namespace=meta["namespace"],
        name=meta["name"],
        workload=f"{meta['namespace']}/{labels['parkade.dev/workload']}",
        cell=labels["parkade.dev/cell"],
        terminating="deletionTimestamp" in meta,
    )


def _cordoned_cell(node: Json) -> str:
    """The cell of a cordoned node; empty for others."""
    cell: str = node["metadata"]["labels"]["parkade.dev/cell"]
    return cell if (node.get("spec") or {}).get("unschedulable") else ""


WORKLOAD_VIEW: Final = _own(WORKLOADS, InferenceWorkload)
REGION_VIEW: Final = _own(REGIONS, Region)
TRITON_POOL_VIEW: Final = _own(TRITON_POOLS, TritonPool)
VEHICLE_POOL_VIEW: Final = _own(VEHICLE_POOLS, VehicleNodePool)
CELL_VIEW: Final = _own(CELLS, VehicleCell)
GRID_EVENT_VIEW: Final = _own(GRID_EVENTS, GridEvent)
POD_VIEW: Final[View[PodFace]] = View(PODS, _pod_face, "parkade.dev/workload,parkade.dev/cell")
CORDON_VIEW: Final[View[str]] = View(NODES, _cordoned_cell, "parkade.dev/cell")
SERVICE_VIEW: Final[View[ServiceFace | None]] = View(SERVICES, service_face, OURS)
SLICE_VIEW: Final[View[SliceFace]] = View(SLICES, slice_face, OURS)
VIEWS: Final[tuple[View[Any], ...]] = (
    WORKLOAD_VIEW, REGION_VIEW, TRITON_POOL_VIEW, VEHICLE_POOL_VIEW, CELL_VIEW, GRID_EVENT_VIEW,
    POD_VIEW, CORDON_VIEW, SERVICE_VIEW, SLICE_VIEW,
)  # fmt: skip
"""Everything that a cycle reads again and again."""
