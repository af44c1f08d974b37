"""Ways to run a workload at a place: what one replica yields, takes and costs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from parkade.api import InferenceWorkload
from parkade.problem.costs import CostSplit, Running
from parkade.problem.covers import APART, Want, replica_yield
from parkade.problem.current import Kept, fits
from parkade.problem.eligibility import profile_for
from parkade.problem.energy import EnergyRate
from parkade.problem.reach import Reach, rates
from parkade.problem.supply import Place
from parkade.settings import Economics
from parkade.snapshot import StagedArtifact
from parkade.units import BYTES_PER_GB, SECONDS_PER_HOUR

WARM_UP_SECONDS: Final = 60.0
"""A new replica takes its unit this long before it answers: download, load, probe."""

RISK_SHARE: Final = 0.02
"""Of the unit's cost for the chance that a start fails and is made again."""

LEAST_RISK: Final = 0.001
"""$/h: also where units cost nothing a start is not free, or equally cheap plans would take turns."""

COMPUTE, INSTANCES, MEMORY, UNIT = "compute", "instances", "memory", "unit"


@dataclass(frozen=True, slots=True)
class Way:
    """One arc of the problem in names."""

    workload: int
    """Index into the framed workloads."""
    place: int
    """Index into the framed places."""
    kept: bool
    """These replicas run already."""
    apart: bool
    """Alone on its car, or the first on its server."""
    late: bool
    """It serves callers that no place answers in time."""
    running: Running
    """Of one replica beyond the units it uses."""
    penalty: float
    """$/h for being late; not money that anybody pays."""
    load: float
    """Requests/s expected of one replica."""
    rate: float
    """Requests/s that one replica may take."""
    callers: frozenset[str]
    yields: tuple[float, ...]
    use: tuple[tuple[str, float], ...]
    """Of one unit, by resource."""
    max: int

    @property
    def cost(self) -> float:
        """$/h of one replica in the objective, beyond the units it uses."""
        return self.running.cost.total + self.penalty


def ways(
    workload: tuple[int, InferenceWorkload],
    place: tuple[int, Place],
    reach: Reach,
    wants: Sequence[Want],
    terms: "Terms",
) -> Iterator[Way]:
    """All arcs of a pair: kept and new, the first on a server and further ones, in time and late."""
    (index, spec), (at, where) = workload, place
    runs: list[tuple[float, frozenset[str], bool]] = []
    if reach.regions or not rates(spec):
        runs.append((reach.rate, reach.regions, False))
    if terms.late_callers:
        runs.append((reach.late_rate, reach.regions | terms.late_callers, True))
    for rate, callers, late in runs:
        carried = _carried(spec, callers, rate)
        running = _replica_running(spec, where, carried, terms.economics)
        move = terms.move(spec, where)
        for kept in (True, False):
            if kept and late and reach.regions:  # replicas that run are offered once
                continue
            most_new = None if kept else terms.most_new
            for apart in (True, False) if where.tier == "Datacenter" else (True,):
                yields = tuple(replica_yield(want, where, callers, rate, apart=apart) for want in wants)
                most = _most(spec, where, terms.kept, wants, yields, kept=kept, apart=apart)
                yield Way(
                    workload=index,
                    place=at,
                    kept=kept,
                    apart=apart,
                    late=late,
                    running=running if kept else running + move,
                    penalty=0.0,
                    load=carried,
                    rate=rate,
                    callers=callers,
                    yields=yields,
                    use=_use(spec, where, carried, apart=apart, wanted_apart=any(w.kind == "apart" for w in wants)),
                    max=most if most_new is None else min(most, most_new),
                )


@dataclass(frozen=True, slots=True)
class Terms:
    """What the arcs of one (workload, place) depend on besides the two."""

    economics: Economics
    kept: Kept
    late_callers: frozenset[str]
    """Callers that no place answers in time."""
    artifact: StagedArtifact | None
    most_new: int | None = None
    """Most replicas that may be started there: none while the file is not in the store (what runs may stay), as many as
    disturb nobody where the model was rejected before; None for no such limit."""

    def move(self, workload: InferenceWorkload, place: Place) -> Running:
        """Cost of bringing one replica up, spread over its expected stay: bytes over the link, warm-up, risk.

        The size of an artifact that is not staged yet is taken as the model's memory.
        """
        size = self.artifact.size if self.artifact and self.artifact.size else workload.spec.model.memory.bytes
        unit = place.steps[-1].running.cost.total / fits(place, workload.spec.model.memory.bytes)
        once = size / BYTES_PER_GB * place.per_gb + abs(unit) * WARM_UP_SECONDS / SECONDS_PER_HOUR
        stay = self.economics.new_replica_stay_hours
        return Running(CostSplit(move=once / stay + max(LEAST_RISK, RISK_SHARE * abs(unit))))


