"""The year 2020 in California, hour by hour: day-ahead price and marginal carbon (sources in NOTICE)."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class GridHours:
    """8,784 consecutive hours of one grid zone."""

    hour_ending: NDArray[np.datetime64]
    """Wall clock of the zone in standard time (UTC-8) all year, as the price's source has it; [h] ends an hour."""
    price: NDArray[np.float64]
    """$/kWh, day-ahead; negative in some hours."""
    carbon: NDArray[np.float64]
    """kg CO2 for one kWh more, the mean of the hour."""


@lru_cache(maxsize=1)
def caiso_2020() -> GridHours:
    """Read the hours that the package ships; the arrays are read-only."""
    text = files("parkade.simulate").joinpath("data/caiso-2020.csv").read_text(encoding="ascii")
    rows = np.array([line.split(",") for line in text.splitlines()[1:]])
    hours = GridHours(rows[:, 0].astype("datetime64[m]"), rows[:, 1].astype(float), rows[:, 2].astype(float))
    for array in (hours.hour_ending, hours.price, hours.carbon):
        array.setflags(write=False)
    return hours
