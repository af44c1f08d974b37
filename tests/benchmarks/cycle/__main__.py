"""`make bench-cycle`: what the operator costs at rest, and how soon it acts, beside thousands of cells."""

import tempfile
from dataclasses import replace
from pathlib import Path

import click
import httpx

from benchmarks import page
from benchmarks.cycle.parts import Run, Terms, events, rest, settle
from benchmarks.cycle.places import CyclePlane, Size
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.manifests import ROOT
from benchmarks.fleet.results import Results
from parkade.errors import ParkadeError

DOCS = ROOT / "docs/benchmarks.md"
FULL = Terms(workloads=1_000, cells=2_000, cars=5, beat=60.0, rest=180.0, steady=20.0, events=100)
QUICK = Terms(workloads=20, cells=20, cars=5, beat=4.0, rest=12.0, steady=5.0, events=5)


@click.command()
@click.option("--workloads", type=click.IntRange(min=2), help=f"[default: {FULL.workloads}]")
@click.option("--cells", type=click.IntRange(min=2), help=f"[default: {FULL.cells}]")
@click.option("--cars", type=click.IntRange(min=1), help=f"Vehicles of each cell. [default: {FULL.cars}]")
@click.option("--events", type=click.IntRange(min=2), help=f"Changes that people make. [default: {FULL.events}]")
@click.option("--quick", is_flag=True, help=f"{QUICK.cells} cells in a minute; the figures mean little.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here, and tables beside it.")
def main(output: Path | None, *, quick: bool, **sizes: int | None) -> None:
    """Measure the operator on a real API server, with a real carlet and driven vehicles."""
    given = {name: value for name, value in sizes.items() if value is not None}
    terms = replace(QUICK if quick else FULL, **given)  # type: ignore[arg-type]
    results = Results(output)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        plane = CyclePlane(Path(folder) / "plane", Size(terms.workloads, terms.cells, terms.cars))
        plane.say = click.echo
        plane.build()
        try:
            plane.start()
            with Drivers(plane, "--beat", f"{terms.beat:g}s", vehicles=plane.vehicles) as drivers:
                run = Run(plane, drivers, terms)
                for part in (settle, rest, events):
                    results.add(part(run))
        finally:
            plane.stop()
    if not (quick or given):
        page.write(DOCS, results.tables(), "bench-cycle")


if __name__ == "__main__":
    try:
        main()
    except (ParkadeError, RuntimeError, httpx.HTTPError) as error:
        raise SystemExit(f"bench-cycle: {error}") from None
