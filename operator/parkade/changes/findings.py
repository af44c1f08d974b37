"""The conditions of a workload: Placed, Ready, SLOMet, FieldsHonoured."""

from collections.abc import Iterator
from dataclasses import replace

from parkade.api import InferenceWorkload, Reason
from parkade.api.workload import WorkloadStatus
from parkade.changes.comparison import Comparison
from parkade.changes.conditions import Finding, fields_honoured, find
from parkade.changes.obstacles import obstacle, rests
from parkade.plan import WorkloadPlan


def findings(comparison: Comparison, workload: InferenceWorkload, status: WorkloadStatus) -> tuple[Finding, ...]:
    """The four conditions; `status` is complete but for them."""
    part = comparison.parts.get(workload.key)
    return (
        _placed(comparison, workload, part),
        _ready(comparison, workload, status),
        _slo_met(comparison, workload, status, part),
        fields_honoured(workload, mistakes(comparison, workload)),
    )


def _stopped(workload: InferenceWorkload, kind: str) -> Finding | None:
    """False because the user wants nothing to run."""
    if workload.metadata.deletion_timestamp is not None:
        return find(kind, "False", Reason.BEING_DELETED)
    return find(kind, "False", Reason.SUSPENDED) if workload.spec.suspend else None


def _placed(comparison: Comparison, workload: InferenceWorkload, part: WorkloadPlan | None) -> Finding:
    stopped = _stopped(workload, "Placed")
    if stopped is not None:
        return stopped
    if part is None or workload.key in comparison.changed:
        return find("Placed", "Unknown", Reason.NOT_PLANNED_YET)
    return _as_planned(comparison, part)


def _as_planned(comparison: Comparison, part: WorkloadPlan) -> Finding:
    """What the plan says about the workload's places."""
    if part.left_out is not None:
        return Finding("Placed", "False", str(part.left_out.reason), part.left_out.message)
    if part.shortfalls:
        worst = max(part.shortfalls, key=lambda want: (want.short / max(want.quantity, 1e-9), want.cover))
        return Finding("Placed", "False", str(worst.reason), worst.message)
    if not part.placements and rests(comparison, part):
        return find("Placed", "True", Reason.NO_DEMAND)
    if not part.placements:
        return find("Placed", "False", Reason.NO_PLACE, causes=_causes(part))
    if comparison.snapshot.mode == "Observe":
        return find("Placed", "False", Reason.OBSERVING)
    first = part.placements[0]
    return Finding("Placed", "True", str(first.reason), _where(part))


def _causes(part: WorkloadPlan) -> str:
    return "; ".join(refusal.message for refusal in part.refusals[:4]) or "the plan has no replicas for it"


def _where(part: WorkloadPlan) -> str:
    places = ", ".join(f"{place.replicas} in {place.place}" for place in part.placements[:8])
    more = f" and {len(part.placements) - 8} further places" if len(part.placements) > 8 else ""
    why = next((place.message for place in part.placements if place.message), "")
    return f"{places}{more}" + (f": {why}" if why else "")


def _ready(comparison: Comparison, workload: InferenceWorkload, status: WorkloadStatus) -> Finding:
    """True while enough replicas answer; otherwise the obstacle that a person can do most about."""
    stopped = _stopped(workload, "Ready")
    if stopped is not None:
        return stopped
    if status.replicas >= max(1, _least(comparison, workload)) and status.placements:
        if not comparison.snapshot.routers:
            return find("Ready", "False", Reason.WAITING_FOR_ROUTER)
        return find("Ready", "True", Reason.READY, replicas=status.replicas)
    return obstacle(comparison, workload, status.replicas)


def _least(comparison: Comparison, workload: InferenceWorkload) -> int:
    """Replicas that must answer: minReplicas, or fewer where the plan has fewer."""
    part = comparison.parts.get(workload.key)
    planned = part.replicas if part is not None and part.replicas else workload.spec.placement.min_replicas
    return min(workload.spec.placement.min_replicas, planned)


def _slo_met(
    comparison: Comparison, workload: InferenceWorkload, status: WorkloadStatus, part: WorkloadPlan | None
) -> Finding:
    latency = workload.spec.latency
    stopped = _stopped(workload, "SLOMet")
    if stopped is not None:
        return replace(stopped, status="Unknown")
    if part is None or latency is None or not part.placements or workload.key in comparison.changed:
        nowhere = _placed(comparison, workload, part)
        idle = nowhere.reason == Reason.NO_DEMAND
        unknown = idle or nowhere.status == "Unknown" or status.placements  # an older version may well meet the target
        return replace(nowhere, type="SLOMet", status="Unknown" if unknown else "False")
    facts = {"expected": status.expected.p99, "percentile": latency.percentile, "target": latency.target}
    late = next((p for p in part.placements if str(p.reason) == Reason.LATE_BUT_SERVED), None)
    if late is not None:
        said = late.message or Reason.TARGET_MISSED.say(**facts)
        return Finding("SLOMet", "False", Reason.LATE_BUT_SERVED.value, said)
    if part.expected.p99 > latency.target.seconds:
        return find("SLOMet", "False", Reason.TARGET_MISSED, **facts)
    short = next((want for want in part.shortfalls if want.cover.startswith("rate")), None)
    if short is not None:
        return Finding("SLOMet", "False", str(short.reason), short.message)
    return find("SLOMet", "True", Reason.TARGET_MET, **facts)


def mistakes(comparison: Comparison, workload: InferenceWorkload) -> Iterator[Finding]:
    """Names in the spec that nothing in the cluster carries, so that the field cannot be acted on."""
    snapshot = comparison.snapshot
    hardware = {str(pool.spec.hardware.name) for pool in snapshot.triton_pools}
    hardware |= {str(pool.spec.hardware.name) for pool in snapshot.vehicle_pools}
    named = [str(profile.hardware) for profile in workload.spec.model.profiles]
    named += [str(name) for artifact in workload.spec.model.artifacts for name in artifact.hardware if name != "*"]
    known = ", ".join(sorted(hardware)) or "none"
    for name in dict.fromkeys(named):
        if name not in hardware:
            yield find("FieldsHonoured", "False", Reason.UNKNOWN_HARDWARE, hardware=name, known=known)
    regions = {region.metadata.name for region in snapshot.regions}
    for demand in workload.spec.demand or ():
        if demand.region not in regions:
            yield find("FieldsHonoured", "False", Reason.UNKNOWN_REGION, region=demand.region)
