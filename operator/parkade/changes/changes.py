"""What one cycle will do, as a value: small steps in named buckets, in the order in which they are safe.

A step names everything it needs, so that `cluster` and `serving` only carry it out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal

from parkade.api.base import StatusPart
from parkade.plan import CellAssignment, ServedModel
from parkade.snapshot import RouteFace, ServiceFace, SliceFace


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One object of the cluster; the uid keeps a step from hitting a namesake made later."""

    kind: str
    namespace: str
    """Empty for cluster-scoped kinds."""
    name: str
    uid: str

    @property
    def key(self) -> str:
        """`namespace/name`, or `name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class SetFinalizers:
    """Own these finalizers on a workload; none releases it."""

    kind: ClassVar = "finalizer"
    target: Target
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageArtifact:
    """Bring one model file into the store, for cars and Triton alike."""

    kind: ClassVar = "stage"
    workload: str
    """`namespace/name`."""
    sha256: str
    source: str
    secret: str
    """Secret of the workload's namespace with the source's credentials; empty without."""


@dataclass(frozen=True, slots=True)
class ApplyCell:
    """Make a cell, or give it new orders; `assignments` is the whole list."""

    kind: ClassVar = "cell"
    cell: str
    pool: Target
    region: str
    shard: int
    max_vehicles: int
    term: int
    assignments: tuple[CellAssignment, ...]
    closing: bool = False


@dataclass(frozen=True, slots=True)
class DeleteCell:
    """Take an empty cell away, and its node with it."""

    kind: ClassVar = "cell-delete"
    cell: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """The Kubernetes face of a workload in a cell."""

    kind: ClassVar = "pod"
    workload: Target
    cell: str
    model: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Take the face of a workload in a cell away; cars take no orders from it."""

    kind: ClassVar = "pod-delete"
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ApplyService:
    """The workload's name for callers."""

    kind: ClassVar = "service"
    workload: Target
    exists: bool
    """Ours already; otherwise a namesake made by somebody else is left alone."""
    face: ServiceFace


@dataclass(frozen=True, slots=True)
class ApplySlice:
    """Routers behind a workload's Service."""

    kind: ClassVar = "slice"
    workload: Target
    face: SliceFace


@dataclass(frozen=True, slots=True)
class ApplyRoute:
    """A route from a Gateway to a workload's Service, or to the routers in common."""

    kind: ClassVar = "route"
    workload: Target | None
    """None for a route that all workloads have in common."""
    exists: bool
    """Ours already; otherwise a namesake made by somebody else is left alone."""
    face: RouteFace


@dataclass(frozen=True, slots=True)
class DeleteFront:
    """Take away a Service, an EndpointSlice or a route of ours."""

    kind: ClassVar = "front-delete"
    front: str
    """Its kind."""
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load a model on one Triton server, or change its version or instances."""

    kind: ClassVar = "load"
    pool: str
    http: str
    model: ServedModel


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """Unload a model from one Triton server."""

    kind: ClassVar = "unload"
    pool: str
    http: str
    workload: str
    model: str


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Delete versions of a workload's model from a pool's repository; no server holds them any more."""

    kind: ClassVar = "files"
    workload: str
    pool: str
    model: str
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShowStatus:
    """Write an object's status."""

    kind: ClassVar = "status"
    target: Target
    status: StatusPart


@dataclass(frozen=True, slots=True)
class Announce:
    """Say once, as an event on the object, that a condition changed."""

    kind: ClassVar = "event"
    target: Target
    level: Literal["Normal", "Warning"]
    reason: str
    message: str


ClusterChange = (
    SetFinalizers
    | ApplyCell
    | DeleteCell
    | CreatePod
    | DeletePod
    | ApplyService
    | ApplySlice
    | ApplyRoute
    | DeleteFront
    | ShowStatus
    | Announce
)
"""Steps on the API server."""
Shipment = StageArtifact | LoadModel | UnloadModel | RemoveFiles
"""Steps that take long and happen outside the cluster."""
Change = ClusterChange | Shipment


@dataclass(frozen=True, slots=True)
class Changes:
    """The steps of one cycle; the buckets are carried out in this order."""

    claims: tuple[SetFinalizers, ...] = ()
    """Before anything outside the cluster belongs to a workload."""
    stages: tuple[StageArtifact, ...] = ()
    cells: tuple[ApplyCell, ...] = ()
    fronts: tuple[ApplyService | ApplySlice | ApplyRoute | DeleteFront, ...] = ()
    loads: tuple[LoadModel, ...] = ()
    """At most one a server."""
    statuses: tuple[ShowStatus, ...] = ()
    """After what grows and before what shrinks: a place goes only when nobody is sent there any more."""
    pods: tuple[CreatePod, ...] = ()
    unloads: tuple[UnloadModel, ...] = ()
    removals: tuple[RemoveFiles, ...] = ()
    pods_gone: tuple[DeletePod, ...] = ()
    cells_gone: tuple[DeleteCell, ...] = ()
    releases: tuple[SetFinalizers, ...] = ()
    announcements: tuple[Announce, ...] = ()

    def ordered(self) -> Iterator[Change]:
        """Every step, in order."""
        return chain(
            self.claims,
            self.stages,
            self.cells,
            self.fronts,
            self.loads,
            self.statuses,
            self.pods,
            self.unloads,
            self.removals,
            self.pods_gone,
            self.cells_gone,
            self.releases,
            self.announcements,
        )

    @property
    def is_empty(self) -> bool:
        """Nothing to do."""
        return next(self.ordered(), None) is None
