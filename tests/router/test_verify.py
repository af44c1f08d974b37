"""Spot checks: some answers of cars are computed again in the datacenter, and a car that disagrees is kept away."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import MODEL, WORKLOAD, Datacenter, Fleet, until

ALL = {"verifyPercent": 100, "tolerance": "0.001"}


def ended(router: Router, outcome: str) -> float:
    return router.metric("verifications_total", workload=WORKLOAD, outcome=outcome)


def ask_all_ways(router: Router) -> None:
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for size in (1, 5000):
            for binary in (True, False):
                http.double(values(size), binary=binary)
            grpc.double(values(size))


@pytest.mark.parametrize("mood", ["honest", "is not exact"])
def test_honest_cars_agree_in_every_encoding(router: Router, fleet: Fleet, datacenter: Datacenter, mood: str) -> None:
    router.planned(cell(), datacenter.placement(), trust=ALL)
    (car,) = fleet.joined("a")
    car.app.mood = mood
    ask_all_ways(router)
    until(lambda: ended(router, "agreed") == 6)
    assert ended(router, "disagreed") == ended(router, "failed") == ended(router, "skipped") == 0
    assert car.app.requests == 6, "each was answered by the car"
    assert router.metric("requests_total", tier="Datacenter") == 0, "a check is no request"


@pytest.mark.parametrize("caller", [http_caller, grpc_caller])
def test_a_car_that_lies_is_kept_away(router: Router, fleet: Fleet, datacenter: Datacenter, caller) -> None:
    router.flags = ("--rejection-seconds", "2")
    router.planned(cell(), datacenter.placement(), trust=ALL)
    liar, other = fleet.joined("liar", "liar")
    liar.app.mood = other.app.mood = "lies"
    with caller(router) as client:
        until(lambda: router.metric("credits", tier="Vehicle") == 2)
        np.testing.assert_array_equal(client.double(values()), values() * 3)
        until(lambda: ended(router, "disagreed") == 1)
        until(lambda: router.metric("cars_refused_total", reason="disagree") >= 2)
        liar.stays = other.stays = False
        said = liar.answer_to_offer()
        assert b" 403 " in said.splitlines()[0]
        body = json.loads(said.partition(b"\r\n\r\n")[2])
        assert body["reason"] == "AnswersDisagree"
        assert "was not what Triton computes" in body["error"]
        np.testing.assert_array_equal(client.double(values()), values() * 2)
        liar.task.result(10)
        liar.app.mood, liar.stays = "honest", True
        liar.join()
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        client.double(values())
        until(lambda: ended(router, "agreed") == 1)
    assert router.metric("requests_total", outcome="answered") == 3


def test_a_car_found_out_while_it_answers_leaves_after_that(
    router: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    router.planned(cell(), datacenter.placement(), trust=ALL)
    (liar,) = fleet.joined("liar")
    datacenter.app.mood = "slow"
    with http_caller(router) as http:
        liar.app.mood = "lies"
        http.double(values())
        liar.app.mood = "slow"
        while ended(router, "disagreed") == 0:
            http.double(values())
    until(lambda: router.metric("cars_refused_total", reason="disagree") >= 1)
    assert router.metric("credits", tier="Vehicle") == 0


def test_a_model_whose_answers_vary_accuses_nobody(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement(), trust=ALL)
    (car,) = fleet.joined("a")
    datacenter.app.mood = "varies"
    with http_caller(router) as http:
        http.double(values())
        until(lambda: ended(router, "failed") == 1)
        http.double(values())
    assert car.app.requests == 2
    assert router.metric("cars_refused_total") == ended(router, "disagreed") == 0


def test_only_the_share_is_checked(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement(), trust={"verifyPercent": 10})
    fleet.joined("a", "b")
    with http_caller(router) as http:
        for _ in range(100):
            http.double(values())
    until(lambda: ended(router, "agreed") + ended(router, "skipped") >= 9)
    assert ended(router, "agreed") + ended(router, "skipped") <= 11


def test_what_cannot_be_compared_is_skipped(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), trust=ALL)
    fleet.joined("a")
    with http_caller(router) as http:
        http.double(values())
    assert ended(router, "skipped") == 1, "the plan has no Triton"
    router.plan(workload(cell(), datacenter.placement(), trust=ALL))
    until(lambda: router.metric("credits", tier="Datacenter") == 2)
    with http_caller(router) as http:
        http.double(values(), request_compression_algorithm="gzip")
    assert ended(router, "skipped") == 2, "compressed"
    assert datacenter.app.requests == 0


def test_a_check_waits_until_callers_need_the_slot_no_more(
    router: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    router.planned(cell(), datacenter.placement(replicas=1), trust=ALL)
    fleet.joined("a")
    datacenter.app.mood = "hang"
    only_triton = f"http://{router.http}/v2/models/{MODEL}/versions/1/infer"
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(plain.post, only_triton, content=b"{}", timeout=1)
        until(datacenter.app.entered.is_set)
        datacenter.app.mood = "honest"
        http.double(values())
        assert (datacenter.app.requests, ended(router, "agreed")) == (1, 0)
        with pytest.raises(httpx.ReadTimeout):
            hanging.result(10)
        until(lambda: ended(router, "agreed") == 1)
    assert datacenter.app.requests == 2
