"""At which price would the other tier win? Found by planning everything again at other prices."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from parkade.api import Reason, TritonPool, VehicleNodePool
from parkade.api.base import EnergyPrice
from parkade.api.values import Amount, Number
from parkade.plan.plan import Plan, WorkloadPlan
from parkade.problem.energy import energy_rate
from parkade.problem.reasons import Tier
from parkade.snapshot import Snapshot

DEAREST: Final = 100.0
"""$/h that a price is raised at most; no server-hour or car-hour is sold for more."""

SOLVES: Final = 24
"""Plans at most for one workload."""

Planner = Callable[[Snapshot], Plan]
Pool = TypeVar("Pool", TritonPool, VehicleNodePool)

Varied = Literal[
    "TritonPool spec.opportunityCost.perServerHour",
    "VehicleNodePool spec.payout.perComputeHour",
    "VehicleNodePool spec.energyPrice.perKWh",
]
OPPORTUNITY: Final[Varied] = "TritonPool spec.opportunityCost.perServerHour"
PAYOUT: Final[Varied] = "VehicleNodePool spec.payout.perComputeHour"
PLUG: Final[Varied] = "VehicleNodePool spec.energyPrice.perKWh"


@dataclass(frozen=True, slots=True)
class Flip:
    """The price at which most of a workload's requests would go to the other tier."""

    workload: str
    tier: Tier
    """That takes most of its requests now."""
    other: Tier
    varied: Varied
    """Raised or lowered alike on every pool; everything else stays, and every workload is planned anew."""
    pool: str
    """Where most of its requests go now, or would go; `price` and `flips_at` are this pool's."""
    price: float
    """$/server-hour, $/compute-hour or $/kWh now."""
    flips_at: float | None
    """The nearest price, within 1 % of the change, at which the other tier has more than half of the requests; None: no
    such price."""
    message: str


def break_evens(snapshot: Snapshot, planner: Planner, plan: Plan, workload: str) -> tuple[Flip, ...]:
    """The break-even of each price that could move the workload: opportunity cost, payout, price at the plug."""
    found = (flip(snapshot, planner, plan, workload, varied) for varied in (OPPORTUNITY, PAYOUT, PLUG))
    return tuple({entry.message: entry for entry in found if entry is not None}.values())


def flip(snapshot: Snapshot, planner: Planner, plan: Plan, workload: str, varied: Varied | None = None) -> Flip | None:
    """Find a break-even price of one workload; None where it runs nowhere.

    Args:
        snapshot: that the plan was made from.
        planner: makes a plan of a snapshot, as `plan` was made.
        plan: the plan to explain.
        workload: its `namespace/name`.
        varied: the price to vary: raised where it makes the workload's tier dearer, lowered where it makes the other
            one cheaper. By default what its own tier earns is raised.
    """
    part = plan.workload(workload)
    if part is None or not part.placements:
        return None
    tier = leading_tier(part)
    other: Tier = "Datacenter" if tier == "Vehicle" else "Vehicle"
    varied = varied or (PAYOUT if tier == "Vehicle" else OPPORTUNITY)
    raises = (varied == OPPORTUNITY) == (tier == "Datacenter")
    here = (placement.pool for placement in part.placements if placement.tier == tier)
    there = (it.pool for it in part.alternatives if it.tier == other)
    if raises and not any(it.tier == other for it in part.alternatives):
        pool = next(here)
        return Flip(workload, tier, other, varied, pool, price_of(snapshot, varied, pool), None, _never(part, other))
    pool = next(here if raises else there, "")
    if not pool:
        return None
    price = price_of(snapshot, varied, pool)

    def wins(change: float) -> bool:
        again = planner(at_prices(snapshot, varied, change if raises else -change)).workload(workload)
        return again is not None and bool(again.placements) and leading_tier(again) == other

    change = _least(wins, DEAREST if raises else price)
    field, unit = varied.split()[1], "$/kWh" if varied == PLUG else "$/h"
    if change is None:
        message = f"{tier} wins even when {pool} {field} is 0"
        if raises:
            message = _still(planner(at_prices(snapshot, varied, DEAREST)), workload, tier, other, unit)
        return Flip(workload, tier, other, varied, pool, price, None, message)
    at = price + (change if raises else -change)
    message = f"{other} wins when {pool} {field} goes from {price:.3f} to {at:.3f} {unit}"
    if len(snapshot.triton_pools if varied == OPPORTUNITY else snapshot.vehicle_pools) > 1:
        message += f", {'raised' if raises else 'lowered'} by {change:.3f} {unit} on every {varied.split()[0]}"
    return Flip(workload, tier, other, varied, pool, price, at, message)


