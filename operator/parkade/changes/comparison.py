"""The snapshot and the plan side by side: what each workload is due, and how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import cached_property
from math import ceil
from typing import Final

from parkade.api import InferenceWorkload, Reason, Region, VehicleCell
from parkade.api.base import Resource, Tier
from parkade.changes.changes import Target
from parkade.plan import CellAssignment, Plan, ServedModel, WorkloadPlan
from parkade.problem.eligibility import FILE_REASONS
from parkade.snapshot import LoadedModel, Snapshot, TritonServer

FINALIZER: Final = "parkade.dev/models"
ENOUGH_CARS: Final = 0.9
"""Share of a cell's planned replicas that must be ready before another place is given up: in a large cell there is
always a car that is just leaving, and one such car must not keep a dearer place for ever."""

ServerKey = tuple[str, str]
"""Pool and HTTP address of a Triton server."""
Unoffered = Mapping[tuple[str, str, str], datetime]
"""(pool, HTTP address, model) -> since when no status offers it to routers."""


class Fate(Enum):
    """What this cycle may do with a workload."""

    SERVE = auto()
    """Follow the plan, also where it has no place for it."""
    HOLD = auto()
    """The plan does not know it as it is now, or its new version cannot be had: what runs goes on."""
    STOP = auto()
    """It is deleted, suspended or refused: nothing of it may go on running."""


_HELD: Final = (*FILE_REASONS, Reason.INVALID_VALUES)
"""The new version cannot be had, or not yet: the one that runs goes on."""
_STOPPED: Final = (
    Reason.SUSPENDED, Reason.BEING_DELETED, Reason.MODEL_NAME_TAKEN, Reason.BATCH_NOT_SUPPORTED,
)  # fmt: skip
"""The user wants nothing to run, or nothing of it may."""


@dataclass(frozen=True)
class Comparison:
    """Indices over one snapshot and one plan; every lookup that the steps need, computed once."""

    snapshot: Snapshot
    plan: Plan
    unoffered: Unoffered
    changed: frozenset[str] = frozenset()
    """Workloads that changed while the plan was made."""
    _fates: dict[str, Fate] = field(default_factory=dict, compare=False)

    @cached_property
    def workloads(self) -> dict[str, InferenceWorkload]:
        """By `namespace/name`."""
        return {workload.key: workload for workload in self.snapshot.workloads}

    @cached_property
    def parts(self) -> dict[str, WorkloadPlan]:
        """Each workload's part of the plan."""
        return {part.workload: part for part in self.plan.workloads}

    @cached_property
    def cells(self) -> dict[str, VehicleCell]:
        """By name."""
        return {cell.metadata.name: cell for cell in self.snapshot.cells}

    @cached_property
    def orders(self) -> dict[str, dict[str, CellAssignment]]:
        """Planned orders of each cell, by workload."""
        return {order.cell: {row.workload: row for row in order.assignments} for order in self.plan.cells}

    @cached_property
    def wanted(self) -> dict[ServerKey, dict[str, ServedModel]]:
        """Planned models of each live server by name."""
        return {(order.pool, order.http): {m.model: m for m in order.models} for order in self.plan.servers}

    @cached_property
    def regions(self) -> dict[tuple[Tier, str], Region]:
        """Where each cell and each Triton pool is, by tier and name."""
        regions = {region.metadata.name: region for region in self.snapshot.regions}
        named: dict[tuple[Tier, str], str] = {
            ("Vehicle", cell.metadata.name): cell.spec.region for cell in self.cells.values()
        }
        named |= {("Datacenter", pool.metadata.name): pool.spec.region for pool in self.snapshot.triton_pools}
        return {place: regions[name] for place, name in named.items() if name in regions}

    @cached_property
    def servers(self) -> tuple[TritonServer, ...]:
        """Servers that answer."""
        return tuple(server for server in self.snapshot.servers if server.live)

    @cached_property
    def owners(self) -> dict[str, str]:
        """Which workload a model on a server belongs to, by the model's name: the one that was promised the name."""
        owners = {model.model: model.workload for models in self.wanted.values() for model in models.values()}
        for workload in self.snapshot.workloads:
            if not self._left_out(workload.key, Reason.MODEL_NAME_TAKEN):
                owners.setdefault(workload.spec.model.name, workload.key)
        return owners

    def fate(self, key: str) -> Fate:
        """What this cycle may do with a workload, by `namespace/name`; one that is gone stops."""
        if key not in self._fates:
            self._fates[key] = self._fate(key)
        return self._fates[key]

    def _fate(self, key: str) -> Fate:
        workload, part = self.workloads.get(key), self.parts.get(key)
        if workload is None:
            return Fate.HOLD if key in self.snapshot.unreadable else Fate.STOP
        if is_deleted(workload) or workload.spec.suspend:
            return Fate.STOP
        if part is None or key in self.changed:
            return Fate.HOLD
        if self._left_out(key, *_STOPPED):
            return Fate.STOP
        return Fate.HOLD if self._left_out(key, *_HELD) else Fate.SERVE

    def is_refused(self, key: str, digest: str) -> bool:
        """The plan leaves the workload out because of this very file: no car may be ordered to hold it."""
        workload = self.workloads.get(key)
        named = workload is not None and any(a.sha256 == digest for a in workload.spec.model.artifacts)
        return named and self._left_out(key, *FILE_REASONS)

    def _left_out(self, key: str, *reasons: Reason) -> bool:
        """The plan leaves the workload out for one of these reasons."""
        part = self.parts.get(key)
        return part is not None and part.left_out is not None and str(part.left_out.reason) in reasons

    def is_settled(self, key: str) -> bool:
        """Everything the plan wants for a workload answers, so that what it no longer wants may go."""
        return key not in self._unsettled

    @cached_property
    def _unsettled(self) -> frozenset[str]:
        in_cells = {
            row.workload
            for order in self.plan.cells
            for row in order.assignments
            if not self._cell_ready(row.workload, order.cell, row.replicas)
        }
        return frozenset(in_cells | {model.workload for server, model in self._on_servers if not holds(server, model)})

    def _cell_ready(self, key: str, name: str, planned: int) -> bool:
        cell = self.cells.get(name)
        if cell is None:
            return False
        for row in cell.status.assignments:
            if row.workload == key and row.observed_generation >= cell.metadata.generation:
                return row.ready >= ceil(planned * ENOUGH_CARS)
        return planned == 0

    def models_wanted(self, key: str) -> list[tuple[TritonServer, ServedModel]]:
        """Live servers that the plan wants a workload on, with what it wants there."""
        return [(server, model) for server, model in self._on_servers if model.workload == key]

    @cached_property
    def _on_servers(self) -> list[tuple[TritonServer, ServedModel]]:
        return [
            (server, model)
            for server in self.servers
            for model in self.wanted.get((server.pool, server.http), {}).values()
        ]

    def offers_cell(self, key: str, cell: str) -> bool:
        """The status sends requests of a workload to a cell."""
        workload = self.workloads.get(key)
        return workload is not None and any(place.place == cell for place in workload.status.placements)


