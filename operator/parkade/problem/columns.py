"""Places and workloads as columns of numbers: what all (workload, place) pairs are computed from at once.

K places, H kinds of hardware, P place classes (places alike in hardware, region, round trip and departures: the same
latency), W workloads, M profiles (alike in speed and energy on every hardware).
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parkade.api import InferenceWorkload
from parkade.api.workload import Profile
from parkade.problem.eligibility import service_of
from parkade.problem.latency import Service
from parkade.problem.supply import Place
from parkade.problem.utilisation import MOST_TAILS, coarsened
from parkade.settings import RoundTrip
from parkade.snapshot import ObservedProfile, StagedArtifact
from parkade.units import SECONDS_PER_HOUR, in_bytes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, order=True)
class PlaceClass:
    """Places that answer the same requests in the same time."""

    region: str
    hardware: str
    legs: tuple[RoundTrip, ...]
    departures_per_hour: float
    availability: float


@dataclass(frozen=True, slots=True, eq=False)
class PlaceColumns:
    """K places."""

    places: tuple[Place, ...]
    classes: tuple[PlaceClass, ...]
    regions: tuple[str, ...]
    hardware: tuple[str, ...]
    of_class: Ints
    """[K], index into `classes`"""
    of_region: Ints
    """[K], index into `regions`"""
    of_hardware: Ints
    """[K], index into `hardware`"""
    class_region: Ints
    """[P]"""
    class_hardware: Ints
    """[P]"""
    class_car: Bools
    """[P]"""
    class_availability: Floats
    """[P]"""
    car: Bools
    """[K]"""
    memory: Ints
    """[K], bytes of one unit"""
    slots: Ints
    """[K], replicas of one unit"""
    units: Ints
    """[K], cars or servers"""
    unit_cost: Floats
    """[K], $/h of the dearest unit"""
    unit_watts: Floats
    """[K], of the hungriest unit while anything runs on it"""
    dollars: Floats
    """[K], $ per kWh"""
    carbon_dollars: Floats
    """[K], $ per kWh"""
    grams: Floats
    """[K], per kWh"""
    pue: Floats
    """[K]"""
    dynamic_watts: Floats
    """[K], of a busy server beyond idle"""
    per_gb: Floats
    """[K], $"""
    availability: Floats
    """[K]"""

    @classmethod
    def of(cls, places: Sequence[Place]) -> "PlaceColumns":
        """Read the places; classes, regions and hardware in the order of their names."""
        own = _classes(places)
        classes = sorted(dict.fromkeys(own))
        regions = sorted({it.region for it in places})
        hardware = sorted({it.hardware for it in places})
        index = {it: at for at, it in enumerate(classes)}
        of_class = _ints(index[it] for it in own)
        car = np.array([it.tier == "Vehicle" for it in places], dtype=np.bool_)
        class_car = np.zeros(len(classes), dtype=np.bool_)
        class_car[of_class] = car
        return cls(
            places=tuple(places),
            classes=tuple(classes),
            regions=tuple(regions),
            hardware=tuple(hardware),
            of_class=of_class,
            of_region=_ints(regions.index(it.region) for it in places),
            of_hardware=_ints(hardware.index(it.hardware) for it in places),
            class_region=_ints(regions.index(it.region) for it in classes),
            class_hardware=_ints(hardware.index(it.hardware) for it in classes),
            class_car=class_car,
            class_availability=_floats(it.availability for it in classes),
            car=car,
            memory=_ints(it.memory for it in places),
            slots=_ints(it.slots for it in places),
            units=_ints(it.units for it in places),
            unit_cost=_floats(it.steps[-1].running.cost.total for it in places),
            unit_watts=_floats(max(step.running.watts for step in it.steps) for it in places),
            dollars=_floats(it.rate.dollars for it in places),
            carbon_dollars=_floats(it.rate.carbon_dollars for it in places),
            grams=_floats(it.rate.grams for it in places),
            pue=_floats(it.pue for it in places),
            dynamic_watts=_floats(it.dynamic_watts for it in places),
            per_gb=_floats(it.per_gb for it in places),
            availability=_floats(it.availability for it in places),
        )


@dataclass(frozen=True, slots=True, eq=False)
class WorkloadColumns:
    """W workloads."""

    workloads: tuple[InferenceWorkload, ...]
    callers: tuple[tuple[tuple[str, float], ...], ...]
    """[W], regions that ask, sorted, and their requests/s; empty for a batch"""
    demand: Floats
    """[W], requests/s; of a batch items/s"""
    batch: Bools
    """[W]"""
    percentile: Ints
    """[W]"""
    target: Floats
    """[W], seconds; 0 for a batch"""
    least: Ints
    """[W], minReplicas"""
    spread: Ints
    """[W]"""
    verified: Floats
    """[W], share of answers of cars that a Triton server computes again"""
    priority: Ints
    """[W]"""
    memory: Ints
    """[W], bytes of one replica"""
    request: Ints
    """[W], bytes that travel to a replica for one request"""
    response: Ints
    """[W], bytes of one answer"""
    of_profile: Ints
    """[W]"""
    services: tuple[tuple[Service | None, ...], ...]
    """[M][H], None where the hardware has no profile"""
    seconds: Floats
    """[M, H], mean time for which a request keeps a replica, NaN without a profile"""
    joules: Floats
    """[M, H], of one request, NaN where the hardware's power says it"""
    server_rate: Floats
    """[M, H], requests/s of one server at best"""
    size: Floats
    """[W, H], bytes of the model file; the model's memory until it is known"""

    @classmethod
    def of(
        cls,
        workloads: Sequence[InferenceWorkload],
        batch_rates: Sequence[float],
        hardware: Sequence[str],
        staged: dict[str, StagedArtifact],
    ) -> "WorkloadColumns":
        """Read the workloads.

        Args:
            workloads: with demand and latency, or with a batch.
            batch_rates: items/s of those with a batch; anything for the others.
            hardware: names of the H kinds.
            staged: files by digest.
        """
        profiles: dict[Hashable, tuple[int, tuple[Profile, ...]]] = {}
        callers = tuple(_callers(workload) for workload in workloads)
        specs = [workload.spec for workload in workloads]
        batch = np.array([spec.batch is not None for spec in specs], dtype=np.bool_)
        asked = _floats(sum(rate for _, rate in row) for row in callers)
        of_profile = _ints(
            profiles.setdefault(_written(spec.model.profiles), (len(profiles), spec.model.profiles))[0]
            for spec in specs
        )
        memory = _ints(in_bytes(spec.model.memory) for spec in specs)
        services, figures = _figures([profile for _, profile in profiles.values()], hardware)
        return cls(
            workloads=tuple(workloads),
            callers=callers,
            demand=np.where(batch, np.array(batch_rates, dtype=np.float64), asked),
            batch=batch,
            percentile=_ints(spec.latency.percentile if spec.latency else 0 for spec in specs),
            target=_floats(spec.latency.target.seconds if spec.latency else 0.0 for spec in specs),
            least=_ints(0 if spec.batch else spec.placement.min_replicas for spec in specs),
            spread=_ints(1 if spec.batch else spec.placement.spread for spec in specs),
            verified=_floats(spec.trust.verify_percent / 100.0 for spec in specs),
            priority=_ints(spec.priority for spec in specs),
            memory=memory,
            request=_ints(_request(workload) for workload in workloads),
            response=_ints(in_bytes(spec.payload.response) for spec in specs),
            of_profile=of_profile,
            services=services,
            seconds=figures[0],
            joules=figures[1],
            server_rate=figures[2],
            size=_sizes(workloads, memory, hardware, staged),
        )


