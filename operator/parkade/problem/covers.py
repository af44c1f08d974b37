"""What a workload wants, as covers: requests/s of its callers, replicas ready, servers apart, regions apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from parkade.api import InferenceWorkload
from parkade.problem.reach import Reach, rates
from parkade.problem.supply import Place

GROUPS: Final = 3
"""Of caller regions at most: 2^3 - 1 covers."""

APART: Final = 2
"""Cars or servers that hold a workload of two replicas or more, so that one failure leaves one."""

Kind = Literal["rate", "min-replicas", "apart", "spread"]


@dataclass(frozen=True, slots=True)
class Want:
    """One cover in names."""

    id: str
    kind: Kind
    quantity: float
    """Requests/s (rate, spread) or replicas (min-replicas, apart)."""
    callers: frozenset[str] = frozenset()
    """rate: whose requests."""
    region: str = ""
    """spread: the region whose loss is to be survived."""


def caller_groups(workload: InferenceWorkload, reached: Sequence[Reach]) -> dict[frozenset[str], frozenset[int]]:
    """Caller regions with the same places in time, and these places; at most `GROUPS`.

    Of more, the two that share most places are merged until three are left; together they count on what both reach.
    """
    groups: dict[frozenset[int], frozenset[str]] = {}
    for caller in rates(workload):
        places = frozenset(index for index, reach in enumerate(reached) if caller in reach.regions)
        groups[places] = groups.get(places, frozenset()) | {caller}
    found = {callers: places for places, callers in groups.items()}
    while len(found) > GROUPS:
        one, other = max(
            combinations(sorted(found, key=sorted), 2),
            key=lambda pair: len(found[pair[0]] & found[pair[1]]),
        )
        common = found.pop(one) & found.pop(other)
        found[one | other] = common
    return dict(sorted(found.items(), key=lambda entry: sorted(entry[0])))


def wants(
    workload: InferenceWorkload, places: Sequence[Place], groups: Mapping[frozenset[str], frozenset[int]]
) -> list[Want]:
    """All covers of the workload; `places` are those it may use.

    A rate cover for each non-empty set of groups says that what can reach them carries their sum, which is all that a
    router needs (Hall's condition).
    """
    rate, placement = rates(workload), workload.spec.placement
    total = sum(rate.values())
    found = []
    for size in range(1, len(groups) + 1):
        for chosen in combinations(groups, size):
            callers = frozenset[str]().union(*chosen)
            name = "rate/" + "+".join(sorted(callers))
            found.append(Want(name, "rate", sum(rate[caller] for caller in sorted(callers)), callers))
    if placement.min_replicas > 0:
        found.append(Want("min-replicas", "min-replicas", float(placement.min_replicas)))
    apart = min(APART, placement.min_replicas, sum(place.units for place in places))
    if apart > 1:
        found.append(Want("apart", "apart", float(apart)))
    if placement.spread > 1 and total > 0.0:
        outside = (1.0 - 1.0 / placement.spread) * total
        found.extend(
            Want(f"spread/{region}", "spread", outside, region=region)
            for region in sorted({place.region for place in places})
        )
    return found


def replica_yield(want: Want, place: Place, callers: frozenset[str], rate: float, *, apart: bool) -> float:
    """What one replica adds to a cover, saturated at its quantity.

    Args:
        want: the cover.
        place: where the replica runs.
        callers: regions whose requests it takes.
        rate: requests/s that it takes.
        apart: whether it is alone on its car, or the first on its server.
    """
    match want.kind:
        case "rate":
            return min(rate, want.quantity) if callers & want.callers else 0.0
        case "spread":
            return min(rate, want.quantity) if place.region != want.region else 0.0
        case "min-replicas":
            return 1.0
        case "apart":
            return 1.0 if apart else 0.0


def short_cost(
    want: Want, full_costs: Sequence[tuple[float, float]], priority: int, factors: tuple[float, float]
) -> float:
    """$/h for each unit of a cover that is not met: so dear that the dearest place is taken before.

    (1 + priority / 100) * factor * the dearest full cost for a unit of this cover; covers other than the rate cost the
    share `factors[1]` of that.

    Args:
        want: the cover.
        full_costs: (yield, $/h of a replica with the units it uses) of each arc.
        priority: of the workload.
        factors: `Economics.short_cost_factor` and `Economics.structure_cost_factor`.
    """
    dearest = max((cost / yielded for yielded, cost in full_costs if yielded > 0.0), default=0.0)
    factor = factors[0] * (1.0 if want.kind == "rate" else factors[1])
    # Where nothing costs anything, or nothing yields, a shortfall still has to be the worse choice.
    return max((1.0 + priority / 100.0) * factor * dearest, 1e-3)
