"""Models that every place of a pool refuses to load: remembered, so that they hold no capacity while nothing changed.

A rejection is forgotten when the workload names another file, or when an attempt after the pause succeeds. Nothing is
remembered over a restart of the operator: that only tries once more.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from parkade.api import InferenceWorkload, TritonPool, VehicleNodePool
from parkade.api.vehiclecell import AssignmentStatus
from parkade.problem.eligibility import artifact_for
from parkade.snapshot import Rejection, Snapshot
from parkade.snapshot.versions import version_of

FIRST_PAUSE: Final = timedelta(minutes=2)
"""Until a rejected model is tried again; doubled with each attempt, because the same bytes seldom get better."""
LONGEST_PAUSE: Final = timedelta(hours=2)
TRIAL: Final = timedelta(minutes=1)
"""For one more attempt: time to fetch, load and answer."""
_CAR_WORDS: Final = ("ModelRejected", "DigestMismatch")
"""Reasons of a car that failed which another car alike will give too; a full disk is none of them."""


def observe_rejections(before: tuple[Rejection, ...], snapshot: Snapshot) -> tuple[Rejection, ...]:
    """What is rejected now, going on from what was known before; sorted."""
    seen = {_key(entry): entry for entry in _evidence(snapshot)}
    known = {_key(entry): entry for entry in before}
    named = {(w.key, str(a.sha256)) for w in snapshot.workloads for a in w.spec.model.artifacts}
    found = (
        _next(known.get(key), seen.get(key), snapshot) for key in sorted(seen.keys() | known.keys()) if key[:2] in named
    )
    return tuple(entry for entry in found if entry is not None)


def _key(entry: Rejection) -> tuple[str, str, str]:
    return entry.workload, entry.sha256, entry.pool


def _next(known: Rejection | None, seen: Rejection | None, snapshot: Snapshot) -> Rejection | None:
    """Paused, then on trial, then paused for longer, or forgotten where the trial left no complaint."""
    if known is None:
        return seen
    tried_again = known.since + min(FIRST_PAUSE * 2 ** min(known.attempts - 1, 10), LONGEST_PAUSE)
    if snapshot.now < tried_again:
        return known
    if snapshot.now < tried_again + TRIAL:
        return replace(known, trial=True)
    return replace(seen, attempts=known.attempts + 1) if seen is not None else None


def _evidence(snapshot: Snapshot) -> Iterator[Rejection]:
    for workload in snapshot.workloads:
        for pool in snapshot.triton_pools:
            yield from _on_servers(snapshot, workload, pool)
        for cars in snapshot.vehicle_pools:
            yield from _in_cars(snapshot, workload, cars)


def _on_servers(snapshot: Snapshot, workload: InferenceWorkload, pool: TritonPool) -> Iterator[Rejection]:
    """A server says that the file cannot be loaded, and none of the pool has loaded it."""
    artifact = artifact_for(workload, pool.spec.hardware.name)
    if artifact is None:
        return
    version = version_of(artifact.sha256)
    models = [
        model
        for server in snapshot.servers
        if server.pool == pool.metadata.name and server.live
        for model in server.models
        if model.name == workload.spec.model.name and model.version in (0, version)
    ]
    said = next((model.failure for model in models if model.failure and not model.passing), "")
    if said and not any(model.ready for model in models):
        yield Rejection(workload.key, str(artifact.sha256), pool.metadata.name, said, snapshot.now)


def _in_cars(snapshot: Snapshot, workload: InferenceWorkload, pool: VehicleNodePool) -> Iterator[Rejection]:
    """Cars of a cell would not take the file, and none of the pool has loaded it."""
    artifact = artifact_for(workload, pool.spec.hardware.name)
    if artifact is None:
        return
    rows = [
        row
        for cell in snapshot.cells_of.get(pool.metadata.name, ())
        if any((a.workload, a.digest) == (workload.key, artifact.sha256) for a in cell.spec.assignments)
        for row in cell.status.assignments
        if row.workload == workload.key and row.observed_generation >= cell.metadata.generation
    ]
    refusal = next((row for row in rows if _is_refusal(row)), None)
    if refusal is not None and not any(row.ready for row in rows):
        said = refusal.message or f"its cars say {refusal.reason}"
        yield Rejection(workload.key, str(artifact.sha256), pool.metadata.name, said, snapshot.now)


def _is_refusal(row: AssignmentStatus) -> bool:
    """Cars would not take the file, for a reason that lies in the file; the sentence quotes one car's own word."""
    return row.reason == "Refused" or (row.reason == "Failed" and any(word in row.message for word in _CAR_WORDS))
