"""What a person may see of Parkade through the API server: every part by itself, and what is withheld by name.

Unlike `reading`, which gathers all or nothing for a cycle, a part that may not be read leaves the others to be shown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from parkade.api import GridEvent, InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool
from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.leading import NAME as OPERATOR_LEASE
from parkade.cluster.reading import SETTINGS, Lists, readable
from parkade.cluster.resources import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    WORKLOADS,
    Resource,
)
from parkade.cluster.views import (
    CELL_VIEW,
    GRID_EVENT_VIEW,
    REGION_VIEW,
    TRITON_POOL_VIEW,
    VEHICLE_POOL_VIEW,
    WORKLOAD_VIEW,
    Unreadable,
    View,
)
from parkade.errors import ClusterRefused

_LEASE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Withheld:
    """A part that could not be read, though the API server answers."""

    part: str
    """What is missing, such as `leases`."""
    why: str
    """One sentence with the remedy."""
    missing: bool = False
    """The kind is not installed; else it may not be read."""


@dataclass(frozen=True, slots=True)
class LeaseFace:
    """One process that announces itself by a Lease."""

    name: str
    component: str
    """operator, router or carlet."""
    holder: str
    renewed: datetime | None
    seconds: float
    """How long a renewal lasts."""
    acquired: datetime | None = None
    term: int = 0
    says: Mapping[str, str] = field(default_factory=dict)
    """Its annotations, without their prefix `parkade.dev/`."""

    def alive(self, now: datetime) -> bool:
        """It is held and was renewed lately."""
        return bool(self.holder and self.renewed and self.renewed + timedelta(seconds=self.seconds) >= now)


@dataclass(frozen=True, slots=True)
class Switches:
    """The live switches of the operator."""

    mode: str = "Apply"
    paused: bool = False
    since: datetime | None = None
    """When `kubectl parkade pause` was called; None where somebody wrote the ConfigMap otherwise."""
    note: str = ""
    """Why, in the words of who paused."""


@dataclass(frozen=True, slots=True)
class EventFace:
    """Something that happened to an object."""

    at: datetime
    level: str
    """Normal or Warning."""
    reason: str
    kind: str
    namespace: str
    name: str
    message: str
    count: int
    source: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Facts of one moment; an empty part may also be withheld."""

    now: datetime
    """By the API server's clock."""
    server: str
    system: str
    """The operator's namespace."""
    namespace: str = ""
    """Of the workloads; empty: all."""
    workloads: tuple[InferenceWorkload, ...] = ()
    regions: tuple[Region, ...] = ()
    triton_pools: tuple[TritonPool, ...] = ()
    vehicle_pools: tuple[VehicleNodePool, ...] = ()
    cells: tuple[VehicleCell, ...] = ()
    grid_events: tuple[GridEvent, ...] = ()
    leases: tuple[LeaseFace, ...] = ()
    switches: Switches = Switches()
    events: tuple[EventFace, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    withheld: tuple[Withheld, ...] = ()

    def lacks(self, part: str) -> bool:
        """A part that is empty because it could not be read."""
        return any(row.part == part for row in self.withheld)

    def of(self, component: str) -> tuple[LeaseFace, ...]:
        """Leases of operator, router or carlet."""
        return tuple(lease for lease in self.leases if lease.component == component)


ALL: Final = (
    "inferenceworkloads", "regions", "tritonpools", "vehiclenodepools", "vehiclecells", "gridevents", "leases",
    "configmaps",
)  # fmt: skip
"""Every part but events, by plurals."""
_OWN: Final[Mapping[str, tuple[str, View[Any]]]] = {
    "inferenceworkloads": ("workloads", WORKLOAD_VIEW),
    "regions": ("regions", REGION_VIEW),
    "tritonpools": ("triton_pools", TRITON_POOL_VIEW),
    "vehiclenodepools": ("vehicle_pools", VEHICLE_POOL_VIEW),
    "vehiclecells": ("cells", CELL_VIEW),
    "gridevents": ("grid_events", GRID_EVENT_VIEW),
}


def survey(client: ClusterClient, system: str, namespace: str = "", parts: tuple[str, ...] = ALL) -> Survey:
    """Read the parts named, and their events where `events` is one of them.

    Args:
        client: in whose name it is read.
        system: the operator's namespace.
        namespace: of the workloads and events; empty: all.
        parts: plurals out of `ALL`, or `events`.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: it refuses who asks altogether, such as for an expired token.
    """
    reader = _Reader()
    unreadable: list[Unreadable] = []
    for part in parts:
        match part:
            case "leases":
                reader.read("leases", LEASES, system, partial(_leases, client, system))
            case "configmaps":
                reader.read("switches", CONFIG_MAPS, system, partial(_switches, client, system), "get")
            case "events":
                reader.read("events", EVENTS, namespace, partial(_events, client, namespace))
            case _:
                name, view = _OWN[part]
                scope = namespace if view.resource.namespaced else ""
                reader.read(name, view.resource, scope, partial(readable, Lists(client, scope), view, unreadable))
    return Survey(
        now=client.clock or datetime.now(UTC),
        server=client.server,
        system=system,
        namespace=namespace,
        unreadable=tuple(unreadable),
        withheld=tuple(reader.withheld),
        **reader.found,
    )


class _Reader:
    """Reads part by part and keeps a sentence for each that is withheld."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.withheld: list[Withheld] = []

    def read(self, name: str, resource: Resource, scope: str, look: Callable[[], object], verb: str = "list") -> None:
        """Keep what `look` finds under the name of a field of `Survey`."""
        try:
            self.found[name] = look()
        except ClusterRefused as refusal:
            if refusal.status not in (403, 404):
                raise
            why = f"{group_of(resource)} is not installed" if refusal.not_found else forbidden(verb, resource, scope)
            self.withheld.append(Withheld(resource.plural, why, refusal.not_found))


def group_of(resource: Resource) -> str:
    """A kind as `kubectl auth can-i` names it: `vehiclecells.parkade.dev`, `nodes`."""
    group, slash, _ = resource.api.partition("/")
    return f"{resource.plural}.{group}" if slash else resource.plural


def forbidden(verb: str, resource: Resource, scope: str = "", subresource: str = "") -> str:
    """The permission that is missing, in one sentence."""
    where = (f" in the namespace {scope}" if scope else " in all namespaces") if resource.namespaced else ""
    what = group_of(resource) + (f" (subresource {subresource})" if subresource else "")
    return f"you may not {verb} {what}{where}; ask an administrator for it"


def _leases(client: ClusterClient, system: str) -> tuple[LeaseFace, ...]:
    found = []
    for item in client.list(LEASES.path(system)):
        meta, spec = item["metadata"], item.get("spec") or {}
        component = (meta.get("labels") or {}).get("parkade.dev/component", "")
        if meta["name"] == OPERATOR_LEASE:
            component = "operator"
        if component:
            found.append(_lease(meta, spec, component))
    return tuple(sorted(found, key=lambda lease: (lease.component, lease.name)))


def _lease(meta: Json, spec: Json, component: str) -> LeaseFace:
    name = meta["name"].removeprefix(f"parkade-{component}-")
    return LeaseFace(
        name=name,
        component=component,
        holder=str(spec.get("holderIdentity") or ""),
        renewed=_time(spec.get("renewTime")),
        seconds=float(spec.get("leaseDurationSeconds") or _LEASE_SECONDS),
        acquired=_time(spec.get("acquireTime")),
        term=int(spec.get("leaseTransitions") or 0),
        says={
            key.removeprefix("parkade.dev/"): str(text)
            for key, text in (meta.get("annotations") or {}).items()
            if key.startswith("parkade.dev/")
        },
    )


def _switches(client: ClusterClient, system: str) -> Switches:
    try:
        found = client.get(CONFIG_MAPS.path(system, SETTINGS))
    except ClusterRefused as refusal:
        if not refusal.not_found:
            raise
        return Switches()
    content, notes = found.get("data") or {}, found["metadata"].get("annotations") or {}
    return Switches(
        mode="Observe" if str(content.get("mode", "")).strip() == "Observe" else "Apply",
        paused=str(content.get("paused", "")).strip().lower() == "true",
        since=_time(notes.get("parkade.dev/paused-at")),
        note=str(notes.get("parkade.dev/paused-because") or ""),
    )


def _events(client: ClusterClient, namespace: str) -> tuple[EventFace, ...]:
    """Events of our kinds, oldest first; those of cluster-scoped kinds are in the namespace `default`."""
    items = client.list(EVENTS.path(namespace), field_selector=f"involvedObject.apiVersion={WORKLOADS.api}")
    return tuple(sorted((_event(item) for item in items), key=lambda event: (event.at, event.kind, event.name)))


def _event(item: Json) -> EventFace:
    about, source = item.get("involvedObject") or {}, item.get("source") or {}
    stamp = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    return EventFace(
        at=_time(stamp) or datetime.fromtimestamp(0, UTC),
        level=str(item.get("type") or "Normal"),
        reason=str(item.get("reason") or ""),
        kind=str(about.get("kind") or ""),
        namespace=str(about.get("namespace") or ""),
        name=str(about.get("name") or ""),
        message=str(item.get("message") or ""),
        count=int(item.get("count") or 1),
        source=str(source.get("component") or item.get("reportingComponent") or ""),
    )


def _time(text: object) -> datetime | None:
    """An RFC 3339 time of the API, or None."""
    try:
        found = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo else None
