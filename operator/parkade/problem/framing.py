"""A snapshot as a `Problem`, with the way back to names and the refusals found on the way."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from parkade.api import InferenceWorkload, Region, TritonPool, VehicleNodePool
from parkade.problem.arcs import Terms, Way, capacity, total_unit_cost, ways, with_late_penalties
from parkade.problem.covers import Want, caller_groups, short_cost, wants
from parkade.problem.current import Kept, failed_files, running, spare
from parkade.problem.eligibility import FILE_REASONS, artifact_for, refusal
from parkade.problem.format import Arc, Cover, Demand, Problem, Step, Supply
from parkade.problem.latency import attempt_timeout
from parkade.problem.limits import Caps, churn_limit, packed_limits
from parkade.problem.reach import Reach, path, rates, reaches
from parkade.problem.reasons import Reason, Refusal
from parkade.problem.supply import Facts, Place, triton_place, vehicle_places
from parkade.settings import Economics
from parkade.snapshot import Rejection, Snapshot, StagedArtifact


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


@dataclass(frozen=True, slots=True)
class Framed:
    """A problem and what its indices mean."""

    problem: Problem
    workloads: tuple[FramedWorkload, ...]
    """By demand index."""
    places: tuple[Place, ...]
    """By supply index."""
    ways: tuple[Way, ...]
    """By arc index."""
    left_out: tuple[Refusal, ...]
    """Workloads that are not planned, and why."""
    refusals: tuple[Refusal, ...]
    """Places that a planned workload may not use, and why."""
    regions: Mapping[str, Region]
    economics: Economics
    pairs: Mapping[tuple[int, int], tuple[int, ...]]
    """Arc indices by (workload, place)."""
    held: Mapping[str, frozenset[str]]
    """Digests that the manifest names by workload that is left out because of them: what it ran before goes on."""
    failed: frozenset[str]
    """Digests of files that cannot be had."""
    awaited: tuple[tuple[str, str], ...]
    """(workload, sha256) of files that some place could run and the store does not have."""

    def keeps(self, workload: str, digest: str) -> bool:
        """An older model of the workload runs on, because its successor cannot be had."""
        return workload in self.held and digest not in self.held[workload]


@dataclass(slots=True)
class _Draft:
    """What framing collects, workload by workload."""

    snapshot: Snapshot
    economics: Economics
    regions: Mapping[str, Region]
    places: tuple[Place, ...]
    missing_pools: tuple[tuple[str, Reason, str], ...]
    staged: Mapping[str, StagedArtifact]
    waits: bool
    """A file that nobody has asked for yet is waited for."""
    rejections: Mapping[tuple[str, str, str], Rejection]
    """By workload, digest and pool."""
    awaited: set[tuple[str, str]] = field(default_factory=set)
    kept: Mapping[tuple[str, str], Kept] = field(default_factory=dict)
    workloads: list[FramedWorkload] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    left_out: list[Refusal] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def frame(snapshot: Snapshot, economics: Economics, caps: Caps | None = None, *, offline: bool = False) -> Framed:
    """Make the problem of a snapshot; equal snapshots give byte-equal problems.

    Args:
        snapshot: what is true now.
        economics: constants that no manifest gives.
        caps: most replicas of (workload, place) that packing found room for, by the indices of an earlier framing of
            the same snapshot.
        offline: whether pools offer what they expect instead of the cells and servers of the snapshot.
    """
    regions = {region.key: region for region in snapshot.regions}
    places, missing = _places(Facts(snapshot, economics, offline), regions)
    draft = _Draft(
        snapshot, economics, regions, places, missing,
        staged={entry.sha256: entry for entry in snapshot.artifacts},
        waits=not offline and snapshot.mode == "Apply",
        rejections={(entry.workload, entry.sha256, entry.pool): entry for entry in snapshot.rejections},
    )  # fmt: skip
    workloads = sorted(snapshot.workloads, key=lambda workload: workload.key)
    draft.kept = running(snapshot, workloads, places)
    for workload in workloads:
        reason = _why_left_out(workload, snapshot)
        if reason is not None:
            draft.left_out.append(reason)
        else:
            _add(draft, workload)
    return _framed(draft, caps or {})


def _places(
    facts: Facts, regions: Mapping[str, Region]
) -> tuple[tuple[Place, ...], tuple[tuple[str, Reason, str], ...]]:
    """Places sorted by id, and (pool, Reason, sentence) of pools that offer none."""
    found: list[Place] = []
    missing: list[tuple[str, Reason, str]] = []
    pools: tuple[VehicleNodePool | TritonPool, ...] = (*facts.snapshot.vehicle_pools, *facts.snapshot.triton_pools)
    for pool in pools:
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


def _why_left_out(workload: InferenceWorkload, snapshot: Snapshot) -> Refusal | None:
    """Why the workload is not planned whatever the places."""
    spec = workload.spec
    name = spec.model.name
    if workload.metadata.deletion_timestamp is not None:
        return _left_out(workload, Reason.BEING_DELETED)
    named = [w for w in snapshot.workloads if w.spec.model.name == name and w.metadata.deletion_timestamp is None]
    owner = min(named, key=lambda other: (other.metadata.creation_timestamp, other.key))
    if spec.suspend:
        return _left_out(workload, Reason.SUSPENDED)
    if owner.key != workload.key:
        return _left_out(workload, Reason.MODEL_NAME_TAKEN, owner=owner.key, model=name)
    if spec.demand is None:
        return _left_out(workload, Reason.BATCH_NOT_SUPPORTED)
    return None


def _left_out(workload: InferenceWorkload, reason: Reason, **facts: object) -> Refusal:
    return Refusal(workload.key, "", reason, reason.say(**facts))


def _add(draft: _Draft, workload: InferenceWorkload) -> None:
    """Frame one workload, or leave it out because no place may run it."""
    refused = [Refusal(workload.key, *entry) for entry in draft.missing_pools]
    eligible: list[tuple[int, Place]] = []
    for index, place in enumerate(draft.places):
        found = refusal(workload, place) or _file_refusal(draft, workload, place)
        if found is None:
            eligible.append((index, place))
        else:
            refused.append(found)
    if not eligible:
        causes = "; ".join(dict.fromkeys(entry.message for entry in refused)) or "no pool exists; apply one"
        files = sorted((e for e in refused if e.reason in FILE_REASONS), key=lambda e: FILE_REASONS.index(e.reason))
        draft.left_out.append(
            replace(files[0], place="") if files else _left_out(workload, Reason.NO_PLACE, causes=causes)
        )
        return
    places = [place for _, place in eligible]
    reached = reaches(workload, places, draft.regions, draft.economics)
    groups = caller_groups(workload, reached)
    wanted = wants(workload, places, groups)
    late = frozenset[str]().union(*(callers for callers, at in groups.items() if not at))
    index = len(draft.workloads)
    found_ways = [
        way
        for (at, place), reach in zip(eligible, reached, strict=True)
        for way in ways((index, workload), (at, place), reach, wanted, _terms(draft, workload, place, late))
        if way.max > 0
    ]
    unit_costs = [total_unit_cost(way, draft.places[way.place]) for way in found_ways]
    found_ways = with_late_penalties(found_ways, unit_costs, draft.economics)
    draft.refusals += refused
    if rates(workload) and not late:
        draft.refusals += _too_slow(draft, workload, places, reached)
    draft.workloads.append(FramedWorkload(workload, tuple(wanted), late))
    draft.demands.append(_demand(workload, wanted, found_ways, unit_costs, draft.economics))
    draft.ways += found_ways


def _file_refusal(draft: _Draft, workload: InferenceWorkload, place: Place) -> Refusal | None:
    """A file that cannot be had, is not there yet, or was rejected rules a place out; a model it holds may stay."""
    rejection = _rejection(draft, workload, place)
    if rejection is not None and not rejection.trial:
        message = Reason.MODEL_REJECTED.say(place=place.pool, problem=rejection.message)
        return Refusal(workload.key, place.id, Reason.MODEL_REJECTED, message)
    if not _is_missing(draft, workload, place):
        return None
    artifact, staged = artifact_for(workload, place.hardware), _staged(draft, workload, place)
    if artifact is not None:
        draft.awaited.add((workload.key, artifact.sha256))
    if draft.kept[workload.key, place.id].replicas:
        return None
    if staged is None or staged.state == "Fetching":
        return Refusal(workload.key, place.id, Reason.FETCHING, Reason.FETCHING.say(place="the operator"))
    problem = staged.message or staged.reason
    reason = next((known for known in FILE_REASONS if known == staged.reason), Reason.ARTIFACT_FAILED)
    message = problem if staged.reason else reason.say(source=staged.source, problem=problem)
    return Refusal(workload.key, place.id, reason, message)


def _is_missing(draft: _Draft, workload: InferenceWorkload, place: Place) -> bool:
    """The file for the place is not in the store."""
    staged = _staged(draft, workload, place)
    return draft.waits if staged is None else staged.state != "Staged"


def _rejection(draft: _Draft, workload: InferenceWorkload, place: Place) -> Rejection | None:
    artifact = artifact_for(workload, place.hardware)
    return draft.rejections.get((workload.key, artifact.sha256, place.pool)) if artifact else None


def _staged(draft: _Draft, workload: InferenceWorkload, place: Place) -> StagedArtifact | None:
    artifact = artifact_for(workload, place.hardware)
    return draft.staged.get(artifact.sha256) if artifact else None


def _terms(draft: _Draft, workload: InferenceWorkload, place: Place, late: frozenset[str]) -> Terms:
    most_new = None
    if _is_missing(draft, workload, place):
        most_new = 0
    elif _rejection(draft, workload, place) is not None:
        most_new = spare(draft.snapshot, place, workload.spec.model.memory.bytes)
    staged = _staged(draft, workload, place)
    return Terms(draft.economics, draft.kept[workload.key, place.id], late, staged, most_new)


def _too_slow(
    draft: _Draft, workload: InferenceWorkload, places: Sequence[Place], reached: Sequence[Reach]
) -> Iterator[Refusal]:
    assert workload.spec.latency is not None  # noqa: S101 -- api refuses demand without latency
    for place, reach in zip(places, reached, strict=True):
        if not reach.regions:
            best = min(
                attempt_timeout(path(workload, place, caller, draft.regions, draft.economics))
                for caller in rates(workload)
            )
            message = Reason.TOO_SLOW.say(
                place=place.id, expected=f"{best * 1000:.0f}ms", target=workload.spec.latency.target
            )
            yield Refusal(workload.key, place.id, Reason.TOO_SLOW, message)


def _demand(
    workload: InferenceWorkload,
    wanted: Sequence[Want],
    found: Sequence[Way],
    unit_costs: Sequence[float],
    economics: Economics,
) -> Demand:
    factors = (economics.short_cost_factor, economics.structure_cost_factor)
    covers = []
    for index, want in enumerate(wanted):
        full = [(way.yields[index], way.cost + unit) for way, unit in zip(found, unit_costs, strict=True)]
        covers.append(Cover(want.id, want.quantity, short_cost(want, full, workload.spec.priority, factors)))
    return Demand(workload.key, tuple(covers))


def _framed(draft: _Draft, caps: Caps) -> Framed:
    arcs = tuple(
        Arc(
            id=f"{draft.workloads[way.workload].key}@{draft.places[way.place].id}{_suffix(way)}",
            demand=way.workload,
            supply=way.place,
            yields=way.yields,
            cost=way.cost,
            use=dict(way.use),
            max=way.max,
        )
        for way in draft.ways
    )
    by_key: Counter[str] = Counter()
    for (key, _), kept in draft.kept.items():
        by_key[key] += kept.replicas
    best: dict[int, float] = {}
    pairs: dict[tuple[int, int], tuple[int, ...]] = {}
    for at, way in enumerate(draft.ways):
        best[way.workload] = max(way.rate, best.get(way.workload, 0.0))
        pairs[way.workload, way.place] = (*pairs.get((way.workload, way.place), ()), at)
    replicas = {index: by_key[framed.key] for index, framed in enumerate(draft.workloads)}
    missing = sum(
        max(0, _wanted_replicas(framed, best.get(index, 0.0)) - replicas[index])
        for index, framed in enumerate(draft.workloads)
        if replicas[index] > 0
    )
    churn = churn_limit(draft.ways, replicas, missing, draft.economics)
    limits = [*([churn] if churn else []), *packed_limits(draft.ways, caps)]
    return Framed(
        Problem(tuple(draft.demands), _supplies(draft), arcs, tuple(limits)),
        tuple(draft.workloads),
        draft.places,
        tuple(draft.ways),
        tuple(draft.left_out),
        tuple(sorted(draft.refusals)),
        draft.regions,
        draft.economics,
        pairs,
        _held(draft),
        failed_files(draft.snapshot),
        tuple(sorted(draft.awaited)),
    )


def _held(draft: _Draft) -> dict[str, frozenset[str]]:
    waiting = {entry.workload for entry in draft.left_out if entry.reason in FILE_REASONS}
    return {
        workload.key: frozenset(str(artifact.sha256) for artifact in workload.spec.model.artifacts)
        for workload in draft.snapshot.workloads
        if workload.key in waiting
    }


def _suffix(way: Way) -> str:
    words = ["kept" if way.kept else "new", *([] if way.apart else ["further"]), *(["late"] if way.late else [])]
    return "/" + "/".join(words)


def _wanted_replicas(framed: FramedWorkload, best: float) -> int:
    """Fewest replicas that could do: minReplicas, or the demand at the best rate."""
    demand = sum(rates(framed.resource).values())
    return max(framed.resource.spec.placement.min_replicas, math.ceil(demand / best) if best > 0.0 else 0)


def _supplies(draft: _Draft) -> tuple[Supply, ...]:
    apart: dict[int, set[str]] = defaultdict(set)
    for way in draft.ways:
        apart[way.place].update(name for name, _ in way.use if name.startswith("apart/"))
    supplies = []
    for index, place in enumerate(draft.places):
        steps = tuple(Step(step.count, step.running.cost.total) for step in place.steps)
        supplies.append(Supply(place.id, steps, capacity(place, sorted(apart[index]))))
    return tuple(supplies)
