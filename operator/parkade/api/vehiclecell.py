"""VehicleCell: some hundreds of cars as one Kubernetes node; its assignments are the order to the cars.

The operator writes metadata and spec, carlet writes the status. Pods only show the assignments: deleting one orders
nothing.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Count,
    Definition,
    Line,
    Link,
    Listed,
    Message,
    Part,
    Percent,
    Resource,
    StatusPart,
    VehicleState,
    condition_column,
)
from parkade.api.rules import Rules, Transition
from parkade.api.values import Name, Sha256, Text, matching
from parkade.api.vehiclenodepool import PoolVehicles


class WorkloadKey(Text):
    """`namespace/name` of a workload."""

    __slots__ = ()
    longest = 127
    rules: ClassVar[Rules] = (
        matching(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?$",
            "must be namespace/name of a workload, such as vision/sign-reader",
        ),
    )


class Assignment(Part):
    """One model that cars of the cell shall hold."""

    workload: WorkloadKey
    """namespace/name of the workload."""
    digest: Sha256
    """sha256 of the model file."""
    replicas: Annotated[int, Field(ge=0, le=16_000)]
    """Vehicle slots that shall hold it."""
    share: Percent = 0
    """Percent of the workload's expected rate that the cell is to take."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    """The workload's priority: which model stays when too few cars do."""


class VehicleCellSpec(Part):
    """The order to the cars of the cell."""

    pool: Name
    """VehicleNodePool that the cell belongs to."""
    region: Name
    """Region of the pool."""
    shard: Annotated[int, Field(ge=0, le=999_999)]
    """Number of the cell in its pool."""
    max_vehicles: Annotated[int, Field(ge=1, le=1000)]
    """Cars that the cell takes."""
    closing: bool = False
    """The pool needs fewer cells: no new car comes, idle ones move to others, and the empty cell is deleted."""
    term: Annotated[int, Field(ge=0)] = 0
    """Fencing term of the operator that wrote this; a former leader's smaller one is refused."""
    assignments: Annotated[tuple[Assignment, ...], Listed(most=256, keys=("workload",))] = ()
    """Models that cars of the cell shall hold."""

    transitions = (
        Transition(
            "must not decrease: another operator leads now, and this write comes from a former leader; let it stop",
            "self.term >= oldSelf.term",
            lambda new, old: new.term >= old.term,
            field="term",
        ),
        Transition(
            "cannot change, because membership of cars is sticky; delete the cell and let the operator make another",
            "self.pool == oldSelf.pool",
            lambda new, old: new.pool == old.pool,
            field="pool",
        ),
    )


class CellVehicles(PoolVehicles):
    """Cars of the cell by what is known of them."""

    waiting: Count = 0
    """Connected, but not yet told what to hold."""


class RoundTripMillis(StatusPart):
    """Round trip between router and car, milliseconds."""

    p50: Count = 0
    """Median, milliseconds."""
    p99: Count = 0
    """99th percentile, milliseconds."""


class SupplyColumn(StatusPart):
    """Cars of the cell that are alike in link and state."""

    link: Link
    """How the cars reach the network."""
    state: VehicleState
    """What the cars would do without us."""
    vehicles: Count = 0
    """Cars, eligible and Here."""
    free: Count = 0
    """Of these, cars that hold no model."""
    rtt_millis: RoundTripMillis = RoundTripMillis()
    """Round trip between router and car."""
    leaving: Annotated[tuple[Percent, ...], Listed(most=3)] = ()
    """Percent expected to leave within 5, 15 and 60 minutes."""


class AssignmentStatus(StatusPart):
    """What became of one assignment."""

    workload: Line
    """namespace/name of the workload."""
    desired: Count = 0
    """Slots told to hold it."""
    ready: Count = 0
    """Slots that answer for it."""
    reason: Line = ""
    """Why fewer are ready than desired."""
    message: Message = ""
    """The same as a sentence."""
    observed_generation: Count = 0
    """Generation of the cell whose order this is."""


class VehicleCellStatus(StatusPart):
    """Facts that carlet reports."""

    observed_generation: Count = 0
    """Generation of the cell that carlet acts on."""
    vehicles: CellVehicles = CellVehicles()
    """Cars by what is known of them."""
    supply: Annotated[tuple[SupplyColumn, ...], Listed(most=12, keys=("link", "state"))] = ()
    """Cars by link and state."""
    assignments: Annotated[tuple[AssignmentStatus, ...], Listed(most=256, keys=("workload",))] = ()
    """What became of each assignment."""
    conditions: Conditions = ()
    """Ready, with a reason and a sentence."""


class VehicleCell(Resource):
    """Some hundreds of cars as one Kubernetes node; made by the operator for a pool; cluster-scoped."""

    definition = Definition(
        plural="vehiclecells",
        short="vc",
        columns=(
            Column("Pool", ".spec.pool"),
            Column("Region", ".spec.region"),
            condition_column("Ready"),
            Column("Here", ".status.vehicles.here", "integer"),
            Column("Eligible", ".status.vehicles.eligible", "integer"),
            Column("Serving", ".status.vehicles.serving", "integer"),
            Column("Room", ".spec.maxVehicles", "integer"),
            Column("Closing", ".spec.closing", "boolean", wide=True),
            Column("Silent", ".status.vehicles.silent", "integer", wide=True),
            Column("Gone", ".status.vehicles.gone", "integer", wide=True),
            Column("Term", ".spec.term", "integer", wide=True),
            AGE,
        ),
    )

    kind: Literal["VehicleCell"] = "VehicleCell"
    spec: VehicleCellSpec
    status: VehicleCellStatus = VehicleCellStatus()
