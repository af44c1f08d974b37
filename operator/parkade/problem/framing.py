"""A snapshot as a problem, with the way back to names and the refusals found on the way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from parkade.api import InferenceWorkload, Region, VehicleCell, VehicleNodePool
from parkade.problem.arcs import Tables
from parkade.problem.arrays import ProblemArrays
from parkade.problem.batch import Pools, items_per_second, with_patience
from parkade.problem.columns import Bools, PlaceColumns, WorkloadColumns
from parkade.problem.covers import CoverColumns, Want, covers
from parkade.problem.current import Kept, failed_files, running
from parkade.problem.departures import shocks
from parkade.problem.eligibility import FILE_REASONS, refusal
from parkade.problem.expansion import Arcs, expand
from parkade.problem.files import Files
from parkade.problem.flattening import unflatten
from parkade.problem.format import Problem
from parkade.problem.latency import attempt_timeout
from parkade.problem.layout import lay_out
from parkade.problem.limits import (
    Caps,
    LimitRow,
    churn_limit,
    fewest_replicas,
    packed_limits,
    uplink_limits,
    zone_limits,
)
from parkade.problem.reach import callers_of, path, rates, reach
from parkade.problem.reasons import Reason, Refusal
from parkade.problem.supply import Facts, Place, triton_place, vehicle_places
from parkade.problem.usable import Usable, usable_places
from parkade.problem.ways import Pairs, Ways
from parkade.settings import Economics
from parkade.snapshot import Snapshot

MOST_ALONE: Final = 16
"""Workloads for which the servers of a pool have a resource `apart/...` each: more than these open a second server
anyway."""


@dataclass(frozen=True, slots=True)
class FramedWorkload:
    """One demand of the problem in names."""

    resource: InferenceWorkload
    wants: tuple[Want, ...]
    """In the order of the demand's covers."""
    late_callers: frozenset[str]
    """Caller regions that no place answers in time."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.resource.key


@dataclass(frozen=True, eq=False)
class Framed:
    """A problem and what its indices mean."""

    tables: Tables
    """All that the arcs follow from."""
    arcs: Arcs
    limits: tuple[LimitRow, ...]
    workloads: tuple[FramedWorkload, ...]
    """By demand index."""
    left_out: tuple[Refusal, ...]
    """Workloads that are not planned, and why."""
    missing_pools: tuple[tuple[str, Reason, str], ...]
    """Pools that offer no place, and why."""
    files: Files
    regions: Mapping[str, Region]
    awaited: tuple[tuple[str, str], ...]
    """(workload, sha256) of files that some place could run and the store does not have."""
    held: Mapping[str, frozenset[str]]
    """Digests that the manifest names by workload that is left out because of them: what it ran before goes on."""
    failed: frozenset[str]
    """Digests of files that cannot be had."""

    @cached_property
    def resources(self) -> dict[str, InferenceWorkload]:
        """Planned workloads by key."""
        return {entry.key: entry.resource for entry in self.workloads}

    @cached_property
    def waiting(self) -> dict[str, InferenceWorkload]:
        """Workloads that wait for a file, by model name."""
        return {str(it.spec.model.name): it for it in self.files.snapshot.workloads if it.key in self.held}

    @property
    def offered(self) -> Mapping[str, tuple[VehicleCell, ...]]:
        """Cells as the plan may use them, by pool."""
        return self.files.facts.offered_of

    @property
    def economics(self) -> Economics:
        """Constants that no manifest gives."""
        return self.tables.economics

    @property
    def places(self) -> tuple[Place, ...]:
        """By supply index."""
        return self.tables.places.places

    @cached_property
    def arrays(self) -> ProblemArrays:
        """The problem to solve."""
        return lay_out(self.tables, self.arcs, self.limits)

    @cached_property
    def problem(self) -> Problem:
        """The same as the objects of the JSON file; for small problems."""
        return unflatten(self.arrays)

    @cached_property
    def ways(self) -> Ways:
        """By arc index."""
        return Ways(self.tables, self.arcs)

    @cached_property
    def pairs(self) -> Pairs:
        """Arc indices by (workload, place)."""
        return Pairs(self.arcs, len(self.places))

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Places that planned workloads may not use, and why; of all workloads."""
        return tuple(sorted(entry for index in range(len(self.workloads)) for entry in self.refusals_of(index)))

    def refusals_of(self, index: int) -> tuple[Refusal, ...]:
        """Places that one planned workload may not use, and why."""
        workload, reached = self.workloads[index].resource, self.tables.reached
        found = list(_refusals(workload, self.places, self.files, self.missing_pools))
        kind = reached.of_kind[index]
        if rates(workload) and not reached.late[kind]:
            usable = self.tables.usable[self.tables.of_usable[index]]
            slow = usable & (reached.mask[kind, self.tables.places.of_class] == 0)
            found += [self._too_slow(workload, self.places[at]) for at in np.flatnonzero(slow).tolist()]
        return tuple(sorted(found))

    def capped(self, caps: Caps) -> "Framed":
        """The same with most replicas of some (workload, place), as packing found room for them."""
        own = (limit for limit in self.limits if not limit.id.startswith("packed/"))
        return replace(self, limits=(*own, *packed_limits(self.arcs, caps)))

    def keeps(self, workload: str, digest: str) -> bool:
        """An older model of the workload runs on, because its successor cannot be had."""
        return workload in self.held and digest not in self.held[workload]

    def _too_slow(self, workload: InferenceWorkload, place: Place) -> Refusal:
        assert workload.spec.latency is not None  # noqa: S101 -- api refuses demand without latency
        best = min(
            attempt_timeout(path(workload, place, caller, self.regions, self.economics)) for caller in rates(workload)
        )
        target = workload.spec.latency.target
        message = Reason.TOO_SLOW.say(place=place.id, expected=f"{best * 1000:.0f}ms", target=target)
        return Refusal(workload.key, place.id, Reason.TOO_SLOW, message)