def with_late_penalties(found: Sequence[Way], unit_costs: Sequence[float], economics: Economics) -> list[Way]:
    """Late arcs of one workload cost `late_cost_factor` * the cheapest cost per request/s on top.

    Args:
        found: the workload's arcs.
        unit_costs: $/h of the units that one replica of each arc uses.
        economics: the factor.
    """
    in_time = [(way.cost + unit) / way.rate for way, unit in zip(found, unit_costs, strict=True)
               if way.rate > 0.0 and not way.late]  # fmt: skip
    late = [(way.cost + unit) / way.rate for way, unit in zip(found, unit_costs, strict=True) if way.late]
    cheapest = max(min(in_time or late, default=0.0), 0.0)
    return [
        replace(way, penalty=economics.late_cost_factor * cheapest * way.rate) if way.late else way for way in found
    ]


def _carried(workload: InferenceWorkload, callers: frozenset[str], rate: float) -> float:
    """Requests/s expected of one replica: its rate, or its part of the demand once minReplicas run."""
    demand = sum(asked for caller, asked in rates(workload).items() if caller in callers)
    return min(rate, demand / max(1, workload.spec.placement.min_replicas))


def _replica_running(workload: InferenceWorkload, place: Place, load: float, economics: Economics) -> Running:
    """Dynamic energy beyond the unit's step, and bytes.

    A busy car's step holds its whole computer, so requests add nothing to it. The datacenter pays egress for answers;
    a vehicle's link carries requests and answers.
    """
    payload = workload.spec.payload
    gigabytes = SECONDS_PER_HOUR * load / BYTES_PER_GB
    if place.tier == "Vehicle":
        both = payload.request.bytes + payload.response.bytes
        return Running(CostSplit(network=gigabytes * both * place.per_gb))
    answers = Running(CostSplit(network=gigabytes * payload.response.bytes * economics.egress_per_gb))
    return _dynamic(workload, place, load, place.rate) + answers


def _dynamic(workload: InferenceWorkload, place: Place, load: float, rate: EnergyRate) -> Running:
    profile = profile_for(workload, place.hardware)
    assert profile is not None  # noqa: S101 -- eligibility refuses places without a profile
    joules = profile.joules.value if profile.joules is not None else place.dynamic_watts * profile.service_time.seconds
    return rate.running(joules * load * place.pue)


def _use(
    workload: InferenceWorkload, place: Place, load: float, *, apart: bool, wanted_apart: bool
) -> tuple[tuple[str, float], ...]:
    """Share of a car, or instances, memory (GB) and share of a server's compute.

    Instances share a server's compute, so it is counted by `maxRatePerServer`; without one, by 1 / serviceTime.
    """
    memory = workload.spec.model.memory.bytes
    if place.tier == "Vehicle":
        return ((UNIT, 1.0 / fits(place, memory)),)
    profile = profile_for(workload, place.hardware)
    assert profile is not None  # noqa: S101 -- eligibility refuses places without a profile
    measured = profile.max_rate_per_server
    most = measured.value if measured is not None else 1.0 / profile.service_time.seconds
    use = [(COMPUTE, min(load / most, 1.0)), (INSTANCES, 1.0), (MEMORY, memory / BYTES_PER_GB)]
    if apart and wanted_apart:
        use.append((apart_resource(workload), 1.0))
    return tuple(sorted(use))


def apart_resource(workload: InferenceWorkload) -> str:
    """Name of the resource of which a server has one: the workload's first instance on it."""
    return f"apart/{workload.key}"


def capacity(place: Place, apart: Sequence[str]) -> dict[str, float]:
    """What one unit of a place has of each resource; `apart` names the workloads' resources."""
    if place.tier == "Vehicle":
        return {UNIT: 1.0}
    own = {COMPUTE: 1.0, INSTANCES: float(place.slots), MEMORY: place.memory / BYTES_PER_GB}
    return own | dict.fromkeys(apart, 1.0)


def _most(  # noqa: PLR0913 -- all six are the arc's own facts
    workload: InferenceWorkload,
    place: Place,
    kept_there: Kept,
    wants: Sequence[Want],
    yields: tuple[float, ...],
    *,
    kept: bool,
    apart: bool,
) -> int:
    """Most replicas worth having: what runs, or what the hungriest cover can use, within what the place holds."""
    first = min(APART, kept_there.units) if place.tier == "Datacenter" else kept_there.replicas
    if kept:
        return first if apart else kept_there.replicas - first
    in_one = fits(place, workload.spec.model.memory.bytes)
    room = place.units * in_one
    if place.tier == "Datacenter":
        room = min(APART, place.units) if apart else room
    useful = max(
        (
            math.ceil(want.quantity / yielded - 1e-9)
            for want, yielded in zip(wants, yields, strict=True)
            if yielded > 0.0
        ),
        default=0,
    )
    return min(room, useful)


def total_unit_cost(way: Way, place: Place) -> float:
    """$/h of the dearest unit for one replica: its largest share of any resource, except that it may stand alone."""
    shares: Mapping[str, float] = capacity(place, [])
    largest = max((amount / shares[name] for name, amount in way.use if name in shares), default=0.0)
    alone = any(name not in shares for name, _ in way.use)
    return place.steps[-1].running.cost.total * (1.0 if alone else largest)
