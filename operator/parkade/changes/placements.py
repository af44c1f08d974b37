"""What routers are told: the places that may receive requests, ordered by preference."""

from collections.abc import Iterator

from parkade.api import InferenceWorkload, Reason
from parkade.api.workload import Endpoint, Placed
from parkade.changes.comparison import Comparison, Fate, held
from parkade.plan import Placement
from parkade.snapshot import TritonServer


def placements(comparison: Comparison, workload: InferenceWorkload) -> tuple[Placed, ...]:
    """Planned places, then those that stay until their replacement answers.

    A cell is named as soon as it is planned (its cars' connections are the proof), a Triton pool with the servers that
    hold the model ready.
    """
    if comparison.snapshot.mode == "Observe":
        return workload.status.placements
    match comparison.fate(workload.key):
        case Fate.STOP:
            return ()
        case Fate.HOLD:
            return tuple(_located(comparison, row) for row in _still_there(comparison, workload))
        case Fate.SERVE:
            return tuple(_located(comparison, row) for row in _served(comparison, workload))


def _located(comparison: Comparison, row: Placed) -> Placed:
    """With the region as it is now; routers judge by it, so a place whose region is gone has none."""
    region = comparison.regions.get((row.tier, row.place))
    where = (region.metadata.name, region.spec.jurisdiction) if region else ("", "")
    return row.model_copy(update={"region": where[0], "jurisdiction": where[1]})


def _served(comparison: Comparison, workload: InferenceWorkload) -> tuple[Placed, ...]:
    part = comparison.parts[workload.key]
    settled = comparison.is_settled(workload.key)
    planned = [row for row in (_planned(comparison, workload, p, settled=settled) for p in part.placements) if row]
    named = {row.place for row in planned}
    kept = [] if settled else [row for row in _kept(comparison, workload) if row.place not in named]
    left = 100 - sum(row.share for row in planned)
    each = left // len(kept) if kept and left > 0 else 0
    return (*planned, *(row.model_copy(update={"share": each}) for row in kept))


def _planned(comparison: Comparison, workload: InferenceWorkload, place: Placement, *, settled: bool) -> Placed | None:
    """A planned place as routers may use it now; None while no server of it answers for the model."""
    if place.tier == "Vehicle":
        return Placed(
            place=place.place, tier="Vehicle", replicas=place.replicas, share=place.share, reason=str(place.reason)
        )
    servers = [server for server in comparison.servers if server.pool == place.place]
    if settled:
        servers = [s for s in servers if _is_wanted(comparison, s, workload)]
    return _datacenter(workload, place.place, servers, place.share, str(place.reason))


def _is_wanted(comparison: Comparison, server: TritonServer, workload: InferenceWorkload) -> bool:
    return workload.spec.model.name in comparison.wanted.get((server.pool, server.http), {})


def _datacenter(
    workload: InferenceWorkload, pool: str, servers: list[TritonServer], share: int, reason: str
) -> Placed | None:
    endpoints = tuple(
        Endpoint.model_construct(http=server.http, grpc=server.grpc, replicas=max(1, loaded.instances))
        for server in servers
        if (loaded := held(server, workload.spec.model.name)) is not None and loaded.ready
    )
    if not endpoints:
        return None
    replicas = sum(endpoint.replicas for endpoint in endpoints)
    return Placed(place=pool, tier="Datacenter", replicas=replicas, share=share, reason=reason, endpoints=endpoints)


def _kept(comparison: Comparison, workload: InferenceWorkload) -> Iterator[Placed]:
    """Places that the plan leaves, while they still answer and their replacement does not."""
    for cell in comparison.snapshot.cells:
        for order in cell.spec.assignments:
            if order.workload == workload.key and order.replicas:
                name, reason = cell.metadata.name, Reason.DRAINING.value
                yield Placed(place=name, tier="Vehicle", replicas=order.replicas, reason=reason)
    for pool in sorted({server.pool for server in comparison.servers}):
        servers = [server for server in comparison.servers if server.pool == pool]
        row = _datacenter(workload, pool, servers, 0, Reason.DRAINING.value)
        if row is not None and comparison.owners.get(workload.spec.model.name) == workload.key:
            yield row


def _still_there(comparison: Comparison, workload: InferenceWorkload) -> Iterator[Placed]:
    """What routers were told before, without Triton servers that hold the model no more."""
    for place in workload.status.placements:
        if place.tier == "Vehicle":
            yield place
            continue
        servers = [server for server in comparison.servers if server.pool == place.place]
        row = _datacenter(workload, place.place, servers, place.share, place.reason)
        if row is not None:
            yield row
