"""What workloads want, as covers: requests/s of their callers, replicas ready, servers apart, losses survived.

Every cover is a row (kind, argument, quantity); the kernel computes what a replica adds to it (`kernels/framing`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from parkade.problem.columns import Bools, Floats, Ints, PlaceColumns, WorkloadColumns
from parkade.problem.reach import Groups, Reach, callers_of

APART: Final = 2
"""Cars or servers that hold a workload of two replicas or more, so that one failure leaves one."""

REGIONS: Final = 3
"""Of spread and of departures at most: those in which the workload is likely to run most, because they are cheapest."""

ALL: Final = -1
"""The argument of a departure cover for all regions at once."""


class Kind(IntEnum):
    """What a cover asks for."""

    RATE = 0
    """Requests/s of the callers of a mask."""
    READY = 1
    """Replicas, whatever the demand."""
    APART = 2
    """Cars or servers that hold a replica."""
    SPREAD = 3
    """Requests/s outside a region."""
    DEPARTURES = 4
    """Requests/s that are left when many cars of a region, or of all regions, leave at once."""
    VERIFY = 5
    """Requests/s on Triton servers, which compute answers of cars again."""

    @property
    def in_requests(self) -> bool:
        """Requests/s, not replicas."""
        return self not in (Kind.READY, Kind.APART)


@dataclass(frozen=True, slots=True)
class Want:
    """One cover in names."""

    id: str
    kind: Kind
    argument: int
    """The mask of the caller groups (RATE), or the region's index (SPREAD, DEPARTURES) or `ALL`."""
    quantity: float
    """Requests/s or replicas."""


@dataclass(frozen=True, slots=True, eq=False)
class CoverColumns:
    """C covers of W workloads."""

    wants: tuple[tuple[Want, ...], ...]
    """[W]"""
    offsets: Ints
    """[W + 1]"""
    workload: Ints
    """[C]"""
    kind: Ints
    """[C]"""
    argument: Ints
    """[C]"""
    quantity: Floats
    """[C]"""
    wants_apart: Bools
    """[W]"""

    @classmethod
    def of(cls, wants: tuple[tuple[Want, ...], ...]) -> "CoverColumns":
        """Lay the wants out as columns."""
        rows = [want for row in wants for want in row]
        counts = np.array([len(row) for row in wants], dtype=np.int64)
        return cls(
            wants,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.repeat(np.arange(len(wants)), counts),
            np.array([want.kind for want in rows], dtype=np.int64),
            np.array([want.argument for want in rows], dtype=np.int64),
            np.array([want.quantity for want in rows], dtype=np.float64),
            np.array([any(want.kind is Kind.APART for want in row) for row in wants], dtype=np.bool_),
        )


def covers(
    workloads: WorkloadColumns, places: PlaceColumns, reached: Reach, usable: Ints, shocks: Floats
) -> CoverColumns:
    """All covers of all workloads.

    Args:
        workloads: W of them.
        places: P classes in R regions.
        reached: who is answered where.
        usable: [W, P], places of each class that the workload may use.
        shocks: [R], share of a region's cars that may leave before others take over (`departures.shock`).
    """
    alike = reached.of_kind
    serving = (usable > 0) & ((reached.mask[alike] > 0) | (reached.late[alike, None] > 0))
    cheapest = _cheapest(_prices(workloads, places, serving))
    shocked = _members(_by_region(serving & places.class_car, places) & (shocks > 0.0))
    on_both: Bools = np.any(serving & places.class_car, axis=1) & np.any(serving & ~places.class_car, axis=1)
    units = usable @ np.bincount(places.of_class, places.units, len(places.classes)).astype(np.int64)
    found = []
    verifying, asking = workloads.verified * on_both, reached.asked
    columns = (workloads.demand, workloads.batch, workloads.least, workloads.spread, verifying, units, alike, asking)
    for row, (demand, batch, least, spread, verified, most, kind, asked) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        wanted = list(_rates(reached.groups[kind], asked, 1.0 + verified))
        if batch:
            wanted = [Want("batch", Kind.RATE, 1, demand)]
        if least > 0:
            wanted.append(Want("min-replicas", Kind.READY, 0, float(least)))
        if min(APART, least, most) > 1:
            wanted.append(Want("apart", Kind.APART, 0, float(min(APART, least, most))))
        if spread > 1 and demand > 0.0:
            wanted += _spread(cheapest[row], places, (1.0 - 1.0 / spread) * demand)
        if demand > 0.0 and not batch:
            wanted += _departures(shocked[row], places, demand)
        if verified > 0.0 and demand > 0.0:
            wanted.append(Want("verify", Kind.VERIFY, 0, verified * demand))
        found.append(tuple(wanted))
    return CoverColumns.of(tuple(found))


