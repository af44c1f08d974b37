"""Models on their way: what Triton servers and the model store hold, and the steps that change it, beside the cycle."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from parkade import serving
from parkade.api import InferenceWorkload, TritonPool
from parkade.changes import LoadModel, RemoveFiles, Shipment, StageArtifact, UnloadModel
from parkade.cluster import ClusterClient, control_headers, selected_pods, storage_options
from parkade.cycle import Job
from parkade.errors import ClusterRefused, SourceUnavailable
from parkade.handlers.working import Works
from parkade.snapshot import LoadedModel, Snapshot, StagedArtifact, StoredModel, TritonServer

PROBE_SECONDS: Final = 1.0
"""For one call to a Triton server; the whole cycle waits for a server that hangs, so this is short."""
PATIENT_SECONDS: Final = 5.0
"""For a second try with a server that answered a moment ago: a busy machine is no dead server."""
LOAD_SECONDS: Final = 300.0
UNLOAD_SECONDS: Final = 60.0
FETCH_SECONDS: Final = 3600.0

REPOSITORY_SECONDS: Final = 60.0
"""Between two looks at the repositories for versions that nobody needs any more; a listing may cost money."""

_FETCH_LANES: Final = 2
"""Fetches that are waited for at a time, as many as the store runs; others are noticed by the next cycle."""

Work = Callable[[serving.Endpoint], object]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """A model file as a workload names it."""

    sha256: str
    source: str
    namespace: str
    """Of the workload."""
    secret: str
    """Name of the Secret with the source's credentials; empty without."""


