"""One solve: the kernel, and for small problems the exact finish."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np

from parkade.errors import InvalidProblem
from parkade.problem.arrays import Array, ProblemArrays
from parkade.solver.arrays import SolutionArrays
from parkade.solver.prepared import Prepared
from parkade.solver.solution import Solution

if TYPE_CHECKING:  # what only small problems need is imported for them: large ones are solved in a second
    from parkade.problem.format import Problem
    from parkade.solver.exact import Finish

LEAST_WORK: Final = 20_000_000
"""Arc evaluations; a second or two of the search of a small problem, which sees little improvement then."""
WORK_PER_ARC: Final = 1_000
"""Arc evaluations; ten times what fleets need to end by themselves."""
UNLIMITED: Final = 2**63 - 1

ENDING: Final = 60e-9
"""Seconds for each arc, which the kernel takes for plan and bound after its time is over: measured, on two cores."""
KERNEL_SHARE: Final = 0.4
"""Of the time limit, at most, when HiGHS is to follow."""
FINISH_SHARE: Final = 0.8
"""Of the time that is left then; the rest is for checking what HiGHS found."""

Clock = Callable[[], float]
"""Seconds since some instant."""
State = Mapping[str, Any]
"""Where a solve ended, for the next one; `files.STATE` names the arrays."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a problem is to be solved."""

    work_limit: int | None = None
    """Arc evaluations, at which every machine stops at the same plan; None: as many as problems of the size need."""
    time_limit: float | None = None
    """Seconds; a backstop that marks the solution `time_limit`."""
    threads: int = 0
    """0: one for each core. The solution is the same for any."""
    clock: Clock | None = None
    """What one step leaves of the time is given to the next; without it each counts as taking all it may."""
    exact: bool = True
    """Whether small problems are finished by HiGHS."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What another solver says of the plan; nobody can recompute it, so it is no certificate."""

    by: Literal["HiGHS"]
    bound: float
    """$/h."""
    gap: float
    """As the solution's, with this bound."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """What came of it."""

    solution: SolutionArrays
    state: State
    proof: Proof | None
    """What HiGHS proves where it had a part."""


@overload
def solve(
    problem: ProblemArrays, *, work_limit: int | None = ..., time_limit: float | None = ..., exact: bool = ...
) -> SolutionArrays: ...
@overload
def solve(
    problem: "Problem", *, work_limit: int | None = ..., time_limit: float | None = ..., exact: bool = ...
) -> Solution: ...
def solve(
    problem: "Problem | ProblemArrays",
    *,
    work_limit: int | None = None,
    time_limit: float | None = None,
    exact: bool = True,
) -> Solution | SolutionArrays:
    """Find a feasible plan and a certified bound.

    Equal problems with equal work limits give equal solutions; a solve that `time_limit` (seconds) cuts short says so
    in its status. `exact=False` leaves out the finish of small problems by HiGHS.

    Raises:
        InvalidProblem: an entry breaks the format; the message names it and the remedy.
    """
    prepared = Prepared.of(problem)
    found = prove(prepared, Terms(work_limit, time_limit, exact=exact)).solution
    return found if isinstance(problem, ProblemArrays) else found.unflatten(prepared.shape)


def prove(problem: Prepared, terms: Terms, last: State | None = None) -> Solved:
    """Solve from where another solve ended, and tell what HiGHS proves and where this one ends.

    Raises:
        InvalidProblem: the state is of another problem.
    """
    with_exact = problem.small is not None and terms.exact and terms.work_limit != 0
    seconds = _seconds(terms, problem.arcs, with_exact=with_exact)
    work = usual_work(problem.arcs) if terms.work_limit is None else terms.work_limit
    try:
        arrays, state = problem.kernel.solve_arrays(work, next(seconds), terms.threads, last)
    except ValueError as error:
        raise InvalidProblem(str(error)) from None
    solution = SolutionArrays.from_mapping(arrays)
    proof = None
    if problem.small is not None and with_exact and solution.status != "optimal":
        solution, proof = _finished(problem, problem.small, solution, terms, seconds)
    return Solved(solution, {**state, **running(solution.replicas)}, proof)


def running(replicas: Array) -> dict[str, Array]:
    """The part of a state that says what runs."""
    arcs = np.flatnonzero(replicas)
    return {"replicas.arc": arcs, "replicas.count": replicas[arcs]}


def usual_work(arcs: int) -> int:
    """Arc evaluations that problems of a size are given."""
    return LEAST_WORK + WORK_PER_ARC * arcs


def _finished(
    problem: Prepared, arrays: ProblemArrays, solution: SolutionArrays, terms: Terms, seconds: Iterator[float | None]
) -> tuple[SolutionArrays, Proof]:
    """The better of the solution and of what HiGHS suggests, by the kernel's arithmetic."""
    from parkade.solver.exact import Incumbent, finish  # noqa: PLC0415 -- as above

    prices = np.concatenate([solution.prices_covers, solution.prices_supplies, solution.prices_limits])
    incumbent = Incumbent(solution.replicas, solution.units, solution.short, prices, solution.objective)
    work = LEAST_WORK if terms.work_limit is None else terms.work_limit
    found = finish(arrays, incumbent, work_limit=work, time_limit=next(seconds))
    given = json.dumps(replace(solution, **_prices(found, solution)).prices(problem.shape))
    text = problem.kernel.improve(solution.to_json(problem.shape), found.replicas.tolist(), given, work, next(seconds))
    improved = SolutionArrays.from_json(text)
    if found.timed_out and improved.status != "optimal":
        improved = replace(improved, status="time_limit")
    return improved, _proof(problem, improved, found)


def _seconds(terms: Terms, arcs: int, *, with_exact: bool) -> Iterator[float | None]:
    """For the kernel, for HiGHS, and for what follows."""
    limit, clock = terms.time_limit, terms.clock
    began, left = clock() if clock else 0.0, limit
    for share in (KERNEL_SHARE, FINISH_SHARE, 1.0) if with_exact else (1.0,):
        if limit is None or left is None:
            yield None
            continue
        yield max(0.0, share * left - ENDING * arcs)
        left = max(0.0, limit - (clock() - began)) if clock else left * (1.0 - share)


def _prices(found: "Finish", like: SolutionArrays) -> dict[str, Any]:
    """What HiGHS suggests, as the solution has it."""
    covers = len(like.prices_covers)
    first, second, third = np.split(found.prices, [covers, covers + len(like.prices_supplies)])
    return {"prices_covers": first, "prices_supplies": second, "prices_limits": third}


def _proof(problem: Prepared, solution: SolutionArrays, found: "Finish") -> Proof:
    bound = min(max(found.bound, solution.bound), solution.objective)
    shortfall = float(problem.short_cost @ solution.short)
    return Proof("HiGHS", bound, (solution.objective - bound) / max(abs(solution.objective - shortfall), 1e-9))
