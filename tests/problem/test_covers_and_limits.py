import numpy as np
import pytest

import worlds
from parkade.problem.framing import frame
from parkade.problem.reach import GROUPS, caller_groups, round_trip
from parkade.settings import Economics


def test_more_than_three_caller_groups_are_merged_by_what_they_share():
    in_time = np.array([[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0]], dtype=np.bool_)
    groups = caller_groups(("us-a", "us-b", "us-c", "us-d"), in_time, np.ones(4, dtype=np.int64))
    assert len(groups) == GROUPS
    # us-b has places 1, 2, 3 and us-c has 1, 2: together they count on what both reach
    assert groups[("us-b", "us-c")].tolist() == [False, True, True, False]
    assert groups[("us-d",)].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("caller", "place", "expected"),
    [
        ("us-ca", "us-ca", (0.008, 0.015)),
        ("us-ca", "us-tx", (0.038, 0.061)),
        ("us-tx", "us-ca", (0.038, 0.061)),
        ("us-ca", "us-ny", (0.080, 0.160)),
    ],
)
def test_one_direction_of_a_round_trip_is_enough(caller, place, expected):
    regions = {
        "us-ca": worlds.region(latency=[{"to": "us-tx", "p50": "38ms", "p99": "61ms"}]),
        "us-tx": worlds.region("us-tx"),
    }
    assert round_trip(caller, place, regions, Economics()) == expected


@pytest.mark.parametrize(("running", "rate", "bound"), [(10, "60", 10), (80, "60", 16), (10, "1500", 21)])
def test_churn_allows_a_fifth_of_what_runs_and_what_is_missing(running, rate, bound):
    pool = worlds.cars(vehicles=200)
    assignment = {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": running}
    cell = worlds.cell(pool, vehicles=200, free=200 - running, assignments=[assignment])
    asked = worlds.workload(demand=[{"region": "us-ca", "rate": rate}])
    first = worlds.workload("never-placed")
    found = frame(worlds.snapshot([worlds.region(), pool, cell, asked, first]), Economics())
    (churn,) = found.problem.limits
    # 1,500/s need 21 cars at 72/s each, 11 more than run; 20 % of 10 is less than the least budget of 10
    assert churn.bound == bound
    assert {found.workloads[found.ways[index].workload].key for index, _ in churn.terms} == {"vision/sign-reader"}
    assert all(not found.ways[index].kept for index, _ in churn.terms)


def test_a_shortfall_costs_more_than_the_dearest_place():
    found = frame(
        worlds.snapshot([worlds.region(), worlds.cars(), worlds.servers(), worlds.workload(priority=0)]),
        Economics(),
        offline=True,
    )
    covers = {cover.id: cover.short_cost for cover in found.problem.demands[0].covers}
    dearest = 0.85 + found.ways[0].cost
    assert covers["rate/us-ca"] == pytest.approx(10 * dearest / 60)
    assert covers["min-replicas"] == pytest.approx(5 * dearest)
