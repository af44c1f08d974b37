"""Power, and what a kilowatt-hour of it costs in money and carbon."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from parkade.api import Region, TritonPool, VehicleNodePool
from parkade.api.base import Series
from parkade.problem.costs import CostSplit, Running
from parkade.units import GRAMS_PER_TONNE

SeriesTexts = Mapping[tuple[str, str], str]
"""CSV text by (ConfigMap, key)."""


@dataclass(frozen=True, slots=True)
class EnergyRate:
    """What one kilowatt-hour costs at a place and instant."""

    dollars: float
    """$ per kWh; may be negative."""
    grams: float
    """Marginal CO2 per kWh."""
    carbon_dollars: float
    """$ per kWh for that CO2."""

    def running(self, watts: float) -> Running:
        """Take `watts` for as long as it runs."""
        kilowatts = watts / 1000.0
        cost = CostSplit(energy=kilowatts * self.dollars, carbon=kilowatts * self.carbon_dollars)
        return Running(cost, watts, kilowatts * self.grams)


def energy_rate(region: Region, now: datetime, texts: SeriesTexts, pool: VehicleNodePool | TritonPool) -> EnergyRate:
    """Price and carbon of a pool's region; the pool may name what is paid at its plug or meter.

    A series without a value for `now` never takes places away: for a pool's price the region's is taken, for what the
    region says 0. `series_mistakes` tells of it.
    """
    own = pool.spec.energy_price
    dollars = _at(own.per_kwh.value if own.per_kwh else None, own.series, now, texts) if own else None
    if dollars is None:
        price = region.spec.energy_price
        dollars = _at(price.per_kwh.value if price.per_kwh else None, price.series, now, texts) or 0.0
    intensity = region.spec.carbon_intensity
    grams = _at(intensity.grams_per_kwh, intensity.series, now, texts) or 0.0
    return EnergyRate(dollars, grams, grams * region.spec.carbon_price.per_tonne.value / GRAMS_PER_TONNE)


def series_mistakes(owner: Region | VehicleNodePool | TritonPool, now: datetime, texts: SeriesTexts) -> Iterator[str]:
    """A sentence for each series that the object names and that has no value for `now`."""
    for field, series, instead in _series(owner):
        where = f"{owner.kind} {owner.key}: spec.{field}.series: "
        text = texts.get((series.config_map, series.key))
        if text is None:
            missing = f"ConfigMap {series.config_map} has no key {series.key}; create it or write a number"
            yield f"{where}{missing}; until then {instead} counts"
        elif series_value(text, now) is None:
            missing = f"{series.config_map}/{series.key} has no value for now; add one as a line time,value"
            yield f"{where}{missing}; until then {instead} counts"


def named_series(owner: Region | VehicleNodePool | TritonPool) -> Iterator[Series]:
    """Every series that the object names."""
    return (series for _, series, _ in _series(owner))


def _series(owner: Region | VehicleNodePool | TritonPool) -> Iterator[tuple[str, Series, str]]:
    """Field, series, and what counts without it."""
    price = owner.spec.energy_price
    if price is not None and price.series is not None:
        yield "energyPrice", price.series, "$ 0" if isinstance(owner, Region) else "the region's price"
    if isinstance(owner, Region) and owner.spec.carbon_intensity.series is not None:
        yield "carbonIntensity", owner.spec.carbon_intensity.series, "0 g"


def plug_watts(pool: VehicleNodePool, state: str) -> float:
    """Marginal power at the plug of one busy car, by what it would do without us.

    Asleep: waking it costs awakeWatts - asleepWatts besides the compute; Awake or Charging: the compute alone. All of
    it passes the charger (chargingPercent, plug to battery).
    """
    power = pool.spec.power
    waking = power.awake_watts - power.asleep_watts if state == "Asleep" else 0
    return (power.compute_watts + max(0, waking)) * 100.0 / power.charging_percent


def series_value(text: str, now: datetime) -> float | None:
    """The last value at or before `now` of CSV lines `time,value`; None when there is none.

    Times are ISO 8601 (UTC where no zone is written); lines that do not begin with a time, such as a header, are
    skipped. A value holds for as long as the next line has not begun.
    """
    times, values = _read_series(text)
    index = bisect_right(times, now)
    return values[index - 1] if index else None


@lru_cache(maxsize=64)
def _read_series(text: str) -> tuple[list[datetime], list[float]]:
    """Times, rising, and values; of equal times the last line counts."""
    rows: dict[datetime, float] = {}
    for line in text.splitlines():
        stamp, _, value = line.strip().partition(",")
        try:
            when = datetime.fromisoformat(stamp)
            number = float(value.split(",")[0])
        except ValueError:
            continue
        rows[when if when.tzinfo else when.replace(tzinfo=UTC)] = number
    times = sorted(rows)
    return times, [rows[when] for when in times]


def _at(number: float | None, series: Series | None, now: datetime, texts: SeriesTexts) -> float | None:
    if series is None:
        return number
    text = texts.get((series.config_map, series.key))
    return None if text is None else series_value(text, now)
