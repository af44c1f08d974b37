"""Every malformed problem is refused with a sentence that names the entry and the remedy."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from parkade.errors import InvalidProblem
from parkade.problem.format import Problem
from parkade.solver import _kernel, solve

Json = dict[str, Any]


def put(*path: Any, value: Any) -> Callable[[Json], None]:
    def apply(problem: Json) -> None:
        place: Any = problem
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value

    return apply


def remove(*path: Any) -> Callable[[Json], None]:
    def apply(problem: Json) -> None:
        place: Any = problem
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]

    return apply


VALUES = {
    "negative yield": (put("arcs", 0, "yields", 1, value=-1.0), "arcs[0].yields[1] is -1; it must be 0 or more"),
    "negative use": (put("arcs", 0, "use", "unit", value=-1.0), 'arcs[0].use["unit"] is -1; it must be 0 or more'),
    "negative quantity": (
        put("demands", 0, "covers", 0, "quantity", value=-2.0),
        "demands[0].covers[0].quantity is -2; it must be 0 or more",
    ),
    "negative short cost": (
        put("demands", 0, "covers", 1, "short_cost", value=-2.0),
        "demands[0].covers[1].short_cost is -2; it must be 0 or more",
    ),
    "negative capacity": (
        put("supplies", 1, "capacity", "memory", value=-80.0),
        'supplies[1].capacity["memory"] is -80; it must be 0 or more',
    ),
    "negative bound": (put("limits", 0, "bound", value=-1.0), "limits[0].bound is -1; it must be 0 or more"),
    "negative coefficient": (
        put("limits", 0, "terms", 1, value=[1, -0.1]),
        "limits[0].terms[1][1] is -0.1; it must be 0 or more",
    ),
    "negative max": (
        put("arcs", 0, "max", value=-1),
        "arcs[0].max is -1; it must be a whole number from 0 to 1000000000",
    ),
    "max without end": (
        put("arcs", 0, "max", value=10**12),
        "arcs[0].max is 1000000000000; it must be a whole number from 0 to 1000000000",
    ),
    "negative count": (
        put("supplies", 0, "steps", 1, "count", value=-9),
        "supplies[0].steps[1].count is -9; it must be a whole number from 0 to 1000000000",
    ),
    "too many units": (
        put("supplies", 0, "steps", 1, "count", value=10**9),
        "supplies[0].steps: the sum of their counts is 1000000400; it must be a whole number from 0 to 1000000000",
    ),
    "huge cost": (
        put("arcs", 2, "cost", value=1e16),
        "arcs[2].cost is 1e16; it must be a number between -1e15 and 1e15",
    ),
    "huge step cost": (
        put("supplies", 0, "steps", 0, "cost", value=-1e16),
        "supplies[0].steps[0].cost is -1e16; it must be a number between -1e15 and 1e15",
    ),
    "tiny cost": (put("arcs", 2, "cost", value=1e-70), "arcs[2].cost is 1e-70; write 0 for numbers smaller than 1e-60"),
    "no such demand": (
        put("arcs", 0, "demand", value=1),
        "arcs[0].demand is 1, but the file has 1 demands, counted from 0; correct the index",
    ),
    "no such supply": (
        put("arcs", 0, "supply", value=-1),
        "arcs[0].supply is -1, but the file has 2 supplies, counted from 0; correct the index",
    ),
    "no such arc": (
        put("limits", 0, "terms", 0, value=[3, 0.1]),
        "limits[0].terms[0][0] is 3, but the file has 3 arcs, counted from 0; correct the index",
    ),
    "an arc twice in a limit": (
        put("limits", 0, "terms", 1, value=[0, 0.1]),
        "limits[0].terms[1] names arc 0 again after terms[0]; add the two coefficients",
    ),
    "a yield too few": (
        put("arcs", 0, "yields", value=[41.2]),
        "arcs[0].yields has 1 numbers, but demands[0] has 2 covers; write one yield for each",
    ),
    "unknown resource": (
        put("arcs", 0, "use", value={"gpu": 1.0}),
        'arcs[0].use names "gpu", which supplies[0].capacity does not have; add it there or remove it',
    ),
    "an id twice": (
        put("supplies", 1, "id", value="us-ca/hw4/WiFi/Charging"),
        'supplies[1].id "us-ca/hw4/WiFi/Charging" is also the id of supplies[0]; give each its own',
    ),
    "a cover id twice": (
        put("demands", 0, "covers", 1, "id", value="rate"),
        'demands[0].covers[1].id "rate" is also the id of demands[0].covers[0]; give each its own',
    ),
}

SHAPES = {
    "max not whole": (put("arcs", 0, "max", value=1.5), "arcs[0].max cannot be 1.5: input should be a valid integer"),
    "max missing": (
        remove("arcs", 0, "max"),
        "arcs[0].max is missing from the problem; docs/placement.md lists the fields of each entry",
    ),
    "section missing": (
        remove("limits"),
        "limits is missing from the problem; docs/placement.md lists the fields of each entry",
    ),
    "unknown field": (
        put("arcs", 0, "maximum", value=3),
        "arcs[0].maximum is not a field of the problem file; remove it or correct its name",
    ),
    "version": (put("version", value=2), "version must be 1, the only version of the problem file"),
    "a text for a number": (
        put("arcs", 1, "cost", value="dear"),
        'arcs[1].cost cannot be "dear": input should be a valid number',
    ),
}


@pytest.mark.parametrize(("breaking", "sentence"), VALUES.values(), ids=VALUES.keys())
def test_a_value_out_of_range_is_refused(example_file: Json, breaking: Callable[[Json], None], sentence: str) -> None:
    breaking(example_file)
    with pytest.raises(InvalidProblem) as refusal:
        solve(Problem.from_json(json.dumps(example_file)))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(("breaking", "sentence"), SHAPES.values(), ids=SHAPES.keys())
def test_a_wrong_shape_is_refused(example_file: Json, breaking: Callable[[Json], None], sentence: str) -> None:
    breaking(example_file)
    with pytest.raises(InvalidProblem) as refusal:
        Problem.from_json(json.dumps(example_file))
    assert str(refusal.value) == sentence
    with pytest.raises(ValueError, match=r"docs/placement\.md shows its format|version must be 1"):
        _kernel.Problem(json.dumps(example_file))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(example: Problem, example_file: Json, value: float) -> None:
    example_file["arcs"][0]["cost"] = value
    with pytest.raises(InvalidProblem, match="the problem has a number that is not finite"):
        solve(Problem.from_json(json.dumps(example_file)))
    del example


def test_a_file_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidProblem, match=r"the problem file is not JSON: EOF while parsing .*; write it as docs/"):
        Problem.from_json('{"version": 1,')


def test_prices_and_replicas_of_another_problem_are_refused(example: Problem) -> None:
    kernel = _kernel.Problem(example.to_json())
    text = kernel.solve(10_000)
    prices = {"covers": [], "supplies": [], "limits": []}
    with pytest.raises(ValueError, match="use prices of a solution of this very problem"):
        kernel.bound(json.dumps(prices))
    with pytest.raises(ValueError, match="give one number for each of its arcs"):
        kernel.improve(text, [1], json.dumps(json.loads(text)["prices"]), 10_000)
    with pytest.raises(ValueError, match=r"the prices cannot be read: .*; take them from a solution file"):
        kernel.bound("{}")
    with pytest.raises(ValueError, match=r"the solution file cannot be read: .*; write it by `parkade solve`"):
        kernel.improve("{}", [0, 0, 0], "{}", 10_000)