def leading_tier(part: WorkloadPlan) -> Tier:
    """The tier that takes more than half of the requests; Vehicle takes a tie, because routers ask cars first."""
    datacenter = sum(placement.share for placement in part.placements if placement.tier == "Datacenter")
    return "Datacenter" if datacenter > 50 else "Vehicle"


def at_prices(snapshot: Snapshot, varied: Varied, change: float) -> Snapshot:
    """The same facts with one price changed alike, not below 0, on every pool that has it."""
    if varied == OPPORTUNITY:
        servers = (_with(p, "opportunity_cost", "per_server_hour", change) for p in snapshot.triton_pools)
        return replace(snapshot, triton_pools=tuple(servers))
    if varied == PAYOUT:
        cars = (_with(p, "payout", "per_compute_hour", change) for p in snapshot.vehicle_pools)
        return replace(snapshot, vehicle_pools=tuple(cars))
    return replace(snapshot, vehicle_pools=tuple(_plugged(snapshot, p, change) for p in snapshot.vehicle_pools))


def _with(pool: Pool, part: str, field: str, change: float) -> Pool:
    old = getattr(pool.spec, part)
    new = old.model_copy(update={field: Amount(f"{max(0.0, getattr(old, field).value + change):.9f}")})
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={part: new})})


def _plugged(snapshot: Snapshot, pool: VehicleNodePool, change: float) -> VehicleNodePool:
    """With a plug price of its own, also where it was a series' or the region's."""
    price = EnergyPrice(per_kwh=Number(f"{max(0.0, price_of(snapshot, PLUG, pool.key) + change):.9f}"))
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"energy_price": price})})


def price_of(snapshot: Snapshot, varied: Varied, pool: str) -> float:
    """$/server-hour, $/compute-hour or $/kWh of a pool now."""
    if varied == OPPORTUNITY:
        servers = next(p for p in snapshot.triton_pools if p.key == pool)
        return servers.spec.opportunity_cost.per_server_hour.value
    cars = next(p for p in snapshot.vehicle_pools if p.key == pool)
    if varied == PAYOUT:
        return cars.spec.payout.per_compute_hour.value
    region = next(region for region in snapshot.regions if region.key == cars.spec.region)
    return energy_rate(region, snapshot.now, snapshot.series, cars).dollars


def _least(wins: Callable[[float], bool], most: float) -> float | None:
    """The least change at which it wins, within 1 % and 0.001 $: quadrupled until it does, then bisected."""
    low, high = 0.0, min(0.05, most)
    solves = 0
    while not wins(high):
        if high >= most:
            return None
        low, high = high, min(high * 4.0, most)
        solves += 1
    while high - low > max(0.001, 0.01 * high) and solves < SOLVES:
        middle = (low + high) / 2.0
        if wins(middle):
            high = middle
        else:
            low = middle
        solves += 1
    return high


def _still(plan: Plan, workload: str, tier: Tier, other: Tier, unit: str) -> str:
    """What stands in the way at the dearest price: who has the other tier's places then."""
    there = [
        f"{part.workload} has {placement.place}"
        for part in plan.workloads
        for placement in part.placements
        if placement.tier == other and part.workload != workload
    ]
    return f"{tier} wins even {DEAREST:.0f} {unit} dearer" + (f": {', '.join(there)}" if there else "")


def _never(part: WorkloadPlan, other: Tier) -> str:
    """Why no price helps: the first refusal of a place of the other tier."""
    cause = next((r.message for r in part.refusals if r.reason is Reason.TIER_NOT_ALLOWED), "")
    cause = cause or "; ".join(dict.fromkeys(refusal.message for refusal in part.refusals))
    return f"no price: no {other} place may run it" + (f" ({cause})" if cause else "")
