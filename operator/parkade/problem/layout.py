"""Tables and arcs laid out as the problem's arrays, with the ids by which people know them."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from parkade.problem.arcs import COMPUTE, INSTANCES, MEMORY, UNIT, Tables, capacity, takes_alone
from parkade.problem.arrays import Array, ProblemArrays, offsets_of
from parkade.problem.columns import Ints
from parkade.problem.expansion import Arcs, uses
from parkade.problem.limits import LimitRow, terms
from parkade.problem.ways import apart_resource

NAMED_ARCS: Final = 100_000
"""Problems of more arcs leave out their ids, and carry the arcs' numbers in single precision."""

_OWN: Final = (COMPUTE, INSTANCES, MEMORY, UNIT)


def lay_out(tables: Tables, arcs: Arcs, limits: Sequence[LimitRow]) -> ProblemArrays:
    """The problem to solve; the same tables give the same bytes."""
    places, covers, rows = tables.places.places, tables.covers, arcs.rows
    small = len(rows) <= NAMED_ARCS
    number = np.float64 if small else np.float32
    apart, index_of = _apart_resources(tables, arcs)
    use_offsets, resource, amount = uses(tables, arcs, index_of, np.array([len(row) for row in apart], dtype=np.int64))
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
        arcs_demand=rows.workload.astype(np.uint32),
        arcs_supply=rows.place.astype(np.uint32),
        arcs_cost=arcs.cost.astype(number),
        arcs_max=arcs.most,
        arcs_yields=arcs.yields.astype(number),
        arcs_use_offsets=use_offsets,
        arcs_use_resource=resource.astype(np.uint8 if _fits_bytes(capacities) else np.uint32),
        arcs_use_amount=amount.astype(number),
        limits_bound=np.array([limit.bound for limit in limits], dtype=np.float64),
        limits_terms_offsets=offsets,
        limits_terms_arc=limited.astype(np.uint32),
        limits_terms_coefficient=coefficients.astype(number),
        demands_id=_text(workload.key for workload in tables.workloads.workloads),
        demands_covers_id=_text(want.id for row in covers.wants for want in row),
        supplies_id=_text(place.id for place in places),
        arcs_id=_text(_arc_ids(tables, arcs)) if small else None,
        limits_id=_text(limit.id for limit in limits),
    )


def _fits_bytes(capacities: Sequence[Sequence[object]]) -> bool:
    return max((len(row) for row in capacities), default=0) <= np.iinfo(np.uint8).max + 1


def _apart_resources(tables: Tables, arcs: Arcs) -> tuple[list[tuple[str, ...]], Ints]:
    """Names of each place's `apart/...` resources, and the index of each arc's own, where it takes one."""
    names: list[tuple[str, ...]] = [()] * len(tables.places.places)
    index_of = np.zeros(len(arcs.rows), dtype=np.int64)
    taking = np.flatnonzero(takes_alone(tables, arcs.rows))
    for place in np.unique(arcs.rows.place[taking]).tolist():
        here = taking[arcs.rows.place[taking] == place]
        workloads, index_of[here] = np.unique(arcs.rows.workload[here], return_inverse=True)
        names[place] = tuple(apart_resource(tables.workloads.workloads[index].key) for index in workloads.tolist())
    return names, index_of


def _arc_ids(tables: Tables, arcs: Arcs) -> Iterator[str]:
    for w, k, late, kept, apart in zip(*(column.tolist() for column in arcs.rows.columns()), strict=True):
        words = ["kept" if kept else "new", *([] if apart else ["further"]), *(["late"] if late else [])]
        yield f"{tables.workloads.workloads[w].key}@{tables.places.places[k].id}/{'/'.join(words)}"


def _text(words: Iterator[str]) -> Array:
    found = list(words)
    return np.array(found, dtype=np.str_) if found else np.zeros(0, dtype=np.dtype("<U1"))