def frame(snapshot: Snapshot, economics: Economics, *, offline: bool = False) -> Framed:
    """Make the problem of a snapshot; equal snapshots give byte-equal problems.

    Args:
        snapshot: what is true now.
        economics: constants that no manifest gives.
        offline: whether pools offer what they expect instead of the cells and servers of the snapshot.
    """
    regions = {region.key: region for region in snapshot.regions}
    facts = Facts(snapshot, economics, offline)
    places, missing = _places(facts, regions)
    columns = PlaceColumns.of(places)
    everything = sorted(snapshot.workloads, key=lambda workload: workload.key)
    files = Files(facts, not offline and snapshot.mode == "Apply", running(facts, everything, places))
    left_out, candidates = _sorted_out(everything, offline=offline)
    usable = usable_places(candidates, columns, files)
    some: Bools = np.any(usable.rows[usable.of_row], axis=1)
    left_out += [
        _nowhere(workload, columns.places, files, missing)
        for workload, found in zip(candidates, some, strict=True)
        if not found
    ]
    chosen = np.flatnonzero(some).tolist()
    planned = [candidates[index] for index in chosen]
    tables = _tables(planned, usable.take(chosen), columns, files, economics, regions)
    return _framed(tables, files, (tuple(left_out), missing, usable.awaited), regions)


def _places(
    facts: Facts, regions: Mapping[str, Region]
) -> tuple[tuple[Place, ...], tuple[tuple[str, Reason, str], ...]]:
    """Places sorted by id, and (pool, Reason, sentence) of pools that offer none."""
    found: list[Place] = []
    missing: list[tuple[str, Reason, str]] = []
    for pool in facts.snapshot.pools:
        region = regions.get(pool.spec.region)
        if region is None:
            missing.append((pool.key, Reason.UNKNOWN_REGION, Reason.UNKNOWN_REGION.say(region=pool.spec.region)))
            continue
        if isinstance(pool, VehicleNodePool):
            offered = list(vehicle_places(pool, region, facts))
        else:
            place = triton_place(pool, region, facts)
            offered = [place] if place else []
        none = Reason.NO_VEHICLES if isinstance(pool, VehicleNodePool) else Reason.NO_SERVERS
        if not offered:
            missing.append((pool.key, none, none.say(place=pool.key)))
        found += offered
    return tuple(sorted(found, key=lambda place: place.id)), tuple(sorted(missing))


def _sorted_out(
    workloads: Sequence[InferenceWorkload], *, offline: bool
) -> tuple[list[Refusal], list[InferenceWorkload]]:
    """Workloads that are not planned whatever the places, and the others."""
    owners: dict[str, InferenceWorkload] = {}
    for workload in workloads:
        if workload.metadata.deletion_timestamp is None:
            name = workload.spec.model.name
            owners[name] = min(owners.get(name, workload), workload, key=_age)
    left_out, planned = [], []
    for workload in workloads:
        reason = _why_left_out(workload, owners, offline=offline)
        if reason is None:
            planned.append(workload)
        else:
            left_out.append(reason)
    return left_out, planned


def _age(workload: InferenceWorkload) -> tuple[object, str]:
    return workload.metadata.creation_timestamp, workload.key


def _why_left_out(
    workload: InferenceWorkload, owners: Mapping[str, InferenceWorkload], *, offline: bool
) -> Refusal | None:
    spec, name = workload.spec, workload.spec.model.name
    if workload.metadata.deletion_timestamp is not None:
        return _left_out(workload, Reason.BEING_DELETED)
    if spec.suspend:
        return _left_out(workload, Reason.SUSPENDED)
    if owners[name].key != workload.key:
        return _left_out(workload, Reason.MODEL_NAME_TAKEN, owner=owners[name].key, model=name)
    if spec.batch is not None and not offline:  # nobody hands out its items yet
        return _left_out(workload, Reason.BATCH_NOT_SUPPORTED)
    return None


