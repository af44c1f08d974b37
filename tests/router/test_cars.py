"""Who may dial in, and how the router leaves."""

import contextlib
import json
import ssl
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

import plain
from parkade.local.pki import Authority
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import CELL, MODEL, WORKLOAD, Datacenter, Fleet, until

REFUSED = {
    "another workload": ({"Parkade-Workload": "vision/other"}, b" 404 ", b"no workload vision/other", True),
    "another model": ({"Parkade-Model": "other"}, b" 409 ", b"serves model doubler, not other", False),
    "another cell": ({"Parkade-Cell": "cell-9"}, b" 503 ", b"no cell cell-9", True),
    "another protocol": ({"Upgrade": "parkade-serve/9"}, b" 426 ", b"parkade-serve/1", False),
    "no cell": ({"Parkade-Cell": ""}, b" 400 ", b"parkade-cell is missing", False),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_offer_that_does_not_fit_gets_a_sentence(router: Router, fleet: Fleet, case: str) -> None:
    headers, status, sentence, try_again = REFUSED[case]
    router.planned(cell())
    answer = fleet.car("a", **headers).answer_to_offer()
    assert status in answer.splitlines()[0] + b" "
    assert sentence in answer
    assert (b"retry-after" in answer) == try_again
    assert router.metric("cars_refused_total") == 1
    assert router.metric("credits", tier="Vehicle") == 0


def test_only_trusted_fleets_see_payloads(router: Router, fleet: Fleet) -> None:
    router.planned(cell(), trust={"fleets": ["owners-ca"]})
    assert b" 403 " in fleet.car("a", fleet="owners-ny").answer_to_offer()
    assert b" 101 " in fleet.car("a", fleet="owners-ca").answer_to_offer()


def test_a_fleet_that_is_trusted_no_longer_is_hung_up_on(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    places = (cell(), datacenter.placement())
    router.planned(*places)
    idle, busy, kept = fleet.car("idle", "owners-ny"), fleet.car("busy", "owners-ny"), fleet.car("kept")
    busy.app.mood = "held"
    busy.join()
    until(busy.is_taken)
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.double, values())
        until(busy.app.entered.is_set)
        for car in (idle, kept):
            car.join()
            until(car.is_taken)
        for car in (idle, busy):
            car.stays = False
        router.plan(workload(*places, trust={"fleets": ["owners-ca"]}))
        until(idle.offer.closed.done)
        busy.app.mood = "honest"
        np.testing.assert_array_equal(answer.result(10), values() * 2)
        until(busy.offer.closed.done)
        pool.submit(http.double, values()).result(10)
    assert (idle.app.requests, busy.app.requests, kept.app.requests) == (0, 1, 1)


def test_a_stranger_gets_no_handshake(router: Router, fleet: Fleet, tmp_path) -> None:
    router.planned(cell())
    without = fleet.car("none")
    without.context = ssl.create_default_context(cafile=fleet.authority.certificate)
    stranger = fleet.car("stranger")
    pair = Authority(tmp_path / "other").issue("x", common_name="x", uris=("parkade://vehicle/owners-ca/x",))
    stranger.context = ssl.create_default_context(cafile=fleet.authority.certificate)
    stranger.context.load_cert_chain(pair.certificate, pair.key)
    for car in (without, stranger):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert car.answer_to_offer() == b""
    until(lambda: router.metric("cars_refused_total", reason="handshake") == 2)


def test_a_certificate_without_a_vehicle_is_no_car(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    car = fleet.car("a")
    pair = fleet.authority.issue("server-only", common_name="127.0.0.1")
    car.context = ssl.create_default_context(cafile=fleet.authority.certificate)
    car.context.load_cert_chain(pair.certificate, pair.key)
    assert car.answer_to_offer() == b""
    assert router.metric("cars_refused_total", reason="identity") == 1


@pytest.mark.parametrize(("mood", "cause"), [("garbage", "malformed"), ("broken", "failed")])
def test_a_car_whose_answers_cannot_be_used_is_kept_away_for_a_while(
    router: Router, fleet: Fleet, datacenter: Datacenter, mood: str, cause: str
) -> None:
    router.flags = ("--rejection-seconds", "2")
    router.planned(cell(), datacenter.placement())
    (bad,) = fleet.joined("bad")
    bad.app.mood = mood
    with http_caller(router) as http:
        for turn in range(1, 4):
            until(lambda: router.metric("credits", tier="Vehicle") == 1)
            np.testing.assert_array_equal(http.double(values()), values() * 2)
            assert router.metric("retries_total", cause=cause) == turn
        until(lambda: router.metric("cars_refused_total", reason="answers") >= 1)
        bad.stays = False
        bad.task.result(10)
        answer = bad.answer_to_offer()
        assert b" 403 " in answer.splitlines()[0]
        assert b"retry-after: " in answer
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert said["reason"] == "AnswersRejected"
        assert f"3 answers of this car in a row for workload {WORKLOAD}" in said["error"]
        assert "restart or update its agent" in said["error"]
        (good,) = fleet.joined("good")
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        http.double(values())
        assert (good.app.requests, bad.app.requests) == (1, 3)
        good.leave()
        until(good.offer.closed.done)
        bad.app.mood, bad.stays = "honest", True
        bad.join()
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        http.double(values())
    assert bad.app.requests == 4, "it may try again, and did well"
    assert router.metric("requests_total", outcome="answered") == 5


def test_a_car_that_is_sometimes_wrong_stays(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        for mood in ("garbage", "garbage", "honest") * 2:
            until(lambda: router.metric("credits", tier="Vehicle") == 1)
            car.app.mood = mood
            http.double(values())
    assert car.app.requests == 6
    assert router.metric("cars_refused_total") == 0


def test_what_every_place_fails_on_is_no_cars_fault(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    car.app.mood = datacenter.app.mood = "broken"
    with http_caller(router) as http:
        for _ in range(5):
            until(lambda: router.metric("credits", tier="Vehicle") == 1)
            with pytest.raises(InferenceServerException, match="broken"):
                http.double(values())
    assert car.app.requests == 5
    assert router.metric("cars_refused_total") == 0


def test_an_idle_connection_is_a_credit(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    cars = fleet.joined("a", "b")
    until(lambda: router.metric("credits", workload=WORKLOAD, tier="Vehicle") == 2)
    cars[0].leave()
    until(lambda: router.metric("credits", workload=WORKLOAD, tier="Vehicle") == 1)
    with http_caller(router) as http:
        for _ in range(5):
            http.double(values())
    assert [car.app.requests for car in cars] == [0, 5]


def test_leaving_finishes_what_is_under_way(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.app.mood, car.stays = "held", False
    with http_caller(router) as http, grpc_caller(router) as grpc, ThreadPoolExecutor(2) as pool:
        first = pool.submit(http.double, values())
        until(car.app.entered.is_set)
        second = pool.submit(grpc.double, values())
        until(lambda: router.metric("waiting", workload=WORKLOAD) == 1)
        router.terminate()
        until(lambda: router.is_closed)
        car.app.mood = "honest"
        for answer in (first, second):
            np.testing.assert_array_equal(answer.result(5), values() * 2)
    assert router.process.wait(10) == 0
    until(car.offer.closed.done)
    with pytest.raises(httpx.ConnectError):
        plain.get(f"http://{router.http}/v2/models/{MODEL}")
    assert [line["place"] for line in router.lines(2)] == [CELL, CELL]