def _classes(places: Sequence[Place]) -> list[PlaceClass]:
    """The class of each place; of many links and departures near ones count as the slower and the less faithful."""
    tails = [(*(seconds for leg in it.legs for seconds in leg), it.departures_per_hour) for it in places]
    by_length = {
        length: coarsened((tail for tail in tails if len(tail) == length), MOST_TAILS)
        for length in set(map(len, tails))
    }
    found = []
    for place, tail in zip(places, tails, strict=True):
        *leg, departures = by_length[len(tail)][tail]
        legs = tuple(zip(leg[::2], leg[1::2], strict=True))
        available = 1.0 / (1.0 + departures * place.keep_seconds / SECONDS_PER_HOUR)
        found.append(PlaceClass(place.region, place.hardware, legs, departures, available))
    return found


def _written(profiles: tuple[Profile, ...]) -> Hashable:
    """The texts of the manifest, and of what was observed: cheaper to compare than what they mean."""
    return tuple(
        (it.hardware, it.service_time, it.scv, it.joules, it.max_rate_per_server)
        + ((it.held, it.held_scv) if isinstance(it, ObservedProfile) else ())
        for it in profiles
    )


def _callers(workload: InferenceWorkload) -> tuple[tuple[str, float], ...]:
    found = [(str(entry.region), entry.rate.value) for entry in workload.spec.demand or ()]
    return tuple(sorted(entry for entry in found if entry[1] > 0.0))


def _request(workload: InferenceWorkload) -> int:
    """Bytes that travel to a replica; items of `vehicle://` are in the car already."""
    batch = workload.spec.batch
    if batch is not None and batch.source.startswith("vehicle://"):
        return 0
    return in_bytes(workload.spec.payload.request)


def _figures(
    profiles: Iterable[tuple[Profile, ...]], hardware: Sequence[str]
) -> tuple[tuple[tuple[Service | None, ...], ...], Floats]:
    """Services, and (seconds, joules, server rate) of shape (3, M, H)."""
    services, index = [], {name: at for at, name in enumerate(hardware)}
    figures: tuple[list[float], ...] = ([], [], [])
    for profile in profiles:
        own: list[Service | None] = [None] * len(hardware)
        for column in figures:
            column.extend([np.nan] * len(hardware))
        for entry in profile:
            at = index.get(str(entry.hardware))
            if at is not None:
                own[at] = service_of(entry)
                for column, number in zip(figures, _numbers(entry), strict=True):
                    column[at - len(hardware)] = number
        services.append(tuple(own))
    return tuple(services), np.array(figures, dtype=np.float64).reshape(3, len(services), len(hardware))


def _numbers(profile: Profile) -> tuple[float, float, float]:
    seconds, most = service_of(profile).busy[0], profile.max_rate_per_server
    joules = profile.joules.value if profile.joules is not None else np.nan
    return seconds, joules, most.value if most is not None else 1.0 / seconds


def _sizes(
    workloads: Sequence[InferenceWorkload], memory: Ints, hardware: Sequence[str], staged: dict[str, StagedArtifact]
) -> Floats:
    sizes = np.repeat(memory.astype(np.float64)[:, None], len(hardware), axis=1)
    for row, workload in enumerate(workloads):
        # one made for the hardware goes before one for any
        for artifact in sorted(workload.spec.model.artifacts, key=lambda it: "*" not in it.hardware):
            entry = staged.get(artifact.sha256)
            if entry is None or not entry.size:
                continue
            if "*" in artifact.hardware:
                sizes[row] = entry.size
            for name in artifact.hardware:
                if name in hardware:
                    sizes[row, hardware.index(name)] = entry.size
    return sizes


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)


def _floats(values: Iterable[Any]) -> Floats:
    return np.array(list(values), dtype=np.float64)
