"""The solution in names again: a Reason for each line, packed onto real cells and servers, and explained.

The room changes nothing and orders nothing: `changes` compares a plan with the snapshot. The solver is an argument, so
that the room stays pure: equal snapshots give byte-equal plans.
"""

from parkade.plan.alternatives import Alternative
from parkade.plan.once import Solve, plan_once
from parkade.plan.plan import (
    CellAssignment,
    CellOrder,
    Certificate,
    Expected,
    Placement,
    Plan,
    ServedModel,
    ServerOrder,
    Shortfall,
    WorkloadPlan,
)
from parkade.problem.costs import CostSplit

__all__ = [
    "Alternative",
    "CellAssignment",
    "CellOrder",
    "Certificate",
    "CostSplit",
    "Expected",
    "Placement",
    "Plan",
    "ServedModel",
    "ServerOrder",
    "Shortfall",
    "Solve",
    "WorkloadPlan",
    "plan_once",
]
