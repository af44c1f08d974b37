"""From routers' sums of answer times to those that a plan may use: enough of them, and deaf to noise.

Pure. `docs/placement.md`, *Observed times*, has the constants and why they are so.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from parkade.api import InferenceWorkload
from parkade.api.observed import ObservedKind
from parkade.problem.latency import leg_lognormal
from parkade.problem.supply import cell_columns
from parkade.settings import Economics
from parkade.snapshot import ObservedTime, Snapshot
from parkade.units import seconds as seconds_of

STEP: Final = 1.1
"""Planned rates and times are powers of this, and change when the mean is further away than that."""
NOISE: Final = 2.0
"""And further than this many standard deviations of the mean."""
ENOUGH: Final = 100.0
"""Answers of one kind of replica before their times are used, times the scv where that is above 1: the mean is then
within 10 % of the truth, as one standard deviation."""
TIMES_SECONDS: Final = 600.0
"""Time constant with which older answers fade."""
SHORTEST: Final = 50e-6
"""Seconds; what a router needs to ask at all."""
LONGEST: Final = 60.0
MOST_SCV: Final = 4.0
"""Beyond it the tail formula is not tested."""
SCV_STEP: Final = 0.25
"""The scv changes when 1 + scv, on which the queue depends, is this share away."""
LEAST_SHARE: Final = 0.25
"""Of what the router saw is the car's own work, at least: round trips are known in whole milliseconds, and not at the
same moment."""

Kind = tuple[str, str]
"""(Triton pool, ""), or ("", hardware of cars)."""
Sums = tuple[float, float, float]
"""Fading count of answers, sum of their seconds, sum of the squares."""
Trip = tuple[float, float]
"""Mean of a round trip in seconds, and its variance."""
NO_TRIP: Final[Trip] = (0.0, 0.0)


def stepped(value: float) -> float:
    """The power of `STEP` that is not below the value; 0 for 0."""
    if value <= 0.0:
        return 0.0
    return float(f"{STEP ** math.ceil(math.log(value) / math.log(STEP) - 1e-9):.4g}")


def is_away(mean: float, used: float, noise: float) -> bool:
    """Whether a mean with this standard deviation is too far from what is used."""
    return abs(mean - used) > max(used * (STEP - 1.0), NOISE * noise)


def renewed(kind: Kind, used: ObservedTime | None, sums: Sums, trip: Trip) -> ObservedTime | None:
    """The times to use from now on: the same ones unless there is enough that tells otherwise."""
    count, total, squares = sums
    if count < ENOUGH or total <= 0.0:
        return used
    mean = min(max(total / count, SHORTEST), LONGEST)
    scv = min(max(0.0, squares / count / (total / count) ** 2 - 1.0), MOST_SCV)
    if count < ENOUGH * scv:
        return used
    own = max(mean - trip[0], LEAST_SHARE * mean)
    own_scv = min(max(0.0, scv * mean * mean - trip[1]) / (own * own), MOST_SCV)
    noise = mean * math.sqrt(scv / count)
    if used is not None and not (
        is_away(mean, used.seconds, noise)
        or abs(own - used.service_seconds) > max(used.seconds * (STEP - 1.0), NOISE * noise)
        or abs(scv - used.scv) > SCV_STEP * (1.0 + used.scv)
    ):
        return used
    held, service = stepped(mean), stepped(own)
    return ObservedTime(*kind, held, _tenths(scv), min(service, held), _tenths(own_scv))


def _tenths(scv: float) -> float:
    """Rounded up, so that few services differ."""
    return math.ceil(scv * 10.0 - 1e-9) / 10.0


def round_trips(snapshot: Snapshot, economics: Economics) -> dict[tuple[str, str], Trip]:
    """Between a region and the cars that serve there, by (workload, hardware): what a plan adds to each car's time.

    Of several cells and links the mean, by replicas and by cars that hold a model.
    """
    pools = {pool.key: pool for pool in snapshot.vehicle_pools}
    sums: dict[tuple[str, str], tuple[float, float, float]] = {}
    for cell in snapshot.cells:
        pool = pools.get(cell.spec.pool)
        if pool is None:
            continue
        columns = cell_columns(cell, pool)
        holds = any(column.held for column in columns)
        legs = [
            (
                column.held if holds else column.vehicles,
                *_moments(column.round_trip or economics.link_round_trip[column.link]),
            )
            for column in columns
        ]
        whole = sum(weight for weight, *_ in legs)
        for order in cell.spec.assignments if whole else ():
            key = str(order.workload), str(pool.spec.hardware.name)
            weights, first, second = sums.get(key, (0.0, 0.0, 0.0))
            for weight, mean, square in legs:
                part = order.replicas * weight / whole
                weights, first, second = weights + part, first + part * mean, second + part * square
            sums[key] = weights, first, second
    return {
        key: (first / weights, second / weights - (first / weights) ** 2)
        for key, (weights, first, second) in sums.items()
        if weights
    }


def _moments(leg: tuple[float, float]) -> tuple[float, float]:
    """Mean and mean square of the log-normal through p50 and p99."""
    mu, sigma = leg_lognormal(leg)
    return math.exp(mu + sigma * sigma / 2.0), math.exp(2.0 * (mu + sigma * sigma))


def told(workload: InferenceWorkload) -> Mapping[Kind, ObservedTime]:
    """The times in a workload's status, with which a new leader goes on; people can write there too."""
    return {(row.place, row.hardware): row for row in map(_read, workload.status.observed.times) if row is not None}


def _read(row: ObservedKind) -> ObservedTime | None:
    try:
        held, service = seconds_of(row.time), seconds_of(row.service_time)
        scv, own_scv = float(row.scv), float(row.service_scv)
    except ValueError:
        return None
    meant = SHORTEST <= held <= LONGEST * STEP and LEAST_SHARE * SHORTEST <= service <= held
    if not (meant and 0.0 <= scv <= MOST_SCV and 0.0 <= own_scv <= MOST_SCV and bool(row.place) != bool(row.hardware)):
        return None
    digits = (float(f"{number:.4g}") for number in (held, service))
    held, service = digits
    return ObservedTime(row.place, row.hardware, held, scv, service, own_scv)


def shown(times: tuple[ObservedTime, ...], snapshot: Snapshot) -> Iterator[ObservedKind]:
    """Rows of a status, of hardware and pools that there are."""
    known = {str(pool.spec.hardware.name) for pool in snapshot.vehicle_pools}
    places = {pool.key for pool in snapshot.triton_pools}
    for row in times:
        if row.hardware in known or row.place in places:
            yield ObservedKind(
                place=row.place,
                hardware=row.hardware,
                time=milliseconds(row.seconds),
                scv=f"{row.scv:g}",
                service_time=milliseconds(row.service_seconds),
                service_scv=f"{row.service_scv:g}",
            )


def milliseconds(seconds: float, digits: int = 4) -> str:
    """A Go duration with so many digits; empty for 0."""
    return f"{float(f'{seconds * 1000:.{digits}g}'):g}ms" if seconds else ""
