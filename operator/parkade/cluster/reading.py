"""Gathers all that the API server knows as frozen values, from lists or from what watches keep (`following`).

An object that breaks its kind's rules never blocks the others: it is left out and reported by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from parkade.api import Region, TritonPool, VehicleNodePool
from parkade.api.base import Resource as Kind
from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.resources import CELLS, CONFIG_MAPS, LEASES, PODS, WORKLOADS
from parkade.cluster.routes import read_routes
from parkade.cluster.views import (
    CELL_VIEW,
    CORDON_VIEW,
    GRID_EVENT_VIEW,
    POD_VIEW,
    REGION_VIEW,
    SERVICE_VIEW,
    SLICE_VIEW,
    TRITON_POOL_VIEW,
    VEHICLE_POOL_VIEW,
    WORKLOAD_VIEW,
    Unreadable,
    View,
)
from parkade.errors import ClusterRefused
from parkade.problem.energy import named_series
from parkade.snapshot import RouterAddress, Snapshot

SETTINGS: Final = "parkade-settings"
"""The ConfigMap with the live switches `mode` and `paused`."""
_LEASE_SECONDS: Final = 15

K = TypeVar("K", bound=Kind)
T = TypeVar("T")


class Source(Protocol):
    """Where collections come from: listed now, or kept by watches."""

    def collect(self, view: View[T]) -> list[T]:
        """What a view keeps of each object, in no order.

        Raises:
            ClusterUnavailable: the API server does not answer.
            ClusterRefused: it refuses the list.
        """


class Lists:
    """Each collection is listed when it is asked for, in one namespace if one is given."""

    def __init__(self, client: ClusterClient, namespace: str = "") -> None:
        self._client, self._namespace = client, namespace

    def collect(self, view: View[T]) -> list[T]:
        """See `Source`."""
        return [view.keep(item) for item in self._client.list(view.resource.path(self._namespace), view.selector)]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The cluster's part of a snapshot, and what is no part of it."""

    snapshot: Snapshot
    paused: bool
    unreadable: tuple[Unreadable, ...] = ()


def read(client: ClusterClient, namespace: str, term: int, now: datetime, source: Source | None = None) -> ClusterFacts:
    """Read everything that a cycle decides on, except Triton and the model store; by lists if no source is given.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: it refuses a list, such as for missing rights or a CRD that is not installed.
    """
    source = source or Lists(client)
    unreadable: list[Unreadable] = []
    mode, paused = read_switches(client, namespace)
    regions = readable(source, REGION_VIEW, unreadable)
    workloads = readable(source, WORKLOAD_VIEW, unreadable)
    triton_pools = readable(source, TRITON_POOL_VIEW, unreadable)
    vehicle_pools = readable(source, VEHICLE_POOL_VIEW, unreadable)
    routers, silent = _routers(client, namespace, now)
    snapshot = Snapshot(
        now=now,
        term=term,
        mode="Observe" if mode == "Observe" else "Apply",
        workloads=workloads,
        regions=regions,
        triton_pools=triton_pools,
        vehicle_pools=vehicle_pools,
        cells=readable(source, CELL_VIEW, unreadable),
        grid_events=readable(source, GRID_EVENT_VIEW, unreadable),
        pods=tuple(sorted(source.collect(POD_VIEW))),
        routers=routers,
        silent_routers=silent,
        cordoned_cells=frozenset(cell for cell in source.collect(CORDON_VIEW) if cell),
        price_series=read_series(client, namespace, (*regions, *vehicle_pools, *triton_pools)),
        services=tuple(sorted(face for face in source.collect(SERVICE_VIEW) if face is not None)),
        slices=tuple(sorted(source.collect(SLICE_VIEW))),
        routes=read_routes(client),
        unreadable=frozenset(row.target.key for row in unreadable if row.target.kind == WORKLOADS.kind),
    )
    return ClusterFacts(snapshot, paused, tuple(unreadable))


def read_switches(client: ClusterClient, namespace: str) -> tuple[str, bool]:
    """The mode and the global pause; `Apply` and not paused without the ConfigMap."""
    try:
        content = client.get(CONFIG_MAPS.path(namespace, SETTINGS)).get("data") or {}
    except ClusterRefused as refusal:
        if not refusal.not_found:
            raise
        content = {}
    return str(content.get("mode", "Apply")).strip(), str(content.get("paused", "")).strip().lower() == "true"


