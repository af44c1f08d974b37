"""The smallest ordered, budgeted steps from a snapshot to a plan, and the status that each object should show.

The room carries nothing out and remembers nothing: equal snapshots, plans and drain times give equal steps. It
makes before it breaks: what a workload leaves goes only when all it moves to answers and no status names it any more.
"""

from parkade.changes.changes import (
    Announce,
    ApplyCell,
    ApplyRoute,
    ApplyService,
    ApplySlice,
    Change,
    Changes,
    ClusterChange,
    CreatePod,
    DeleteCell,
    DeleteFront,
    DeletePod,
    LoadModel,
    RemoveFiles,
    SetFinalizers,
    Shipment,
    ShowStatus,
    StageArtifact,
    Target,
    UnloadModel,
)
from parkade.changes.comparison import FINALIZER, Comparison, Fate, Unoffered, observe_offers
from parkade.changes.demand import with_observed_demand
from parkade.changes.diff import Budget, diff
from parkade.changes.fronts import Fronts, Gateway, unreachable
from parkade.changes.lasting import lasting
from parkade.changes.observations import Observations, folded, seeded
from parkade.changes.profiles import with_observed_times
from parkade.changes.rejections import observe_rejections

__all__ = [
    "FINALIZER",
    "Announce",
    "ApplyCell",
    "ApplyRoute",
    "ApplyService",
    "ApplySlice",
    "Budget",
    "Change",
    "Changes",
    "ClusterChange",
    "Comparison",
    "CreatePod",
    "DeleteCell",
    "DeleteFront",
    "DeletePod",
    "Fate",
    "Fronts",
    "Gateway",
    "LoadModel",
    "Observations",
    "RemoveFiles",
    "SetFinalizers",
    "Shipment",
    "ShowStatus",
    "StageArtifact",
    "Target",
    "UnloadModel",
    "Unoffered",
    "diff",
    "folded",
    "lasting",
    "observe_offers",
    "observe_rejections",
    "seeded",
    "unreachable",
    "with_observed_demand",
    "with_observed_times",
]
