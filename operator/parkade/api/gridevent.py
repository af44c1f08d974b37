"""GridEvent: hours in which the grid pays for energy that is not used or is fed back."""

from typing import Annotated, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Count,
    Definition,
    Lever,
    Line,
    Listed,
    Part,
    Resource,
    StatusPart,
    condition_column,
)
from parkade.api.rules import Rule, cel_exactly_one, cel_matches
from parkade.api.values import INSTANT_PATTERN, Amount, Instant, Name

Kilowatts = Annotated[int, Field(ge=0, le=10_000_000)]


class EventPrice(Part):
    """What the grid pays."""

    per_kwh: Amount
    """$ per kWh that is not used or is fed back."""


class Reduce(Part):
    """What is wanted: an amount less, a ceiling, or whatever a price brings."""

    target_kw: Kilowatts | None = None
    """Kilowatts below the baseline."""
    limit_kw: Kilowatts | None = None
    """Kilowatts that all load together may draw."""
    price: EventPrice | None = None
    """Reduce as far as this price is worth it."""

    rules = (
        Rule(
            "set exactly one of targetKW, limitKW and price; remove the others",
            cel_exactly_one("targetKW", "limitKW", "price"),
            lambda it: [it.target_kw, it.limit_kw, it.price].count(None) == 2,
        ),
    )


class GridEventSpec(Part):
    """When, where and how much."""

    regions: Annotated[tuple[Name, ...], Listed(least=1, most=64, unique=True)]
    """Regions whose load counts."""
    start: Instant
    """First moment of the event."""
    end: Instant
    """Moment at which the event is over."""
    reduce: Reduce
    """What is wanted: an amount less, a ceiling, or whatever a price brings."""
    levers: Annotated[tuple[Lever, ...], Listed(least=1, most=3, unique=True)] = ("Compute",)
    """What may be moved: computing, charging of cars, stationary batteries."""

    rules = (
        Rule(
            "must be after start; swap them or look at the zones",
            f"!({cel_matches('self.start', INSTANT_PATTERN)} && {cel_matches('self.end', INSTANT_PATTERN)}) || "
            "timestamp(self.end) > timestamp(self.start)",
            lambda spec: spec.end.time > spec.start.time,
            field="end",
        ),
    )


class LeverResult(StatusPart):
    """What one lever gave."""

    lever: Lever
    """What was moved."""
    delivered_kwh: Line = ""
    """kWh that it gave."""


class Settlement(StatusPart):
    """What the event earned."""

    amount: Line = ""
    """$."""


class GridEventStatus(StatusPart):
    """What was delivered."""

    baseline_kw: Count = 0
    """Kilowatts that would have been drawn."""
    delivered_kwh: Line = ""
    """kWh not used or fed back."""
    by_lever: Annotated[tuple[LeverResult, ...], Listed(most=3, keys=("lever",))] = ()
    """What each lever gave."""
    settlement: Settlement = Settlement()
    """What the event earned."""
    conditions: Conditions = ()
    """Ready (it is acted on when its time comes), FieldsHonoured; each with a reason and a sentence."""


class GridEvent(Resource):
    """Hours in which the grid pays for less load; cluster-scoped."""

    definition = Definition(
        plural="gridevents",
        short="ge",
        columns=(
            Column("Region", ".spec.regions[0]"),
            Column("Start", ".spec.start"),
            Column("End", ".spec.end"),
            Column("Target kW", ".spec.reduce.targetKW", "integer"),
            Column("Limit kW", ".spec.reduce.limitKW", "integer"),
            Column("$/kWh", ".spec.reduce.price.perKWh"),
            Column("Delivered kWh", ".status.deliveredKWh"),
            condition_column("Ready", wide=True),
            condition_column("FieldsHonoured", wide=True),
            AGE,
        ),
    )

    kind: Literal["GridEvent"] = "GridEvent"
    spec: GridEventSpec
    status: GridEventStatus = GridEventStatus()
