"""Finalizers: Parkade claims a workload before it owns anything outside the cluster, and lets go when all is gone.

A Triton pool is claimed too while it may hold models: without its addresses they could not be unloaded.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from parkade.api import InferenceWorkload, TritonPool
from parkade.api.base import Resource
from parkade.changes.changes import RemoveFiles, SetFinalizers
from parkade.changes.comparison import (
    FINALIZER,
    Comparison,
    Fate,
    held,
    holds,
    is_claimed,
    is_deleted,
    target_of,
)
from parkade.snapshot import StoredModel, TritonServer

PATIENCE: Final = timedelta(seconds=30)
"""How long a deletion waits for a server or a repository that does not answer. A restarted Triton comes back empty,
because models are loaded explicitly; waiting longer would only keep a namespace from going."""


def claims(comparison: Comparison) -> tuple[SetFinalizers, ...]:
    """Workloads to be served and pools to be used that have no finalizer yet."""
    used = {pool for (pool, _), models in comparison.wanted.items() if models}
    wanted: list[Resource] = [w for w in comparison.snapshot.workloads if comparison.fate(w.key) is Fate.SERVE]
    wanted += [pool for pool in comparison.snapshot.triton_pools if pool.metadata.name in used]
    return tuple(
        SetFinalizers(target_of(resource), (FINALIZER,))
        for resource in wanted
        if not is_claimed(resource) and not is_deleted(resource)
    )


def removals(comparison: Comparison) -> tuple[RemoveFiles, ...]:
    """Files that no server of their pool holds and nothing is to hold any more.

    Of deleted workloads and in deleted pools all of a model at once; else versions that no order names.
    """
    steps = (_removal(comparison, stored) for stored in _stored(comparison))
    return tuple(step for step in steps if step.versions)


def _removal(comparison: Comparison, stored: StoredModel) -> RemoveFiles:
    key = comparison.owners[stored.model]
    all_go = stored.pool in {pool.metadata.name for pool in _leaving_pools(comparison)}
    all_go = all_go or key in {workload.key for workload in _leaving_workloads(comparison)}
    here = [server for server in comparison.snapshot.servers if server.pool == stored.pool]
    if all_go:
        versions = () if any(held(s, stored.model) for s in here if s.live) else stored.versions
    else:
        versions = _old_versions(comparison, key, stored, here)
    return RemoveFiles(key, stored.pool, stored.model, versions)


def _old_versions(comparison: Comparison, key: str, stored: StoredModel, here: list[TritonServer]) -> tuple[int, ...]:
    """Versions that no server holds or is to hold; none while a server is silent, or still has to load the model."""
    if comparison.fate(key) is not Fate.SERVE or any(not server.live for server in here):
        return ()
    wanted = [(server, model) for server, model in comparison.models_wanted(key) if server.pool == stored.pool]
    if any(not holds(server, model) for server, model in wanted):
        return ()
    used = {model.version for _, model in wanted}
    used |= {m.version for s in here for m in s.models if m.name == stored.model and not m.failure}
    return tuple(version for version in stored.versions if version not in used)


def releases(comparison: Comparison) -> tuple[SetFinalizers, ...]:
    """Deleted workloads and pools of which nothing is left: no order, no pod, no model, no file."""
    workloads = (
        workload
        for workload in _leaving_workloads(comparison)
        if not _in_cluster(comparison, workload) and not _workload_outside(comparison, workload)
    )
    pools = (pool for pool in _leaving_pools(comparison) if not _pool_outside(comparison, pool))
    return tuple(SetFinalizers(target_of(resource), ()) for resource in (*workloads, *pools))


def _leaving_workloads(comparison: Comparison) -> Iterator[InferenceWorkload]:
    return (w for w in comparison.snapshot.workloads if is_deleted(w) and is_claimed(w))


def _leaving_pools(comparison: Comparison) -> Iterator[TritonPool]:
    return (p for p in comparison.snapshot.triton_pools if is_deleted(p) and is_claimed(p))


def _stored(comparison: Comparison) -> Iterator[StoredModel]:
    """What repositories hold of ours."""
    return (stored for stored in comparison.snapshot.stored or () if stored.model in comparison.owners)


def _in_cluster(comparison: Comparison, workload: InferenceWorkload) -> bool:
    """A cell or a pod still names it."""
    ordered = any(row.workload == workload.key for cell in comparison.snapshot.cells for row in cell.spec.assignments)
    return ordered or any(pod.workload == workload.key for pod in comparison.snapshot.pods)


def _workload_outside(comparison: Comparison, workload: InferenceWorkload) -> bool:
    """A server or a repository still has its model, or may have it and has not answered for less than `PATIENCE`."""
    name = workload.spec.model.name
    if comparison.owners.get(name) != workload.key:
        return False
    left = any(held(server, name) for server in comparison.servers)
    left = left or any(stored.model == name for stored in _stored(comparison))
    return left or _worth_waiting(comparison, workload, comparison.snapshot.servers)


def _pool_outside(comparison: Comparison, pool: TritonPool) -> bool:
    """One of its servers, or its repository, still has a model of ours, or may have one."""
    name = pool.metadata.name
    servers = tuple(server for server in comparison.snapshot.servers if server.pool == name)
    left = any(model.name in comparison.owners for s in servers if s.live for model in s.models if not model.failure)
    left = left or any(stored.pool == name for stored in _stored(comparison))
    return left or _worth_waiting(comparison, pool, servers)


def _worth_waiting(comparison: Comparison, resource: Resource, servers: tuple[TritonServer, ...]) -> bool:
    """A server or the repository does not answer, and the deletion is young."""
    silent = comparison.snapshot.stored is None or any(not server.live for server in servers)
    since = datetime.fromisoformat(str(resource.metadata.deletion_timestamp))
    return silent and comparison.snapshot.now - since <= PATIENCE
