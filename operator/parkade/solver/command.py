"""`parkade solve`: a problem file in, a solution file out."""

import json
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from parkade.errors import InvalidProblem
from parkade.problem.format import Problem
from parkade.solver.solution import Solution
from parkade.solver.solve import DEFAULT_WORK_LIMIT, Proof, prove


@click.command()
@click.argument("problem", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the solution file here.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on standard output, with times and memory.")
@click.option("--work-limit", type=click.IntRange(min=0), default=DEFAULT_WORK_LIMIT, show_default=True,
              help="Arc evaluations; stops every machine at the same plan.")  # fmt: skip
@click.option("--time-limit", type=click.FloatRange(min=0), help="Seconds; a backstop that marks the plan time_limit.")
def solve(problem: Path, output: Path | None, *, as_json: bool, work_limit: int, time_limit: float | None) -> None:
    """Solve the placement problem in the file PROBLEM; docs/placement.md describes both files."""
    started = time.perf_counter()
    numbers = Problem.from_json(_read(problem))
    read = time.perf_counter()
    solution, proof = prove(numbers, work_limit=work_limit, time_limit=time_limit, clock=time.perf_counter)
    solved = time.perf_counter()
    if output is not None:
        _write(output, solution)
    if as_json:
        seconds = {"read": read - started, "solve": solved - read}
        report = _report(numbers, solution, proof)
        click.echo(json.dumps(report | {"seconds": seconds, "peakMemoryBytes": _peak_memory()}))
    else:
        click.echo(_summary(numbers, solution, solved - started))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidProblem(f"{path} cannot be read: {error.strerror}; name an existing problem file") from None


def _write(path: Path, solution: Solution) -> None:
    try:
        path.write_text(solution.to_json())
    except OSError as error:
        raise InvalidProblem(f"{path} cannot be written: {error.strerror}; choose another -o") from None


def _peak_memory() -> int:
    """Bytes; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _shortfall(problem: Problem, solution: Solution) -> tuple[int, float]:
    """How many covers are short, and what that costs in $/h."""
    covers = [cover for demand in problem.demands for cover in demand.covers]
    missing = [missing for row in solution.short for missing in row]
    cost = sum(cover.short_cost * short for cover, short in zip(covers, missing, strict=True))
    return sum(short > 0 for short in missing), cost


def _report(problem: Problem, solution: Solution, proof: Proof | None) -> dict[str, object]:
    covers_short, shortfall = _shortfall(problem, solution)
    return {
        "status": solution.status,
        "objective": solution.objective,
        "bound": solution.bound,
        "gap": solution.gap,
        "proof": None if proof is None else asdict(proof),
        "coversShort": covers_short,
        "shortfallCost": shortfall,
        "demands": len(problem.demands),
        "supplies": len(problem.supplies),
        "arcs": len(problem.arcs),
        "limits": len(problem.limits),
    }


def _summary(problem: Problem, solution: Solution, seconds: float) -> str:
    covers_short, shortfall = _shortfall(problem, solution)
    wants = f"{covers_short} covers are short ({shortfall:.6g} $/h)" if covers_short else "every cover is met"
    return (
        f"{solution.status}: {solution.objective:.6g} $/h, no plan costs less than {solution.bound:.6g} $/h "
        f"(gap {solution.gap:.2%}); {wants}\n"
        f"{sum(solution.replicas)} replicas of {len(problem.demands)} demands on {sum(solution.units)} units "
        f"of {len(problem.supplies)} supplies, in {seconds:.3g} s"
    )
