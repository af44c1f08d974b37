"""The status that an InferenceWorkload should show: a pure function of snapshot, plan and what it shows now."""

from parkade.api import InferenceWorkload
from parkade.api.observed import Observed, RegionRate
from parkade.api.workload import Expected, PlanQuality, WorkloadStatus
from parkade.changes.comparison import Comparison, Fate
from parkade.changes.conditions import merged, timestamp
from parkade.changes.durations import milliseconds, shown
from parkade.changes.findings import findings
from parkade.changes.fronts import GRPC_PORT, HTTP_PORT, UrlKind
from parkade.changes.placements import placements
from parkade.changes.readiness import replicas_ready


def workload_status(comparison: Comparison, workload: InferenceWorkload, urls: UrlKind) -> WorkloadStatus:
    """What the workload's status should be; equal to the present one when nothing changed."""
    before, meta = workload.status, workload.metadata
    http, grpc = _addresses(comparison, workload, urls)
    holding = comparison.fate(workload.key) is Fate.HOLD
    owns_name = comparison.owners.get(workload.spec.model.name) == workload.key
    status = WorkloadStatus(
        observed_generation=before.observed_generation if workload.key in comparison.changed else meta.generation,
        url=http,
        grpc_url=grpc,
        model_name=workload.spec.model.name if owns_name else "",
        replicas=sum(replicas_ready(comparison, workload).values()),
        selector=f"parkade.dev/workload={meta.name}",
        placements=placements(comparison, workload),
        expected=before.expected if holding else _expected(comparison, workload),
        observed=_observed(comparison, workload),
        plan=before.plan if holding else _quality(comparison, workload),
    )
    found = findings(comparison, workload, status)
    return status.model_copy(update={"conditions": merged(found, before.conditions, meta, comparison.snapshot.now)})


def _addresses(comparison: Comparison, workload: InferenceWorkload, urls: UrlKind) -> tuple[str, str]:
    """`host:port` for HTTP and gRPC that a caller can reach; empty until a router is alive where that is needed."""
    if urls == "Service":
        host = f"{workload.metadata.name}.{workload.metadata.namespace}.svc"
        return f"{host}:{HTTP_PORT}", f"{host}:{GRPC_PORT}"
    routers = comparison.snapshot.routers
    if not routers:  # the address outlives a router that restarts
        return workload.status.url, workload.status.grpc_url
    return routers[0].http, routers[0].grpc


def _expected(comparison: Comparison, workload: InferenceWorkload) -> Expected:
    part = comparison.parts.get(workload.key)
    if part is None or not part.placements:
        return Expected()
    foreseen = part.expected
    return Expected(
        p99=f"{round(foreseen.p99 * 1000)}ms" if foreseen.p99 else "",
        cost_per_hour=f"{foreseen.cost_per_hour:.4f}",
        watts=max(0, round(foreseen.watts)),
        grams_co2_per_hour=max(0, round(foreseen.grams_co2_per_hour)),
    )


def _observed(comparison: Comparison, workload: InferenceWorkload) -> Observed:
    """What routers observed; what is shown already where none told anything yet."""
    row = next((row for row in comparison.snapshot.observed if row.workload == workload.key), None)
    if row is None or row.figures is None:
        return workload.status.observed
    figures, most = row.figures, 64
    return Observed(
        rate=f"{figures.rate:.3g}",
        p50=milliseconds(figures.p50, 3),
        p99=milliseconds(figures.p99, 3),
        failed=f"{figures.failed:.3g}",
        by_region=tuple(RegionRate(region=region, rate=f"{rate:.4g}") for region, rate in row.demand),
        times=tuple(shown(row.times, comparison.snapshot))[:most],
    )


def _quality(comparison: Comparison, workload: InferenceWorkload) -> PlanQuality:
    """Gap of the plan; the time is that of the plan which first said so, so that a status does not churn."""
    before = workload.status
    gap = f"{comparison.plan.certificate.packed_gap:.4f}"
    same = (
        before.plan.gap == gap
        and before.plan.solved_at
        and before.observed_generation == workload.metadata.generation
        and before.expected == _expected(comparison, workload)
    )
    return PlanQuality(gap=gap, solved_at=before.plan.solved_at if same else timestamp(comparison.plan.solved_at))
