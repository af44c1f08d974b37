"""The status that pools, regions and grid events should show."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from parkade.api import GridEvent, Reason, Region, TritonPool, VehicleNodePool
from parkade.api.gridevent import GridEventStatus
from parkade.api.region import RegionStatus
from parkade.api.tritonpool import TritonPoolStatus
from parkade.api.vehiclenodepool import PoolVehicles, VehicleNodePoolStatus
from parkade.changes.conditions import Finding, fields_honoured, find, merged
from parkade.problem.energy import series_mistakes
from parkade.snapshot import Snapshot, TritonServer


def vehicle_pool_status(snapshot: Snapshot, pool: VehicleNodePool) -> VehicleNodePoolStatus:
    """Vehicles over the pool's cells, and whether any may work."""
    cells = snapshot.cells_of.get(pool.metadata.name, ())
    counts = {name: sum(getattr(cell.status.vehicles, name) for cell in cells) for name in PoolVehicles.model_fields}
    found = (_cars_ready(snapshot, pool, counts), fields_honoured(pool, _mistakes(snapshot, pool)))
    return VehicleNodePoolStatus(
        vehicles=PoolVehicles(**counts),
        cells=len(cells),
        conditions=merged(found, pool.status.conditions, pool.metadata, snapshot.now),
    )


def _cars_ready(snapshot: Snapshot, pool: VehicleNodePool, counts: dict[str, int]) -> Finding:
    for finding in _region_known(snapshot, pool.spec.region):
        return Finding("Ready", "False", finding.reason, finding.message)
    if not counts["eligible"]:
        return find("Ready", "False", Reason.NO_VEHICLES, place=pool.metadata.name)
    return Finding(
        "Ready", "True", Reason.READY.value, f"{counts['eligible']} of {counts['registered']} vehicles may work"
    )


def triton_pool_status(snapshot: Snapshot, pool: TritonPool) -> TritonPoolStatus:
    """Servers that answer, and why others do not."""
    servers = [server for server in snapshot.servers if server.pool == pool.metadata.name]
    live = [server for server in servers if server.live]
    found = (_servers_ready(snapshot, pool, servers), fields_honoured(pool, _mistakes(snapshot, pool)))
    return TritonPoolStatus(
        servers=len(servers),
        ready=len(live),
        models=sum(1 for server in live for model in server.models if model.ready),
        conditions=merged(found, pool.status.conditions, pool.metadata, snapshot.now),
    )


def _servers_ready(snapshot: Snapshot, pool: TritonPool, servers: Sequence[TritonServer]) -> Finding:
    """True while any server answers; the sentence names one that does not."""
    for finding in _region_known(snapshot, pool.spec.region):
        return Finding("Ready", "False", finding.reason, finding.message)
    down = [server for server in servers if not server.live]
    live = len(servers) - len(down)
    if live and not down:
        return Finding("Ready", "True", Reason.READY.value, f"{live} of {live} servers answer")
    if not servers:
        return find("Ready", "False", Reason.NO_SERVERS, place=pool.metadata.name)
    problem = Reason.TRITON_UNAVAILABLE.say(server=down[0].http, problem=down[0].failure)
    return Finding(
        "Ready",
        "True" if live else "False",
        Reason.TRITON_UNAVAILABLE.value,
        f"{live} of {len(servers)} servers answer; {problem}",
    )


def _mistakes(snapshot: Snapshot, pool: VehicleNodePool | TritonPool) -> Iterator[Finding]:
    yield from _region_known(snapshot, pool.spec.region)
    yield from _without_value(snapshot, pool)


def _without_value(snapshot: Snapshot, owner: Region | VehicleNodePool | TritonPool) -> Iterator[Finding]:
    """Price and carbon series that say nothing for now."""
    for said in series_mistakes(owner, snapshot.now, snapshot.series):
        yield Finding("FieldsHonoured", "False", Reason.INVALID_VALUES.value, said)


def _region_known(snapshot: Snapshot, region: str) -> Iterator[Finding]:
    if all(known.metadata.name != region for known in snapshot.regions):
        yield find("FieldsHonoured", "False", Reason.UNKNOWN_REGION, region=region)


def region_status(snapshot: Snapshot, region: Region) -> RegionStatus:
    """Whether prices and carbon are known, and every field of the region is acted on."""
    lacking = next(_without_value(snapshot, region), None)
    said = "its prices and its carbon have a value for now"
    ready = Finding("Ready", "True", Reason.READY.value, said)
    if lacking is not None:
        ready = replace(lacking, type="Ready")
    found = (ready, fields_honoured(region, _without_value(snapshot, region)))
    return RegionStatus(conditions=merged(found, region.status.conditions, region.metadata, snapshot.now))


def grid_event_status(snapshot: Snapshot, event: GridEvent) -> GridEventStatus:
    """Whether the event is acted on, and every field of it; what was delivered stays as it is."""
    honoured = fields_honoured(event)
    ready = Finding("Ready", "True", Reason.READY.value, "it is acted on when its time comes")
    if honoured.status == "False":
        ready = replace(honoured, type="Ready")
    conditions = merged((ready, honoured), event.status.conditions, event.metadata, snapshot.now)
    return event.status.model_copy(update={"conditions": conditions})
