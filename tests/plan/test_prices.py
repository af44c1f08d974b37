"""What a recorded solution says, and whether planning again at the break-even says the same."""

from dataclasses import replace

import pytest

import worlds
from parkade.errors import InvalidProblem
from parkade.plan.prices import Explanation, explain, solution_arrays
from parkade.plan.table import render_explanation
from parkade.problem.flattening import flatten
from parkade.problem.format import Arc, Cover, Demand, Limit, Problem, Step, Supply
from parkade.problem.framing import frame
from parkade.settings import Economics
from parkade.solver import Prices, Solution, solve

KEY = "vision/sign-reader"
CARS, SERVERS = "ca-home-hw4/WiFi/Charging", "austin-a100"


def framed(*objects) -> Problem:
    facts = worlds.snapshot([worlds.region(), *objects])
    return frame(facts, Economics(), offline=True).problem


@pytest.fixture(scope="module")
def problem() -> Problem:
    return framed(worlds.cars(), worlds.servers(), worlds.workload())


def explained(problem: Problem) -> Explanation:
    return explain(flatten(problem), solution_arrays(solve(problem)), KEY)


def dearer_units(problem: Problem, place: str, change: float) -> Problem:
    def moved(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(Step(step.count, step.cost + change) for step in steps)

    supplies = (replace(it, steps=moved(it.steps)) if it.id == place else it for it in problem.supplies)
    return replace(problem, supplies=tuple(supplies))


def where(problem: Problem) -> set[str]:
    return {place.place for place in explained(problem).places if place.replicas}


def test_the_break_even_of_a_unit_is_where_solving_again_moves_the_demand(problem):
    found = explained(problem)
    assert found.margins is not None
    dearer, cheaper = found.margins
    assert where(problem) == where(dearer_units(problem, CARS, dearer * 0.98)) == {CARS}
    assert where(dearer_units(problem, CARS, dearer * 1.02)) == {SERVERS}
    assert where(dearer_units(problem, SERVERS, -cheaper * 0.98)) == {CARS}
    assert where(dearer_units(problem, SERVERS, -cheaper * 1.02)) == {SERVERS}


RECORDED = Problem(
    demands=(
        Demand(KEY, (Cover("rate/us-ca", 60.0, 0.3), Cover("min-replicas", 2.0, 8.7))),
        Demand("speech/other", (Cover("rate/us-tx", 90.0, 0.3),)),
    ),
    supplies=(
        Supply(CARS, (Step(2, 0.078), Step(1, 0.091)), {"unit": 1.0}),
        Supply(SERVERS, (Step(2, 0.85),), {"compute": 1.0, "memory": 80.0}),
        Supply("tx-starlink-hw4/Starlink/Asleep", (Step(9, 0.19),), {"unit": 1.0}),
    ),
    arcs=(
        Arc("kept", 0, 0, (40.0, 1.0), 0.002, {"unit": 1.0}, 1),
        Arc("new", 0, 0, (40.0, 1.0), 0.004, {"unit": 1.0}, 9),
        Arc("new", 0, 1, (60.0, 1.0), 0.02, {"compute": 0.5, "memory": 20.0}, 4),
        Arc("new", 0, 2, (40.0, 1.0), 0.06, {"unit": 1.0}, 9),
        Arc("new", 1, 0, (90.0,), 0.002, {"unit": 1.0}, 9),
    ),
    limits=(Limit("churn", 2.0, ((1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0))),),
)
ANSWER = Solution(
    version=1, status="feasible", objective=0.27, bound=0.26, gap=0.04, replicas=(1, 1, 0, 0, 1), units=(3, 0, 0),
    short=((0.0, 0.0), (0.0,)), exact=(),
    prices=Prices(covers=((0.0, 0.25), (0.003,)), supplies=((0.11,), (0.0, 0.0), (0.19,)), limits=(0.136,)),
)  # fmt: skip


def test_the_words_are_the_golden_ones():
    assert (
        render_explanation(explain(flatten(RECORDED), solution_arrays(ANSWER), KEY))
        == """\
vision/sign-reader wants:
  rate/us-ca: 60 of 60; met by what the other wants need
  min-replicas: 2 of 2; decides, at 0.25 $/h each

PLACE                            REPLICAS  $/H EACH     OWN   UNITS  LIMITS  FOR AS MUCH  UNITS IN USE
ca-home-hw4/WiFi/Charging               2    0.2500  0.0040  0.1100  0.1360       0.2500        3 of 3
tx-starlink-hw4/Starlink/Asleep         0    0.3860  0.0600  0.1900  0.1360       0.3860        0 of 9
austin-a100                             0    0.5810  0.0200  0.4250  0.1360       0.5810        0 of 2

What decides:
  ca-home-hw4/WiFi/Charging is full; one more unit there would save 0.019 $/h beyond its own cost
  the limit churn of 2 is reached; one more would save 0.136 $/h
  the best place not used is tx-starlink-hw4/Starlink/Asleep: it would be as good if a unit cost 0.1360 $/h less, or \
if a unit of ca-home-hw4/WiFi/Charging cost 0.1360 $/h more
"""
    )


def test_a_full_place_and_what_one_more_car_would_save_are_named():
    crowd = worlds.workload(demand=[{"region": "us-ca", "rate": "300"}], placement={"minReplicas": 0})
    dear = worlds.cars("ca-dear-hw4", vehicles=9, payout={"perComputeHour": "0.20"})
    found, one_more = (framed(worlds.cars(vehicles=count), dear, crowd) for count in (4, 5))
    cheap = next(place for place in explained(found).places if place.place == CARS)
    assert cheap.used == cheap.offered == 4
    assert f"{CARS} is full; one more unit there would save 0.1" in render_explanation(explained(found))
    assert solve(found).objective - solve(one_more).objective == pytest.approx(cheap.scarcity, rel=0.05)


def test_a_shortfall_is_told_with_its_price():
    crowd = worlds.workload(demand=[{"region": "us-ca", "rate": "400"}], placement={"minReplicas": 0})
    text = render_explanation(explained(framed(worlds.cars(), crowd)))
    assert "rate/us-ca: 400 of 400" not in text
    assert "short by" in text
    assert "no other place may run it" in text


def test_names_and_files_that_do_not_fit_are_refused(problem):
    arrays, solution = flatten(problem), solution_arrays(solve(problem))
    with pytest.raises(InvalidProblem, match="no demand of the problem is named x; it has vision/sign-reader"):
        explain(arrays, solution, "x")
    with pytest.raises(InvalidProblem, match="name the solution of this problem"):
        explain(arrays, solution | {"units": solution["units"][1:]}, KEY)
    del solution["short"]
    with pytest.raises(InvalidProblem, match="short is missing from the solution"):
        explain(arrays, solution, KEY)
