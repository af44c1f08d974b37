"""`parkade plan`: what would run where, at what cost and why, from a folder of manifests and without a cluster."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from parkade.api import (
    AnyResource,
    InferenceWorkload,
    Reason,
    Region,
    TritonPool,
    VehicleNodePool,
    load,
    read_manifests,
    unhonoured_fields,
)
from parkade.errors import InvalidManifest
from parkade.plan.explain import flip
from parkade.plan.once import plan_once
from parkade.plan.plan import Plan
from parkade.plan.table import render
from parkade.problem.energy import series_mistakes
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.solver import solve

Kind = TypeVar("Kind", InferenceWorkload, Region, TritonPool, VehicleNodePool)


@click.command()
@click.option(
    "-f", "--filename", "folder", type=click.Path(path_type=Path), required=True, help="Manifest or folder of them."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--at", "instant", default="", help="Plan for this time (RFC 3339) instead of now; picks prices of series."
)
def plan(folder: Path, output: Literal["table", "json"], instant: str) -> None:
    """Plan manifests without a cluster: places, costs, gap, and the price at which the other tier would win.

    The supply is what the pools expect: `vehicles` and `expected` of vehicle pools, `endpoints.urls` of Triton pools.
    """
    snapshot = offline_snapshot(folder, _instant(instant))

    def planner(facts: Snapshot) -> Plan:
        return plan_once(facts, Economics(), solve, offline=True)

    found = planner(snapshot)
    flips = [flip(snapshot, planner, found, part.workload) for part in found.workloads]
    known = [entry for entry in flips if entry is not None]
    if output == "json":
        document = found.to_dict() | {"flips": [asdict(entry) for entry in known], "notes": _notes(snapshot)}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(render(found, known, _notes(snapshot)), nl=False)


def offline_snapshot(folder: Path, now: datetime) -> Snapshot:
    """Read a file or folder of manifests as a snapshot without cells and servers; ConfigMaps give price series.

    Raises:
        InvalidManifest: nothing is there, a manifest breaks a rule, or two have one name.
    """
    objects = load(folder)
    workloads = _of(objects, InferenceWorkload)
    if not workloads:
        raise InvalidManifest(f"{folder} has no InferenceWorkload; write one, or name the folder that has it")
    return Snapshot(
        now=now,
        term=0,
        mode="Observe",
        workloads=workloads,
        regions=_of(objects, Region),
        triton_pools=_of(objects, TritonPool),
        vehicle_pools=_of(objects, VehicleNodePool),
        cells=(),
        price_series=tuple(sorted(_series(folder))),
    )


def _of(objects: Iterable[AnyResource], kind: type[Kind]) -> tuple[Kind, ...]:
    found: dict[str, Kind] = {}
    for entry in objects:
        if isinstance(entry, kind):
            if entry.key in found:
                raise InvalidManifest(f"{kind.__name__} {entry.key} is there twice; remove or rename one")
            found[entry.key] = entry
    return tuple(found[key] for key in sorted(found))


def _series(folder: Path) -> Iterable[tuple[str, str, str]]:
    files = [folder] if folder.is_file() else [f for f in folder.rglob("*") if f.suffix in (".yaml", ".yml", ".json")]
    for file in sorted(files):
        for manifest in read_manifests(file.read_text(encoding="utf-8")):
            if manifest.get("kind") == "ConfigMap":
                metadata: dict[str, Any] = manifest.get("metadata") or {}
                for key, text in (manifest.get("data") or {}).items():
                    yield str(metadata.get("name", "")), str(key), str(text)


def _notes(snapshot: Snapshot) -> list[str]:
    """What is accepted but not acted on, and hardware that no pool has."""
    pools: tuple[VehicleNodePool | TritonPool, ...] = (*snapshot.vehicle_pools, *snapshot.triton_pools)
    known = sorted({pool.spec.hardware.name for pool in pools})
    notes = []
    for workload in snapshot.workloads:
        named = {profile.hardware for profile in workload.spec.model.profiles}
        callers = {entry.region for entry in workload.spec.demand or ()}
        unknown = sorted(callers - {entry.key for entry in snapshot.regions})
        said_of = (Reason.UNKNOWN_REGION.say(region=region) for region in unknown)
        notes += [f"{workload.key}: {Reason.UNKNOWN_REGION}: {said}" for said in said_of]
        for hardware in sorted(named - set(known)):
            said = Reason.UNKNOWN_HARDWARE.say(hardware=hardware, known=", ".join(known) or "none")
            notes.append(f"{workload.key}: {Reason.UNKNOWN_HARDWARE}: {said}")
    resources: tuple[AnyResource, ...] = (*snapshot.workloads, *pools, *snapshot.regions)
    for resource in resources:
        fields = unhonoured_fields(resource)
        if isinstance(resource, (VehicleNodePool, TritonPool, Region)):
            texts = {(name, key): text for name, key, text in snapshot.price_series}
            notes += list(series_mistakes(resource, snapshot.now, texts))
        if fields:
            said = Reason.FIELDS_NOT_HONOURED.say(fields=", ".join(fields))
            notes.append(f"{resource.kind} {resource.key}: {Reason.FIELDS_NOT_HONOURED}: {said}")
    return notes


def _instant(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidManifest(f"--at {text!r} is not a time; write for example 2026-08-18T16:00:00-07:00") from None
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
