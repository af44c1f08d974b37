"""`make bench-solver`: this solver and others on the same instances, in one run, each in a process of its own."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import psutil

from benchmarks import machine, page
from benchmarks.solver.catalogue import METHODS
from benchmarks.solver.comparing import Instance, Terms, compare
from benchmarks.solver.instances import changed, file, parse
from benchmarks.solver.table import Section, as_json, as_markdown, methods_markdown, sizes_of
from parkade.errors import InvalidInput, ParkadeError
from parkade.problem.arrays import ProblemArrays

DOCS = Path(__file__).parents[3] / "docs/benchmarks.md"
SIZES = ("fleet:10x4k", "fleet:100x10k", "uniform:300x300", "dense:1000x1000", "fleet:1kx100k",
         "fleet:10kx1M", "fleet:10kx1M+limits", "fleet:10kx1M*2", "fleet:10kx1M*2.9")  # fmt: skip
SMOKE = ("uniform:8x8", "dense:20x10")
LIMIT = 20.0
"""Seconds of each solve."""
SMOKE_LIMIT = 5.0
MEMORY_SHARE = 0.7
"""Of the machine's memory, for one method."""


def cache() -> Path:
    """Where instances are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "parkade/bench"


@click.command()
@click.option("--sizes", help=f"Instances, separated by blanks. [default: {' '.join(SIZES)}]")
@click.option("--methods", help=f"Methods, separated by blanks. [default: {' '.join(METHODS)}]")
@click.option("--limit", type=click.FloatRange(min=0.1), help=f"Seconds of each solve. [default: {LIMIT:g}]")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--docs", type=click.Path(path_type=Path), help="Put the tables between the markers of this page.")
@click.option(
    "--smoke", is_flag=True, help="Two tiny instances, a few seconds a solve; no method that needs its own environment."
)
def main(sizes: str | None, methods: str | None, limit: float | None, output: Path | None, docs: Path | None, *,
         smoke: bool) -> None:  # fmt: skip
    """Compare the methods; the whole default run also writes docs/benchmarks.md."""
    names = sizes.split() if sizes else list(SMOKE if smoke else SIZES)
    chosen = methods.split() if methods else [name for name in METHODS if not (smoke and METHODS[name].packages)]
    if unknown := [name for name in chosen if name not in METHODS]:
        raise InvalidInput(f"{unknown[0]} is no method; choose from {' '.join(METHODS)}")
    memory = int(MEMORY_SHARE * psutil.virtual_memory().total)
    with tempfile.TemporaryDirectory() as folder:
        terms = Terms(limit or (SMOKE_LIMIT if smoke else LIMIT), memory, Path(folder))
        sections = list(_sections(names, chosen, terms))
    about = machine.describe()
    if output is not None:
        results = {"machine": about, "limitSeconds": terms.limit, "instances": [as_json(each) for each in sections]}
        output.write_text(json.dumps(results, indent=1))
    if docs is None and not (smoke or sizes or methods or limit):
        docs = DOCS
    if docs is not None:
        measured = f"Measured on {machine.hardware(about)}; {machine.software(about)}."
        title = f"{measured} Limit of each solve: {terms.limit:g} s."
        page.write(docs, "\n\n".join([title, methods_markdown(chosen), *map(as_markdown, sections)]), "bench-solver")


def _sections(names: Sequence[str], methods: Sequence[str], terms: Terms) -> Iterator[Section]:
    lost: dict[str, str] = {}
    for name in names:
        path = file(parse(name), cache())
        problem = ProblemArrays.from_npz(path)
        later, after = changed(problem), terms.folder / "changed.npz"
        later.to_npz(after)
        instance = Instance(problem, later, (path, after))
        rows, bound = [], None
        for row in compare(instance, methods, lost, terms):
            rows.append(row)
            bound = row.run.bound if row.method == "ours" else bound
            click.echo(f"{name}: {row.method}: {row.run.outcome} {row.run.note}".rstrip(), err=True)
        section = Section(name, sizes_of(problem), bound, rows)
        click.echo(as_markdown(section) + "\n")
        yield section


if __name__ == "__main__":
    try:
        main()
    except ParkadeError as error:
        raise SystemExit(f"bench-solver: {error}") from None
