"""One solve: the kernel, and for small problems the exact finish."""

import json
from dataclasses import asdict, replace
from typing import Final

from parkade.errors import InvalidProblem
from parkade.problem.format import Problem
from parkade.solver import _kernel
from parkade.solver.exact import finish, node_limit
from parkade.solver.solution import Solution

DEFAULT_WORK_LIMIT: Final = 20_000_000
"""Arc evaluations; a few seconds on one core when a problem is large enough to need them all."""


def solve(
    problem: Problem, *, work_limit: int = DEFAULT_WORK_LIMIT, time_limit: float | None = None, exact: bool = True
) -> Solution:
    """Find a feasible plan and a certified bound.

    Equal problems with equal work limits give equal solutions; a solve that `time_limit` (seconds) cuts short says so
    in its status. `exact=False` leaves out the finish of small problems by HiGHS.

    Raises:
        InvalidProblem: an entry breaks the format; the message names it and the remedy.
    """
    half_time = None if time_limit is None else time_limit / 2
    nodes = node_limit(problem, work_limit) if exact else 0
    with_exact = nodes > 0
    try:
        kernel = _kernel.Problem(problem.to_json())
        text = kernel.solve(work_limit, half_time if with_exact else time_limit)
    except ValueError as error:
        raise InvalidProblem(str(error)) from None
    solution = Solution.from_json(text)
    if not with_exact or solution.status in ("optimal", "time_limit"):
        return solution
    found = finish(problem, solution, nodes=nodes, time_limit=half_time)
    prices = json.dumps(asdict(found.prices))
    improved = Solution.from_json(kernel.improve(text, found.replicas, prices, work_limit, half_time))
    if found.timed_out and improved.status != "optimal":
        return replace(improved, status="time_limit")
    return improved
