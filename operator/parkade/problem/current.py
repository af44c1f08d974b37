"""What runs already, counted by (workload, place): these replicas are kept at plain cost."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from parkade.api import InferenceWorkload, VehicleCell, VehicleNodePool
from parkade.problem.eligibility import artifact_for
from parkade.problem.supply import STATES, Column, Facts, Place, cell_columns
from parkade.snapshot import Snapshot, TritonServer
from parkade.snapshot.versions import version_of


@dataclass(frozen=True, slots=True)
class Kept:
    """Replicas of one workload at one place."""

    replicas: int = 0
    units: int = 0
    """Different servers that hold them; of cars each counts, because replicas of one workload may stand apart."""

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.replicas + other.replicas, self.units + other.units)


def running(
    facts: Facts, workloads: Sequence[InferenceWorkload], places: Sequence[Place]
) -> Mapping[tuple[str, str], Kept]:
    """Replicas ordered in cells, or loaded on live Triton servers, of the artifacts that the manifests name now."""
    snapshot = facts.snapshot
    counts: dict[tuple[str, str], Kept] = defaultdict(Kept)
    by_key = {workload.key: workload for workload in workloads}
    pools = {pool.key: pool for pool in snapshot.vehicle_pools}
    failed = failed_files(snapshot)
    for cell in facts.offered:
        pool = pools.get(cell.spec.pool)
        if pool is not None:
            for key, place_id, kept in in_cell(cell, pool, by_key, failed):
                counts[key, place_id] += kept
    for key, place_id, kept in _loaded(snapshot, workloads, places):
        counts[key, place_id] += kept
    return counts


def _loaded(
    snapshot: Snapshot, workloads: Sequence[InferenceWorkload], places: Sequence[Place]
) -> Iterator[tuple[str, str, Kept]]:
    """Instances on live servers, model by model."""
    place_of = {place.pool: place for place in places if place.tier == "Datacenter"}
    named: dict[str, list[InferenceWorkload]] = defaultdict(list)
    for workload in workloads:
        named[workload.spec.model.name].append(workload)
    for server in snapshot.servers:
        place = place_of.get(server.pool)
        if place is None or not server.live:
            continue
        for model in server.models:
            for workload in named.get(model.name, ()):
                artifact = artifact_for(workload, place.hardware)
                if artifact is not None and model.version == version_of(artifact.sha256) and not model.failure:
                    yield workload.key, place.id, Kept(model.instances, 1)


def fits(place: Place, memory: int) -> int:
    """Replicas of one model that one car or server holds: its slots, as far as memory allows."""
    return min(place.slots, place.memory // memory)


def failed_files(snapshot: Snapshot) -> frozenset[str]:
    """Digests of files that cannot be had."""
    return frozenset(file.sha256 for file in snapshot.artifacts if file.state == "Failed")


def spare(facts: Facts, place: Place, memory: int) -> int:
    """Replicas of one model for which the place has cars or instances that nobody uses."""
    if place.tier == "Datacenter":
        servers = [server for server in facts.snapshot.servers if server.pool == place.pool and server.live]
        return sum(max(0, place.slots - sum(model.instances for model in server.models)) for server in servers)
    pool = next(pool for pool in facts.snapshot.vehicle_pools if pool.key == place.pool)
    cells = facts.offered_of.get(pool.key, ())
    columns = [column for cell in cells for column in cell_columns(cell, pool) if place_id(pool, column) == place.id]
    return fits(place, memory) * sum(max(0, column.vehicles - column.held) for column in columns)


def in_cell(
    cell: VehicleCell, pool: VehicleNodePool, by_key: Mapping[str, InferenceWorkload], failed: frozenset[str]
) -> Iterator[tuple[str, str, Kept]]:
    """Spread the cell's assignments over its columns: cars that hold something first, cheapest state first.

    Cells report models and columns apart; which of alike cars holds which model does not matter to any cost. An order
    for a file that cannot be had (`failed`) counts only where cars hold it already.
    """
    hardware = pool.spec.hardware
    columns = [c for c in cell_columns(cell, pool) if c.link in pool.spec.contract.links]
    columns.sort(key=lambda column: (STATES.index(column.state), column.link))
    held = {id(column): float(column.held) for column in columns}
    free = {id(column): float(column.vehicles - column.held) for column in columns}
    for assignment in sorted(cell.spec.assignments, key=lambda a: (-a.priority, a.workload)):
        workload = by_key.get(assignment.workload)
        artifact = artifact_for(workload, hardware.name) if workload else None
        if workload is None or artifact is None or artifact.sha256 != assignment.digest:
            continue
        if assignment.digest in failed and not _runs(cell, workload.key):
            continue
        in_car = max(1, min(hardware.slots, hardware.memory.bytes // workload.spec.model.memory.bytes))
        left = assignment.replicas
        for room in (held, free):
            for column in columns:
                taken = min(left, int(room[id(column)] * in_car + 1e-9))
                if taken:
                    room[id(column)] -= taken / in_car
                    left -= taken
                    yield workload.key, place_id(pool, column), Kept(taken, taken)


def _runs(cell: VehicleCell, key: str) -> bool:
    """Some car of the cell answers for the workload, or may do so and is silent."""
    return cell.status.vehicles.silent > 0 or any(row.ready for row in cell.status.assignments if row.workload == key)


def place_id(pool: VehicleNodePool, column: Column) -> str:
    """The place that a column of one of the pool's cells belongs to."""
    return f"{pool.key}/{column.link}/{column.state}"


def on_servers(servers: Sequence[TritonServer], workload: InferenceWorkload, place: Place) -> dict[str, int]:
    """Instances by live server (`host:port`) of the place that holds the artifact the manifest names now."""
    artifact = artifact_for(workload, place.hardware)
    if artifact is None:
        return {}
    version = version_of(artifact.sha256)
    return {
        server.http: model.instances
        for server in servers
        if server.live
        for model in server.models
        if model.name == workload.spec.model.name and model.version == version and not model.failure
    }
