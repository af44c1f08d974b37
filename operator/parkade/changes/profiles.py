"""Workloads as the plan sees them: with the times that routers observed in place of those of their profiles."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from parkade.api import InferenceWorkload
from parkade.api.values import Amount, Name, PositiveAmount, PositiveDuration
from parkade.api.workload import Profile
from parkade.changes.durations import milliseconds
from parkade.snapshot import ObservedProfile, ObservedTime, ObservedWorkload, Snapshot

ObservedTimes = Literal["Replace", "Ignore"]
"""Whether observed times replace those of `model.profiles`, or are only shown."""


def with_observed_times(snapshot: Snapshot, mode: ObservedTimes) -> Snapshot:
    """The snapshot with the profiles to plan with in each workload's `spec.model.profiles`."""
    observed = {row.workload: row for row in snapshot.observed if row.times}
    if mode == "Ignore" or not observed:
        return snapshot
    cars = {str(pool.spec.hardware.name) for pool in snapshot.vehicle_pools}
    pools = {pool.key: str(pool.spec.hardware.name) for pool in snapshot.triton_pools}
    return replace(
        snapshot,
        workloads=tuple(
            _measured(workload, _by_hardware(observed[workload.key], cars, pools))
            if workload.key in observed
            else workload
            for workload in snapshot.workloads
        ),
    )


def _by_hardware(
    observed: ObservedWorkload, cars: Iterable[str], pools: Mapping[str, str]
) -> dict[str, list[ObservedTime]]:
    """Rows of hardware that some pool has."""
    found: dict[str, list[ObservedTime]] = {}
    for row in observed.times:
        hardware = pools.get(row.place, "") if row.place else row.hardware if row.hardware in cars else ""
        if hardware:
            found.setdefault(hardware, []).append(row)
    return found


def _measured(workload: InferenceWorkload, times: Mapping[str, list[ObservedTime]]) -> InferenceWorkload:
    model = workload.spec.model
    declared = {str(profile.hardware): profile for profile in model.profiles}
    if workload.spec.batch is not None or not times:
        return workload
    profiles = tuple(
        _profile(name, times[name], declared.get(name)) if name in times else declared[name]
        for name in sorted(declared.keys() | times.keys(), key=lambda name: (name not in declared, name))
    )
    spec = workload.spec.model_copy(update={"model": model.model_copy(update={"profiles": profiles})})
    return workload.model_copy(update={"spec": spec})


def _profile(hardware: str, times: list[ObservedTime], declared: Profile | None) -> ObservedProfile:
    """Of several pools with one hardware the quickest says how long the work takes, the slowest how long it is kept.

    What others take longer than the quickest is mostly their distance, which a plan adds by itself.
    """
    quickest = min(times, key=lambda row: (row.service_seconds, row))
    slowest = max(times, key=lambda row: (row.seconds, row))
    most = declared.max_rate_per_server if declared else None
    if declared is not None and most is None:
        most = PositiveAmount(f"{max(1.0 / declared.service_time.seconds, 1.0 / slowest.seconds):.6f}")
    return ObservedProfile(
        hardware=Name(hardware),
        service_time=PositiveDuration(milliseconds(quickest.service_seconds)),
        scv=Amount(f"{quickest.service_scv:g}"),
        joules=declared.joules if declared else None,
        max_rate_per_server=most,
        held=PositiveDuration(milliseconds(slowest.seconds)),
        held_scv=Amount(f"{slowest.scv:g}"),
    )
