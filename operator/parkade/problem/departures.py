"""How many cars may leave at once: the share that must be spared until others are warm.

Cars of one region leave together: at the same hour, in the same weather. The share that leaves while a replacement gets
warm is taken from the one-factor model of Vasicek (The distribution of loan portfolio value, Risk 15, 2002): each car
leaves when a common normal factor of correlation r and one of its own fall below a threshold. Of many cars that leave
with probability p each, the share is at most

    Phi((Phi^-1(p) + sqrt(r) Phi^-1(1 - epsilon)) / sqrt(1 - r))    in all but epsilon of the moments.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from parkade.problem.columns import Floats
from parkade.problem.supply import Place
from parkade.settings import Economics
from parkade.units import SECONDS_PER_HOUR

WARM_UP_SECONDS: Final = 60.0
"""A new replica takes its unit this long before it answers: download, load, probe."""

_NORMAL: Final = NormalDist()


def shock(departures_per_hour: float, seconds: float, economics: Economics) -> float:
    """Share of alike cars that leaves within `seconds`, exceeded in `departure_quantile` of the moments.

    Args:
        departures_per_hour: of one car, as reported now (so the hour is in it), else as expected.
        seconds: until a replacement is warm.
        economics: epsilon and the correlation r.
    """
    leaving = -math.expm1(-departures_per_hour * seconds / SECONDS_PER_HOUR)
    if leaving <= 0.0 or leaving >= 1.0 or economics.departure_quantile >= 1.0:
        return 1.0 if leaving >= 1.0 else 0.0
    together = economics.departure_correlation
    common = math.sqrt(together) * _NORMAL.inv_cdf(1.0 - economics.departure_quantile)
    return _NORMAL.cdf((_NORMAL.inv_cdf(leaving) + common) / math.sqrt(1.0 - together))


def shocks(places: Sequence[Place], regions: Sequence[str], economics: Economics) -> Floats:
    """[R], by region: mean departures and mean time to a replacement over its cars; 0 without cars."""
    found = np.zeros(len(regions))
    for index, region in enumerate(regions):
        cars = [place for place in places if place.tier == "Vehicle" and place.region == region]
        units = sum(place.units for place in cars)
        if units > 0:
            rate = sum(place.departures_per_hour * place.units for place in cars) / units
            seconds = sum(place.keep_seconds * place.units for place in cars) / units + WARM_UP_SECONDS
            found[index] = shock(rate, seconds, economics)
    return found
