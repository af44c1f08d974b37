"""VehicleNodePool: parked cars alike, what their owners allow, and what a computed hour in them costs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Count,
    Definition,
    EnergyPrice,
    Entries,
    Link,
    LinkPrice,
    Listed,
    Part,
    Percent,
    Resource,
    StatusPart,
    Watts,
    condition_column,
)
from parkade.api.rules import Rule, Rules
from parkade.api.values import Amount, Duration, FrozenMap, Name, PositiveQuantity, Quantity, Text, matching

LINKS = ("Ethernet", "WiFi", "Starlink", "Cellular")
CELL_NAME_ROOM = 56
"""A cell is named <pool>-<shard> and its name is a label value of at most 63; a shard has up to six digits."""


class Fleet(Text):
    """A fleet's name; a token of NATS subjects, so without dots."""

    __slots__ = ()
    longest = 63
    rules: ClassVar[Rules] = (
        matching(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            "must be a fleet name of lower-case letters, digits and '-', such as owners-ca",
        ),
    )


class DailyHours(Text):
    """Hours of the day in the car's own time, such as `22:00-06:00`."""

    __slots__ = ()
    longest = 11
    rules: ClassVar[Rules] = (
        matching(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
            'must be two times of the day such as "22:00-06:00"',
        ),
    )


class Match(Part):
    """Which cars belong to the pool."""

    fleet: Fleet
    """Fleet in which the car's credentials were signed."""
    hardware: Name
    """Hardware name that the car reports."""


class ExpectedFleet(Part):
    """What to expect of the cars, percent, for planning without a cluster."""

    plugged_in: Percent = 26
    """Cars on a plug at a typical hour."""
    charging: Percent = 5
    """Cars that charge, and so are awake anyway."""
    awake: Percent = 5
    """Cars awake for another reason, such as a sentry mode."""
    links: Annotated[FrozenMap[Percent], Entries(most=4)] = FrozenMap({"WiFi": 80, "Starlink": 5, "Cellular": 15})
    """Cars by the link they have when parked."""

    rules = (
        Rule(
            "must not be more than pluggedIn: a car charges at a plug; lower charging or raise pluggedIn",
            "self.charging <= self.pluggedIn",
            lambda it: it.charging <= it.plugged_in,
            field="charging",
        ),
        Rule(
            "and charging are different cars, together at most 100 percent; lower one of them",
            "self.awake + self.charging <= 100",
            lambda it: it.awake + it.charging <= 100,
            field="awake",
        ),
        Rule(
            "names an unknown link; use Ethernet, WiFi, Starlink or Cellular",
            f"self.links.all(name, name in {list(LINKS)})",
            lambda it: all(name in LINKS for name in it.links),
            field="links",
        ),
        Rule(
            "must be at most 100 percent together; lower one of them",
            " + ".join(f"('{name}' in self.links ? self.links['{name}'] : 0)" for name in LINKS) + " <= 100",
            lambda it: sum(it.links.values()) <= 100,
            field="links",
        ),
    )


class CarHardware(Part):
    """What the inference computer of one car has."""

    name: Name
    """Hardware name, as profiles and artifacts use it."""
    memory: PositiveQuantity
    """Memory for models of one car."""
    slots: Annotated[int, Field(ge=1, le=16)] = 1
    """Requests that one car works on at a time."""


class CellSize(Part):
    """How cars are grouped into Kubernetes nodes."""

    max_vehicles: Annotated[int, Field(ge=1, le=1000)] = 500
    """Cars of one cell; one cell is one Kubernetes node."""


class CarPower(Part):
    """What one car draws."""

    compute_watts: Watts
    """The inference computer at work, above the awake car."""
    awake_watts: Watts = 250
    """The awake parked car without inference."""
    asleep_watts: Watts = 5
    """The sleeping car."""
    charging_percent: Annotated[int, Field(ge=1, le=100)] = 88
    """Energy that reaches the battery over energy at the plug."""

    rules = (
        Rule(
            "must be at least asleepWatts; swap them or measure again",
            "self.awakeWatts >= self.asleepWatts",
            lambda power: power.awake_watts >= power.asleep_watts,
            field="awakeWatts",
        ),
    )


