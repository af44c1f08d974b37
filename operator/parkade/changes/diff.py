"""From a snapshot and a plan to the steps of one cycle."""

from collections.abc import Iterator
from dataclasses import dataclass

from parkade.api import Condition
from parkade.api.base import Resource, StatusPart
from parkade.changes.cells import cell_steps, empty_cells
from parkade.changes.changes import Announce, Changes, ShowStatus
from parkade.changes.claims import claims, releases, removals
from parkade.changes.comparison import Comparison, target_of
from parkade.changes.faces import pod_steps
from parkade.changes.fronts import Fronts, front_steps
from parkade.changes.poolstatus import (
    grid_event_status,
    region_status,
    triton_pool_status,
    vehicle_pool_status,
)
from parkade.changes.routes import route_steps
from parkade.changes.servers import server_steps
from parkade.changes.status import workload_status

_BAD_NEWS = ("Placed", "Ready", "SLOMet", "FieldsHonoured")


@dataclass(frozen=True, slots=True)
class Budget:
    """Most steps of a kind in one cycle; the rest waits for the next one."""

    loads: int = 8
    """Models loaded at a time over all servers: each reads a file and competes for the store."""
    pods: int = 100
    """Pods made or deleted; a fleet's worth at once would fill the client's request budget for seconds."""


def diff(comparison: Comparison, fronts: Fronts, budget: Budget = Budget()) -> tuple[Changes, float | None]:
    """The steps of this cycle, and in how many seconds a step is due that only waits for its time."""
    statuses = tuple(_statuses(comparison, fronts))
    announcements = tuple(_announcements(comparison, statuses))
    if comparison.snapshot.mode == "Observe":
        return Changes(statuses=statuses, announcements=announcements), None
    servers, cells = server_steps(comparison), cell_steps(comparison)
    pods, pods_gone = pod_steps(comparison, cells)
    changes = Changes(
        claims=claims(comparison),
        stages=servers.stages,
        cells=cells,
        fronts=(*front_steps(comparison, fronts), *route_steps(comparison, fronts)),
        loads=servers.loads[: budget.loads],
        statuses=statuses,
        pods=pods[: budget.pods],
        unloads=servers.unloads,
        removals=removals(comparison),
        pods_gone=pods_gone[: budget.pods],
        cells_gone=empty_cells(comparison),
        releases=releases(comparison),
        announcements=announcements,
    )
    return changes, servers.due


def _statuses(comparison: Comparison, fronts: Fronts) -> Iterator[ShowStatus]:
    """Statuses that differ from what the objects show."""
    for resource, wanted in _wanted(comparison, fronts):
        if wanted != resource.status:  # type: ignore[attr-defined]  # every kind of ours has a status
            yield ShowStatus(target_of(resource), wanted)


def _wanted(comparison: Comparison, fronts: Fronts) -> Iterator[tuple[Resource, StatusPart]]:
    snapshot = comparison.snapshot
    for workload in snapshot.workloads:
        yield workload, workload_status(comparison, workload, fronts.urls)
    for cars in snapshot.vehicle_pools:
        yield cars, vehicle_pool_status(snapshot, cars)
    for pool in snapshot.triton_pools:
        yield pool, triton_pool_status(snapshot, pool)
    for region in snapshot.regions:
        yield region, region_status(snapshot, region)
    for event in snapshot.grid_events:
        yield event, grid_event_status(snapshot, event)


def _announcements(comparison: Comparison, statuses: tuple[ShowStatus, ...]) -> Iterator[Announce]:
    """An event for each condition whose status or reason changes."""
    snapshot = comparison.snapshot
    objects: tuple[Resource, ...] = (
        *snapshot.workloads, *snapshot.vehicle_pools, *snapshot.triton_pools, *snapshot.regions, *snapshot.grid_events,
    )  # fmt: skip
    before = {target_of(resource): {c.type: c for c in _conditions(resource)} for resource in objects}
    for step in statuses:
        for condition in getattr(step.status, "conditions", ()):
            old = before[step.target].get(condition.type)
            if condition.status != "Unknown" and _differs(old, condition):
                bad = condition.status == "False" and condition.type in _BAD_NEWS
                yield Announce(step.target, "Warning" if bad else "Normal", condition.reason, condition.message)


def _conditions(resource: Resource) -> tuple[Condition, ...]:
    conditions: tuple[Condition, ...] = resource.status.conditions  # type: ignore[attr-defined]
    return conditions


def _differs(old: Condition | None, new: Condition) -> bool:
    if old is None:
        return not (new.type == "FieldsHonoured" and new.status == "True")
    return (old.status, old.reason) != (new.status, new.reason)
