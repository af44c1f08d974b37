from dataclasses import replace

import pytest

from parkade.handlers.command import bounded_solve
from parkade.problem.flattening import flatten
from parkade.settings import Settings
from parkade.solver import solve
from strategies import contended


@pytest.mark.parametrize("seed", range(5))
def test_the_backstop_changes_no_small_plan(seed):
    problem = flatten(contended(seed))
    bounded, _ = bounded_solve(Settings())(problem, None)
    assert (bounded.status, bounded.objective, bounded.bound) == attributes(solve(problem))


def attributes(solution):
    return solution.status, solution.objective, solution.bound


def test_the_backstop_cuts_a_solve_short_with_a_plan():
    cut, _ = bounded_solve(replace(Settings(), solve_seconds=0.0))(flatten(contended(1)), None)
    assert cut.status == "time_limit"
    assert cut.objective >= cut.bound
