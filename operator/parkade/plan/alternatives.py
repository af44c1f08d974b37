"""What each place would cost a workload that were alone: the yardstick behind every Reason."""

import math
from dataclasses import dataclass

from parkade.problem.framing import Framed
from parkade.problem.reach import rates
from parkade.problem.reasons import Tier


@dataclass(frozen=True, slots=True)
class Alternative:
    """One place on which the whole workload could run by itself."""

    place: str
    """`pool/link/state`, or a Triton pool."""
    pool: str
    tier: Tier
    replicas: int
    """That meet there every want that the place can add to; more than it may hold."""
    cost_per_hour: float
    """$/h without the cost of moving: these replicas with the cars or servers they need."""
    room: bool
    """Whether an empty place would hold them."""


def alternatives(framed: Framed, workload: int) -> tuple[Alternative, ...]:
    """Places that answer every caller in time, cheapest first."""
    resource = framed.workloads[workload].resource
    callers, demand = rates(resource), float(framed.tables.workloads.demand[workload])
    found = []
    for at, place in enumerate(framed.places):
        own = [way for i in framed.pairs.get((workload, at), ()) if not (way := framed.ways[i]).late]
        if not own or not own[0].callers.issuperset(callers):
            continue
        way = own[0]
        wants = zip(framed.workloads[workload].wants, way.yields, strict=True)
        replicas = max((math.ceil(want.quantity / each - 1e-9) for want, each in wants if each > 0.0), default=1)
        running = way.running.cost.total - way.running.cost.move
        # Over-coverage carries no bytes: requests cost for the rate that is asked.
        carried = demand / (replicas * way.load) if way.load > 0.0 else 1.0
        each = running * min(1.0, carried) + way.unit_cost(place)
        room = replicas <= place.units * place.slots and replicas <= sum(other.max for other in own)
        found.append(Alternative(place.id, place.pool, place.tier, replicas, replicas * each, room))
    return tuple(sorted(found, key=lambda it: (it.cost_per_hour, it.place)))
