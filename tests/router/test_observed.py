"""What the router tells the operator about its requests: counts that only grow."""

import threading

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import POOL, WORKLOAD, Datacenter, Fleet, until


def observed(router: Router) -> dict:
    shown = plain.get(f"http://{router.addresses['metrics']}/v1/observed").json()
    assert shown["version"] == 1
    return shown["workloads"][WORKLOAD]


def test_callers_count_where_they_are(router: Router, fleet: Fleet) -> None:
    router.flags = ("--region", "us-ca", "--id", "router-7")
    router.planned(cell())
    (car,) = fleet.joined("a")
    before = observed(router)
    assert before["regions"] == {}
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for caller in (http, grpc):
            caller.double(values())
            caller.double(values(), headers={"Parkade-Region" if caller is http else "parkade-region": "us-tx"})
        http.double(values(), headers={"Parkade-Region": "no name of a region"})
    after = observed(router)
    assert after["regions"] == {"us-ca": 3, "us-tx": 2}
    assert after["outcomes"]["answered"] == sum(count for _, count in after["answered"]) == 5
    assert plain.get(f"http://{router.addresses['metrics']}/v1/observed").json()["router"] == "router-7"
    assert not any("parkade-region" in headers for headers in car.app.headers), (
        "whose callers are where is not for cars"
    )


def test_times_are_told_by_hardware_and_place(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(50), datacenter.placement(share=50))
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        car.app.mood = "slow"
        for _ in range(4):
            http.double(values())
    times = observed(router)
    assert times["hardware"]["hw4"]["count"] == times["places"][POOL]["count"] == 2
    assert times["hardware"]["hw4"]["seconds"] > 0.6 > times["places"][POOL]["seconds"] > 0
    assert times["hardware"]["hw4"]["squaredSeconds"] >= 0.18
    assert max(bound for bound, _ in times["answered"]) > 0.3


def test_failures_are_told_by_cause(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    car.app.mood = "garbage"
    with http_caller(router) as http:
        http.double(values())
        with pytest.raises(InferenceServerException):
            http.double(np.zeros((2, 2), np.float32))
    told = observed(router)
    assert told["retries"]["malformed"] >= 1
    assert (told["outcomes"]["answered"], told["outcomes"]["rejected"]) == (1, 1)


def test_a_request_that_waits_is_seen_before_it_ends(router: Router, fleet: Fleet) -> None:
    router.planned(timeout="20s")
    answers = []

    def ask() -> None:
        with http_caller(router) as http:
            answers.append(http.double(values()))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: observed(router)["waiting"] == 1)
        assert sum(observed(router)["regions"].values()) == 1
        router.plan(workload(cell(), timeout="20s"))
        fleet.joined("a")
    finally:
        asking.join(20)
    np.testing.assert_array_equal(answers[0], values() * 2)
    assert observed(router)["waiting"] == 0
