"""What routers observed: their counts as they tell them, and what a plan may take from them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from parkade.api.values import Amount, PositiveDuration
from parkade.api.workload import Profile

Number = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Told(BaseModel):
    """A part of a router's report; what later releases add is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Times(_Told):
    """Answer times of one kind of replica."""

    count: Number = 0
    seconds: Seconds = 0.0
    """Their sum."""
    squared_seconds: Seconds = Field(default=0.0, alias="squaredSeconds")
    """Sum of their squares."""


class WorkloadCounts(_Told):
    """One workload at one router, since the router started; all but `waiting` only grow."""

    waiting: Number = 0
    regions: dict[str, Number] = {}
    """Requests by where their callers are; "" where nobody knows."""
    answered: tuple[tuple[Seconds, Number], ...] = ()
    """[upper bound in seconds, answers]."""
    hardware: dict[str, Times] = {}
    """At cars, network included."""
    places: dict[str, Times] = {}
    """At Triton pools."""
    outcomes: dict[str, Number] = {}
    verifications: dict[str, Number] = {}


class RouterReport(_Told):
    """`GET /v1/observed` of one router (`docs/architecture.md`)."""

    router: str
    seconds: Seconds
    """Since it started."""
    workloads: dict[str, WorkloadCounts] = {}


@dataclass(frozen=True, slots=True, order=True)
class ObservedTime:
    """How long one kind of replica takes for a request."""

    place: str
    """A Triton pool; empty for cars."""
    hardware: str
    """Of cars; empty for a Triton pool."""
    seconds: float
    """Mean from sending the request to the end of the answer, of cars with the network: so long it keeps a replica."""
    scv: float
    """Squared coefficient of variation."""
    service_seconds: float
    """Mean without the round trip to the car, which a plan adds by itself; at a Triton pool the same as `seconds`."""
    service_scv: float


class ObservedProfile(Profile):
    """A profile with the times that routers observed in place of the manifest's."""

    held: PositiveDuration
    """Mean time for which a request keeps a replica: `service_time`, and the way to a car and back."""
    held_scv: Amount
    """Its squared coefficient of variation."""


@dataclass(frozen=True, slots=True, order=True)
class ObservedFigures:
    """What a workload's status shows of its requests."""

    rate: float
    """Requests/s."""
    p50: float
    """Seconds from request to answer; 0 without answers."""
    p99: float
    failed: float
    """Share of requests that failed, 0 to 1."""


@dataclass(frozen=True, slots=True, order=True)
class ObservedWorkload:
    """What all routers together observed of one workload, rounded so that noise makes no other plan."""

    workload: str
    """`namespace/name`."""
    demand: tuple[tuple[str, float], ...] = ()
    """Region and requests/s to plan for, sorted; "" where nobody knows the region."""
    times: tuple[ObservedTime, ...] = ()
    """Of kinds with enough answers, sorted."""
    figures: ObservedFigures | None = None
    disagreed: int = 0
    """Cars found out by spot checks since the operator started."""
