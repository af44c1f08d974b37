"""Why a workload is not ready: the first obstacle on the way of its model to a place that answers."""

from collections.abc import Iterator

from parkade.api import InferenceWorkload, Reason
from parkade.changes.comparison import Comparison, Fate, failure, holds
from parkade.changes.conditions import Finding, find
from parkade.plan import WorkloadPlan


def obstacle(comparison: Comparison, workload: InferenceWorkload, ready: int) -> Finding:
    """What keeps the workload from being ready, as its Ready condition; what a person can mend comes first."""
    return next(_obstacles(comparison, workload, ready))


def _obstacles(comparison: Comparison, workload: InferenceWorkload, ready: int) -> Iterator[Finding]:
    key = workload.key
    yield from _artifact(comparison, workload)
    part = comparison.parts.get(key)
    if part is None or key in comparison.changed:
        yield find("Ready", "Unknown", Reason.NOT_PLANNED_YET)
        return
    if part.left_out is not None:
        yield Finding("Ready", "False", str(part.left_out.reason), part.left_out.message)
    yield from _servers(comparison, workload)
    if comparison.snapshot.mode == "Observe":
        yield find("Ready", "False", Reason.OBSERVING)
    if rests(comparison, part):
        yield find("Ready", "False", Reason.NO_DEMAND)
    if not part.placements:
        yield find("Ready", "False", Reason.NO_PLACE, causes="see the condition Placed")
    on_cars = any(place.tier == "Vehicle" for place in part.placements)
    reason = Reason.WAITING_FOR_VEHICLES if on_cars else Reason.WAITING_FOR_SERVERS
    yield from _cars(comparison, key)
    yield find("Ready", "False", reason, ready=ready, desired=part.replicas)


def rests(comparison: Comparison, part: WorkloadPlan) -> bool:
    """Whether the plan has no replica because nothing asks for one: no rate, observed or written, and no least."""
    workload = comparison.workloads.get(part.workload)
    if workload is None or part.left_out is not None or part.shortfalls or part.placements:
        return False
    spec = workload.spec
    asked = spec.demand or any(row.demand for row in comparison.snapshot.observed if row.workload == workload.key)
    return spec.batch is None and not spec.placement.min_replicas and not asked


def _artifact(comparison: Comparison, workload: InferenceWorkload) -> Iterator[Finding]:
    """A file that cannot be had."""
    named = {str(artifact.sha256): artifact for artifact in workload.spec.model.artifacts}
    for fact in comparison.snapshot.artifacts:
        if fact.sha256 in named and fact.state == "Failed":
            said = fact.message or Reason.ARTIFACT_FAILED.say(source=fact.source, problem=fact.reason)
            yield Finding("Ready", "False", fact.reason or Reason.ARTIFACT_FAILED.value, said)


def _servers(comparison: Comparison, workload: InferenceWorkload) -> Iterator[Finding]:
    """A server that refuses the model, is loading it, or does not answer."""
    if comparison.fate(workload.key) is not Fate.SERVE:
        return
    wanted = comparison.models_wanted(workload.key)
    for server, model in wanted:
        problem = failure(server, model)
        if problem:
            place = f"{server.http} of {server.pool}"
            yield find("Ready", "False", Reason.MODEL_REJECTED, place=place, problem=problem)
    if "Datacenter" in workload.spec.placement.tiers and not wanted:
        for server in comparison.snapshot.servers:
            if not server.live:
                yield find("Ready", "False", Reason.TRITON_UNAVAILABLE, server=server.http, problem=server.failure)
    fetching = any(
        fact.state == "Fetching" and fact.sha256 in {model.digest for _, model in wanted}
        for fact in comparison.snapshot.artifacts
    )
    for server, model in wanted:
        if not holds(server, model):
            reason = Reason.FETCHING if fetching else Reason.LOADING
            yield find("Ready", "False", reason, place="the operator" if fetching else server.pool)


def _cars(comparison: Comparison, key: str) -> Iterator[Finding]:
    """What cells say about their share."""
    for cell in comparison.snapshot.cells:
        for row in cell.status.assignments:
            if row.workload == key and row.reason and row.ready < row.desired:
                said = row.message or f"{row.ready} of {row.desired} replicas of {cell.metadata.name} are ready"
                yield Finding("Ready", "False", row.reason, said)
