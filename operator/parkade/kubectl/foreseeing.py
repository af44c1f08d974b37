"""The facts that a plan would be made from, as far as the API server shows them: statuses stand in for probes.

What is not shown is assumed: every model file can be had, no place refuses a model, and the operator's settings are the
defaults. So a plan made here is what the operator would do unless one of these is otherwise.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from parkade.api import AnyResource, InferenceWorkload, Region, TritonPool, VehicleCell, VehicleNodePool
from parkade.api.base import Metadata
from parkade.changes.conditions import timestamp
from parkade.changes.demand import with_observed_demand
from parkade.changes.profiles import with_observed_times
from parkade.cluster.surveying import Survey
from parkade.kubectl.problems import found
from parkade.kubectl.words import duration, number
from parkade.problem.eligibility import artifact_for
from parkade.snapshot import LoadedModel, PodFace, Snapshot, TritonServer
from parkade.snapshot.observed import ObservedTime, ObservedWorkload
from parkade.snapshot.versions import version_of

K = TypeVar("K", InferenceWorkload, Region, TritonPool, VehicleNodePool)


def applied(survey: Survey, manifests: Iterable[AnyResource]) -> Survey:
    """As the cluster would be with these manifests: a new spec keeps the status and the age of its object."""
    changed = survey
    for manifest in manifests:
        match manifest:
            case InferenceWorkload():
                changed = replace(changed, workloads=_with(changed.workloads, manifest, survey))
            case Region():
                changed = replace(changed, regions=_with(changed.regions, manifest, survey))
            case TritonPool():
                changed = replace(changed, triton_pools=_with(changed.triton_pools, manifest, survey))
            case VehicleNodePool():
                changed = replace(changed, vehicle_pools=_with(changed.vehicle_pools, manifest, survey))
            case _:
                pass  # cells are the operator's, and nothing is planned from a grid event yet
    return changed


def _with(there: tuple[K, ...], manifest: K, survey: Survey) -> tuple[K, ...]:
    old = next((entry for entry in there if entry.key == manifest.key), None)
    if old is not None:
        new = old.model_copy(update={"spec": manifest.spec})
    else:
        meta: Metadata = manifest.metadata.model_copy(update={"creation_timestamp": timestamp(survey.now)})
        new = manifest.model_copy(update={"metadata": meta})
    whole: list[K] = [entry for entry in there if entry.key != manifest.key]
    whole.append(new)
    return tuple(sorted(whole, key=lambda entry: entry.key))


def snapshot_of(survey: Survey, series: tuple[tuple[str, str, str], ...] = ()) -> Snapshot:
    """What the cycle would decide on, after what routers observed took the place of what manifests leave out.

    Args:
        survey: with workloads, regions, pools and cells.
        series: as `Snapshot.price_series`.
    """
    cordoned = {
        it.metadata.name: it for it in survey.cells if found(it.status.conditions, "Schedulable").status == "False"
    }
    snapshot = Snapshot(
        now=survey.now,
        term=0,
        mode="Observe",
        workloads=survey.workloads,
        regions=survey.regions,
        triton_pools=survey.triton_pools,
        vehicle_pools=survey.vehicle_pools,
        cells=survey.cells,
        servers=tuple(sorted(it for pool in survey.triton_pools for it in _servers(pool, survey.workloads))),
        pods=tuple(sorted(it for cell in cordoned.values() for it in _pods(cell))),
        observed=tuple(sorted(map(_observed, survey.workloads))),
        cordoned_cells=frozenset(cordoned),
        price_series=series,
    )
    return with_observed_times(with_observed_demand(snapshot, "Missing"), "Replace")


def _pods(cell: VehicleCell) -> Iterator[PodFace]:
    """A cordoned cell that still holds something has the pods of it; a drained one has none."""
    if found(cell.status.conditions, "Schedulable").reason != "Cordoned":
        return
    for row in cell.spec.assignments:
        namespace, _, name = row.workload.partition("/")
        yield PodFace(namespace, f"{name}-{cell.metadata.name}", row.workload, cell.metadata.name, terminating=False)


def _servers(pool: TritonPool, workloads: Sequence[InferenceWorkload]) -> Iterator[TritonServer]:
    """As many servers as answer: those that workloads name with what they hold, and others that hold nothing known."""
    holding: dict[str, list[LoadedModel]] = {}
    grpc: dict[str, str] = {}
    for workload in workloads:
        for place in workload.status.placements:
            if place.place == pool.key:
                for end in place.endpoints:
                    holding.setdefault(end.http, []).append(_loaded(workload, pool, end.replicas))
                    grpc[end.http] = end.grpc
    urls = {str(url.http): str(url.grpc) for url in pool.spec.endpoints.urls or ()}
    grpc = {**{it: urls[it] for it in sorted(urls, key=lambda it: (it not in grpc, it))}, **grpc}
    names = sorted(grpc, key=lambda it: (it not in holding, it))
    names += [f"{pool.key}-{i}.not-shown:8000" for i in range(len(names), pool.status.ready)]
    for name in names[: max(pool.status.ready, len(holding))]:
        models = tuple(sorted(holding.get(name, ())))
        yield TritonServer(pool.key, name, grpc.get(name, name), live=True, models=models)


def _loaded(workload: InferenceWorkload, pool: TritonPool, replicas: int) -> LoadedModel:
    model = workload.spec.model
    artifact = artifact_for(workload, pool.spec.hardware.name) or model.artifacts[0]
    return LoadedModel(str(model.name), version_of(artifact.sha256), replicas, ready=True)


def _observed(workload: InferenceWorkload) -> ObservedWorkload:
    """What the status shows of what routers observed."""
    seen = workload.status.observed
    times = [
        ObservedTime(
            it.place, it.hardware, duration(it.time), number(it.scv), duration(it.service_time), number(it.service_scv)
        )
        for it in seen.times
        if duration(it.time) and duration(it.service_time)
    ]
    demand = tuple(sorted((row.region, number(row.rate)) for row in seen.by_region))
    return ObservedWorkload(workload.key, demand, tuple(sorted(times)))
