"""The plan: what should run where, with a Reason for every line. A value; `changes` turns it into steps.

A workload's key is `namespace/name`. Tuples are sorted by name (placements by preference), so that equal plans compare
equal and print as equal bytes.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from parkade.plan.alternatives import Alternative
from parkade.problem.costs import CostSplit
from parkade.problem.reasons import Reason, Refusal, Tier


@dataclass(frozen=True, slots=True)
class Placement:
    """Replicas of one workload at one place."""

    place: str
    """A cell, or a Triton pool; planning offline, without cells, a vehicle pool."""
    tier: Tier
    replicas: int
    share: int
    """Percent of the expected rate; the shares of a workload add up to 100."""
    reason: Reason
    pool: str
    """The vehicle or Triton pool that the place belongs to."""
    message: str = ""
    """One sentence for people: the reason with its numbers."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the plan predicts."""

    p99: float = 0.0
    """Seconds, at the workload's own percentile; 0 without demand."""
    watts: float = 0.0
    """At the plug and the datacenter's meter."""
    grams_co2_per_hour: float = 0.0
    cost_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A want that the plan does not meet in full."""

    cover: str
    """`rate/<regions>`, `min-replicas`, `apart` or `spread/<region>`."""
    quantity: float
    """In the cover's unit: requests/s or replicas."""
    short: float
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """One workload's part of the plan."""

    workload: str
    model: str
    """What clients call in `/v2/models/NAME`."""
    placements: tuple[Placement, ...] = ()
    expected: Expected = Expected()
    cost: CostSplit = field(default_factory=CostSplit)
    shortfalls: tuple[Shortfall, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """Places this workload may not use, and why."""
    alternatives: tuple[Alternative, ...] = ()
    """What each place would cost the workload alone, cheapest first."""
    left_out: Refusal | None = None
    """Why the workload is not planned at all (suspended, name taken, ...); None when it is planned."""

    @property
    def replicas(self) -> int:
        """Over all places."""
        return sum(placement.replicas for placement in self.placements)


@dataclass(frozen=True, slots=True, order=True)
class CellAssignment:
    """Replicas of one workload in one cell; goes into `VehicleCell.spec.assignments`."""

    workload: str
    digest: str
    """sha256 of the artifact for the cell's hardware."""
    replicas: int
    share: int
    """Percent of the workload's expected rate."""
    priority: int


@dataclass(frozen=True, slots=True, order=True)
class CellOrder:
    """All that one cell is to run; a cell with nothing to run has an order without assignments."""

    cell: str
    assignments: tuple[CellAssignment, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class ServedModel:
    """One model on one Triton server."""

    workload: str
    model: str
    digest: str
    version: int
    """`snapshot.version_of(digest)`: the directory in the model repository."""
    instances: int


@dataclass(frozen=True, slots=True, order=True)
class ServerOrder:
    """All of Parkade's models that one live server is to hold; without models it is to hold none."""

    pool: str
    http: str
    """`host:port`, as in the snapshot."""
    models: tuple[ServedModel, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """How good the plan is, as the solver proves it for the numbers framed."""

    status: str
    """Of the solution: optimal, feasible, work_limit or time_limit."""
    objective: float
    """$/h, with the cost of shortfalls and late replicas."""
    bound: float
    gap: float
    """Before packing."""
    packed_gap: float
    """After packing onto real cells and servers, against the first solve's bound."""
    rounds: int = 1
    """Solves until everything packed, at most three."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What should run where; equal snapshots give equal plans."""

    solved_at: datetime
    workloads: tuple[WorkloadPlan, ...]
    cells: tuple[CellOrder, ...]
    """One for every cell of the snapshot."""
    servers: tuple[ServerOrder, ...]
    """One for every live server of the snapshot."""
    certificate: Certificate
    cost: CostSplit
    expected: Expected
    """Sums over the workloads; `p99` is the largest."""
    awaited: tuple[tuple[str, str], ...] = ()
    """(workload, sha256) of files that some place could run and the store does not have."""

    def workload(self, key: str) -> WorkloadPlan | None:
        """The part of `namespace/name`, or None."""
        return next((part for part in self.workloads if part.workload == key), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, in declaration order; seconds, $/h, watts and grams as numbers."""
        plain: dict[str, Any] = asdict(self)
        plain["solved_at"] = self.solved_at.isoformat()
        return plain
