"""Which callers a place answers in time, and how many requests a second one replica there may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from parkade.api import InferenceWorkload, Region
from parkade.problem.eligibility import profile_for
from parkade.problem.latency import LARGEST_POOL, RATE_SAFETY, Path, Service, safe_utilisation
from parkade.problem.supply import Place
from parkade.settings import Economics, RoundTrip

UNKNOWN_ROUND_TRIP: Final = (0.080, 0.160)
"""Between regions of which neither names the other: across a continent, on the slow side."""

FAR_SHARE: Final = 0.25
"""A caller region that would press a place below this share of its best utilisation is served from elsewhere."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One (workload, place): the callers it answers in time and its rates."""

    regions: frozenset[str]
    """Caller regions answered in time."""
    utilisation: float
    """rho*, the lowest over those regions; 0 without any."""
    rate: float
    """Requests/s of one replica: availability * rho* / service time."""
    late_rate: float
    """Requests/s of one replica where no place is in time."""


def rates(workload: InferenceWorkload) -> dict[str, float]:
    """Requests/s by caller region, without regions that ask nothing."""
    demand = {entry.region: entry.rate.value for entry in workload.spec.demand or ()}
    return {region: rate for region, rate in sorted(demand.items()) if rate > 0.0}


def round_trip(caller: str, place: str, regions: Mapping[str, Region], economics: Economics) -> RoundTrip:
    """p50 and p99 between two regions in seconds; one direction is enough in the manifests."""
    for one, other in ((caller, place), (place, caller)):
        for trip in regions[one].spec.latency if one in regions else ():
            if trip.to == other:
                return trip.p50.seconds, trip.p99.seconds
    return economics.region_round_trip if caller == place else UNKNOWN_ROUND_TRIP


def path(
    workload: InferenceWorkload, place: Place, caller: str, regions: Mapping[str, Region], economics: Economics
) -> Path:
    """Everything between a caller's request and its answer besides the queue."""
    profile = profile_for(workload, place.hardware)
    assert profile is not None  # noqa: S101 -- eligibility refuses places without a profile
    service = Service(profile.service_time.seconds, profile.scv.value)
    between = round_trip(caller, place.region, regions, economics)
    return Path(service, (between, *place.legs), place.departures_per_hour)


def reaches(
    workload: InferenceWorkload, places: Sequence[Place], regions: Mapping[str, Region], economics: Economics
) -> list[Reach]:
    """One for each place, in order."""
    found = [
        {caller: _utilisation(workload, path(workload, place, caller, regions, economics), place)
         for caller in rates(workload)}
        for place in places
    ]  # fmt: skip
    near = [
        {caller for caller, rho in rhos.items() if rho > 0.0 and rho >= FAR_SHARE * max(rhos.values())}
        for rhos in found
    ]
    served = set().union(*near)
    reached = []
    for place, rhos, callers in zip(places, found, near, strict=True):
        # A region that no place serves well is still better served at a low utilisation than late.
        kept = frozenset(callers | {caller for caller, rho in rhos.items() if rho > 0.0 and caller not in served})
        rho = min((rhos[caller] for caller in kept), default=0.0)
        profile = profile_for(workload, place.hardware)
        per_rho = place.availability / (RATE_SAFETY * profile.service_time.seconds) if profile else 0.0
        reached.append(Reach(kept, rho, rho * per_rho, economics.late_utilisation * per_rho))
    return reached


def _utilisation(workload: InferenceWorkload, way: Path, place: Place) -> float:
    """rho* in the smallest pool that carries the whole demand: all replicas of a workload share one queue."""
    latency = workload.spec.latency
    assert latency is not None  # noqa: S101 -- api refuses demand without latency
    load = sum(rates(workload).values()) * way.service.seconds * RATE_SAFETY / place.availability
    low = max(1, workload.spec.placement.min_replicas)

    def rho(servers: int) -> float:
        return safe_utilisation(way, servers, latency.percentile, latency.target.seconds)

    if low >= LARGEST_POOL or rho(low) * low >= load:
        return rho(min(low, LARGEST_POOL))
    high = low
    while high < LARGEST_POOL and rho(high) * high < load:
        low, high = high, min(2 * high, LARGEST_POOL)
    while high - low > 1:
        middle = (low + high) // 2
        if rho(middle) * middle >= load:
            high = middle
        else:
            low = middle
    return rho(high)
