"""Ways to run workloads at places: what one replica serves, takes and costs, part by part.

An arc is kept (replicas that run already) or new, alone on its server or further (a second instance on the same one),
in time or late. Every formula takes and gives arrays with one entry an arc: for those that somebody asks about. The
kernel makes all of them by the same formulas (`expansion`), which the tests compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parkade.problem.columns import Bools, Floats, Ints, PlaceColumns, WorkloadColumns
from parkade.problem.covers import CoverColumns
from parkade.problem.departures import WARM_UP_SECONDS
from parkade.problem.latency import RATE_SAFETY
from parkade.problem.reach import Reach
from parkade.problem.supply import Place
from parkade.settings import Economics
from parkade.units import BYTES_PER_GB, SECONDS_PER_HOUR

Indices = NDArray[np.integer[Any]]

RISK_SHARE: Final = 0.02
"""Of the unit's cost for the chance that a start fails and is made again."""

LEAST_RISK: Final = 0.001
"""$/h: also where units cost nothing a start is not free, or equally cheap plans would take turns."""

COMPUTE, INSTANCES, MEMORY, UNIT = "compute", "instances", "memory", "unit"

OWN: Final = (COMPUTE, INSTANCES, MEMORY)
"""Resources of a server; after the `apart/...` ones in the order of names."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """All that the arcs of a problem follow from: W workloads, K places in P classes, U rows of places."""

    workloads: WorkloadColumns
    places: PlaceColumns
    reached: Reach
    covers: CoverColumns
    usable: Bools
    """[U, K], places that a workload may use"""
    of_usable: Ints
    """[W], row of `usable`"""
    shocks: Floats
    """[R], by region, share of its cars that may leave at once"""
    kept: Mapping[tuple[int, int], tuple[int, int]]
    """Replicas that run and servers that hold them, by (workload, place)."""
    most_new: Mapping[tuple[int, int], int]
    """Most replicas that may be started, by (workload, place), where there is such a limit: none while the file is not
    in the store (what runs may stay), as many as disturb nobody where the model was rejected before."""
    alone: Bools
    """[K], servers have a resource `apart/...` for each workload, which its first instance on a server takes"""
    economics: Economics


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n arcs by what tells them apart."""

    workload: Indices
    place: Indices
    late: Bools
    """They serve callers that no place answers in time."""
    kept: Bools
    apart: Bools
    """Alone on its car, or the first on its server."""

    def __len__(self) -> int:
        return len(self.workload)

    def take(self, chosen: Ints | Bools | slice) -> "Rows":
        """Some of them."""
        workload, place = self.workload[chosen].astype(np.int64), self.place[chosen].astype(np.int64)
        return Rows(workload, place, self.late[chosen], self.kept[chosen], self.apart[chosen])

    def columns(self) -> tuple[Indices, Indices, Bools, Bools, Bools]:
        """The five columns in the order of the fields."""
        return self.workload, self.place, self.late, self.kept, self.apart


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """What replicas take and serve."""

    mask: Ints
    """[n], caller groups"""
    rate: Floats
    """[n], requests/s that one replica may take"""
    burst: Floats
    """[n], requests/s that it takes for the minutes until others are warm"""
    carried: Floats
    """[n], requests/s expected of it"""
    fits: Ints
    """[n], replicas that one unit holds"""
    compute: Floats
    """[n], share of a server's compute; 0 for cars"""
    share: Floats
    """[n], of the unit's scarcest resource"""


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Of one replica beyond the unit it uses, $/h."""

    energy: Floats
    carbon: Floats
    network: Floats
    move: Floats
    watts: Floats
    """At the datacenter's meter."""
    grams: Floats
    """CO2 per hour."""

    @property
    def total(self) -> Floats:
        """$/h."""
        return self.energy + self.carbon + self.network + self.move


