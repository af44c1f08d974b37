"""The part of a workload's status that routers fill: who asks how often, and how long answers take."""

from typing import Annotated

from parkade.api.base import Line, Listed, StatusPart


class RegionRate(StatusPart):
    """Requests by where their callers are."""

    region: Line = ""
    """A Region; empty where nobody knows."""
    rate: Line = ""
    """Requests per second that a plan would count on."""


class ObservedKind(StatusPart):
    """How long replicas of one kind took lately, rounded up; it changes when the mean moves by more than 10 %."""

    hardware: Line = ""
    """Of cars; empty for a Triton pool."""
    place: Line = ""
    """A Triton pool; empty for cars."""
    time: Line = ""
    """Mean from sending a request to the end of its answer, the way to a car and back included."""
    scv: Line = ""
    """Squared coefficient of variation of `time`."""
    service_time: Line = ""
    """Mean without the round trip to the car."""
    service_scv: Line = ""
    """Squared coefficient of variation of `serviceTime`."""


class Observed(StatusPart):
    """What routers and servers saw lately."""

    rate: Line = ""
    """Requests per second."""
    p50: Line = ""
    """Median of the time to an answer."""
    p99: Line = ""
    """Its 99th percentile."""
    failed: Line = ""
    """Share of requests that failed."""
    by_region: Annotated[tuple[RegionRate, ...], Listed(most=65)] = ()
    """Requests per second by where callers are; a workload without demand is planned from these."""
    times: Annotated[tuple[ObservedKind, ...], Listed(most=64)] = ()
    """Times by hardware of cars and by Triton pool; they are planned with in place of model.profiles."""
