"""Class tables as the arcs of a problem: the last step of framing, done by the kernel (`kernels/framing`).

The tables hold all that is decided; what happens here is the same few formulas for every (workload, place) pair, and no
look at names. `arcs` has the same formulas for the few arcs that somebody asks about.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parkade.problem.arcs import LEAST_RISK, RISK_SHARE, Rows, Tables
from parkade.problem.arrays import Array, offsets_of
from parkade.problem.columns import Floats, Ints
from parkade.problem.covers import APART
from parkade.problem.departures import WARM_UP_SECONDS
from parkade.problem.latency import LARGEST_POOL, RATE_SAFETY
from parkade.problem.utilisation import POOLS
from parkade.solver import _kernel

SMALL_PAIRS: Final = 100_000
"""Of (workload, place). Arcs of larger problems have no ids, and their numbers are in single precision."""

LEAST_SHORT_COST: Final = 1e-3
"""$/h: where nothing costs anything, or nothing yields, a shortfall still has to be the worse choice."""

Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Arcs:
    """A arcs, sorted by workload and place: in time before late, kept before new, alone before further."""

    rows: Rows
    cost: Numbers
    """[A], $/h of one replica beyond its unit, with the penalty of late ones"""
    most: Array
    """[A], most replicas"""
    yields: Numbers
    """By arc, and cover of its workload"""
    watts: Numbers
    """[A], of one replica with its share of a unit"""
    megabits: Numbers
    """[A], per second over the vehicle's link; 0 for servers"""
    use_offsets: Array
    """[A + 1]"""
    use_resource: Array
    """By arc, and resource that it uses: index in the order of names"""
    use_amount: Numbers
    """The same: a share of a car, or of a server's resources"""
    short_cost: Floats
    """[C], $/h for each unit of a cover that is not met"""
    best_rate: Floats
    """[W], requests/s that the fastest replica may take"""
    alone_place: Array
    """By resource `apart/...`: its place"""
    alone_workload: Array
    """By resource `apart/...`: its workload, rising"""
    covers_offsets: Ints
    """[W + 1]"""

    @cached_property
    def yields_offsets(self) -> Array:
        """[A + 1], where each arc's yields begin."""
        return offsets_of(np.diff(self.covers_offsets)[self.rows.workload])

    @property
    def small(self) -> bool:
        """They are few enough to have ids, and numbers in double precision."""
        return self.cost.dtype == np.float64


def expand(tables: Tables, threads: int = 0) -> Arcs:
    """All arcs on which at least one replica is worth having; the same on any number of threads (0: one a core)."""
    pairs = len(tables.workloads.workloads) * len(tables.places.places)
    found = _kernel.expand(dict(_named(tables)), single=pairs > SMALL_PAIRS, threads=threads)
    rows = Rows(*(found.pop(field.name) for field in fields(Rows)))
    return Arcs(rows=rows, covers_offsets=tables.covers.offsets, **found)


def _named(tables: Tables) -> Iterator[tuple[str, Any]]:
    """The tables as the kernel knows them."""
    for prefix, columns, names in (
        ("workloads", tables.workloads, "demand batch memory of_profile seconds joules server_rate size"),
        ("places", tables.places, "of_class of_region of_hardware class_region class_hardware class_availability"),
        ("places", tables.places, "car memory slots units unit_cost unit_watts dollars carbon_dollars pue"),
        ("places", tables.places, "dynamic_watts per_gb availability"),
        ("reached", tables.reached, "table row tail trip callers group mask late of_kind asked"),
        ("covers", tables.covers, "offsets kind argument quantity wants_apart"),
    ):
        for name in names.split():
            yield f"{prefix}.{name}", getattr(columns, name)
    for name in ("least", "priority", "request", "response"):
        yield f"workloads.{name}", getattr(tables.workloads, name).astype(np.float64)
    yield "reached.pools", np.array(POOLS, dtype=np.float64)
    yield "reached.trips", tables.reached.table.shape[1]
    for name in ("usable", "of_usable", "shocks", "alone"):
        yield name, getattr(tables, name)
    width = len(tables.places.places)
    kept = {pair: held for pair, held in tables.kept.items() if held[0] > 0}
    yield from _sparse("kept", ("replicas", "units"), kept, width)
    limits = {pair: (limit,) for pair, limit in tables.most_new.items()}
    yield from _sparse("most_new", ("replicas",), limits, width)
    yield from _constants(tables).items()


def _sparse(
    prefix: str, names: tuple[str, ...], entries: Mapping[tuple[int, int], tuple[int, ...]], width: int
) -> Iterator[tuple[str, Ints]]:
    order = sorted(entries)
    yield f"{prefix}.pair", np.array([w * width + k for w, k in order], dtype=np.int64)
    for at, name in enumerate(names):
        yield f"{prefix}.{name}", np.array([entries[pair][at] for pair in order], dtype=np.int64)


def _constants(tables: Tables) -> dict[str, float]:
    economics = tables.economics
    return {
        "late_utilisation": economics.late_utilisation,
        "burst_factor": economics.burst_factor,
        "egress_per_gb": economics.egress_per_gb,
        "stay_hours": economics.new_replica_stay_hours,
        "late_cost_factor": economics.late_cost_factor,
        "short_cost_factor": economics.short_cost_factor,
        "structure_cost_factor": economics.structure_cost_factor,
        "least_short_cost": LEAST_SHORT_COST,
        "rate_safety": RATE_SAFETY,
        "largest_pool": LARGEST_POOL,
        "warm_up": WARM_UP_SECONDS,
        "risk_share": RISK_SHARE,
        "least_risk": LEAST_RISK,
        "apart": APART,
    }
