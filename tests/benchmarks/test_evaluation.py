import json
from random import Random

import numpy as np
import pytest

from benchmarks.solver.evaluation import cost_of, started
from benchmarks.solver.instances import changed, dense, parse
from benchmarks.solver.matrix import matrix
from parkade.errors import InvalidInput
from parkade.problem.flattening import flatten
from parkade.solver import _kernel, solve
from strategies import contended, random_problem


def problems():
    repeatable = [random_problem(Random(seed)) for seed in range(40)]  # noqa: S311 -- problems, not secrets
    return repeatable + [contended(seed) for seed in range(10)]


def test_a_plan_costs_what_the_solver_says():
    for problem in problems():
        solution = solve(problem, work_limit=2_000, exact=False)
        cost = cost_of(flatten(problem), np.array(solution.replicas, np.int64))
        assert cost.faults == ()
        assert cost.total == pytest.approx(solution.objective, rel=1e-9, abs=1e-9)
        assert cost.gap(solution.bound) == pytest.approx(solution.gap, rel=1e-6, abs=1e-6)


def test_the_bound_at_a_solvers_prices_is_the_kernels():
    for problem in problems():
        prices = solve(problem, work_limit=2_000, exact=False).prices
        given = {"covers": prices.covers, "supplies": prices.supplies, "limits": prices.limits}
        row_prices = np.concatenate([
            [theta for row in prices.covers for theta in row],
            [-pi for row in prices.supplies for pi in row],
            [-mu for mu in prices.limits],
        ])  # fmt: skip
        bound = _kernel.Problem(problem.to_json()).bound(json.dumps(given))
        assert matrix(flatten(problem)).proved(row_prices) == pytest.approx(bound, rel=1e-6, abs=1e-6)


def test_what_breaks_a_row_is_a_fault():
    problem = dense(4, 3)
    replicas = np.zeros(12, np.int64)
    assert cost_of(problem, replicas).faults == ()
    replicas[0] = problem.arcs_max[0] + 1
    assert "an arc has fewer" in cost_of(problem, replicas).faults[0]
    crowded = np.where(problem.arcs_supply == 0, 200, 0)
    assert any(fault.startswith("supply 0 would need") for fault in cost_of(problem, crowded).faults)


def test_limits_are_rows_too():
    problem = flatten(contended(3))
    most = problem.arcs_max.astype(np.int64)
    assert any(fault.startswith("limit ") for fault in cost_of(problem, most).faults)


def test_only_replicas_that_ran_nowhere_in_the_supply_are_started():
    problem = flatten(random_problem(Random(5)))  # noqa: S311 -- a problem, not a secret
    same = np.flatnonzero(
        (problem.arcs_demand[1:] == problem.arcs_demand[:-1]) & (problem.arcs_supply[1:] == problem.arcs_supply[:-1])
    )[0]
    before, after = np.zeros((2, len(problem.arcs_demand)), np.int64)
    before[same], after[same + 1] = 3, 5  # two ways to run the same demand on the same supply
    assert started(problem, before, after) == 2
    assert started(problem, after, before) == 0


def test_a_twentieth_of_the_demands_changes():
    problem = dense(100, 3)
    factor = changed(problem).demands_covers_quantity / problem.demands_covers_quantity
    assert np.count_nonzero(factor != 1.0) == 5 * 2
    assert factor.min() >= 0.7
    assert factor.max() <= 1.3


def test_a_size_that_means_nothing_is_refused():
    assert parse("fleet:10kx1M+limits*2.9").arguments[-1] == "--limits"
    with pytest.raises(InvalidInput, match="dense:100x100"):
        parse("dense:10x10+limits")
