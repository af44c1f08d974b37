"""At which price would the other tier win? Found by planning everything again at other prices."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from parkade.api import Reason, TritonPool, VehicleNodePool
from parkade.api.values import Amount
from parkade.plan.plan import Plan, WorkloadPlan
from parkade.problem.reasons import Tier
from parkade.snapshot import Snapshot

DEAREST: Final = 100.0
"""$/h that a price is raised at most; no server-hour or car-hour is sold for more."""

SOLVES: Final = 24
"""Plans at most for one workload."""

Planner = Callable[[Snapshot], Plan]

Varied = Literal["TritonPool spec.opportunityCost.perServerHour", "VehicleNodePool spec.payout.perComputeHour"]


@dataclass(frozen=True, slots=True)
class Flip:
    """The price at which most of a workload's requests would go to the other tier."""

    workload: str
    tier: Tier
    """That takes most of its requests now."""
    other: Tier
    varied: Varied
    """Raised alike on every pool of the tier; everything else stays, and every workload is planned anew."""
    pool: str
    """Where most of its requests go now; `price` and `flips_at` are this pool's."""
    price: float
    """$/server-hour or $/compute-hour now."""
    flips_at: float | None
    """The lowest price, within 1 %, at which the other tier has more than half of the requests; None: no such price."""
    message: str


def flip(snapshot: Snapshot, planner: Planner, plan: Plan, workload: str) -> Flip | None:
    """Find the break-even price of one workload; None where it runs nowhere.

    Args:
        snapshot: that the plan was made from.
        planner: makes a plan of a snapshot, as `plan` was made.
        plan: the plan to explain.
        workload: its `namespace/name`.
    """
    part = plan.workload(workload)
    if part is None or not part.placements:
        return None
    tier = leading_tier(part)
    other: Tier = "Datacenter" if tier == "Vehicle" else "Vehicle"
    varied: Varied = (
        "VehicleNodePool spec.payout.perComputeHour"
        if tier == "Vehicle"
        else "TritonPool spec.opportunityCost.perServerHour"
    )
    pool = next(placement.pool for placement in part.placements if placement.tier == tier)
    price = _price(snapshot, tier, pool)
    if not any(it.tier == other for it in part.alternatives):
        return Flip(workload, tier, other, varied, pool, price, None, _never(part, other))

    def wins(raise_by: float) -> bool:
        again = planner(dearer(snapshot, tier, raise_by)).workload(workload)
        return again is not None and bool(again.placements) and leading_tier(again) == other

    raised = _least(wins)
    if raised is None:
        message = _still(planner(dearer(snapshot, tier, DEAREST)), workload, tier, other)
        return Flip(workload, tier, other, varied, pool, price, None, message)
    each = "" if _pools(snapshot, tier) == 1 else f", raised by {raised:.3f} $/h on every {varied.split()[0]}"
    message = f"{other} wins when {pool} {varied.split()[1]} goes from {price:.3f} to {price + raised:.3f} $/h{each}"
    return Flip(workload, tier, other, varied, pool, price, price + raised, message)


def leading_tier(part: WorkloadPlan) -> Tier:
    """The tier that takes more than half of the requests; Vehicle takes a tie, because routers ask cars first."""
    datacenter = sum(placement.share for placement in part.placements if placement.tier == "Datacenter")
    return "Datacenter" if datacenter > 50 else "Vehicle"


def dearer(snapshot: Snapshot, tier: Tier, raise_by: float) -> Snapshot:
    """The same facts with every pool of a tier dearer by `raise_by` $ per server-hour or compute-hour."""
    if tier == "Datacenter":
        return replace(snapshot, triton_pools=tuple(_dearer_servers(p, raise_by) for p in snapshot.triton_pools))
    return replace(snapshot, vehicle_pools=tuple(_dearer_cars(p, raise_by) for p in snapshot.vehicle_pools))


def _dearer_servers(pool: TritonPool, raise_by: float) -> TritonPool:
    cost = pool.spec.opportunity_cost
    raised = cost.model_copy(update={"per_server_hour": _amount(cost.per_server_hour.value + raise_by)})
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"opportunity_cost": raised})})


def _dearer_cars(pool: VehicleNodePool, raise_by: float) -> VehicleNodePool:
    payout = pool.spec.payout
    raised = payout.model_copy(update={"per_compute_hour": _amount(payout.per_compute_hour.value + raise_by)})
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"payout": raised})})


def _amount(value: float) -> Amount:
    return Amount(f"{value:.9f}")


def _least(wins: Callable[[float], bool]) -> float | None:
    """The least raise at which it wins, within 1 % and 0.001 $/h: doubled until it does, then bisected."""
    low, high = 0.0, 0.05
    solves = 0
    while not wins(high):
        low, high = high, high * 4.0
        solves += 1
        if low >= DEAREST:
            return None
    while high - low > max(0.001, 0.01 * high) and solves < SOLVES:
        middle = (low + high) / 2.0
        if wins(middle):
            high = middle
        else:
            low = middle
        solves += 1
    return high


def _price(snapshot: Snapshot, tier: Tier, pool: str) -> float:
    if tier == "Datacenter":
        servers = next(p for p in snapshot.triton_pools if p.key == pool)
        return servers.spec.opportunity_cost.per_server_hour.value
    return next(p for p in snapshot.vehicle_pools if p.key == pool).spec.payout.per_compute_hour.value


def _pools(snapshot: Snapshot, tier: Tier) -> int:
    return len(snapshot.triton_pools if tier == "Datacenter" else snapshot.vehicle_pools)


def _still(plan: Plan, workload: str, tier: Tier, other: Tier) -> str:
    """What stands in the way at the dearest price: who has the other tier's places then."""
    there = [
        f"{part.workload} has {placement.place}"
        for part in plan.workloads
        for placement in part.placements
        if placement.tier == other and part.workload != workload
    ]
    return f"{tier} wins even {DEAREST:.0f} $/h dearer" + (f": {', '.join(there)}" if there else "")


def _never(part: WorkloadPlan, other: Tier) -> str:
    """Why no price helps: the first refusal of a place of the other tier."""
    cause = next((r.message for r in part.refusals if r.reason is Reason.TIER_NOT_ALLOWED), "")
    cause = cause or "; ".join(dict.fromkeys(refusal.message for refusal in part.refusals))
    return f"no price: no {other} place may run it" + (f" ({cause})" if cause else "")
