"""The checker must see every kind of broken solution; else the tests that rely on it prove nothing."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from oracles.checker import faults
from parkade.problem.format import Problem
from parkade.solver import solve

Json = dict[str, Any]


def put(*path: Any, value: Any) -> Callable[[Json], None]:
    def apply(solution: Json) -> None:
        place: Any = solution
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value

    return apply


BROKEN = {
    "a replica missing": (put("replicas", 0, value=2), "demand 0 cover 0 is not met"),
    "more than max": (put("replicas", 0, value=13), "arc 0 has 13 replicas of 12"),
    "half a replica": (put("replicas", 0, value=2.5), "a count is not whole"),
    "a unit missing": (put("units", 0, value=2), "supply 0 gives too little unit"),
    "units that do not exist": (put("units", 1, value=9), "supply 1 does not have 9 units"),
    "negative shortfall": (put("short", 0, 0, value=-1.0), "demand 0 cover 0 is not met"),
    "a cheaper objective": (put("objective", value=0.2), "the objective is"),
    "a flattering gap": (put("gap", value=0.0), "the gap is"),
    "called optimal": (put("status", value="optimal"), "called optimal with a gap of"),
    "a bound slightly too high": (put("bound", value=lambda bound: bound + 1e-6), "is above D"),
    "a bound above the plan": (put("bound", value=1.0), "is above the objective"),
    "an exact part too high": (put("exact", 0, "value", value=lambda value: value + 1e-6), "exact part is"),
    "a cover price too high": (put("prices", "covers", 0, 0, value=5.1), "cover price 5.1 is outside"),
    "a negative price": (put("prices", "limits", 0, value=-0.1), "is negative"),
    "prices of another problem": (put("prices", "limits", value=[]), "limit prices are not one for each limit"),
}


@pytest.mark.parametrize(("breaking", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_solution_is_seen(
    example: Problem, example_file: Json, breaking: Callable[[Json], None], expected: str
) -> None:
    solution = json.loads(solve(example).to_json())
    broken = copy.deepcopy(solution)
    breaking(broken)
    assert faults(example_file, solution) == []
    assert any(expected in fault for fault in faults(example_file, broken))


def test_an_exceeded_limit_is_seen(example: Problem, example_file: Json) -> None:
    solution = json.loads(solve(example).to_json())
    example_file["limits"][0]["bound"] = 0.2
    assert "limit 0 is exceeded" in faults(example_file, solution)
