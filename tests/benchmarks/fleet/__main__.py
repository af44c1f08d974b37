"""`make bench-fleet`: driven vehicles on real NATS servers, a real API server and a real carlet."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import httpx

from benchmarks import page
from benchmarks.fleet.cells import many_cells
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.hostile import hostile
from benchmarks.fleet.manifests import ROOT
from benchmarks.fleet.parts import PARTS, Run, Terms
from benchmarks.fleet.places import CLIENTS_PER_SERVER, FleetPlane, until
from benchmarks.fleet.results import Results
from benchmarks.fleet.witnessing import witness
from parkade.errors import InvalidInput, ParkadeError

MENDING = 300.0
"""Seconds for a fleet to be whole again after a part that failed."""
DOCS = ROOT / "docs/benchmarks.md"
FULL = Terms(
    vehicles=100_000, servers=0, cell=500, beat=60.0, idle=180.0, lost=0.2, outage=5.0, vanished=0.1,
    departing=0.3, window=90.0, staying=30.0,
    many=2_000, cars=15, rest=300.0, churn=120.0,
)  # fmt: skip
QUICK = Terms(
    vehicles=2_000, servers=0, cell=200, beat=4.0, idle=5.0, lost=0.2, outage=1.0, vanished=0.1,
    departing=0.3, window=3.0, staying=5.0,
    many=24, cars=5, rest=12.0, churn=12.0,
)  # fmt: skip

ALONE = {"witness": witness, "cells": many_cells, "hostile": hostile}
"""Parts with a plane of their own."""
NAMES = (*PARTS, *ALONE)


@click.command()
@click.option("--vehicles", type=click.IntRange(min=100), help=f"[default: {FULL.vehicles}]")
@click.option("--servers", type=click.IntRange(min=1), help="NATS servers. [default: as many as descriptors ask for]")
@click.option("--cell", type=click.IntRange(min=10), help=f"Vehicles of a cell. [default: {FULL.cell}]")
@click.option("--many", type=click.IntRange(min=4), help=f"Cells of the part `cells`. [default: {FULL.many}]")
@click.option("--cars", type=click.IntRange(min=4), help=f"Vehicles of each of them. [default: {FULL.cars}]")
@click.option("--beat", type=click.FloatRange(min=1), help=f"Seconds between beats. [default: {FULL.beat:g}]")
@click.option("--parts", help=f"Parts, separated by blanks. [default: {' '.join(NAMES)}]")
@click.option("--quick", is_flag=True, help=f"{QUICK.vehicles} vehicles in a few minutes; the figures mean little.")
@click.option(
    "--json",
    "output",
    type=click.Path(path_type=Path),
    help="Write the figures here after each part, and tables beside it.",
)
@click.option("--docs", is_flag=True, help=f"Put the tables into {DOCS.name}; the whole default run does so anyway.")
def main(parts: str | None, output: Path | None, *, quick: bool, docs: bool, **sizes: float | None) -> None:
    """Measure presence, control traffic and mass events of a driven fleet."""
    asked = parts.split() if parts else NAMES
    if unknown := [name for name in asked if name not in NAMES]:
        raise InvalidInput(f"{unknown[0]} is no part; choose from {' '.join(NAMES)}")
    given = {name: value for name, value in sizes.items() if value is not None}
    terms = replace(QUICK if quick else FULL, **given)  # type: ignore[arg-type]
    terms = replace(terms, servers=terms.servers or -(-terms.vehicles // CLIENTS_PER_SERVER))
    results = Results(output)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            if named := [name for name in asked if name in PARTS]:
                measure_fleet(Path(folder) / "plane", terms, named, results)
            for name in asked:
                if name in ALONE:
                    measure_alone(name, Path(folder) / name, terms, results)
        finally:
            if results.failures and output is not None:
                for logs in Path(folder).glob("*/logs"):
                    shutil.copytree(logs, output.with_suffix(".logs") / logs.parent.name, dirs_exist_ok=True)
    if results.failures:
        raise RuntimeError(f"not measured: {', '.join(results.failures)}")
    if docs or not (quick or parts or given):
        page.write(DOCS, results.tables(), "bench-fleet")


def measure_fleet(folder: Path, terms: Terms, names: Sequence[str], results: Results) -> None:
    """Measure the parts of one fleet, which has to connect first."""
    plane = FleetPlane(folder, terms.vehicles, terms.servers, terms.cell)
    plane.build()
    try:
        plane.start()
        with Drivers(
            plane, "--beat", f"{terms.beat:g}s", "--staying", f"{terms.staying:g}s", vehicles=plane.vehicles
        ) as drivers:
            ordered = ["connect", *(name for name in names if name != "connect")]
            measure(Run(plane, drivers, terms), ordered, results)
    finally:
        plane.stop()


def measure_alone(name: str, folder: Path, terms: Terms, results: Results) -> None:
    """Measure a part that has a plane of its own."""
    try:
        results.add(ALONE[name](folder, terms))
    except (ParkadeError, RuntimeError, httpx.HTTPError) as error:
        results.fail(name, error)


def measure(run: Run, names: Sequence[str], results: Results) -> None:
    """Measure each part; after one that failed go on with the next if the fleet can be made whole again."""
    for name in names:
        try:
            results.add(PARTS[name](run))
        except (ParkadeError, RuntimeError, httpx.HTTPError, OSError) as error:
            results.fail(name, error)
            try:
                run.drivers.tell(do="arrive")
                until(lambda: run.settled(run.terms.vehicles), "the fleet is whole again", MENDING)
            except (RuntimeError, httpx.HTTPError, OSError):
                return


if __name__ == "__main__":
    try:
        main()
    except (ParkadeError, RuntimeError) as error:
        raise SystemExit(f"bench-fleet: {error}") from None
