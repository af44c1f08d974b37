"""What is true at one instant: frozen, sorted, comparable. It reads nothing and decides nothing.

`cluster` and `serving` gather the facts; everything after this room is a pure function of a `Snapshot`.
"""

from parkade.snapshot.fronts import Endpoint, RouteFace, ServiceFace, ServicePort, SliceFace
from parkade.snapshot.observed import ObservedFigures, ObservedProfile, ObservedTime, ObservedWorkload, RouterReport
from parkade.snapshot.snapshot import (
    LoadedModel,
    PodFace,
    Rejection,
    RouterAddress,
    Snapshot,
    StagedArtifact,
    StoredModel,
    TritonServer,
    by_pool,
)

__all__ = [
    "Endpoint",
    "LoadedModel",
    "ObservedFigures",
    "ObservedProfile",
    "ObservedTime",
    "ObservedWorkload",
    "PodFace",
    "Rejection",
    "RouteFace",
    "RouterAddress",
    "RouterReport",
    "ServiceFace",
    "ServicePort",
    "SliceFace",
    "Snapshot",
    "StagedArtifact",
    "StoredModel",
    "TritonServer",
    "by_pool",
]
