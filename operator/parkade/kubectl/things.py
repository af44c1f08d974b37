"""What is wrong with workloads, cars, cells, servers and grid events."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from parkade.api import (
    Condition,
    GridEvent,
    InferenceWorkload,
    Reason,
    Region,
    TritonPool,
    VehicleCell,
    VehicleNodePool,
)
from parkade.api.base import Metadata
from parkade.cluster.surveying import Survey
from parkade.kubectl.problems import WORDS, Level, Problem, cause, found
from parkade.kubectl.words import age, duration, lasting, moment, number, printable

RESTING: Final = (Reason.SUSPENDED, Reason.NO_DEMAND)
"""Reasons not to be ready that somebody wanted."""
FAILED_SHARE: Final = 0.001
"""Of requests; the objective of docs/monitoring.md."""
DELETING: Final = timedelta(minutes=5)
"""Models are unloaded within seconds where their servers answer."""
UNPLANNED: Final = timedelta(minutes=2)
"""A cycle runs within 10 s of a change."""
SILENT_SHARE: Final = 0.1
"""Of the cars that are here or silent; ten in a hundred at a time is more than parked cars' links lose."""
AHEAD: Final = timedelta(hours=24)


def thing_problems(survey: Survey) -> Iterator[Problem]:
    """Workloads first, because requests are what users see."""
    for workload in survey.workloads:
        yield from workload_problems(survey, workload)
    for cars in survey.vehicle_pools:
        yield from _cars(cars)
    for cell in survey.cells:
        yield from _cell(cell)
    for pool in survey.triton_pools:
        yield from _servers(survey, pool)
    for event in survey.grid_events:
        yield from _grid_event(survey, event)
    resources: tuple[InferenceWorkload | VehicleNodePool | TritonPool | Region, ...] = (
        *survey.workloads, *survey.vehicle_pools, *survey.triton_pools, *survey.regions,
    )  # fmt: skip
    for resource in resources:
        yield from _not_honoured(resource.kind, resource.key, resource.metadata, resource.status.conditions)


def rests(workload: InferenceWorkload) -> bool:
    """Nothing runs because nobody wants it to."""
    return found(workload.status.conditions, "Ready").reason in RESTING


def explain(workload: InferenceWorkload) -> str:
    """The command that explains a workload."""
    return f"kubectl parkade explain -n {workload.metadata.namespace} {workload.metadata.name}"


def workload_problems(survey: Survey, workload: InferenceWorkload) -> Iterator[Problem]:
    """Of one workload: being ready comes first, and what it says of its answers only counts while it answers."""
    key, next_command = workload.key, explain(workload)
    deleted = moment(workload.metadata.deletion_timestamp or "")
    if deleted is not None:
        if survey.now - deleted > DELETING:
            message = "its models are unloaded first: a Triton pool that does not answer, or no leader, holds it up"
            yield Problem(Level.WARNING, "workload", key, f"is being deleted for {age(survey.now, deleted)}",
                          "BeingDeleted", message, next_command)  # fmt: skip
        return
    if rests(workload):
        return
    conditions = workload.status.conditions
    ready, placed, met = (found(conditions, kind) for kind in ("Ready", "Placed", "SLOMet"))
    if ready.status == "False":
        level = Level.NOTICE if ready.reason == Reason.OBSERVING else Level.CRITICAL
        yield Problem(level, "workload", key, "does not answer", *cause(ready), next_command)
        return
    if ready.status == "Unknown":
        yield from _unplanned(survey, workload, ready)
        return
    if placed.status == "False":
        yield Problem(Level.WARNING, "workload", key, "has fewer replicas than it needs", *cause(placed), next_command)
    if met.status == "False" and met.reason != placed.reason:
        yield Problem(Level.WARNING, "workload", key, "misses its target", *cause(met), next_command)
    yield from _observed(workload)


def _unplanned(survey: Survey, workload: InferenceWorkload, ready: Condition) -> Iterator[Problem]:
    """Nobody has looked at it yet; a moment after a change that is no problem."""
    since = moment(ready.last_transition_time) or moment(workload.metadata.creation_timestamp)
    if since is not None and survey.now - since > UNPLANNED:
        message = printable(ready.message) or "no operator has looked at it"
        yield Problem(Level.CRITICAL, "workload", workload.key, f"is not planned for {age(survey.now, since)}",
                      ready.reason or "NotPlannedYet", message, explain(workload))  # fmt: skip


def misses_target(workload: InferenceWorkload) -> bool:
    """Observed latency over the target; routers observe the 50th and the 99th percentile only."""
    latency, seen = workload.spec.latency, workload.status.observed
    if latency is None:
        return False
    shown = {50: seen.p50, 99: seen.p99}.get(latency.percentile, "")
    return duration(shown) > latency.target.seconds


