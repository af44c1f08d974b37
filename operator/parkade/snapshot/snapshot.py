"""The frozen facts that one planning cycle decides on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from parkade.api import GridEvent, InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool
from parkade.snapshot.fronts import RouteFace, ServiceFace, SliceFace
from parkade.snapshot.observed import ObservedWorkload


@dataclass(frozen=True, slots=True, order=True)
class LoadedModel:
    """One model as a Triton server itself reports it."""

    name: str
    version: int
    """Directory number in the model repository; derived from the digest."""
    instances: int
    ready: bool
    failure: str = ""
    """Why the server could not load it; empty unless loading failed."""
    passing: bool = False
    """The failure may pass by itself, such as a server that did not answer; else the same bytes will fail again."""


@dataclass(frozen=True, slots=True, order=True)
class TritonServer:
    """One server of a Triton pool, as probed."""

    pool: str
    http: str
    """`host:port`."""
    grpc: str
    live: bool
    models: tuple[LoadedModel, ...] = ()
    failure: str = ""
    """Why the probe failed; empty when live."""


@dataclass(frozen=True, slots=True, order=True)
class StagedArtifact:
    """The fate of one model artifact on its way into the store."""

    sha256: str
    source: str
    state: Literal["Staged", "Fetching", "Failed"]
    size: int = 0
    """Bytes; 0 until staged."""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """A pool where no place that tried can load a workload's model."""

    workload: str
    """`namespace/name`."""
    sha256: str
    pool: str
    """Vehicle or Triton pool."""
    message: str
    """What the server or the car said."""
    since: datetime
    """Of the newest attempt's end."""
    attempts: int = 1
    trial: bool = False
    """It may be tried again now, with capacity that nobody uses."""


@dataclass(frozen=True, slots=True, order=True)
class PodFace:
    """The Kubernetes face of one (workload, cell)."""

    namespace: str
    name: str
    workload: str
    """`namespace/name` of the workload."""
    cell: str
    terminating: bool


@dataclass(frozen=True, slots=True, order=True)
class StoredModel:
    """Files of one model in a Triton pool's repository."""

    pool: str
    model: str
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class RouterAddress:
    """Where a router listens, from its Lease."""

    id: str
    http: str
    grpc: str
    cars: str
    zone: str = ""
    """`topology.kubernetes.io/zone` of its node; empty when it does not know."""
    metrics: str = ""
    """Where it tells what it observed."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the cycle decides on; tuples are sorted by name, so that equal facts compare equal."""

    now: datetime
    """Aware, UTC."""
    term: int
    """Fencing term of the leader that read it."""
    mode: Literal["Apply", "Observe"]
    workloads: tuple[InferenceWorkload, ...]
    regions: tuple[Region, ...]
    triton_pools: tuple[TritonPool, ...]
    vehicle_pools: tuple[VehicleNodePool, ...]
    cells: tuple[VehicleCell, ...]
    grid_events: tuple[GridEvent, ...] = ()
    servers: tuple[TritonServer, ...] = ()
    artifacts: tuple[StagedArtifact, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    pods: tuple[PodFace, ...] = ()
    routers: tuple[RouterAddress, ...] = ()
    """Those whose Lease lasts."""
    silent_routers: tuple[RouterAddress, ...] = ()
    """Those whose Lease ran out: they died, or the API server took no renewals. One that left has no Lease."""
    observed: tuple[ObservedWorkload, ...] = ()
    cordoned_cells: frozenset[str] = frozenset()
    """Cells whose node is cordoned: nothing new goes there, and what has no pod there any more leaves."""
    price_series: tuple[tuple[str, str, str], ...] = ()
    """(ConfigMap name, key, CSV text) of every series that a Region or a pool names."""
    services: tuple[ServiceFace, ...] = ()
    slices: tuple[SliceFace, ...] = ()
    routes: tuple[RouteFace, ...] | None = None
    """None where the Gateway API is not installed."""
    stored: tuple[StoredModel, ...] | None = ()
    """What the repositories hold; empty where they were not read this time, None when one does not answer."""
    unreadable: frozenset[str] = frozenset()
    """`namespace/name` of workloads that exist but break their kind's rules: what they run is left alone."""

    @property
    def pools(self) -> tuple[VehicleNodePool | TritonPool, ...]:
        """Of both kinds."""
        return (*self.vehicle_pools, *self.triton_pools)

    @cached_property
    def cells_of(self) -> Mapping[str, tuple[VehicleCell, ...]]:
        """Cells by pool."""
        return by_pool(self.cells)

    @cached_property
    def series(self) -> Mapping[tuple[str, str], str]:
        """CSV text of price and carbon series by (ConfigMap name, key)."""
        return {(name, key): text for name, key, text in self.price_series}


def by_pool(cells: Iterable[VehicleCell]) -> Mapping[str, tuple[VehicleCell, ...]]:
    """Cells by pool, each pool's in the order given."""
    found: dict[str, list[VehicleCell]] = defaultdict(list)
    for cell in cells:
        found[cell.spec.pool].append(cell)
    return {pool: tuple(here) for pool, here in found.items()}
