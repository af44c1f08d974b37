"""Assignment problems are solved well, and their benchmark reads, checks and reports."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.assignment import arrays, generated, main, objective, ours, read
from oracles.checker import faults
from parkade.problem.arrays import ProblemArrays
from parkade.problem.flattening import unflatten
from parkade.solver.solve import solve

OPTIMUM = 6261.0
"""Of `generated(50, 5, 1)`, proved by HiGHS."""
WORK = 5_000_000


@pytest.fixture(scope="module")
def instance():
    return generated(50, 5, 1)


@pytest.fixture
def file(instance, tmp_path):
    """The instance in the OR-Library format."""
    path = tmp_path / "e0550.txt"
    tables = (instance.cost.shape[::-1], *instance.cost.T, *instance.amount.T, instance.capacity)
    path.write_text("\n".join(" ".join(map(str, row)) for row in tables))
    return path


def test_the_optimum_of_a_small_instance_is_found(instance):
    values, bound = ours(instance, 60.0, WORK)
    assert objective(instance, values) == OPTIMUM
    assert bound <= OPTIMUM


def test_plans_for_more_agents_are_near_the_bound_and_pass_the_independent_checker():
    problem = unflatten(ProblemArrays.from_mapping(arrays(generated(120, 8, 2))))
    solution = solve(problem, work_limit=WORK, exact=False)
    assert not faults(json.loads(problem.to_json()), json.loads(solution.to_json()))
    assert solution.gap < 0.004  # 0.0021 when this was written


def test_a_plan_that_overloads_an_agent_or_forgets_an_item_is_none(instance):
    overloaded = np.zeros(instance.cost.shape)
    overloaded[:, 0] = 1
    assert objective(instance, overloaded) is None
    assert objective(instance, np.zeros(instance.cost.shape)) is None


def test_the_report_compares_with_the_best_known_value(instance, file, tmp_path):
    assert (read(file).cost == instance.cost).all()
    table = tmp_path / "best.csv"
    table.write_text(f"instance,best_known_value\ne0550,{OPTIMUM}\n")
    options = ["--best-known", str(table), "--limit", "2", "--methods", "ours", "--json", str(tmp_path / "out.json")]
    assert CliRunner().invoke(main, [str(file), *options]).exit_code == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["methods"]["ours"]["withoutPlan"] == 0
    assert report["runs"][0]["objective"] >= OPTIMUM
    assert report["runs"][0]["distance"] == report["runs"][0]["objective"] / OPTIMUM - 1
