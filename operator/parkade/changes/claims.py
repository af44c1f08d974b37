"""Finalizers: Parkade claims a workload before it owns anything outside the cluster, and lets go when all is gone."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from parkade.api import InferenceWorkload
from parkade.changes.changes import RemoveFiles, SetFinalizers
from parkade.changes.comparison import FINALIZER, Comparison, Fate, held, target_of

PATIENCE: Final = timedelta(seconds=30)
"""How long a deletion waits for a server or a repository that does not answer. A restarted Triton comes back empty,
because models are loaded explicitly; waiting longer would only keep a namespace from going."""


def claims(comparison: Comparison) -> tuple[SetFinalizers, ...]:
    """Workloads to be served that have no finalizer yet."""
    return tuple(
        SetFinalizers(target_of(workload), (FINALIZER,))
        for workload in comparison.snapshot.workloads
        if FINALIZER not in workload.metadata.finalizers
        and workload.metadata.deletion_timestamp is None
        and comparison.fate(workload.key) is Fate.SERVE
    )


def removals(comparison: Comparison) -> tuple[RemoveFiles, ...]:
    """Files of deleted workloads that no live server holds any more."""
    return tuple(
        RemoveFiles(workload.key, stored.pool, stored.model, stored.versions)
        for workload in _deleted(comparison)
        for stored in comparison.snapshot.stored or ()
        if stored.model == workload.spec.model.name
        and comparison.owners.get(stored.model) == workload.key
        and not _on_servers(comparison, workload)
    )


def releases(comparison: Comparison) -> tuple[SetFinalizers, ...]:
    """Deleted workloads of which nothing is left: no order, no pod, no model, no file."""
    return tuple(
        SetFinalizers(target_of(workload), ())
        for workload in _deleted(comparison)
        if not _in_cluster(comparison, workload) and not _outside(comparison, workload)
    )


def _deleted(comparison: Comparison) -> Iterator[InferenceWorkload]:
    for workload in comparison.snapshot.workloads:
        meta = workload.metadata
        if meta.deletion_timestamp is not None and FINALIZER in meta.finalizers:
            yield workload


def _in_cluster(comparison: Comparison, workload: InferenceWorkload) -> bool:
    """A cell or a pod still names it."""
    ordered = any(row.workload == workload.key for cell in comparison.snapshot.cells for row in cell.spec.assignments)
    return ordered or any(pod.workload == workload.key for pod in comparison.snapshot.pods)


def _outside(comparison: Comparison, workload: InferenceWorkload) -> bool:
    """A server or a repository still has its model, or may have it and has not answered for less than `PATIENCE`."""
    name = workload.spec.model.name
    if comparison.owners.get(name) != workload.key:
        return False
    if _on_servers(comparison, workload):
        return True
    stored = comparison.snapshot.stored
    if stored is not None and any(model.model == name for model in stored):
        return True
    silent = stored is None or any(not server.live for server in comparison.snapshot.servers)
    return silent and not _patience_over(comparison, workload)


def _on_servers(comparison: Comparison, workload: InferenceWorkload) -> bool:
    return any(held(server, workload.spec.model.name) is not None for server in comparison.servers)


def _patience_over(comparison: Comparison, workload: InferenceWorkload) -> bool:
    since = datetime.fromisoformat(str(workload.metadata.deletion_timestamp))
    return comparison.snapshot.now - since > PATIENCE