def selected_pods(client: ClusterClient, namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses of running pods by labels, sorted."""
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    found = client.list(PODS.path(namespace), selector)
    addresses = [pod["status"]["podIP"] for pod in found if (pod.get("status") or {}).get("podIP") and _alive(pod)]
    return tuple(sorted(f"[{address}]" if ":" in address else address for address in addresses))


def _alive(pod: Json) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"


def readable(source: Source, view: View[K | Unreadable], unreadable: list[Unreadable]) -> tuple[K, ...]:
    """All objects of a kind, by key; what cannot be read goes into `unreadable`."""
    found: list[K] = []
    for item in source.collect(view):
        if isinstance(item, Unreadable):
            unreadable.append(item)
        else:
            found.append(item)
    return tuple(sorted(found, key=lambda item: item.key))


def _routers(
    client: ClusterClient, namespace: str, now: datetime
) -> tuple[tuple[RouterAddress, ...], tuple[RouterAddress, ...]]:
    """Routers whose Lease lasts now, and those whose Lease only lasted when any was renewed last."""
    held = [
        (
            router,
            renewed,
            renewed + timedelta(seconds=float(lease["spec"].get("leaseDurationSeconds") or _LEASE_SECONDS)),
        )
        for lease in client.list(LEASES.path(namespace), "parkade.dev/component=router")
        if (router := _router(lease["metadata"])) and (renewed := _renewed(lease))
    ]
    newest = max((renewed for _, renewed, _ in held), default=now)
    live = tuple(sorted(router for router, _, ends in held if ends >= now))
    return live, tuple(sorted(router for router, _, ends in held if newest <= ends < now))


def _router(meta: Json) -> RouterAddress | None:
    """Where the router of a Lease says that it listens."""
    says = meta.get("annotations") or {}
    if not says.get("parkade.dev/http"):
        return None
    return RouterAddress(
        id=meta["name"].removeprefix("parkade-router-"),
        http=says["parkade.dev/http"],
        grpc=says.get("parkade.dev/grpc", ""),
        cars=says.get("parkade.dev/cars", ""),
        zone=says.get("parkade.dev/zone", ""),
        metrics=says.get("parkade.dev/metrics", ""),
    )


def _renewed(lease: Json) -> datetime | None:
    text = (lease.get("spec") or {}).get("renewTime")
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def read_series(
    client: ClusterClient, namespace: str, owners: Iterable[Region | VehicleNodePool | TritonPool]
) -> tuple[tuple[str, str, str], ...]:
    """The CSV text of every series that a region or a pool names and that exists; raises as `read`."""
    named = {(str(series.config_map), series.key) for owner in owners for series in named_series(owner)}
    texts = {name: _config_map(client, namespace, name) for name in sorted({name for name, _ in named})}
    return tuple((name, key, texts[name][key]) for name, key in sorted(named) if key in texts[name])


def _config_map(client: ClusterClient, namespace: str, name: str) -> dict[str, Any]:
    try:
        return client.get(CONFIG_MAPS.path(namespace, name)).get("data") or {}
    except ClusterRefused as refusal:
        if refusal.not_found:
            return {}
        raise


def refresh(client: ClusterClient, namespace: str, facts: ClusterFacts, source: Source | None = None) -> ClusterFacts:
    """Read again, just before acting, what people and cars change most: the switches, workloads and cells.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: it refuses a list.
    """
    unreadable: list[Unreadable] = []
    mode, paused = read_switches(client, namespace)
    source = source or Lists(client)
    workloads = readable(source, WORKLOAD_VIEW, unreadable)
    cells = readable(source, CELL_VIEW, unreadable)
    others = [row for row in facts.unreadable if row.target.kind not in (WORKLOADS.kind, CELLS.kind)]
    snapshot = replace(
        facts.snapshot,
        mode="Observe" if mode == "Observe" else "Apply",
        workloads=workloads,
        cells=cells,
        unreadable=frozenset(row.target.key for row in unreadable if row.target.kind == WORKLOADS.kind),
    )
    return ClusterFacts(snapshot, paused, tuple(others + unreadable))