def held(server: TritonServer, model: str) -> LoadedModel | None:
    """The version of a model that takes a server's memory, one that answers before one that loads or drains."""
    versions = [loaded for loaded in server.models if loaded.name == model and not loaded.failure]
    return max(versions, key=lambda loaded: (loaded.ready, loaded.instances, loaded.version), default=None)


def failure(server: TritonServer, model: ServedModel) -> str:
    """Why the server could not load this version; empty when it did not fail."""
    named = (m for m in server.models if m.name == model.model and m.version in (0, model.version))
    return next((m.failure for m in named if m.failure), "")


def holds(server: TritonServer, model: ServedModel) -> bool:
    """The server answers for this version with at least these instances."""
    return any(
        loaded.ready
        and (loaded.name, loaded.version) == (model.model, model.version)
        and loaded.instances >= model.instances
        for loaded in server.models
    )


def target_of(resource: Resource) -> Target:
    """A resource as the object of a step."""
    meta = resource.metadata
    return Target(type(resource).__name__, meta.namespace, meta.name, meta.uid)


def is_claimed(resource: Resource) -> bool:
    """The resource waits for us to clean up before it goes."""
    return FINALIZER in resource.metadata.finalizers


def is_deleted(resource: Resource) -> bool:
    """Its user wants it gone."""
    return resource.metadata.deletion_timestamp is not None


def observe_offers(before: Unoffered, snapshot: Snapshot) -> dict[tuple[str, str, str], datetime]:
    """Since when each loaded model has not been offered to routers, going on from what was seen before.

    Nothing is remembered over a restart of the operator: that only delays an unload by its drain time.
    """
    offered = {
        (place.place, endpoint.http, workload.spec.model.name)
        for workload in snapshot.workloads
        for place in workload.status.placements
        for endpoint in place.endpoints
    }
    loaded = {(server.pool, server.http, model.name) for server in snapshot.servers for model in server.models}
    return {key: before.get(key, snapshot.now) for key in sorted(loaded - offered)}
