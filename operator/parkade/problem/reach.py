"""Which callers a place answers in time, and how busy a replica there may be: for all workloads at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parkade.api import InferenceWorkload, Region
from parkade.problem.columns import Bools, Floats, Ints, PlaceColumns, WorkloadColumns
from parkade.problem.eligibility import profile_for, service_of
from parkade.problem.latency import RATE_SAFETY, Path, Service
from parkade.problem.supply import Place
from parkade.problem.usable import Usable
from parkade.problem.utilisation import (
    MOST_SPEEDS,
    MOST_TRIPS,
    Ask,
    Numbers,
    coarsened,
    in_smallest_pool,
    utilisations,
)
from parkade.settings import Economics, RoundTrip

UNKNOWN_ROUND_TRIP: Final = (0.080, 0.160)
"""Between regions of which neither names the other: across a continent, on the slow side."""

FAR_SHARE: Final = 0.25
"""A caller region that would press a place below this share of its best utilisation is served from elsewhere."""

GROUPS: Final = 3
"""Of caller regions at most: 2^3 - 1 rate covers."""

BATCH_UTILISATION: Final = 1.0
"""Items wait in the store, so nobody waits for a free replica."""

Groups = tuple[tuple[str, ...], ...]
"""Caller regions with the same places in time; the n-th group is bit n of a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Who is answered where: X kinds of workloads (alike in profile, target, callers and places) by P place classes."""

    table: Floats
    """[rows, trips, pools], rho* of `utilisation.utilisations`"""
    row: Ints
    """[X, E], row of the table for each tail (hardware, link, departures); -1 without a profile"""
    tail: Ints
    """[P], index of the tail"""
    trip: Ints
    """[callers, R], column of the table for each caller and place region"""
    callers: Ints
    """[X, most callers], index of each caller; -1 where there are fewer"""
    group: Ints
    """[X, most callers], group of each caller"""
    mask: NDArray[np.uint8]
    """[X, P], groups of callers that are answered in time there; a batch is one group"""
    groups: tuple[Groups, ...]
    """[X]"""
    late: NDArray[np.uint8]
    """[X], the group that no place answers in time, as a mask"""
    of_kind: Ints
    """[W], kind of each workload"""
    asked: Floats
    """[W, 8], requests/s of the groups of a mask"""

    def utilisation(self, workloads: WorkloadColumns, places: PlaceColumns, w: Ints, p: Ints) -> Floats:
        """rho* of workload w at class p, the lowest over the callers that are answered in time there; shape (n,).

        All replicas of a workload share one queue: of the smallest pool that carries its demand.
        """
        kind = self.of_kind[w]
        seconds = workloads.seconds[workloads.of_profile[w], places.class_hardware[p]]
        load = workloads.demand[w] * seconds * RATE_SAFETY / places.class_availability[p]
        least, row = np.maximum(workloads.least[w], 1), self.row[kind, self.tail[p]]
        found = np.where(workloads.batch[w], BATCH_UTILISATION, np.inf)
        for slot in range(self.callers.shape[1]):
            caller = self.callers[kind, slot]
            some = np.flatnonzero((caller >= 0) & ((self.mask[kind, p] >> self.group[kind, slot]) & 1 > 0))
            if len(some):
                trip = self.trip[caller[some], places.class_region[p[some]]]
                rho = in_smallest_pool(self.table[row[some], trip], load[some], least[some])
                found[some] = np.minimum(found[some], rho)
        return np.where(np.isfinite(found), found, 0.0)


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
    service = service_of(profile)
    between = round_trip(caller, place.region, regions, economics)
    return Path(service, (between, *place.legs), place.departures_per_hour)


def reach(
    workloads: WorkloadColumns,
    places: PlaceColumns,
    usable: Usable,
    regions: Mapping[str, Region],
    economics: Economics,
) -> Reach:
    """Utilisations from tables, and who is answered where."""
    kinds: dict[tuple[int, int, float, tuple[str, ...], int], int] = {}
    names = [tuple(region for region, _ in row) for row in workloads.callers]
    keys = zip(workloads.of_profile.tolist(), workloads.percentile.tolist(), workloads.target.tolist(), names,
               usable.of_row.tolist(), strict=True)  # fmt: skip
    of_kind = np.array([kinds.setdefault(key, len(kinds)) for key in keys], dtype=np.int64)
    every = sorted({caller for _, _, _, row, _ in kinds for caller in row})
    table, row, tail, trip = _table(list(kinds), workloads, places, (every, regions, economics))
    most = max((len(key[3]) for key in kinds), default=0)
    callers = np.full((len(kinds), most), -1, dtype=np.int64)
    for index, key in enumerate(kinds):
        callers[index, : len(key[3])] = [every.index(caller) for caller in key[3]]
    weight = usable.by_class(places)[np.array([key[4] for key in kinds], dtype=np.int64)]
    mask, groups = _masks(list(kinds), (table, row, tail, trip), callers, weight, places)
    batch = np.zeros(len(kinds), dtype=np.bool_)
    batch[of_kind[workloads.batch]] = True
    mask[batch] = weight[batch] > 0
    group = np.zeros_like(callers)
    for index, key in enumerate(kinds):
        own = {caller: bit for bit, members in enumerate(groups[index]) for caller in members}
        group[index, : len(key[3])] = [own[caller] for caller in key[3]]
    late = np.array([_late(own, row) for own, row in zip(groups, mask, strict=True)], dtype=np.uint8)
    asked = _asked(workloads, [groups[index] for index in of_kind.tolist()])
    return Reach(table, row, tail, trip, callers, group, mask, tuple(groups), late, of_kind, asked)


def caller_groups(callers: Sequence[str], in_time: Bools, weight: Ints) -> dict[tuple[str, ...], Bools]:
    """Caller regions with the same places in time, and these places; at most `GROUPS`.

    Of more, the two that share most places are merged until three are left; together they count on what both reach.

    Args:
        callers: R regions.
        in_time: [R, P], classes that answer each in time.
        weight: [P], places in each class.
    """
    by_places: dict[bytes, tuple[tuple[str, ...], Bools]] = {}
    for caller, row in zip(callers, in_time, strict=True):
        names = by_places.get(row.tobytes(), ((), row))[0]
        by_places[row.tobytes()] = (*names, caller), row
    found = dict(by_places.values())
    while len(found) > GROUPS:
        one, other = max(
            combinations(sorted(found), 2),
            key=lambda pair: int(weight[found[pair[0]] & found[pair[1]]].sum()),
        )
        common = found.pop(one) & found.pop(other)
        found[tuple(sorted(one + other))] = common
    return dict(sorted(found.items()))


def _table(
    kinds: Sequence[tuple[int, int, float, tuple[str, ...], int]],
    workloads: WorkloadColumns,
    places: PlaceColumns,
    world: tuple[Sequence[str], Mapping[str, Region], Economics],
) -> tuple[Floats, Ints, Ints, Ints]:
    """The table of utilisations, its rows [X, E], the tail of each class [P], and its columns [callers, R]."""
    every, regions, economics = world
    tails: dict[tuple[int, tuple[RoundTrip, ...], float], int] = {}
    hardware = places.class_hardware.tolist()
    tail = [
        tails.setdefault((kind, it.legs, it.departures_per_hour), len(tails))
        for kind, it in zip(hardware, places.classes, strict=True)
    ]
    asks, row = _asks(kinds, workloads, list(tails))
    trips = [[round_trip(caller, place, regions, economics) for place in places.regions] for caller in every]
    longer = coarsened((trip for line in trips for trip in line), MOST_TRIPS)
    columns = {(trip[0], trip[1]): index for index, trip in enumerate(sorted(set(longer.values())))}
    table = utilisations(asks, tuple(columns))
    column = np.array([[columns[longer[trip][0], longer[trip][1]] for trip in line] for line in trips], dtype=np.int64)
    return table, row, np.array(tail, dtype=np.int64), column.reshape(len(every), len(places.regions))


def _asks(
    kinds: Sequence[tuple[int, int, float, tuple[str, ...], int]],
    workloads: WorkloadColumns,
    tails: Sequence[tuple[int, tuple[RoundTrip, ...], float]],
) -> tuple[tuple[Ask, ...], Ints]:
    """Rows of the table, and which of them each kind has at each tail [X, E]."""
    links: dict[tuple[tuple[RoundTrip, ...], float], int] = {}
    of_tail = [(kind, links.setdefault((legs, gone), len(links))) for kind, legs, gone in tails]
    asks: dict[tuple[Numbers, int, int], int] = {}
    rows: dict[tuple[int, int, float], list[int]] = {}
    asked = dict.fromkeys(key[:3] for key in kinds if key[2] > 0.0)
    coarse = coarsened(
        (_numbers(it, target) for profile, _, target in asked for it in workloads.services[profile] if it),
        MOST_SPEEDS,
    )
    for profile, percentile, target in asked:
        counted = [_counted(it, target, coarse) if it else None for it in workloads.services[profile]]
        rows[profile, percentile, target] = [
            -1 if (own := counted[kind]) is None else asks.setdefault((own, percentile, link), len(asks))
            for kind, link in of_tail
        ]
    row = np.array([rows.get(key[:3], [-1] * len(tails)) for key in kinds], dtype=np.int64)
    tail_of = list(links)
    wanted = tuple(
        Ask(Service(seconds, scv, (held, spread) if held else None), percentile, target, *tail_of[link])
        for (seconds, scv, target, held, spread), percentile, link in asks
    )
    return wanted, row.reshape(len(kinds), len(tails))


def _numbers(service: Service, target: float) -> Numbers:
    return service.seconds, service.scv, 1.0 / target, *(service.held or (0.0, 0.0))


def _counted(service: Service, target: float, coarse: Mapping[Numbers, Numbers]) -> Numbers:
    """Mean seconds, scv, target, and what keeps the replica, that a service with its target counts as."""
    own = _numbers(service, target)
    seconds, scv, pace, *held = found = coarse[own]
    return seconds, scv, target if found == own else 1.0 / pace, *held


def _masks(
    kinds: Sequence[tuple[int, int, float, tuple[str, ...], int]],
    tables: tuple[Floats, Ints, Ints, Ints],
    callers: Ints,
    weight: Ints,
    places: PlaceColumns,
) -> tuple[NDArray[np.uint8], list[Groups]]:
    """Groups, and by kind and place class which are answered in time: as the largest pool would answer them.

    Any pool that carries some demand is large enough to answer in time if one is.
    """
    table, row, tail, trip = tables
    counts = np.array([len(key[3]) for key in kinds], dtype=np.int64)
    mask = np.zeros((len(kinds), len(places.classes)), dtype=np.uint8)
    groups: list[Groups] = [()] * len(kinds)
    best = np.concatenate([table[:, :, -1], np.zeros((1, table.shape[1]))])  # row -1 has no profile
    for size in sorted(set(counts.tolist()) - {0}):
        rows = np.flatnonzero(counts == size)
        own = row[rows][:, None, tail]
        rhos = best[own, trip[callers[rows, :size]][:, :, places.class_region]] * (weight[rows][:, None] > 0)
        if size == 1:
            mask[rows] = rhos[:, 0] > 0.0
            for index in rows.tolist():
                groups[index] = (kinds[index][3],)
            continue
        kept = _kept(rhos)
        for at, index in enumerate(rows.tolist()):
            groups[index], mask[index] = _grouped(kinds[index][3], kept[at], weight[index])
    return mask, groups


def _kept(rhos: Floats) -> Bools:
    """Callers that a place serves, of the last axis; shape (n, callers, P) like `rhos`."""
    near = (rhos > 0.0) & (rhos >= FAR_SHARE * rhos.max(axis=1, keepdims=True))
    served = near.any(axis=2, keepdims=True)
    # A region that no place serves well is still better served at a low utilisation than late.
    kept: Bools = near | ((rhos > 0.0) & ~served)
    return kept


def _grouped(names: tuple[str, ...], kept: Bools, weight: Ints) -> tuple[Groups, NDArray[np.uint8]]:
    """The groups and their mask by place class."""
    groups = caller_groups(names, kept, weight)
    mask = np.zeros(kept.shape[1], dtype=np.uint8)
    for bit, members in enumerate(groups.values()):
        mask |= members.astype(np.uint8) << np.uint8(bit)
    return tuple(groups), mask


def _late(groups: Groups, mask: NDArray[np.uint8]) -> int:
    together = int(np.bitwise_or.reduce(mask, initial=0))
    return ((1 << len(groups)) - 1) & ~together


def _asked(workloads: WorkloadColumns, groups: Sequence[Groups]) -> Floats:
    """Requests/s by mask, added up in the order of the callers' names."""
    asked = np.zeros((len(groups), 1 << GROUPS))
    asked[workloads.batch, 1::2] = workloads.demand[workloads.batch, None]
    for row, own in enumerate(groups):
        for chosen in range(1, 1 << len(own)):
            callers = callers_of(own, chosen)
            asked[row, chosen] = sum(rate for region, rate in workloads.callers[row] if region in callers)
    return asked


def callers_of(groups: Groups, mask: int) -> frozenset[str]:
    """The caller regions of a mask."""
    return frozenset(_members(groups, mask))


def _members(groups: Groups, mask: int) -> Iterator[str]:
    for bit, group in enumerate(groups):
        if mask >> bit & 1:
            yield from group
