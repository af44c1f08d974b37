"""Region: where things are, what energy costs and emits there, and how far it is to other regions."""

from typing import Annotated, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Definition,
    EnergyPrice,
    Listed,
    Part,
    Resource,
    Series,
    StatusPart,
    condition_column,
)
from parkade.api.rules import Rule, cel_exactly_one, cel_is_duration
from parkade.api.values import Amount, Jurisdiction, Name, PositiveDuration


class CarbonIntensity(Part):
    """What a kilowatt-hour emits: one number, or a series."""

    grams_per_kwh: Annotated[int, Field(ge=0, le=5000)] | None = None
    """g CO2 per kWh of one more kilowatt-hour (marginal, not average)."""
    series: Series | None = None
    """g CO2 per kWh by hour."""

    rules = (
        Rule(
            "set exactly one of gramsPerKWh and series; remove the other",
            cel_exactly_one("gramsPerKWh", "series"),
            lambda it: (it.grams_per_kwh is None) != (it.series is None),
        ),
    )


class CarbonPrice(Part):
    """What emitting costs in the objective."""

    per_tonne: Amount = Amount("0")
    """$ per tonne of CO2."""


class RoundTrip(Part):
    """Network round trip to another region."""

    to: Name
    """The other region; within one region 8ms/15ms is assumed unless it names itself here."""
    p50: PositiveDuration
    """Median."""
    p99: PositiveDuration
    """99th percentile."""

    rules = (
        Rule(
            "must be at least p50; swap them or measure again",
            f"!({cel_is_duration('self.p50', 'self.p99')}) || duration(self.p99) >= duration(self.p50)",
            lambda trip: trip.p99.seconds >= trip.p50.seconds,
            field="p99",
        ),
    )


class RegionSpec(Part):
    """What is known of the region."""

    jurisdiction: Jurisdiction
    """Whose law holds there."""
    grid_zone: Annotated[str, Field(max_length=63)] = ""
    """The grid operator's zone, as price and carbon data name it."""
    energy_price: EnergyPrice
    """What a kilowatt-hour costs there; a pool may set its own."""
    carbon_intensity: CarbonIntensity = CarbonIntensity(grams_per_kwh=0)
    """What a kilowatt-hour emits; 0 by default, and then carbon is neither counted nor priced."""
    carbon_price: CarbonPrice = CarbonPrice()
    """What emitting costs in the objective; nothing by default."""
    latency: Annotated[tuple[RoundTrip, ...], Listed(most=64, keys=("to",))] = ()
    """Round trips to other regions; one direction is enough."""


class RegionStatus(StatusPart):
    """What the operator found."""

    conditions: Conditions = ()
    """Ready (its series have a value for now), FieldsHonoured; each with a reason and a sentence."""


class Region(Resource):
    """A place on the grid and on the network; cluster-scoped."""

    definition = Definition(
        plural="regions",
        short="rg",
        columns=(
            Column("Jurisdiction", ".spec.jurisdiction"),
            Column("Zone", ".spec.gridZone"),
            Column("$/kWh", ".spec.energyPrice.perKWh"),
            Column("g/kWh", ".spec.carbonIntensity.gramsPerKWh", "integer"),
            Column("$/t", ".spec.carbonPrice.perTonne"),
            condition_column("Ready", wide=True),
            condition_column("FieldsHonoured", wide=True),
            AGE,
        ),
    )

    kind: Literal["Region"] = "Region"
    spec: RegionSpec
    status: RegionStatus = RegionStatus()
