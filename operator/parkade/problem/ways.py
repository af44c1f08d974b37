"""Arcs in names, made only for those that somebody asks about: a plan looks at a handful of millions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from parkade.problem.arcs import COMPUTE, INSTANCES, MEMORY, UNIT, Tables, costs, loads, takes_alone
from parkade.problem.columns import Ints
from parkade.problem.costs import CostSplit, Running
from parkade.problem.expansion import Arcs
from parkade.problem.reach import callers_of
from parkade.problem.supply import Place
from parkade.units import BYTES_PER_GB

AT_ONCE = 512
"""Neighbours that are made together with an arc that was not asked for before."""


@dataclass(frozen=True, slots=True)
class Way:
    """One arc of the problem in names."""

    workload: int
    """Index into the framed workloads."""
    place: int
    """Index into the framed places."""
    kept: bool
    """These replicas run already."""
    apart: bool
    """Alone on its car, or the first on its server."""
    late: bool
    """It serves callers that no place answers in time."""
    running: Running
    """Of one replica beyond the units it uses."""
    penalty: float
    """$/h for being late; not money that anybody pays."""
    load: float
    """Requests/s expected of one replica."""
    rate: float
    """Requests/s that one replica may take."""
    callers: frozenset[str]
    yields: tuple[float, ...]
    use: tuple[tuple[str, float], ...]
    """Of one unit, by resource."""
    share: float
    """Of one unit's scarcest resource."""
    max: int

    @property
    def cost(self) -> float:
        """$/h of one replica in the objective, beyond the units it uses."""
        return self.running.cost.total + self.penalty

    def unit_cost(self, place: Place) -> float:
        """$/h of the dearest unit for one replica; a whole one where it stands alone."""
        alone = any(name.startswith("apart/") for name, _ in self.use)
        return place.steps[-1].running.cost.total * (1.0 if alone else self.share)


class Ways(Sequence[Way]):
    """All arcs by index."""

    def __init__(self, tables: Tables, arcs: Arcs) -> None:
        """Nothing is made yet."""
        self._tables, self._arcs = tables, arcs
        self._made: dict[int, Way] = {}

    def __len__(self) -> int:
        return len(self._arcs.rows)

    @overload
    def __getitem__(self, index: int) -> Way: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Way]: ...
    def __getitem__(self, index: int | slice) -> Way | Sequence[Way]:
        """Make what is asked for, and its neighbours."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        if at not in self._made:
            start = at - at % AT_ONCE
            self.fetch(np.arange(start, min(start + AT_ONCE, len(self))))
        return self._made[at]

    def fetch(self, chosen: Ints) -> None:
        """Make these arcs at once."""
        missing = np.array([at for at in chosen.tolist() if at not in self._made], dtype=np.int64)
        if len(missing):
            self._made |= zip(missing.tolist(), self._make(missing), strict=True)

    def _make(self, chosen: Ints) -> Iterator[Way]:
        tables, arcs = self._tables, self._arcs
        rows = arcs.rows.take(chosen)
        loaded = loads(tables, rows)
        spent, alone = costs(tables, rows, loaded), takes_alone(tables, rows)
        for at, index in enumerate(chosen.tolist()):
            w, k = int(rows.workload[at]), int(rows.place[at])
            split = CostSplit(
                energy=float(spent.energy[at]),
                carbon=float(spent.carbon[at]),
                network=float(spent.network[at]),
                move=float(spent.move[at]),
            )
            use = {UNIT: 1.0 / int(loaded.fits[at])}
            if not tables.places.car[k]:
                use = {
                    COMPUTE: float(loaded.compute[at]),
                    INSTANCES: 1.0,
                    MEMORY: int(tables.workloads.memory[w]) / BYTES_PER_GB,
                }
            if alone[at]:
                use[apart_resource(tables.workloads.workloads[w].key)] = 1.0
            yield Way(
                workload=w,
                place=k,
                kept=bool(rows.kept[at]),
                apart=bool(rows.apart[at]),
                late=bool(rows.late[at]),
                running=Running(split, float(spent.watts[at]), float(spent.grams[at])),
                penalty=float(arcs.cost[index] - spent.total[at]) if rows.late[at] else 0.0,
                load=float(loaded.carried[at]),
                rate=float(loaded.rate[at]),
                callers=callers_of(tables.reached.groups[tables.reached.of_kind[w]], int(loaded.mask[at])),
                yields=tuple(arcs.yields[arcs.yields_offsets[index] : arcs.yields_offsets[index + 1]].tolist()),
                use=tuple(sorted(use.items())),
                share=float(loaded.share[at]),
                max=int(arcs.most[index]),
            )


class Pairs(Mapping[tuple[int, int], range]):
    """Arc indices by (workload, place)."""

    def __init__(self, arcs: Arcs, places: int) -> None:
        """Arcs stand sorted by workload and place."""
        self._places = max(places, 1)
        self._keys = arcs.rows.workload.astype(np.int64) * self._places + arcs.rows.place
        self._starts = np.flatnonzero(np.diff(self._keys, prepend=-1))

    def __getitem__(self, pair: tuple[int, int]) -> range:
        key = pair[0] * self._places + pair[1]
        start, stop = np.searchsorted(self._keys, (key, key + 1)).tolist()
        if start == stop:
            raise KeyError(pair)
        return range(start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return (divmod(key, self._places) for key in self._keys[self._starts].tolist())

    def __len__(self) -> int:
        return len(self._starts)

    def of_workload(self, workload: int) -> range:
        """Arcs of one workload."""
        first, last = workload * self._places, (workload + 1) * self._places
        start, stop = np.searchsorted(self._keys, (first, last)).tolist()
        return range(start, stop)

    def places_of(self, workload: int) -> int:
        """Places that may run the workload."""
        own = self.of_workload(workload)
        return len(np.unique(self._keys[own.start : own.stop]))


def apart_resource(workload: str) -> str:
    """Name of the resource of which a server has one: the workload's first instance on it."""
    return f"apart/{workload}"
