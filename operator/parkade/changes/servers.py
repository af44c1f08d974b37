"""Triton: which model to load, adjust or unload on which server now, made before it is broken."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from parkade.changes.changes import LoadModel, StageArtifact, UnloadModel
from parkade.changes.comparison import Comparison, Fate, failure, held, holds, is_claimed
from parkade.plan import ServedModel
from parkade.snapshot import LoadedModel, TritonServer

ROUTER_LAG: Final = timedelta(seconds=2)
"""From writing a status until every router acts on it: one watch event, and a busy machine."""
DEFAULT_TIMEOUT: Final = timedelta(seconds=2)
"""Of a request, where the workload says nothing."""


@dataclass(frozen=True, slots=True)
class ServerSteps:
    """What happens on Triton servers in this cycle."""

    stages: tuple[StageArtifact, ...] = ()
    loads: tuple[LoadModel, ...] = ()
    unloads: tuple[UnloadModel, ...] = ()
    due: float | None = None
    """Seconds until the next unload that only waits for its drain time."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A server that lacks something it should have."""

    server: TritonServer
    model: ServedModel
    fits: bool
    failed: bool


def server_steps(comparison: Comparison) -> ServerSteps:
    """Unload what may go, then load what fits: one step a server, so that loads never compete there."""
    pending = [entry for server in comparison.servers for entry in _pending(comparison, server)]
    stuck = any(not entry.fits for entry in pending) and all(not e.fits or e.failed for e in pending)
    unloads, waits = [], []
    for server in comparison.servers:
        for model in _leaving(comparison, server, stuck=stuck):
            wait = _drain_left(comparison, server, model)
            if wait > 0:
                waits.append(wait)
            else:
                unloads.append(_unload(comparison, server, model))
    busy = {(step.pool, step.http) for step in unloads}
    return ServerSteps(
        stages=tuple(_stages(comparison)),
        loads=tuple(_loads(comparison, pending, busy)),
        unloads=tuple(unloads),
        due=min(waits, default=None),
    )


def _pending(comparison: Comparison, server: TritonServer) -> Iterator[_Pending]:
    """What the plan wants on a server that is not there yet, by name."""
    wanted = comparison.wanted.get((server.pool, server.http), {})
    for name in sorted(wanted):
        model = wanted[name]
        if comparison.fate(model.workload) is not Fate.SERVE or holds(server, model):
            continue
        failed = bool(failure(server, model))
        yield _Pending(server, model, _fits(comparison, server, model), failed)


def _fits(comparison: Comparison, server: TritonServer, model: ServedModel) -> bool:
    """The server has memory for it beside all that it holds now; a pool that is gone has none to check."""
    pool = next((p for p in comparison.snapshot.triton_pools if p.metadata.name == server.pool), None)
    if pool is None:
        return False
    others = sum(
        loaded.instances * _memory(comparison, loaded.name)
        for loaded in server.models
        if loaded.name != model.model and not loaded.failure
    )
    return others + model.instances * _memory(comparison, model.model) <= pool.spec.hardware.memory.bytes


def _memory(comparison: Comparison, model: str) -> int:
    """Bytes of one instance; 0 for a model that is not ours."""
    workload = comparison.workloads.get(comparison.owners.get(model, ""))
    return workload.spec.model.memory.bytes if workload is not None else 0


def _leaving(comparison: Comparison, server: TritonServer, *, stuck: bool) -> Iterator[LoadedModel]:
    """Models of ours on a server that are wanted there no more and may go. `stuck`: growth waits only for memory."""
    wanted = comparison.wanted.get((server.pool, server.http), {})
    for name in sorted({model.name for model in server.models}):
        key, loaded = comparison.owners.get(name), held(server, name)
        if loaded is None or key is None or comparison.fate(key) is Fate.HOLD:
            continue
        stopped = comparison.fate(key) is Fate.STOP
        if stopped or (loaded.name not in wanted and (stuck or comparison.is_settled(key))):
            yield loaded


def _drain_left(comparison: Comparison, server: TritonServer, loaded: LoadedModel) -> float:
    """Seconds until requests that were sent before the status stopped offering the model have ended."""
    if not loaded.ready:
        return 0.0
    timeout = DEFAULT_TIMEOUT
    workload = comparison.workloads.get(comparison.owners.get(loaded.name, ""))
    if workload is not None and workload.spec.latency is not None:
        timeout = timedelta(seconds=workload.spec.latency.timeout.seconds)
    since = comparison.unoffered.get((server.pool, server.http, loaded.name), comparison.snapshot.now)
    return (since + timeout + ROUTER_LAG - comparison.snapshot.now).total_seconds()


def _unload(comparison: Comparison, server: TritonServer, loaded: LoadedModel) -> UnloadModel:
    return UnloadModel(server.pool, server.http, comparison.owners[loaded.name], loaded.name)


def _loads(comparison: Comparison, pending: list[_Pending], busy: set[tuple[str, str]]) -> Iterator[LoadModel]:
    """One load a free server: what fits, is claimed and staged, first what has not failed before."""
    for entry in sorted(pending, key=lambda e: (e.server.pool, e.server.http, e.failed, e.model.model)):
        place = (entry.server.pool, entry.server.http)
        if place in busy or not entry.fits or not _ready_to_load(comparison, entry.server.pool, entry.model):
            continue
        busy.add(place)
        yield LoadModel(*place, entry.model)
    yield from _fewer_instances(comparison, busy)


def _fewer_instances(comparison: Comparison, busy: set[tuple[str, str]]) -> Iterator[LoadModel]:
    """Servers that hold more instances than wanted of a workload that has settled."""
    for server in comparison.servers:
        place = (server.pool, server.http)
        for name, model in sorted(comparison.wanted.get(place, {}).items()):
            loaded = held(server, name)
            more = loaded is not None and holds(server, model) and loaded.instances > model.instances
            serves = comparison.fate(model.workload) is Fate.SERVE
            if place not in busy and more and serves and comparison.is_settled(model.workload):
                busy.add(place)
                yield LoadModel(*place, model)


def _ready_to_load(comparison: Comparison, pool: str, model: ServedModel) -> bool:
    """Workload and pool are claimed, so that we can clean up after them, and the file is in the store."""
    workload = comparison.workloads[model.workload]
    staged = any(a.sha256 == model.digest and a.state == "Staged" for a in comparison.snapshot.artifacts)
    claimed = any(p.metadata.name == pool and is_claimed(p) for p in comparison.snapshot.triton_pools)
    return staged and claimed and is_claimed(workload)


def _stages(comparison: Comparison) -> Iterator[StageArtifact]:
    """Files that the plan has a place for and the store does not have, each once."""
    present = {artifact.sha256 for artifact in comparison.snapshot.artifacts}
    for key, digest in sorted(_digests(comparison)):
        if digest in present or key not in comparison.workloads or comparison.fate(key) is Fate.STOP:
            continue
        for artifact in comparison.workloads[key].spec.model.artifacts:
            if artifact.sha256 == digest:
                present.add(digest)
                secret = artifact.secret_ref.name if artifact.secret_ref else ""
                yield StageArtifact(key, digest, artifact.source, secret)
                break


def _digests(comparison: Comparison) -> set[tuple[str, str]]:
    """(workload, digest) of everything planned, or waiting for its file to be planned."""
    on_servers = {(m.workload, m.digest) for models in comparison.wanted.values() for m in models.values()}
    in_cells = {(row.workload, row.digest) for cell in comparison.plan.cells for row in cell.assignments}
    return on_servers | in_cells | set(comparison.plan.awaited)
