"""A packed solution in names: placements with their Reason, what they cost, what is short."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

from parkade.api import InferenceWorkload
from parkade.plan.alternatives import Alternative, alternatives
from parkade.plan.packing import Packed
from parkade.plan.plan import Expected, Placement, Shortfall, WorkloadPlan
from parkade.plan.tally import Tally, runnings, shares
from parkade.problem.costs import Running
from parkade.problem.covers import Kind
from parkade.problem.eligibility import profile_for, service_of
from parkade.problem.framing import Framed
from parkade.problem.latency import Path, percentile_of
from parkade.problem.reach import path, rates
from parkade.problem.reasons import Reason, Tier
from parkade.snapshot import ObservedProfile

Pair = tuple[int, int]

MOST_CAUSES: Final = 4
"""Refusals that one sentence names."""


def name_workloads(framed: Framed, result: Tally, packed: Packed) -> tuple[WorkloadPlan, ...]:
    """Every workload of the snapshot: planned ones, and those left out with their reason."""
    running = runnings(framed, result)
    share_of: dict[int, dict[Pair, float]] = defaultdict(dict)
    for pair, part in shares(framed, result.counts).items():
        share_of[pair[0]][pair] = part
    cells_of: dict[Pair, dict[str, int]] = defaultdict(dict)
    for (workload, at, cell), count in packed.cells.items():
        cells_of[workload, at][cell] = count
    planned = [
        _workload(framed, result, packed, index, (share_of[index], running, cells_of))
        for index in range(len(framed.workloads))
    ]
    left_out = [WorkloadPlan(entry.workload, model="", left_out=entry) for entry in framed.left_out]
    return tuple(sorted([*planned, *left_out], key=lambda part: part.workload))


def _workload(
    framed: Framed,
    result: Tally,
    packed: Packed,
    index: int,
    figures: tuple[Mapping[Pair, float], Mapping[Pair, Running], Mapping[Pair, Mapping[str, int]]],
) -> WorkloadPlan:
    share, running, cells_of = figures
    resource = framed.workloads[index].resource
    others = alternatives(framed, index)
    own = reduce(lambda a, b: a + b, (running[pair] for pair in share), Running())
    return WorkloadPlan(
        workload=resource.key,
        model=resource.spec.model.name,
        placements=_placements(framed, result, cells_of, share, others),
        expected=Expected(_percentile(framed, result, index, share), own.watts, own.grams, own.cost.total),
        cost=own.cost,
        shortfalls=_shortfalls(framed, result, packed, index),
        refusals=framed.refusals_of(index),
        alternatives=others,
    )


def _placements(
    framed: Framed,
    result: Tally,
    cells_of: Mapping[Pair, Mapping[str, int]],
    share: Mapping[Pair, float],
    others: Sequence[Alternative],
) -> tuple[Placement, ...]:
    """By preference: the larger share first. A place of several columns in one cell is one placement."""
    counts: dict[tuple[str, str, Tier], int] = defaultdict(int)
    weights: dict[tuple[str, str, Tier], float] = defaultdict(float)
    reasons: dict[tuple[str, str, Tier], tuple[Reason, str]] = {}
    for pair, part in share.items():
        place = framed.places[pair[1]]
        total = _replicas(framed, result, pair)
        for name, count in (cells_of.get(pair) or {place.pool: total}).items():
            where = name, place.pool, place.tier
            counts[where] += count
            weights[where] += part * count / total
            reasons.setdefault(where, _reason(framed, result, pair, others, share))
    percents = dict(zip(weights, whole_percents(list(weights.values())), strict=True))
    found = [
        Placement(name, tier, counts[where], percents[where], reasons[where][0], pool, reasons[where][1])
        for where in counts
        for name, pool, tier in (where,)
    ]
    return tuple(sorted(found, key=lambda placement: (-placement.share, placement.place)))


def whole_percents(weights: Sequence[float]) -> list[int]:
    """Percent that add up to 100, by largest remainder; the earlier one wins a tie."""
    total = sum(weights)
    exact = [100.0 * weight / total for weight in weights]
    percents = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (percents[i] - exact[i], i))
    for index in by_remainder[: 100 - sum(percents)]:
        percents[index] += 1
    return percents


def _replicas(framed: Framed, result: Tally, pair: Pair) -> int:
    return sum(result.counts[index] for index in framed.pairs[pair])


def _reason(
    framed: Framed, result: Tally, pair: Pair, others: Sequence[Alternative], share: Mapping[Pair, float]
) -> tuple[Reason, str]:
    """Why these replicas are here; the sentence ends with what the places would cost."""
    workload, at = pair
    place, resource = framed.places[at], framed.workloads[workload].resource
    used = [framed.ways[index] for index in framed.pairs[pair] if result.counts[index]]
    prices = ", ".join(f"{cost:.3f} $/h at {pool}" for pool, cost in _cheapest_by_pool(others).items())
    priced = (f"; alone it would cost {prices}" if others else "") + _timed(resource, place.hardware)
    if any(way.late for way in used):
        target = resource.spec.latency.target if resource.spec.latency else ""
        expected = f"{_percentile(framed, result, workload, {pair: 1.0}) * 1000:.0f}ms"
        reason = Reason.LATE_BUT_SERVED
        return reason, reason.say(place=place.pool, target=target, expected=expected) + priced
    if framed.pairs.places_of(workload) == 1:
        reason = Reason.ONLY_PLACE
    elif not others or others[0].place == place.id:
        reason = Reason.CHEAPEST_PLACE
    elif all(way.kept for way in used):
        reason = Reason.KEPT_IN_PLACE
    else:
        first = next(index for index, other in enumerate(framed.places) if other.id == others[0].place)
        reason = _second_reason(framed, result, pair, first, share)
        if reason is Reason.CHEAPEST_PLACE:
            priced += "; here it shares what others already use"
    return reason, reason.say(place=place.pool, causes=_causes(framed, workload)) + priced


def _cheapest_by_pool(others: Sequence[Alternative]) -> dict[str, float]:
    """$/h by pool, the cheapest first: cars of a pool on a dearer link, or in a dearer state, are no other choice."""
    found: dict[str, float] = {}
    for it in others:
        found.setdefault(it.pool, it.cost_per_hour)
    return found


def _timed(resource: InferenceWorkload, hardware: str) -> str:
    """The time that the plan counts on there, and who says so."""
    profile = profile_for(resource, hardware)
    if isinstance(profile, ObservedProfile):
        return f"; a request keeps a replica there for {profile.held} (observed)"
    return f"; a request takes {profile.service_time} there (measured)" if profile else ""


def _causes(framed: Framed, workload: int) -> str:
    """Why the workload may not use other places now."""
    refused = dict.fromkeys(entry.message for entry in framed.refusals_of(workload))
    return "; ".join(list(refused)[:MOST_CAUSES]) or "no other pool exists; apply one"


def _second_reason(framed: Framed, result: Tally, pair: Pair, first: int, share: Mapping[Pair, float]) -> Reason:
    """Why replicas are not at `first`, the cheapest place for the workload alone."""
    workload, at = pair
    resource = framed.workloads[workload].resource
    if resource.spec.placement.spread > 1 and framed.places[first].region != framed.places[at].region:
        return Reason.SPREAD_REQUIRED
    if (workload, first) in share and not rates(resource):
        return Reason.MIN_REPLICAS
    if result.units[first] >= framed.places[first].units or (workload, first) in share:
        return Reason.CHEAPER_PLACE_FULL
    return Reason.CHEAPEST_PLACE


def _percentile(framed: Framed, result: Tally, workload: int, share: Mapping[Pair, float]) -> float:
    """Seconds at the workload's own percentile over all callers and places; 0 where nothing is asked."""
    resource = framed.workloads[workload].resource
    rate, latency = rates(resource), resource.spec.latency
    if not rate or latency is None or not share:
        return 0.0
    total = sum(rate.values())
    parts: list[tuple[float, Path, int, float]] = []
    for pair, part in share.items():
        place = framed.places[pair[1]]
        profile = profile_for(resource, place.hardware)
        replicas = _replicas(framed, result, pair)
        if profile is None or replicas == 0:
            continue
        busy = part * total * service_of(profile).busy[0] / (replicas * place.availability)
        served = {caller: asked for caller, asked in rate.items() if caller in _callers(framed, pair)} or rate
        for caller, asked in served.items():
            way = path(resource, place, caller, framed.regions, framed.economics)
            parts.append((part * asked / sum(served.values()), way, replicas, min(busy, 0.98)))
    whole = sum(weight for weight, *_ in parts)
    scaled = [(weight / whole, way, servers, busy) for weight, way, servers, busy in parts]
    return percentile_of(scaled, latency.percentile, latency.target.seconds)


def _callers(framed: Framed, pair: Pair) -> frozenset[str]:
    return frozenset[str]().union(*(framed.ways[index].callers for index in framed.pairs[pair]))


_LACKS: Final = {
    Kind.SPREAD: Reason.NOT_ENOUGH_PLACES,
    Kind.APART: Reason.NOT_ENOUGH_PLACES,
    Kind.DEPARTURES: Reason.NOT_ENOUGH_SPARE,
}


def _shortfalls(framed: Framed, result: Tally, packed: Packed, index: int) -> tuple[Shortfall, ...]:
    found = []
    dropped = any(workload == index and count for (workload, _), count in packed.left.items())
    for want, missing in zip(framed.workloads[index].wants, result.short[index], strict=True):
        if missing <= 0.0:
            continue
        reason = Reason.NOT_PACKED if dropped else _LACKS.get(want.kind, Reason.NOT_ENOUGH_CAPACITY)
        unit = "requests/s" if want.kind.in_requests else "replicas"
        message = reason.say(short=f"{missing:g}", quantity=f"{want.quantity:g} {unit}")
        found.append(Shortfall(want.id, want.quantity, missing, reason, message))
    return tuple(found)