class Contract(Part):
    """Defaults of what owners allow; an owner may tighten them in the car, never loosen."""

    require_plugged_in: bool = True
    """Only at a plug."""
    min_state_of_charge: Percent = 50
    """Percent of the battery below which the car does nothing."""
    max_range_loss_per_day: Annotated[int, Field(ge=0, le=1000)] = 5
    """Kilometres of range in any 24 hours that inference may use off the plug."""
    ready_before: Duration = Duration("30m")
    """Idle again this long before a declared departure."""
    links: Annotated[tuple[Link, ...], Listed(least=1, most=4, unique=True)] = ("WiFi", "Ethernet")
    """Links that inference may use."""
    data_cap_per_day: Quantity | None = None
    """Bytes in any 24 hours, both directions, over all links; default: no cap."""
    quiet_hours: DailyHours | None = None
    """No wake-up in these hours; a car already awake may work."""
    net_positive: bool = True
    """Never pays less than the electricity used: a car whose owner named a price rests where energyPrice is lower, or
    is no single number."""


class Payout(Part):
    """What owners get, on top of the electricity at the plug."""

    per_compute_hour: Amount = Amount("0")
    """$ per hour in which the computer serves."""


class LinkLoss(Part):
    """What happens when a car falls silent."""

    keep_for: Duration = Duration("5m")
    """A silent car keeps its replicas this long before they are given to others."""


class VehicleNodePoolSpec(Part):
    """Cars alike, their owners' contract and their costs."""

    region: Name
    """Region of the cars."""
    match: Match
    """Which cars belong to the pool."""
    vehicles: Annotated[int, Field(ge=0, le=10_000_000)]
    """Expected size: the cap, and the supply when planning without a cluster."""
    expected: ExpectedFleet = ExpectedFleet()
    """What to expect of the cars, percent, for planning without a cluster."""
    hardware: CarHardware
    """What the inference computer of one car has."""
    cell: CellSize = CellSize()
    """How cars are grouped into Kubernetes nodes."""
    power: CarPower
    """What one car draws."""
    energy_price: EnergyPrice | None = None
    """What owners pay at the plug; default: the region's price."""
    contract: Contract = Contract()
    """Defaults of what owners allow; an owner may tighten them in the car, never loosen."""
    payout: Payout = Payout()
    """What owners get, on top of the electricity at the plug."""
    links: Annotated[tuple[LinkPrice, ...], Listed(most=4, keys=("name",))] = ()
    """Price of a byte by link; a link that is not named is free."""
    link_loss: LinkLoss = LinkLoss()
    """What happens when a car falls silent."""


class PoolVehicles(StatusPart):
    """Cars of the pool by what is known of them."""

    registered: Count = 0
    """Ever said hello and not forgotten."""
    here: Count = 0
    """Heard of within a beat interval and 12 s."""
    silent: Count = 0
    """Beats missing, but nothing says it left."""
    gone: Count = 0
    """Said goodbye, or silent for too long."""
    eligible: Count = 0
    """Here and willing under the owner's contract."""
    serving: Count = 0
    """With at least one model ready."""


class VehicleNodePoolStatus(StatusPart):
    """What the pool looks like now."""

    vehicles: PoolVehicles = PoolVehicles()
    """Cars by what is known of them."""
    cells: Count = 0
    """Cells, each one Kubernetes node."""
    conditions: Conditions = ()
    """Ready, FieldsHonoured; each with a reason and a sentence."""


class VehicleNodePool(Resource):
    """Parked cars alike in region, hardware and fleet; cluster-scoped."""

    definition = Definition(
        plural="vehiclenodepools",
        short="vnp",
        columns=(
            Column("Region", ".spec.region"),
            condition_column("Ready"),
            Column("Hardware", ".spec.hardware.name"),
            Column("Vehicles", ".spec.vehicles", "integer"),
            Column("Here", ".status.vehicles.here", "integer"),
            Column("Eligible", ".status.vehicles.eligible", "integer"),
            Column("Serving", ".status.vehicles.serving", "integer"),
            Column("Cells", ".status.cells", "integer"),
            Column("Silent", ".status.vehicles.silent", "integer", wide=True),
            Column("Gone", ".status.vehicles.gone", "integer", wide=True),
            condition_column("FieldsHonoured", wide=True),
            AGE,
        ),
    )

    kind: Literal["VehicleNodePool"] = "VehicleNodePool"
    spec: VehicleNodePoolSpec
    status: VehicleNodePoolStatus = VehicleNodePoolStatus()

    rules = (
        Rule(
            f"metadata.name must be at most {CELL_NAME_ROOM} characters, as cells are named after it; shorten it",
            f"self.metadata.name.size() <= {CELL_NAME_ROOM}",
            lambda it: len(it.metadata.name) <= CELL_NAME_ROOM,
        ),
    )
