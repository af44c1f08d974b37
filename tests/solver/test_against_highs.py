"""Random problems: feasible by the checker, and bound <= HiGHS's exact optimum <= objective."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.checker import faults
from oracles.highs import optimum
from parkade.problem.format import Problem
from parkade.solver import Solution, _kernel, solve
from strategies import contended, problems

OPTIMUM_TOLERANCE = 1e-6
"""Relative: HiGHS proves its optimum only within its own tolerances."""


def compare(problem: Problem, solution: Solution) -> float:
    """The optimum, after checking everything that can be checked."""
    file = json.loads(problem.to_json())
    assert faults(file, json.loads(solution.to_json())) == []
    best = optimum(file)
    slack = OPTIMUM_TOLERANCE * max(1.0, abs(best))
    assert solution.bound <= best + slack
    assert best <= solution.objective + slack
    return best


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_a_thousand_random_problems(problem: Problem) -> None:
    solution = solve(problem)
    best = compare(problem, solution)
    assert solution.objective <= best + OPTIMUM_TOLERANCE * max(1.0, abs(best))
    assert solve(problem).to_json() == solution.to_json()


@pytest.mark.parametrize("seed", range(24))
def test_the_kernel_alone_where_demands_compete(seed: int) -> None:
    problem = contended(seed)
    solution = solve(problem, exact=False)
    best = compare(problem, solution)
    assert solve(problem, exact=False).to_json() == solution.to_json()
    # Measured over seeds 0..199: median 0.3 %, p90 6 %, worst 30 % above the optimum.
    assert solution.objective <= best + 0.5 * abs(best)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), st.randoms(use_true_random=False))
def test_the_bound_holds_at_any_prices(problem: Problem, random: object) -> None:
    draw = random.uniform  # type: ignore[attr-defined]
    prices = {
        "covers": [[draw(0, cover.short_cost) for cover in demand.covers] for demand in problem.demands],
        "supplies": [[draw(0, 2) for _ in supply.capacity] for supply in problem.supplies],
        "limits": [draw(0, 2) for _ in problem.limits],
    }
    solution = solve(problem)
    bound = _kernel.Problem(problem.to_json()).bound(json.dumps(prices))
    assert bound <= solution.objective
    recomputed = json.loads(solution.to_json()) | {"prices": prices, "exact": [], "bound": bound}
    assert not [fault for fault in faults(json.loads(problem.to_json()), recomputed) if "above" in fault]
