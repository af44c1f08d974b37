"""A small problem as arrays, and arrays as the objects of the JSON file: the same numbers in both."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from parkade.errors import InvalidProblem
from parkade.problem.arrays import Array, ProblemArrays, offsets_of
from parkade.problem.format import Arc, Cover, Demand, Limit, Problem, Step, Supply


def flatten(problem: Problem) -> ProblemArrays:
    """The problem as arrays, numbers in double precision.

    Raises:
        InvalidProblem: an index is out of range, an arc has other yields than its demand has covers, or it uses a
            resource that its supply does not have.
    """
    demands, supplies, arcs, limits = problem.demands, problem.supplies, problem.arcs, problem.limits
    covers = [cover for demand in demands for cover in demand.covers]
    steps = [step for supply in supplies for step in supply.steps]
    resources = [sorted(supply.capacity) for supply in supplies]
    uses = [_use(problem, resources, at) for at in range(len(arcs))]
    return ProblemArrays.from_mapping({
        "version": np.array(1),
        "demands.id": _text(demand.id for demand in demands),
        "demands.covers_offsets": offsets_of([len(demand.covers) for demand in demands]),
        "demands.covers.id": _text(cover.id for cover in covers),
        "demands.covers.quantity": _numbers(cover.quantity for cover in covers),
        "demands.covers.short_cost": _numbers(cover.short_cost for cover in covers),
        "supplies.id": _text(supply.id for supply in supplies),
        "supplies.steps_offsets": offsets_of([len(supply.steps) for supply in supplies]),
        "supplies.steps.count": _whole("supplies.steps.count", (step.count for step in steps)),
        "supplies.steps.cost": _numbers(step.cost for step in steps),
        "supplies.capacity_offsets": offsets_of([len(names) for names in resources]),
        "supplies.capacity.name": _text(name for names in resources for name in names),
        "supplies.capacity.amount": _numbers(
            supply.capacity[name] for supply, names in zip(supplies, resources, strict=True) for name in names
        ),
        "arcs.id": _text(arc.id for arc in arcs),
        "arcs.demand": _whole("arcs.demand", (arc.demand for arc in arcs)),
        "arcs.supply": _whole("arcs.supply", (arc.supply for arc in arcs)),
        "arcs.cost": _numbers(arc.cost for arc in arcs),
        "arcs.max": _whole("arcs.max", (arc.max for arc in arcs)),
        "arcs.yields": _numbers(number for arc in arcs for number in arc.yields),
        "arcs.use_offsets": offsets_of([len(row) for row in uses]),
        "arcs.use.resource": _whole("arcs.use.resource", (index for row in uses for index, _ in row)),
        "arcs.use.amount": _numbers(amount for row in uses for _, amount in row),
        "limits.id": _text(limit.id for limit in limits),
        "limits.bound": _numbers(limit.bound for limit in limits),
        "limits.terms_offsets": offsets_of([len(limit.terms) for limit in limits]),
        "limits.terms.arc": _whole("limits.terms.arc", (arc for limit in limits for arc, _ in limit.terms)),
        "limits.terms.coefficient": _numbers(number for limit in limits for _, number in limit.terms),
    })  # fmt: skip


def unflatten(arrays: ProblemArrays) -> Problem:
    """The problem as the objects of the JSON file; ids that are missing become "0", "1", ..."""
    return Problem(_demands(arrays), _supplies(arrays), _arcs(arrays), _limits(arrays))


def _use(problem: Problem, resources: Sequence[Sequence[str]], at: int) -> list[tuple[int, float]]:
    """What an arc uses, by the index of the resource in its supply; the arc is checked on the way."""
    arc = problem.arcs[at]
    for end, index, count in (("demand", arc.demand, len(problem.demands)), ("supply", arc.supply, len(resources))):
        if not 0 <= index < count:
            raise InvalidProblem(f"arcs[{at}].{end} is {index}, but there are {count}, counted from 0")
    covers, names = len(problem.demands[arc.demand].covers), resources[arc.supply]
    if len(arc.yields) != covers:
        raise InvalidProblem(
            f"arcs[{at}].yields has {len(arc.yields)} numbers; demand {arc.demand} has {covers} covers"
        )
    unknown = sorted(set(arc.use) - set(names))
    if unknown:
        raise InvalidProblem(f"arcs[{at}].use.{unknown[0]} is no resource of supply {arc.supply}; remove or correct it")
    return sorted((names.index(name), amount) for name, amount in arc.use.items())


def _demands(arrays: ProblemArrays) -> tuple[Demand, ...]:
    offsets = arrays.demands_covers_offsets.tolist()
    quantity, short_cost = arrays.demands_covers_quantity.tolist(), arrays.demands_covers_short_cost.tolist()
    ids = _ids(arrays.demands_id, len(offsets) - 1)
    names = None if arrays.demands_covers_id is None else arrays.demands_covers_id.tolist()
    found = []
    for at, (first, end) in enumerate(pairwise(offsets)):
        own = names[first:end] if names is not None else [str(position) for position in range(end - first)]
        numbers = zip(own, quantity[first:end], short_cost[first:end], strict=True)
        found.append(Demand(ids[at], tuple(Cover(*cover) for cover in numbers)))
    return tuple(found)


def _supplies(arrays: ProblemArrays) -> tuple[Supply, ...]:
    steps, resources = arrays.supplies_steps_offsets.tolist(), arrays.supplies_capacity_offsets.tolist()
    merit = list(zip(arrays.supplies_steps_count.tolist(), arrays.supplies_steps_cost.tolist(), strict=True))
    capacity = list(zip(arrays.supplies_capacity_name.tolist(), arrays.supplies_capacity_amount.tolist(), strict=True))
    return tuple(
        Supply(
            name,
            tuple(Step(*step) for step in merit[steps[at] : steps[at + 1]]),
            dict(capacity[resources[at] : resources[at + 1]]),
        )
        for at, name in enumerate(_ids(arrays.supplies_id, len(steps) - 1))
    )


def _arcs(arrays: ProblemArrays) -> tuple[Arc, ...]:
    yields, uses = arrays.yields_offsets.tolist(), arrays.arcs_use_offsets.tolist()
    numbers, amounts = arrays.arcs_yields.tolist(), arrays.arcs_use_amount.tolist()
    names = arrays.supplies_capacity_name.tolist()
    firsts = arrays.supplies_capacity_offsets.tolist()
    indices = arrays.arcs_use_resource.tolist()
    rows = zip(
        _ids(arrays.arcs_id, len(arrays.arcs_demand)),
        arrays.arcs_demand.tolist(),
        arrays.arcs_supply.tolist(),
        arrays.arcs_cost.tolist(),
        arrays.arcs_max.tolist(),
        strict=True,
    )
    found = []
    for at, (name, demand, supply, cost, most) in enumerate(rows):
        used = range(uses[at], uses[at + 1])
        use = {names[firsts[supply] + indices[entry]]: amounts[entry] for entry in used}
        found.append(Arc(name, demand, supply, tuple(numbers[yields[at] : yields[at + 1]]), cost, use, most))
    return tuple(found)


def _limits(arrays: ProblemArrays) -> tuple[Limit, ...]:
    offsets, bounds = arrays.limits_terms_offsets.tolist(), arrays.limits_bound.tolist()
    terms = list(zip(arrays.limits_terms_arc.tolist(), arrays.limits_terms_coefficient.tolist(), strict=True))
    return tuple(
        Limit(name, bounds[at], tuple(terms[offsets[at] : offsets[at + 1]]))
        for at, name in enumerate(_ids(arrays.limits_id, len(bounds)))
    )


def _ids(ids: Array | None, count: int) -> list[str]:
    return [str(at) for at in range(count)] if ids is None else ids.tolist()


def _text(values: Iterable[str]) -> Array:
    return np.array(list(values), dtype=np.str_)


def _numbers(values: Iterable[float]) -> Array:
    return np.array(list(values), dtype=np.float64)


def _whole(name: str, values: Iterable[int]) -> Array:
    try:
        return np.array(list(values), dtype=np.int64)
    except OverflowError:
        raise InvalidProblem(f"{name} has a number beyond 64 bits; whole numbers go to 10^9") from None
