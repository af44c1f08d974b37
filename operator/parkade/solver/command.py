"""`parkade solve`: a problem file in, a solution file out."""

import json
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from parkade.errors import InvalidProblem
from parkade.solver.arrays import SolutionArrays
from parkade.solver.files import read_problem, read_state, write_arrays
from parkade.solver.prepared import Prepared
from parkade.solver.solve import UNLIMITED, Solved, State, Terms, prove

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("problem", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="Write the solution file here, in the format of the problem.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on standard output, with times and memory.")
@click.option("--work-limit", type=click.IntRange(min=0),
              help="Arc evaluations; stops every machine at the same plan.  [default: 20000000 and 1000 for each arc; "
              "none if there is a time limit]")  # fmt: skip
@click.option("--time-limit", type=click.FloatRange(min=0), help="Seconds; a backstop that marks the plan time_limit.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Of the kernel.  [default: one for each core]")
@click.option("--warm", type=_FILE, help="Start from the state that a solve of a problem with the same arcs saved.")
@click.option("--save-state", type=_FILE, help="Write here, as an .npz file, where the solve ended.")
def solve(  # noqa: PLR0913 -- one for each option
    problem: Path,
    output: Path | None,
    warm: Path | None,
    save_state: Path | None,
    *,
    as_json: bool,
    work_limit: int | None,
    time_limit: float | None,
    threads: int,
) -> None:
    """Solve the placement problem in the file PROBLEM; docs/placement.md describes all files."""
    if work_limit is None and time_limit is not None:
        work_limit = UNLIMITED
    terms = Terms(work_limit, time_limit, threads, clock=time.perf_counter)
    marks = [time.perf_counter()]
    prepared = read_problem(problem)
    last = None if warm is None else read_state(warm)
    marks.append(time.perf_counter())
    solved = prove(prepared, terms, last)
    marks.append(time.perf_counter())
    if output is not None:
        _write(output, solved.solution, prepared, flat=problem.suffix == ".npz")
    if save_state is not None:
        write_arrays(save_state, solved.state, "--save-state")
    marks.append(time.perf_counter())
    if as_json:
        seconds = dict(zip(("read", "solve", "write"), np.diff(marks).tolist(), strict=True))
        facts = {"seconds": seconds, "peakMemoryBytes": peak_memory(), "threads": threads}
        click.echo(json.dumps(_report(prepared, solved) | _moves(solved.solution, last) | facts))
    else:
        click.echo(_summary(prepared, solved.solution, marks[2] - marks[0]))


def _write(path: Path, solution: SolutionArrays, problem: Prepared, *, flat: bool) -> None:
    if flat:
        write_arrays(path, solution.to_mapping(), "-o")
        return
    try:
        path.write_text(solution.to_json(problem.shape))
    except OSError as error:
        raise InvalidProblem(f"{path} cannot be written: {error.strerror}; choose another -o") from None


def peak_memory() -> int:
    """Bytes. Linux hands a process the peak of its parent in `ru_maxrss`, so its status is read where it has one."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _shortfall(problem: Prepared, solution: SolutionArrays) -> tuple[int, float]:
    """How many covers are short, and what that costs in $/h."""
    return int(np.count_nonzero(solution.short > 0)), float(problem.short_cost @ solution.short)


def _report(problem: Prepared, solved: Solved) -> dict[str, object]:
    solution, proof = solved.solution, solved.proof
    covers_short, shortfall = _shortfall(problem, solution)
    return {
        "status": solution.status,
        "objective": solution.objective,
        "bound": solution.bound,
        "gap": solution.gap,
        "proof": None if proof is None else asdict(proof),
        "coversShort": covers_short,
        "shortfallCost": shortfall,
        "demands": problem.demands,
        "supplies": problem.supplies,
        "arcs": problem.arcs,
        "limits": len(solution.prices_limits),
    }


def _moves(solution: SolutionArrays, last: State | None) -> dict[str, int]:
    """Replicas that the last solve did not have on their arc, and those that only it had."""
    if last is None:
        return {}
    now = np.flatnonzero(solution.replicas)
    arcs = np.concatenate([now, last["replicas.arc"].astype(np.int64)])
    changes = np.concatenate([solution.replicas[now], -last["replicas.count"].astype(np.int64)])
    more = np.bincount(np.unique(arcs, return_inverse=True)[1], changes)
    return {"replicasStarted": int(more[more > 0].sum()), "replicasStopped": -int(more[more < 0].sum())}


def _summary(problem: Prepared, solution: SolutionArrays, seconds: float) -> str:
    covers_short, shortfall = _shortfall(problem, solution)
    wants = f"{covers_short} covers are short ({shortfall:.6g} $/h)" if covers_short else "every cover is met"
    return (
        f"{solution.status}: {solution.objective:.6g} $/h, no plan costs less than {solution.bound:.6g} $/h "
        f"(gap {solution.gap:.2%}); {wants}\n"
        f"{int(solution.replicas.sum())} replicas of {problem.demands} demands on {int(solution.units.sum())} units "
        f"of {problem.supplies} supplies, in {seconds:.3g} s"
    )
