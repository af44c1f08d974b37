"""The limits of an instance: kilowatts of each region's grid zone, and new replicas in a window."""

from typing import Final

import numpy as np

from parkade.problem.arrays import Array
from parkade.settings import Economics
from parkade.simulate.numbers import Flags, Floats, Ints, Random
from parkade.simulate.places import Places
from parkade.simulate.regions import Regions

_ZONE_SHARE: Final = (0.07, 0.5)
"""Of the power of all its cars and servers that a zone grants; some zones are tight at demand scale 1."""
_LEAST_CHURN: Final = 10


def limits_of(
    random: Random,
    regions: Regions,
    places: Places,
    arcs: tuple[Ints, Floats, Ints, Flags, Flags],
    missing: int,
) -> dict[str, Array]:
    """The limits' entries of the problem file.

    Args:
        random: for the zones' grants.
        regions: each has a zone.
        places: whose power it is.
        arcs: [A] each: place, share of a unit, most replicas, whether they run, whether any of its workload run.
        missing: replicas that running workloads lack; to start them is no churn.
    """
    place, share, most, kept, has_kept = arcs
    kilowatts = places.plug_watts / 1000.0
    zone = places.region[place]
    by_zone = np.argsort(zone.astype(np.uint8), kind="stable").astype(np.uint32)
    full = np.bincount(places.region, kilowatts * places.units, len(regions.names))
    grants = full * random.uniform(*_ZONE_SHARE, len(full))
    new = np.flatnonzero(has_kept & ~kept).astype(np.uint32)
    running = int(most[kept].sum())
    churn = max(_LEAST_CHURN, np.ceil(Economics().churn_percent / 100.0 * running)) + missing
    sizes = [*np.bincount(zone, minlength=len(full)), len(new)]
    power = (kilowatts[place] * share).astype(np.float32)[by_zone]
    return {
        "limits.id": np.array([*(f"power/{name}" for name in regions.names), "churn"]),
        "limits.bound": np.round([*grants, churn], 3),
        "limits.terms_offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint32),
        "limits.terms.arc": np.concatenate([by_zone, new]),
        "limits.terms.coefficient": np.concatenate([power, np.ones(len(new), np.float32)]),
    }


def no_limits() -> dict[str, Array]:
    """The limits' entries of a problem without any."""
    return {
        "limits.bound": np.zeros(0),
        "limits.terms_offsets": np.zeros(1, np.uint32),
        "limits.terms.arc": np.zeros(0, np.uint32),
        "limits.terms.coefficient": np.zeros(0, np.float32),
    }