def _rates(groups: Groups, asked: Sequence[float], factor: float) -> Iterator[Want]:
    """A cover for each non-empty set of groups, small sets first: what can reach them carries their sum.

    That is all that a router needs (Hall's condition).
    """
    if len(groups) == 1:
        yield Want("rate/" + "+".join(groups[0]), Kind.RATE, 1, asked[1] * factor)
        return
    for mask in sorted(range(1, 1 << len(groups)), key=lambda mask: (mask.bit_count(), _bits(mask))):
        name = "rate/" + "+".join(sorted(callers_of(groups, mask)))
        yield Want(name, Kind.RATE, mask, asked[mask] * factor)


def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _by_region(serving: Bools, places: PlaceColumns) -> Bools:
    """[W, R], whether any class of the region serves."""
    belongs = places.class_region[:, None] == np.arange(len(places.regions))
    found: Bools = serving.astype(np.float32) @ belongs.astype(np.float32) > 0.0
    return found


def _prices(workloads: WorkloadColumns, places: PlaceColumns, serving: Bools) -> Floats:
    """[W, R], $/h for a request/s on the cheapest fully used units of each region; infinite where none serves."""
    slot = np.full(len(places.classes), np.inf)
    np.minimum.at(slot, places.of_class, places.unit_cost / places.slots)
    seconds = np.nan_to_num(workloads.seconds[workloads.of_profile][:, places.class_hardware])
    each = np.where(serving, slot * seconds, np.inf)
    found = np.full((len(each), len(places.regions)), np.inf)
    order = np.argsort(places.class_region, kind="stable")
    starts = np.flatnonzero(np.diff(places.class_region[order], prepend=-1))
    if len(order):
        found[:, places.class_region[order[starts]]] = np.minimum.reduceat(each[:, order], starts, axis=1)
    return found


def _cheapest(prices: Floats) -> list[list[int]]:
    """[W], the `REGIONS` regions with the lowest prices, in the order of their names."""
    order = np.argsort(prices, axis=1, kind="stable")[:, :REGIONS]
    chosen = np.zeros(prices.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, np.isfinite(np.take_along_axis(prices, order, axis=1)), axis=1)
    return _members(chosen)


def _members(chosen: Bools) -> list[list[int]]:
    """Indices of what is chosen, row by row."""
    rows, columns = np.nonzero(chosen)
    return [part.tolist() for part in np.split(columns, np.searchsorted(rows, np.arange(1, len(chosen))))]


def _spread(regions: Sequence[int], places: PlaceColumns, quantity: float) -> Iterator[Want]:
    """The loss of any region that may hold more than its part: of the cheapest ones, which run full before others."""
    for region in regions:
        yield Want(f"spread/{places.regions[region]}", Kind.SPREAD, region, quantity)


def _departures(found: Sequence[int], places: PlaceColumns, quantity: float) -> Iterator[Want]:
    """One shock group is a region at this hour; more than `REGIONS` leave at once in one cover, which asks more."""
    if len(found) > REGIONS:
        yield Want("departures", Kind.DEPARTURES, ALL, quantity)
        return
    for region in found:
        yield Want(f"departures/{places.regions[region]}", Kind.DEPARTURES, region, quantity)