class ModelShipping:
    """Implements the cycle's `Shipping` with the room `serving`."""

    def __init__(
        self,
        client: ClusterClient,
        namespace: str,
        store: serving.ModelStore,
        works: Works,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._namespace = client, namespace
        self._store, self._works, self._clock = store, works, clock
        self._headers: dict[str, Mapping[str, str]] = {}
        self._next_look = 0.0
        self._probes = ThreadPoolExecutor(16, thread_name_prefix="probe")
        self._asked: dict[str, _File] = {}
        self._wanted: dict[tuple[str, str], LoadModel] = {}
        self._live: frozenset[str] = frozenset()

    def close(self) -> None:
        """Stop probing and fetching."""
        self._probes.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def servers(self, snapshot: Snapshot) -> tuple[TritonServer, ...]:
        """Every server of every pool, probed at the same time; a failed load that the server forgot is added."""
        self._headers = {pool.metadata.name: self._control_headers(pool) for pool in snapshot.triton_pools}
        endpoints = [endpoint for pool in snapshot.triton_pools for endpoint in self._endpoints(pool)]
        probed = tuple(self._probes.map(self._probe, endpoints))
        self._live = frozenset(server.http for server in probed if server.live)
        return tuple(sorted(self._with_failures(server) for server in probed))

    def _probe(self, endpoint: serving.Endpoint) -> TritonServer:
        seen = serving.probe(endpoint, timeout=PROBE_SECONDS)
        if seen.live or endpoint.http not in self._live:
            return seen
        return serving.probe(endpoint, timeout=PATIENT_SECONDS)

    def artifacts(self, snapshot: Snapshot) -> tuple[StagedArtifact, ...]:
        """Files that are named and in the store, or were asked for; asking again also tries a failed fetch again."""
        named = {file.sha256: file for workload in snapshot.workloads for file in _files(workload)}
        self._asked = {sha256: named[sha256] for sha256 in self._asked if sha256 in named}
        asked = [self._stage(file) for file in self._asked.values()]
        others = [file for sha256, file in named.items() if sha256 not in self._asked]
        there = [fact for file in others if (fact := self._store.staged(file.sha256, file.source))]
        return tuple(sorted((*asked, *there)))

    def stored(self, snapshot: Snapshot) -> tuple[StoredModel, ...] | None:
        """What repositories hold, read while a workload or a pool is being deleted, and now and then."""
        stays = all(it.metadata.deletion_timestamp is None for it in (*snapshot.workloads, *snapshot.triton_pools))
        if stays and self._clock() < self._next_look:
            return ()
        self._next_look = self._clock() + REPOSITORY_SECONDS
        found: list[StoredModel] = []
        for pool in snapshot.triton_pools:
            try:
                versions = self._repository(pool).versions()
            except SourceUnavailable as error:
                log.warning("%s", error)
                return None
            found += [StoredModel(pool.metadata.name, model, numbers) for model, numbers in versions.items()]
        return tuple(sorted(found))

    def start(self, step: Shipment, snapshot: Snapshot) -> bool:
        """Begin a step; False when it is under way, its server is busy, or its last failure was just now."""
        match step:
            case StageArtifact():
                file = _File(step.sha256, step.source, step.workload.partition("/")[0], step.secret)
                self._asked[step.sha256] = file
                self._stage(file)
                return True
            case LoadModel():
                self._wanted[step.http, step.model.model] = step
                return self._at_server(step.pool, step.http, snapshot, _load_key(step), self._load(step, snapshot))
            case UnloadModel():
                self._wanted.pop((step.http, step.model), None)
                key = f"unload {step.model} at {step.http}"
                return self._at_server(step.pool, step.http, snapshot, key, _unload(step))
            case RemoveFiles():
                return self._remove(step, snapshot)

    def _stage(self, file: _File) -> StagedArtifact:
        sha256, source = file.sha256, file.source
        fact = self._store.staged(sha256, source)
        if fact is not None:
            return fact
        try:
            options = storage_options(self._client, file.namespace, file.secret) if file.secret else {}
        except ClusterRefused as refusal:
            return StagedArtifact(sha256, source, "Failed", reason="SourceUnavailable", message=str(refusal))
        fact = self._store.stage(sha256, source, options)
        if fact.state == "Fetching":
            lane = f"fetch {int(sha256[:8], 16) % _FETCH_LANES}"
            job = Job(
                f"fetch {sha256}", lane, lambda: self._store.wait(sha256, FETCH_SECONDS), FETCH_SECONDS, "artifact"
            )
            self._works.start(job)
        return fact

    def _load(self, step: LoadModel, snapshot: Snapshot) -> Work | None:
        pool = _pool(snapshot, step.pool)
        if pool is None:
            return None
        model = serving.ServedModel(step.model.model, step.model.digest, step.model.instances)
        repository = self._repository(pool)
        return lambda endpoint: serving.load(endpoint, model, repository, timeout=LOAD_SECONDS)

    def _at_server(self, pool: str, http: str, snapshot: Snapshot, key: str, work: Work | None) -> bool:
        """Run work at one server in that server's lane."""
        found = _pool(snapshot, pool)
        endpoint = next((e for e in self._endpoints(found) if e.http == http), None) if found else None
        if endpoint is None or work is None:
            return False
        return self._works.start(Job(key, http, lambda: _do(work, endpoint), LOAD_SECONDS * 1.1, "triton"))

    def _remove(self, step: RemoveFiles, snapshot: Snapshot) -> bool:
        pool = _pool(snapshot, step.pool)
        if pool is None:
            return False
        repository, key = self._repository(pool), f"remove {step.model} of {step.pool}"

        def remove() -> None:
            for version in step.versions:
                repository.remove_version(step.model, version)

        return self._works.start(Job(key, key, remove, UNLOAD_SECONDS, "repository"))

    def _repository(self, pool: TritonPool) -> serving.ModelRepository:
        return serving.ModelRepository(pool.spec.models.repository, pool.spec.models.backend, self._store)

    def _control_headers(self, pool: TritonPool) -> Mapping[str, str]:
        """Without its Secret a pool is asked without headers, and its servers say what they refuse."""
        if pool.spec.control_secret_ref is None:
            return {}
        try:
            return control_headers(self._client, self._namespace, pool.spec.control_secret_ref.name)
        except ClusterRefused as refusal:
            log.warning("controlSecretRef of %s: %s", pool.metadata.name, refusal)
            return {}

    def _endpoints(self, pool: TritonPool) -> Iterator[serving.Endpoint]:
        """Where the pool's servers answer, by URL or by pods; a pool whose pods cannot be listed has none."""
        where, name = pool.spec.endpoints, pool.metadata.name
        headers = self._headers.get(name, {})
        if where.urls is not None:
            for url in where.urls:
                yield serving.Endpoint(name, str(url.http), str(url.grpc), headers)
        elif where.selector is not None:
            try:
                hosts = selected_pods(self._client, where.selector.namespace, where.selector.match_labels)
            except ClusterRefused as refusal:
                log.warning("the servers of %s cannot be listed: %s", name, refusal)
                return
            for host in hosts:
                yield serving.Endpoint(name, f"{host}:{where.http_port}", f"{host}:{where.grpc_port}", headers)

    def _with_failures(self, server: TritonServer) -> TritonServer:
        """The server's models, and those whose last load failed without a trace on the server."""
        known = {(model.name, model.version) for model in server.models}
        lost = [
            LoadedModel(name, step.model.version, 0, False, problem, passing=not self._works.rejected(_load_key(step)))
            for (http, name), step in self._wanted.items()
            if http == server.http and server.live and (name, step.model.version) not in known
            if (problem := self._works.failure(_load_key(step)))
        ]
        return replace(server, models=tuple(sorted((*server.models, *lost)))) if lost else server


def _files(workload: InferenceWorkload) -> Iterator[_File]:
    for artifact in workload.spec.model.artifacts:
        secret = artifact.secret_ref.name if artifact.secret_ref else ""
        yield _File(str(artifact.sha256), str(artifact.source), workload.metadata.namespace, secret)


def _load_key(step: LoadModel) -> str:
    """Names a load with all that a user could change to make it succeed."""
    return f"load {step.model.model} version {step.model.version} x{step.model.instances} at {step.http}"


def _unload(step: UnloadModel) -> Work:
    return lambda endpoint: serving.unload(endpoint, step.model, timeout=UNLOAD_SECONDS)


def _do(work: Work, endpoint: serving.Endpoint) -> None:
    work(endpoint)


def _pool(snapshot: Snapshot, name: str) -> TritonPool | None:
    return next((pool for pool in snapshot.triton_pools if pool.metadata.name == name), None)
