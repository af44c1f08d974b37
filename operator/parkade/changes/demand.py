"""Workloads as the plan sees them: where a manifest says nothing, with what routers observed."""

from dataclasses import replace
from typing import Final, Literal

from parkade.api import InferenceWorkload
from parkade.api.values import Amount, Name
from parkade.api.workload import Demand
from parkade.snapshot import Snapshot
from parkade.snapshot.observed import ObservedWorkload

ObservedDemand = Literal["Missing", "Larger"]
"""Whose demand is replaced: that of workloads without `spec.demand`; or in every region the larger of both counts."""
MOST_REGIONS: Final = 64
"""Of one workload, as many as a manifest may name."""


def with_observed_demand(snapshot: Snapshot, mode: ObservedDemand) -> Snapshot:
    """The snapshot with the demand to plan for in each workload's `spec.demand`."""
    observed = {row.workload: row for row in snapshot.observed}
    return replace(
        snapshot,
        workloads=tuple(
            _asked(snapshot, workload, observed.get(workload.key), mode) for workload in snapshot.workloads
        ),
    )


def _asked(
    snapshot: Snapshot, workload: InferenceWorkload, observed: ObservedWorkload | None, mode: ObservedDemand
) -> InferenceWorkload:
    spec = workload.spec
    if observed is None or spec.batch is not None or (spec.demand is not None and mode == "Missing"):
        return workload
    rates = {str(entry.region): entry.rate.value for entry in spec.demand or ()}
    for region, rate in _placed(snapshot, observed).items():
        rates[region] = max(rate, rates.get(region, 0.0))
    if not rates:
        return workload
    largest = sorted(rates.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_REGIONS]
    demand = tuple(Demand(region=Name(region), rate=Amount(f"{rate:.6g}")) for region, rate in sorted(largest))
    return workload.model_copy(update={"spec": spec.model_copy(update={"demand": demand})})


def _placed(snapshot: Snapshot, observed: ObservedWorkload) -> dict[str, float]:
    """Requests/s by Region; those of callers in no Region that exists count for the first one with a pool."""
    regions = {region.metadata.name for region in snapshot.regions}
    pools = {str(pool.spec.region) for pool in snapshot.triton_pools}
    pools |= {str(pool.spec.region) for pool in snapshot.vehicle_pools}
    home = min(pools & regions, default="")
    rates: dict[str, float] = {}
    for region, rate in observed.demand:
        where = region if region in regions else home
        if where:
            rates[where] = rates.get(where, 0.0) + rate
    return rates