def _left_out(workload: InferenceWorkload, reason: Reason, **facts: object) -> Refusal:
    return Refusal(workload.key, "", reason, reason.say(**facts))


def _nowhere(
    workload: InferenceWorkload,
    places: Sequence[Place],
    files: Files,
    missing: Sequence[tuple[str, Reason, str]],
) -> Refusal:
    """Why no place may run the workload."""
    refused = list(_refusals(workload, places, files, missing))
    causes = "; ".join(dict.fromkeys(entry.message for entry in refused)) or "no pool exists; apply one"
    of_files = sorted((e for e in refused if e.reason in FILE_REASONS), key=lambda e: FILE_REASONS.index(e.reason))
    return replace(of_files[0], place="") if of_files else _left_out(workload, Reason.NO_PLACE, causes=causes)


def _refusals(
    workload: InferenceWorkload,
    places: Sequence[Place],
    files: Files,
    missing: Sequence[tuple[str, Reason, str]],
) -> Iterator[Refusal]:
    yield from (Refusal(workload.key, *entry) for entry in missing)
    for place in places:
        found = refusal(workload, place) or files.refusal(workload, place)
        if found is not None:
            yield found


def _tables(
    planned: Sequence[InferenceWorkload],
    usable: Usable,
    columns: PlaceColumns,
    files: Files,
    economics: Economics,
    regions: Mapping[str, Region],
) -> Tables:
    now = files.snapshot.now
    paces = [items_per_second(it.spec.batch, now) if it.spec.batch else 0.0 for it in planned]
    workloads = WorkloadColumns.of(planned, paces, columns.hardware, files.staged)
    reached = reach(workloads, columns, usable, regions, economics)
    leaving = shocks(columns.places, columns.regions, economics)
    wanted = covers(workloads, columns, reached, usable.by_class(columns)[usable.of_row], leaving)
    return Tables(
        workloads, columns, reached, wanted, usable.rows, usable.of_row, leaving,
        _kept(planned, columns.places, files.kept), usable.most_new, _alone(wanted, usable, columns), economics,
    )  # fmt: skip


def _kept(
    planned: Sequence[InferenceWorkload], places: Sequence[Place], kept: Mapping[tuple[str, str], Kept]
) -> dict[tuple[int, int], tuple[int, int]]:
    workload_at = {workload.key: index for index, workload in enumerate(planned)}
    place_at = {place.id: index for index, place in enumerate(places)}
    return {
        (workload_at[key], place_at[place]): (entry.replicas, entry.units)
        for (key, place), entry in kept.items()
        if key in workload_at and place in place_at and entry.replicas > 0
    }


def _alone(wanted: CoverColumns, usable: Usable, columns: PlaceColumns) -> Bools:
    """[K], whether the servers have a resource `apart/...` for each workload that wants to stand apart."""
    wanting = np.bincount(usable.of_row[wanted.wants_apart], minlength=len(usable.rows))
    found: Bools = ~columns.car & (wanting @ usable.rows <= MOST_ALONE)
    return found


def _framed(
    tables: Tables,
    files: Files,
    refused: tuple[tuple[Refusal, ...], tuple[tuple[str, Reason, str], ...], tuple[tuple[str, str], ...]],
    regions: Mapping[str, Region],
) -> Framed:
    left_out, missing, awaited = refused
    resources, economics, snapshot = tables.workloads.workloads, tables.economics, files.snapshot
    arcs = expand(tables)
    if tables.workloads.batch.any():
        pools: Pools = {pool.key: pool for pool in snapshot.pools}
        arcs = replace(arcs, short_cost=with_patience(tables, arcs, regions, pools, (snapshot.now, snapshot.series)))
    by_key: dict[str, int] = {}
    for (key, _), kept in files.kept.items():
        by_key[key] = by_key.get(key, 0) + kept.replicas
    running_now = np.array([by_key.get(resource.key, 0) for resource in resources], dtype=np.int64)
    churn = churn_limit(arcs, running_now, fewest_replicas(tables, arcs), economics)
    limits = [
        *([churn] if churn else []),
        *zone_limits(tables, arcs, regions, economics),
        *uplink_limits(tables, arcs, economics),
    ]
    reached, wants = tables.reached, tables.covers.wants
    workloads = tuple(
        FramedWorkload(resource, wants[index], callers_of(reached.groups[kind], int(reached.late[kind])))
        for index, (resource, kind) in enumerate(zip(resources, reached.of_kind.tolist(), strict=True))
    )
    held = _held(left_out, snapshot)
    failed = failed_files(snapshot)
    return Framed(tables, arcs, tuple(limits), workloads, left_out, missing, files, regions, awaited, held, failed)


def _held(left_out: Sequence[Refusal], snapshot: Snapshot) -> dict[str, frozenset[str]]:
    waiting = {entry.workload for entry in left_out if entry.reason in FILE_REASONS}
    return {
        workload.key: frozenset(str(artifact.sha256) for artifact in workload.spec.model.artifacts)
        for workload in snapshot.workloads
        if workload.key in waiting
    }
