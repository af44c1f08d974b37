from dataclasses import replace

import pytest

from parkade.handlers.command import bounded_solve
from parkade.settings import Settings
from parkade.solver import solve
from strategies import contended


@pytest.mark.parametrize("seed", range(5))
def test_the_backstop_changes_no_small_plan(seed):
    problem = contended(seed)
    assert bounded_solve(Settings())(problem) == solve(problem)


def test_the_backstop_cuts_a_solve_short_with_a_plan():
    cut = bounded_solve(replace(Settings(), solve_seconds=0.0))(contended(1))
    assert cut.status == "time_limit"
    assert cut.objective >= cut.bound
