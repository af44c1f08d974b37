"""One solve: the kernel, and for small problems the exact finish."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, Literal

import numpy as np

from parkade.errors import InvalidProblem
from parkade.problem.flattening import flatten
from parkade.problem.format import Problem
from parkade.solver import _kernel
from parkade.solver.exact import Finish, Incumbent, finish, is_small
from parkade.solver.solution import Solution

DEFAULT_WORK_LIMIT: Final = 20_000_000
"""Arc evaluations; a few seconds on one core when a problem is large enough to need them all."""

KERNEL_SHARE: Final = 0.4
"""Of the time limit, at most, when HiGHS is to follow."""
FINISH_SHARE: Final = 0.8
"""Of the time that is left then; the rest is for checking what HiGHS found."""

Clock = Callable[[], float]
"""Seconds since some instant."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What another solver says of the plan; nobody can recompute it, so it is no certificate."""

    by: Literal["HiGHS"]
    bound: float
    """$/h."""
    gap: float
    """As the solution's, with this bound."""


def solve(
    problem: Problem,
    *,
    work_limit: int = DEFAULT_WORK_LIMIT,
    time_limit: float | None = None,
    clock: Clock | None = None,
    exact: bool = True,
) -> Solution:
    """Find a feasible plan and a certified bound.

    Equal problems with equal work limits give equal solutions; a solve that `time_limit` (seconds) cuts short says so
    in its status. With a `clock` what one step leaves of the time is given to the next. `exact=False` leaves out the
    finish of small problems by HiGHS.

    Raises:
        InvalidProblem: an entry breaks the format; the message names it and the remedy.
    """
    return prove(problem, work_limit=work_limit, time_limit=time_limit, clock=clock, exact=exact)[0]


def prove(
    problem: Problem,
    *,
    work_limit: int = DEFAULT_WORK_LIMIT,
    time_limit: float | None = None,
    clock: Clock | None = None,
    exact: bool = True,
) -> tuple[Solution, Proof | None]:
    """Solve, and tell what HiGHS proves where it had a part."""
    seconds = _seconds(time_limit, clock)
    try:
        kernel = _kernel.Problem(problem.to_json())
        arrays = flatten(problem) if exact else None
        with_exact = arrays is not None and is_small(arrays) and work_limit > 0
        text = kernel.solve(work_limit, next(seconds) if with_exact else time_limit)
    except ValueError as error:
        raise InvalidProblem(str(error)) from None
    solution = Solution.from_json(text)
    if not with_exact or arrays is None or solution.status == "optimal":
        return solution, None
    found = finish(arrays, _incumbent(solution), work_limit=work_limit, time_limit=next(seconds))
    prices = json.dumps(_shaped(found, problem))
    improved = Solution.from_json(kernel.improve(text, found.replicas.tolist(), prices, work_limit, next(seconds)))
    if found.timed_out and improved.status != "optimal":
        improved = replace(improved, status="time_limit")
    return improved, _proof(problem, improved, found)


def _seconds(limit: float | None, clock: Clock | None) -> Iterator[float | None]:
    """For the kernel, for HiGHS, and for what follows; without a clock each counts as taking all it may."""
    began, left = clock() if clock else 0.0, limit
    for share in (KERNEL_SHARE, FINISH_SHARE, 1.0):
        if limit is None or left is None:
            yield None
            continue
        yield share * left
        left = max(0.0, limit - (clock() - began)) if clock else left * (1.0 - share)


def _incumbent(solution: Solution) -> Incumbent:
    prices = solution.prices
    return Incumbent(
        np.array(solution.replicas),
        np.array(solution.units),
        np.array(list(chain(*solution.short))),
        np.array([*chain(*prices.covers), *chain(*prices.supplies), *prices.limits]),
        solution.objective,
    )


def _shaped(found: Finish, problem: Problem) -> dict[str, object]:
    """The prices as the solution file has them."""
    numbers = iter(found.prices.tolist())

    def rows(lengths: Sequence[int]) -> list[list[float]]:
        return [[next(numbers) for _ in range(length)] for length in lengths]

    return {
        "covers": rows([len(demand.covers) for demand in problem.demands]),
        "supplies": rows([len(supply.capacity) for supply in problem.supplies]),
        "limits": list(numbers),
    }


def _proof(problem: Problem, solution: Solution, found: Finish) -> Proof:
    bound = min(max(found.bound, solution.bound), solution.objective)
    costs = (cover.short_cost for demand in problem.demands for cover in demand.covers)
    shortfall = sum(cost * short for cost, short in zip(costs, chain(*solution.short), strict=True))
    return Proof("HiGHS", bound, (solution.objective - bound) / max(abs(solution.objective - shortfall), 1e-9))