def loads(tables: Tables, rows: Rows) -> Loads:
    """Rates from rho*, and shares of a unit.

    Rate of a replica = availability * rho* / (1.04 * service time); late ones at `late_utilisation`. It is expected to
    carry its rate, or its part of the demand once minReplicas run. Instances share a server's compute, so that is
    counted by `maxRatePerServer`; without one, by 1 / serviceTime.
    """
    workloads, places, economics = tables.workloads, tables.places, tables.economics
    w, k = rows.workload, rows.place
    kind, profile = places.of_hardware[k], workloads.of_profile[w]
    seconds, batch = workloads.seconds[profile, kind], workloads.batch[w]
    at_full = places.availability[k] / (np.where(batch, 1.0, RATE_SAFETY) * seconds)
    late_rate = economics.late_utilisation * at_full
    of_class = places.of_class[k]
    reached, alike = tables.reached, tables.reached.of_kind[w]
    rate = np.where(rows.late, late_rate, _utilisation(tables, w, of_class) * at_full)
    mask = reached.mask[alike, of_class].astype(np.int64) | np.where(rows.late, reached.late[alike], 0)
    served = reached.asked[w, mask]
    carried = np.minimum(rate, served / np.maximum(workloads.least[w], 1))
    fits = np.minimum(places.slots[k], places.memory[k] // workloads.memory[w])
    compute = np.where(places.car[k], 0.0, np.minimum(carried / workloads.server_rate[profile, kind], 1.0))
    pooled = np.maximum(compute, np.maximum(1.0 / places.slots[k], workloads.memory[w] / places.memory[k]))
    share = np.where(places.car[k], 1.0 / np.maximum(fits, 1), pooled)
    burst = np.maximum(rate, np.minimum(rate * economics.burst_factor, late_rate))
    return Loads(mask, rate, burst, carried, fits, compute, share)


def _utilisation(tables: Tables, w: Indices, of_class: Ints) -> Floats:
    """rho* by arc, looked up once for each (workload, place class)."""
    width = len(tables.places.classes)
    pairs, back = np.unique(w * width + of_class, return_inverse=True)
    found: Floats = tables.reached.utilisation(tables.workloads, tables.places, pairs // width, pairs % width)[back]
    return found


def costs(tables: Tables, rows: Rows, loaded: Loads) -> Costs:
    """Dynamic energy beyond the unit's step, bytes, and for new replicas the move.

    A busy car's step holds its whole computer, so requests add nothing to it. The datacenter pays egress for answers;
    a vehicle's link carries requests and answers.
    """
    workloads, places, economics = tables.workloads, tables.places, tables.economics
    w, k = rows.workload, rows.place
    profile, kind, car = workloads.of_profile[w], places.of_hardware[k], places.car[k]
    own = workloads.joules[profile, kind]
    joules = np.where(np.isnan(own), places.dynamic_watts[k] * workloads.seconds[profile, kind], own)
    watts = np.where(car, 0.0, joules * loaded.carried * places.pue[k])
    gigabytes = SECONDS_PER_HOUR * loaded.carried / BYTES_PER_GB
    both = (workloads.request[w] + workloads.response[w]) * places.per_gb[k]
    network = gigabytes * np.where(car, both, workloads.response[w] * economics.egress_per_gb)
    kilowatts = watts / 1000.0
    return Costs(
        energy=kilowatts * places.dollars[k],
        carbon=kilowatts * places.carbon_dollars[k],
        network=network,
        move=np.where(rows.kept, 0.0, _moves(tables, rows, loaded)),
        watts=watts,
        grams=kilowatts * places.grams[k],
    )


def _moves(tables: Tables, rows: Rows, loaded: Loads) -> Floats:
    """Cost of bringing one replica up, spread over its expected stay: bytes over the link, warm-up, risk."""
    places, w, k = tables.places, rows.workload, rows.place
    unit = np.abs(places.unit_cost[k]) / np.maximum(loaded.fits, 1)
    size = tables.workloads.size[w, places.of_hardware[k]]
    once = size / BYTES_PER_GB * places.per_gb[k] + unit * WARM_UP_SECONDS / SECONDS_PER_HOUR
    found: Floats = once / tables.economics.new_replica_stay_hours + np.maximum(LEAST_RISK, RISK_SHARE * unit)
    return found


def unit_costs(tables: Tables, rows: Rows, loaded: Loads) -> Floats:
    """$/h of the dearest unit for one replica: its largest share of any resource, except that it may stand alone."""
    alone = takes_alone(tables, rows)
    found: Floats = tables.places.unit_cost[rows.place] * np.where(alone, 1.0, loaded.share)
    return found


def takes_alone(tables: Tables, rows: Rows) -> Bools:
    """Whether the replica takes the resource `apart/...` of its server."""
    return rows.apart & tables.alone[rows.place] & tables.covers.wants_apart[rows.workload]


def capacity(place: Place, apart: Sequence[str] = ()) -> dict[str, float]:
    """What one unit of a place has of each resource; `apart` names the workloads' resources."""
    if place.tier == "Vehicle":
        return {UNIT: 1.0}
    own = {COMPUTE: 1.0, INSTANCES: float(place.slots), MEMORY: place.memory / BYTES_PER_GB}
    return own | dict.fromkeys(apart, 1.0)
