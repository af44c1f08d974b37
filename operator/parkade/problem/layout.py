"""Tables and arcs laid out as the problem's arrays, with the ids by which people know them."""

from collections.abc import Iterator, Sequence

import numpy as np

from parkade.problem.arcs import Tables, capacity
from parkade.problem.arrays import Array, ProblemArrays, offsets_of
from parkade.problem.expansion import Arcs
from parkade.problem.limits import LimitRow, terms
from parkade.problem.ways import apart_resource


def lay_out(tables: Tables, arcs: Arcs, limits: Sequence[LimitRow]) -> ProblemArrays:
    """The problem to solve; the same tables give the same bytes."""
    places, covers, rows = tables.places.places, tables.covers, arcs.rows
    apart = _apart_resources(tables, arcs)
    steps = [step for place in places for step in place.steps]
    capacities = [sorted(capacity(place, own).items()) for place, own in zip(places, apart, strict=True)]
    offsets, limited, coefficients = terms(limits)
    return ProblemArrays(
        demands_covers_offsets=covers.offsets,
        demands_covers_quantity=covers.quantity,
        demands_covers_short_cost=arcs.short_cost,
        supplies_steps_offsets=offsets_of([len(place.steps) for place in places]),
        supplies_steps_count=np.array([step.count for step in steps], dtype=np.int64),
        supplies_steps_cost=np.array([step.running.cost.total for step in steps], dtype=np.float64),
        supplies_capacity_offsets=offsets_of([len(row) for row in capacities]),
        supplies_capacity_name=_text(name for row in capacities for name, _ in row),
        supplies_capacity_amount=np.array([have for row in capacities for _, have in row], dtype=np.float64),
        arcs_demand=rows.workload,
        arcs_supply=rows.place,
        arcs_cost=arcs.cost,
        arcs_max=arcs.most,
        arcs_yields=arcs.yields,
        arcs_use_offsets=arcs.use_offsets,
        arcs_use_resource=arcs.use_resource,
        arcs_use_amount=arcs.use_amount,
        limits_bound=np.array([limit.bound for limit in limits], dtype=np.float64),
        limits_terms_offsets=offsets,
        limits_terms_arc=limited.astype(np.uint32),
        limits_terms_coefficient=coefficients.astype(arcs.cost.dtype),
        demands_id=_text(workload.key for workload in tables.workloads.workloads),
        demands_covers_id=_text(want.id for row in covers.wants for want in row),
        supplies_id=_text(place.id for place in places),
        arcs_id=_text(_arc_ids(tables, arcs)) if arcs.small else None,
        limits_id=_text(limit.id for limit in limits),
    )


def _apart_resources(tables: Tables, arcs: Arcs) -> list[list[str]]:
    """Names of each place's `apart/...` resources."""
    names: list[list[str]] = [[] for _ in tables.places.places]
    for place, workload in zip(arcs.alone_place.tolist(), arcs.alone_workload.tolist(), strict=True):
        names[place].append(apart_resource(tables.workloads.workloads[workload].key))
    return names


def _arc_ids(tables: Tables, arcs: Arcs) -> Iterator[str]:
    for w, k, late, kept, apart in zip(*(column.tolist() for column in arcs.rows.columns()), strict=True):
        words = ["kept" if kept else "new", *([] if apart else ["further"]), *(["late"] if late else [])]
        yield f"{tables.workloads.workloads[w].key}@{tables.places.places[k].id}/{'/'.join(words)}"


def _text(words: Iterator[str]) -> Array:
    found = list(words)
    return np.array(found, dtype=np.str_) if found else np.zeros(0, dtype=np.dtype("<U1"))