def _observed(workload: InferenceWorkload) -> Iterator[Problem]:
    latency, seen = workload.spec.latency, workload.status.observed
    if latency is not None and misses_target(workload):
        shown = seen.p99 if latency.percentile == 99 else seen.p50
        message = f"observed {shown} at p{latency.percentile} and the target is {latency.target}"
        yield Problem(Level.WARNING, "workload", workload.key, "answers later than its target", "TargetMissed",
                      message, explain(workload))  # fmt: skip
    failed = number(seen.failed)
    if failed > FAILED_SHARE:
        message = f"{failed:.2%} of its requests failed lately, at {seen.rate or '0'} requests/s"
        yield Problem(Level.CRITICAL if failed > 0.05 else Level.WARNING, "workload", workload.key,
                      "fails requests", "RequestsFail", message, explain(workload))  # fmt: skip


def _cars(pool: VehicleNodePool) -> Iterator[Problem]:
    name, cars = pool.metadata.name, pool.status.vehicles
    ready = found(pool.status.conditions, "Ready")
    show = f"kubectl get vehiclecells -l parkade.dev/pool={name} -o wide"
    if ready.status == "False":
        yield Problem(Level.WARNING, "vehicle pool", name, "has no car that may work", *cause(ready), show)
    known = cars.here + cars.silent
    if cars.silent > SILENT_SHARE * known:
        message = f"{cars.silent:,} of {known:,} cars are silent: links of their region, or the fleet link"
        yield Problem(Level.WARNING, "vehicle pool", name, "lost sight of many cars", "CarsSilent", message, show)


def _cell(cell: VehicleCell) -> Iterator[Problem]:
    name, conditions = cell.metadata.name, cell.status.conditions
    ready, understood = found(conditions, "Ready"), found(conditions, "MessagesUnderstood")
    show = f"kubectl describe vehiclecell {name}"
    if ready.status == "False" and not _on_its_way(ready):
        yield Problem(Level.WARNING, "cell", name, "does not meet its orders", *cause(ready), show)
    if understood.status == "False":
        yield Problem(Level.WARNING, "cell", name, "has cars that are not understood", *cause(understood), show)
    schedulable = found(conditions, "Schedulable")
    if schedulable.status == "False":
        word = "is drained" if schedulable.reason == "Drained" else "is cordoned"
        yield Problem(Level.NOTICE, "cell", name, word, *cause(schedulable), f"kubectl parkade undrain {name}")


def _on_its_way(ready: Condition) -> bool:
    """Cars fetch and load; whether that takes too long shows at the workload."""
    return ready.reason in (Reason.FETCHING, Reason.LOADING, "Assigned", "NotStaged")


def _servers(survey: Survey, pool: TritonPool) -> Iterator[Problem]:
    name, ready = pool.metadata.name, found(pool.status.conditions, "Ready")
    show = f"kubectl describe tritonpool {name}"
    deleted = moment(pool.metadata.deletion_timestamp or "")
    if deleted is not None and survey.now - deleted > DELETING:
        message = "its servers must let go of its models first, and one of them does not answer"
        yield Problem(Level.WARNING, "Triton pool", name, f"is being deleted for {age(survey.now, deleted)}",
                      "BeingDeleted", message, show)  # fmt: skip
    elif ready.status == "False":
        yield Problem(Level.WARNING, "Triton pool", name, "has no server that answers", *cause(ready), show)
    elif ready.reason == Reason.TRITON_UNAVAILABLE:
        yield Problem(Level.WARNING, "Triton pool", name, "lacks servers", *cause(ready), show)


def _grid_event(survey: Survey, event: GridEvent) -> Iterator[Problem]:
    """An event of now or of the next day; one that this release does not act on is worth knowing beforehand."""
    spec = event.spec
    if spec.end.time <= survey.now or spec.start.time - survey.now > AHEAD:
        return
    begun = spec.start.time <= survey.now
    when = f"until {spec.end}" if begun else f"in {lasting((spec.start.time - survey.now).total_seconds())}"
    honoured = found(event.status.conditions, "FieldsHonoured")
    reason, message = cause(honoured) if honoured.status == "False" else ("", "")
    says = f"{'is on' if begun else 'comes'} {when} in {', '.join(spec.regions)}"
    yield Problem(Level.NOTICE, "grid event", event.metadata.name, says, reason, message,
                  f"kubectl describe gridevent {event.metadata.name}")  # fmt: skip


def _not_honoured(kind: str, key: str, meta: Metadata, conditions: tuple[Condition, ...]) -> Iterator[Problem]:
    honoured = found(conditions, "FieldsHonoured")
    if honoured.status == "False":
        where = f"-n {meta.namespace} {meta.name}" if meta.namespace else meta.name
        yield Problem(Level.NOTICE, WORDS[kind], key, "says more than is acted on", *cause(honoured),
                      f"kubectl describe {kind.lower()} {where}")  # fmt: skip
