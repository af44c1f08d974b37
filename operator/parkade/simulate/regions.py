"""Twenty-five regions on a globe: who may use them, how far they are, what energy costs there in the hour drawn."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from parkade.simulate.grid import caiso_2020
from parkade.simulate.numbers import Floats, Ints, Random
from parkade.units import GRAMS_PER_TONNE

REGIONS: Final = (
    ("us-ca", "US", 37.8, -122.4, 13.0), ("us-tx", "US", 30.3, -97.7, 9.0), ("eu-de", "EU", 50.1, 8.7, 8.0),
    ("us-ny", "US", 40.7, -74.0, 7.0), ("eu-nl", "EU", 52.4, 4.9, 4.0), ("us-fl", "US", 25.8, -80.2, 6.0),
    ("eu-fr", "EU", 48.9, 2.4, 6.0), ("us-il", "US", 41.9, -87.6, 4.0), ("uk-ldn", "UK", 51.5, -0.1, 6.0),
    ("us-wa", "US", 47.6, -122.3, 4.0), ("no-osl", "NO", 59.9, 10.8, 4.0), ("us-va", "US", 38.8, -77.0, 4.0),
    ("ca-on", "CA", 43.7, -79.4, 4.0), ("us-ga", "US", 33.7, -84.4, 3.0), ("eu-se", "EU", 59.3, 18.1, 3.0),
    ("us-az", "US", 33.4, -112.1, 3.0), ("au-nsw", "AU", -33.9, 151.2, 4.0), ("us-co", "US", 39.7, -105.0, 2.5),
    ("eu-it", "EU", 45.5, 9.2, 2.5), ("jp-tyo", "JP", 35.7, 139.7, 3.0), ("us-ma", "US", 42.4, -71.1, 2.5),
    ("eu-es", "EU", 40.4, -3.7, 2.0), ("kr-seo", "KR", 37.6, 127.0, 3.0), ("ca-bc", "CA", 49.3, -123.1, 2.0),
    ("us-nc", "US", 35.2, -80.8, 2.5),
)  # fmt: skip
"""Name, jurisdiction, latitude and longitude in degrees, weight of its cars and callers."""

JURISDICTIONS: Final = tuple(sorted({jurisdiction for _, jurisdiction, *_ in REGIONS}))

CARBON_PRICE_PER_TONNE: Final = 80.0
NEGATIVE_SHARE: Final = 0.12
"""Of regions whose hour has a negative price; real-time prices of 2019 fell to -0.229 $/kWh, day-ahead ones hardly."""

_EARTH_KM: Final = 6371.0
_SECONDS_PER_KM: Final = 0.015e-3
"""Of a round trip: light in fibre takes 0.01 ms/km both ways, and cables make a detour of half."""
_WITHIN: Final = (0.008, 0.015)
"""p50 and p99 of a round trip within a region, seconds; `Economics.region_round_trip`."""
_TAIL: Final = 1.6
"""p99 over p50 between regions."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The first R of `REGIONS`, in one hour."""

    names: tuple[str, ...]
    jurisdiction: Ints
    """[R], index into `JURISDICTIONS`."""
    weight: Floats
    """[R], share of cars and callers; sums to 1."""
    p50: Floats
    """[R, R], round trip in seconds."""
    p99: Floats
    """[R, R], round trip in seconds."""
    wholesale: Floats
    """[R], $/kWh."""
    carbon: Floats
    """[R], $/kWh for the marginal carbon."""
    retail: Floats
    """[R], $/kWh, what owners with a flat tariff pay at the plug."""
    cellular: Floats
    """[R], $/GB."""


def draw_regions(random: Random, count: int) -> Regions:
    """The first `count` regions, each in an hour of its own of the real year."""
    table = REGIONS[:count]
    weight = np.array([weight for *_, weight in table])
    p50, p99 = _round_trips(np.radians([place[2:4] for place in table]))
    hours = caiso_2020()
    hour = random.integers(len(hours.price), size=count)
    negative = -random.uniform(0.06, 0.2, count)
    below_zero = random.random(count) < NEGATIVE_SHARE
    below_zero[1] |= count > 2 and not below_zero.any()
    return Regions(
        names=tuple(name for name, *_ in table),
        jurisdiction=np.array([JURISDICTIONS.index(place[1]) for place in table]),
        weight=weight / weight.sum(),
        p50=p50,
        p99=p99,
        wholesale=np.where(below_zero, negative, hours.price[hour]),
        carbon=hours.carbon[hour] * 1000.0 * CARBON_PRICE_PER_TONNE / GRAMS_PER_TONNE,
        retail=random.uniform(0.16, 0.38, count),
        cellular=random.uniform(0.2, 0.6, count),
    )


def _round_trips(place: Floats) -> tuple[Floats, Floats]:
    """p50 and p99 in seconds between places given as (latitude, longitude) in radians [R, 2]."""
    latitude, longitude = place[:, :1], place[:, 1:]
    near = np.sin((latitude - latitude.T) / 2.0) ** 2
    near += np.cos(latitude) * np.cos(latitude.T) * np.sin((longitude - longitude.T) / 2.0) ** 2
    kilometres = 2.0 * _EARTH_KM * np.arcsin(np.sqrt(np.minimum(near, 1.0)))
    p50 = _WITHIN[0] + _SECONDS_PER_KM * kilometres
    p99 = np.where(np.eye(len(place), dtype=bool), _WITHIN[1], _TAIL * p50)
    return p50, p99
