import json

import pytest

from oracles.checker import faults
from parkade.problem.format import Arc, Cover, Demand, Problem, Step, Supply
from parkade.solver import Solution, solve
from solver.crowds import crowd


def checked(problem: Problem, **options: float) -> Solution:
    solution = solve(problem, **options)  # type: ignore[arg-type]
    assert faults(json.loads(problem.to_json()), json.loads(solution.to_json())) == []
    return solution


def one_supply(cover: Cover, supply: Supply, arc: Arc) -> Problem:
    return Problem((Demand("w", (cover,)),), (supply,), (arc,), ())


def test_the_example_of_the_reference_runs_on_three_kept_charging_cars(example: Problem) -> None:
    solution = checked(example)
    assert solution.replicas == (3, 0, 0)
    assert solution.units == (3, 0)
    assert solution.objective == pytest.approx(3 * (0.078 + 0.0012))
    assert 0.18 < solution.bound < solution.objective


def test_an_empty_problem_costs_nothing() -> None:
    solution = checked(Problem((), (), (), ()))
    assert (solution.status, solution.objective, solution.bound) == ("optimal", 0.0, 0.0)


def test_a_want_that_nothing_can_meet_is_a_shortfall() -> None:
    problem = Problem((Demand("w", (Cover("rate", 10.0, 3.0),)),), (), (), ())
    solution = checked(problem)
    assert (solution.objective, solution.short) == (30.0, ((10.0,),))


def test_five_replicas_of_a_fifth_fit_into_one_unit() -> None:
    supply = Supply("car", (Step(1, 1.0),), {"unit": 1.0})
    solution = checked(one_supply(Cover("rate", 5.0, 9.0), supply, Arc("new", 0, 0, (1.0,), 0.0, {"unit": 0.2}, 9)))
    assert (solution.replicas, solution.units, solution.objective) == ((5,), (1,), 1.0)


def test_units_that_cost_less_than_nothing_are_taken() -> None:
    problem = Problem((), (Supply("solar", (Step(3, 0.5), Step(4, -0.25)), {"unit": 1.0}),), (), ())
    solution = checked(problem)
    assert (solution.units, solution.objective, solution.status) == ((4,), -1.0, "optimal")


def test_replicas_that_earn_money_run_without_a_demand_for_them() -> None:
    supply = Supply("car", (Step(2, 0.1),), {"unit": 1.0})
    solution = checked(one_supply(Cover("rate", 0.0, 1.0), supply, Arc("new", 0, 0, (1.0,), -0.5, {"unit": 1.0}, 9)))
    assert (solution.replicas, solution.status) == ((2,), "optimal")
    assert solution.objective == pytest.approx(-0.8)


@pytest.mark.parametrize("steps", [(Step(5, 0.1),), ()], ids=["no capacity", "no units"])
def test_what_gives_nothing_runs_nothing_and_the_bound_knows(steps: tuple[Step, ...]) -> None:
    supply = Supply("car", steps, {"unit": 0.0 if steps else 1.0})
    solution = checked(one_supply(Cover("rate", 8.0, 1.0), supply, Arc("new", 0, 0, (1.0,), 0.0, {"unit": 1.0}, 9)))
    assert (solution.replicas, solution.objective, solution.status) == ((0,), 8.0, "optimal")


def test_scarce_units_go_where_a_shortfall_costs_most() -> None:
    wants = tuple(Demand(name, (Cover("rate", 1.0, cost),)) for name, cost in (("a", 1.0), ("b", 3.0), ("c", 2.0)))
    supply = Supply("car", (Step(2, 0.1),), {"unit": 1.0})
    arcs = tuple(Arc("new", demand, 0, (1.0,), 0.0, {"unit": 1.0}, 1) for demand in range(3))
    assert checked(Problem(wants, (supply,), arcs, ())).replicas == (0, 1, 1)


def test_several_demands_move_to_a_server_that_none_would_open_alone() -> None:
    wants = tuple(Demand(f"w{index}", (Cover("rate", 1.0, 9.0),)) for index in range(4))
    supplies = (Supply("car", (Step(9, 1.0),), {"unit": 1.0}), Supply("server", (Step(1, 2.5),), {"compute": 1.0}))
    arcs = tuple(
        arc
        for demand in range(4)
        for arc in (
            Arc("new", demand, 0, (1.0,), 0.0, {"unit": 1.0}, 1),
            Arc("new", demand, 1, (1.0,), 0.0, {"compute": 0.25}, 1),
        )
    )
    solution = solve(Problem(wants, supplies, arcs, ()), exact=False)
    assert (solution.units, solution.objective) == ((0, 1), 2.5)


def test_no_work_still_gives_a_feasible_plan_and_a_valid_bound(example: Problem) -> None:
    assert checked(example, work_limit=0).status == "work_limit"


def test_the_clock_marks_what_it_cut_short() -> None:
    # The clock is asked once in some thousand arcs, so the problem must be large enough to be asked about.
    assert checked(crowd(300), time_limit=0.0).status == "time_limit"


def test_a_solution_file_reads_back(example: Problem) -> None:
    solution = solve(example)
    assert Solution.from_json(solution.to_json()) == solution
