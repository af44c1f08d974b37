"""Random problems: feasible by the checker, and bound <= HiGHS's exact optimum <= objective."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.checker import faults
from oracles.highs import optimum
from parkade.problem.format import Problem
from parkade.solver import Solution, _kernel, solve
from strategies import contended, problems, random_problem

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


def check(problem: Problem) -> None:
    solution = solve(problem)
    best = compare(problem, solution)
    assert solution.objective <= best + OPTIMUM_TOLERANCE * max(1.0, abs(best))


@pytest.mark.parametrize("block", range(8))
def test_eight_hundred_random_problems_are_solved_exactly(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        check(random_problem(Random(seed)))  # noqa: S311 -- repeatable, not secret


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems())
def test_two_hundred_problems_that_shrink_when_they_fail(problem: Problem) -> None:
    check(problem)


@pytest.mark.parametrize("seed", range(8))
def test_equal_problems_give_equal_bytes(seed: int) -> None:
    problem = contended(seed)
    assert solve(problem).to_json() == solve(problem).to_json()


@pytest.mark.parametrize("seed", range(16))
def test_the_kernel_alone_where_demands_compete(seed: int) -> None:
    problem = contended(seed)
    solution = solve(problem, exact=False)
    best = compare(problem, solution)
    # Measured over seeds 0..99: median 0, p90 5 %, worst 32 % above the optimum.
    assert solution.objective <= best + 0.5 * abs(best)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), st.randoms(use_true_random=False))
def test_the_bound_holds_at_any_prices(problem: Problem, random: Random) -> None:
    draw = random.uniform
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
