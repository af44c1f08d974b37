"""The flat checker agrees with the exact one, and sees every kind of broken solution."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from oracles import certificate, checker
from parkade.problem.flattening import flatten
from parkade.problem.format import Problem
from parkade.solver import solve
from strategies import contended, random_problem

Json = dict[str, Any]


def flat(solution: Json) -> dict[str, np.ndarray]:
    """The arrays of a solution file."""
    exact, prices = solution["exact"], solution["prices"]
    pairs = [pair for part in exact for pair in part["replicas"]]

    def row(rows: list[list[float]]) -> np.ndarray:
        return np.array([number for entry in rows for number in entry], np.float64)

    whole = all(type(count) is int for count in solution["replicas"])
    return {
        **{name: np.array(solution[name]) for name in ("version", "status", "objective", "bound", "gap")},
        "replicas": np.array(solution["replicas"], np.int64 if whole else np.float64),
        "units": np.array(solution["units"], np.int64),
        "short": row(solution["short"]),
        "prices.covers": row(prices["covers"]),
        "prices.supplies": row(prices["supplies"]),
        "prices.limits": np.array(prices["limits"], np.float64),
        "exact.demand": np.array([part["demand"] for part in exact], np.int64),
        "exact.value": np.array([part["value"] for part in exact], np.float64),
        "exact.replicas_offsets": np.cumsum([0, *(len(part["replicas"]) for part in exact)]),
        "exact.replicas.arc": np.array([arc for arc, _ in pairs], np.int64),
        "exact.replicas.count": np.array([count for _, count in pairs], np.int64),
    }


def certified(problem: Problem, solution: Json) -> Json:
    return certificate.certify(flatten(problem).to_mapping(), flat(solution))


@pytest.fixture(scope="module")
def cases() -> list[tuple[Problem, Json, Json]]:
    """Problems, their files, and solutions as the solver leaves them without HiGHS: with exact parts."""
    problems = [random_problem(Random(seed)) for seed in range(60)] + [contended(seed) for seed in range(20)]  # noqa: S311 -- repeatable
    return [(problem, json.loads(problem.to_json()), solved(problem)) for problem in problems]


def solved(problem: Problem) -> Json:
    return json.loads(solve(problem, work_limit=20_000, exact=False).to_json())


def test_good_solutions_of_random_problems_are_confirmed(cases):
    parts = proven = 0
    for problem, document, solution in cases:
        report = certified(problem, solution)
        assert report["faults"] == []
        assert checker.faults(document, solution) == []
        assert report["exact"]["undecided"] == 0
        assert report["allowance"] <= 1e-9 * (1.0 + abs(report["dual"]))
        parts += report["exact"]["checked"]
        proven += report["proven"]
    assert parts > 50
    assert proven > 40


def fewer(name: str) -> Callable[[Json], None]:
    """One replica or unit less, where there is one."""

    def apply(solution: Json) -> None:
        used = [at for at, count in enumerate(solution[name]) if count]
        if used:
            solution[name][used[-1]] -= 1

    return apply


def shifted(name: str, by: float) -> Callable[[Json], None]:
    def apply(solution: Json) -> None:
        solution[name] += by * (1.0 + abs(solution[name]))

    return apply


def exact_raised(solution: Json) -> None:
    for part in solution["exact"]:
        part["value"] += 1e-6 * (1.0 + abs(part["value"]))


PLANTED = {
    "a replica less": fewer("replicas"),
    "a unit less": fewer("units"),
    "more than max": lambda solution: solution.update(replicas=[count + 13 for count in solution["replicas"]]),
    "no shortfall": lambda solution: solution.update(short=[[0.0] * len(row) for row in solution["short"]]),
    "another objective": shifted("objective", 1e-6),
    "another gap": shifted("gap", 1e-6),
    "a higher bound": shifted("bound", 1e-6),
    "a far higher bound": shifted("bound", 10.0),
    "called optimal": lambda solution: solution.update(status="optimal"),
    "higher supply prices": lambda solution: solution["prices"].update(
        supplies=[[price * 1.01 for price in row] for row in solution["prices"]["supplies"]]
    ),
    "lower cover prices": lambda solution: solution["prices"].update(
        covers=[[price * 0.99 for price in row] for row in solution["prices"]["covers"]]
    ),
    "cover prices beyond the short cost": lambda solution: solution["prices"].update(
        covers=[[price * 100 + 1 for price in row] for row in solution["prices"]["covers"]]
    ),
    "negative limit prices": lambda solution: solution["prices"].update(
        limits=[-1.0 for _ in solution["prices"]["limits"]]
    ),
    "higher exact parts": exact_raised,
}


@pytest.mark.parametrize("planting", PLANTED.values(), ids=PLANTED.keys())
def test_planted_errors_are_seen_wherever_the_exact_checker_sees_them(cases, planting):
    seen = 0
    for problem, document, solution in cases[::2]:
        broken = copy.deepcopy(solution)
        planting(broken)
        expected = checker.faults(document, broken)
        assert bool(certified(problem, broken)["faults"]) == bool(expected), expected
        seen += bool(expected)
    assert seen > 5


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("replicas", np.zeros(0, np.int64), "replicas has the shape (0,), not"),
        ("replicas", np.full(len(contended(0).arcs), 0.5), "replicas: a count is not whole"),
        ("prices.limits", np.array([np.nan] * 3), "prices.limits has a number that is not finite"),
        ("bound", np.array(np.inf), "bound has a number that is not finite"),
        ("status", np.array("perfect"), "status perfect is unknown"),
        ("version", np.array(2), "version is not 1"),
        ("units", None, "units is missing from the solution"),
    ],
)
def test_a_file_of_another_shape_is_seen(name, value, sentence):
    problem = contended(0)
    arrays = flat(solved(problem)) | {name: value}
    if value is None:
        del arrays[name]
    faults = certificate.certify(flatten(problem).to_mapping(), arrays)["faults"]
    assert any(sentence in fault for fault in faults), faults


def test_it_runs_on_files_and_says_what_it_found(tmp_path, repository_root):
    problem = contended(1)
    solution = flat(solved(problem))
    flatten(problem).to_npz(tmp_path / "problem.npz")
    np.savez(tmp_path / "good.npz", **solution)
    np.savez(tmp_path / "bad.npz", **solution | {"bound": solution["bound"] + 1.0})
    program = [sys.executable, str(repository_root / "tests/oracles/certificate.py"), str(tmp_path / "problem.npz")]
    good = subprocess.run([*program, str(tmp_path / "good.npz")], capture_output=True, text=True, check=True)
    assert good.stdout.startswith("the solution is feasible and its bound holds: ")
    bad = subprocess.run([*program, str(tmp_path / "bad.npz"), "--json"], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert any("is above D" in fault for fault in json.loads(bad.stdout)["faults"])
