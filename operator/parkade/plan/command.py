"""`parkade plan`: what would run where, at what cost and why, from a folder of manifests and without a cluster."""

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

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
from parkade.errors import InvalidInput, InvalidManifest, InvalidProblem
from parkade.plan.explain import break_evens, flip
from parkade.plan.once import plan_once
from parkade.plan.plan import Plan
from parkade.plan.prices import explain as explain_demand
from parkade.plan.prices import solution_arrays
from parkade.plan.table import render, render_break_evens, render_explanation
from parkade.problem.arrays import ProblemArrays
from parkade.problem.energy import series_mistakes
from parkade.problem.flattening import flatten
from parkade.problem.format import Problem
from parkade.problem.framing import frame
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.solver import Solution, solve

Kind = TypeVar("Kind", InferenceWorkload, Region, TritonPool, VehicleNodePool)


@click.command()
@click.option(
    "-f", "--filename", "folder", type=click.Path(path_type=Path), required=True, help="Manifest or folder of them."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--at", "instant", default="", help="Plan for this time (RFC 3339) instead of now; picks prices of series."
)
@click.option("--explain", "workload", default="", help="Explain one workload, `namespace/name`, instead.")
@click.option(
    "--save-problem", type=click.Path(path_type=Path), help="Write the problem for parkade solve and explain here."
)
def plan(
    folder: Path, output: Literal["table", "json"], instant: str, workload: str, save_problem: Path | None
) -> None:
    """Plan manifests without a cluster: places, costs, gap, and the price at which the other tier would win.

    The supply is what the pools expect: `vehicles` and `expected` of vehicle pools, `endpoints.urls` of Triton pools.
    """
    snapshot = offline_snapshot(folder, _instant(instant))
    if save_problem is not None:
        _save(frame(snapshot, Economics(), offline=True).problem, save_problem)
    if workload:
        click.echo(_explained(snapshot, workload, output), nl=False)
        return
    found = _planner(snapshot)
    flips = [flip(snapshot, _planner, found, part.workload) for part in found.workloads]
    known = [entry for entry in flips if entry is not None]
    if output == "json":
        document = found.to_dict() | {"flips": [asdict(entry) for entry in known], "notes": _notes(snapshot)}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(render(found, known, _notes(snapshot)), nl=False)


@click.command()
@click.argument("problem", type=click.Path(path_type=Path))
@click.argument("solution", type=click.Path(path_type=Path))
@click.argument("demand")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def explain(problem: Path, solution: Path, demand: str, *, as_json: bool) -> None:
    """Explain why a recorded SOLUTION of a recorded PROBLEM serves DEMAND (its id) where it does."""
    found = explain_demand(_recorded_problem(problem), _recorded_solution(solution), demand)
    click.echo(json.dumps(asdict(found), indent=2) + "\n" if as_json else render_explanation(found), nl=False)


def _planner(facts: Snapshot) -> Plan:
    return plan_once(facts, Economics(), solve, offline=True)


def _explained(snapshot: Snapshot, workload: str, output: Literal["table", "json"]) -> str:
    """What the prices of the problem say, and the break-evens that planning again at other prices finds."""
    found = _planner(snapshot)
    part = found.workload(workload)
    if part is None:
        known = ", ".join(entry.workload for entry in found.workloads)
        raise InvalidInput(f"--explain {workload}: no such workload; the manifests have {known}")
    if part.left_out is not None:
        raise InvalidInput(f"{workload} is not planned: {part.left_out.reason}: {part.left_out.message}")
    problem = frame(snapshot, Economics(), offline=True).problem
    prices = explain_demand(flatten(problem), solution_arrays(solve(problem)), workload)
    flips = break_evens(snapshot, _planner, found, workload)
    if output == "json":
        return json.dumps({"prices": asdict(prices), "flips": [asdict(entry) for entry in flips]}, indent=2) + "\n"
    return render_explanation(prices) + render_break_evens(flips)


def _save(problem: Problem, path: Path) -> None:
    try:
        path.write_text(problem.to_json(), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}; choose another --save-problem") from None


def _recorded_problem(path: Path) -> ProblemArrays:
    if path.suffix == ".npz":
        return ProblemArrays.from_npz(path)
    return flatten(Problem.from_json(_read(path)))


def _recorded_solution(path: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays of a solution file of either format."""
    if path.suffix != ".npz":
        try:
            return solution_arrays(Solution.from_json(_read(path)))
        except ValidationError:
            raise InvalidProblem(f"{path} is not a solution; write one by parkade solve PROBLEM -o") from None
    try:
        with np.load(path, allow_pickle=False) as opened:
            return dict(opened)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidProblem(f"{path} is not a solution: {error}; write one by parkade solve PROBLEM -o") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidProblem(f"{path} cannot be read: {error.strerror}; name an existing file") from None


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
    """What is accepted but not acted on, hardware that no pool has, and servers that only a cluster knows."""
    known = sorted({pool.spec.hardware.name for pool in snapshot.pools})
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
    resources: tuple[AnyResource, ...] = (*snapshot.workloads, *snapshot.pools, *snapshot.regions)
    for resource in resources:
        if isinstance(resource, TritonPool) and resource.spec.endpoints.selector is not None:
            notes.append(f"TritonPool {resource.key}: {Reason.SERVERS_NOT_COUNTED}: {Reason.SERVERS_NOT_COUNTED.say()}")
        fields = unhonoured_fields(resource)
        if isinstance(resource, (VehicleNodePool, TritonPool, Region)):
            notes += list(series_mistakes(resource, snapshot.now, snapshot.series))
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
