"""What callers see while places fail: an answer of another place, or a refusal in time."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import CELL, MODEL, WORKLOAD, Car, Datacenter, Fleet, until

JSON_BODY = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}

ONLY_HTTP = "lies about its header"
MISSES = {
    "dies": "broken",
    "cut off": "broken",
    "garbage": "malformed",
    ONLY_HTTP: "malformed",
    "has no model": "not_ready",
    "not ready": "not_ready",
    "broken": "failed",
}


@pytest.mark.parametrize(
    ("mood", "protocol"),
    [(mood, protocol) for mood in MISSES for protocol in ("http", "grpc") if (mood, protocol) != (ONLY_HTTP, "grpc")],
)
def test_a_bad_car_costs_the_caller_nothing(router: Router, fleet: Fleet, mood: str, protocol: str) -> None:
    router.planned(cell())
    (bad,) = fleet.joined("bad")
    bad.app.mood = mood
    (good,) = fleet.joined("good")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        caller = http if protocol == "http" else grpc
        np.testing.assert_array_equal(caller.double(values()), values() * 2)
    assert (bad.app.requests, good.app.requests) == (1, 1)
    assert router.metric("retries_total", workload=WORKLOAD, cause=MISSES[mood]) == 1
    (line,) = router.lines(1)
    assert (line["attempts"], line["place"]) == (2, CELL)


def test_a_missed_car_is_hung_up_on(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (bad,) = fleet.joined("bad")
    bad.app.mood, bad.stays = "garbage", False
    with http_caller(router) as http:
        http.double(values())
        until(bad.offer.closed.done)
        http.double(values())
    assert (bad.app.requests, datacenter.app.requests) == (1, 2)


def test_a_car_killed_in_the_middle_is_replaced(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (dying,) = fleet.joined("dying")
    dying.app.mood = "hang"
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.double, values())
        until(dying.app.entered.is_set)
        (good,) = fleet.joined("good")
        dying.vanish()
        np.testing.assert_array_equal(answer.result(5), values() * 2)
    assert good.app.requests == 1


def test_a_silent_car_is_given_up_early_enough_for_another(router: Router, fleet: Fleet) -> None:
    router.planned(cell(), timeout="4s")
    (silent,) = fleet.joined("silent")
    silent.app.mood = "hang"
    (good,) = fleet.joined("good")
    begun = time.monotonic()
    with http_caller(router) as http:
        np.testing.assert_array_equal(http.double(values()), values() * 2)
    assert 1.9 < time.monotonic() - begun < 4.0, "half of the time is kept for another place"
    assert (silent.app.requests, good.app.requests) == (1, 1)
    assert router.metric("retries_total", cause="timeout") == 1


def test_a_car_that_failed_on_a_request_is_never_asked_again(router: Router, fleet: Fleet) -> None:
    router.planned(cell(), timeout="1s")
    (bad,) = fleet.joined("bad")
    second = fleet.car("bad")
    bad.app.mood = second.app.mood = "broken"
    second.join()
    until(second.is_taken)
    with http_caller(router) as http, pytest.raises(InferenceServerException, match="no place answered"):
        http.double(values())
    assert bad.app.requests + second.app.requests == 1


@pytest.mark.parametrize("mood", ["dies", "not ready"])
def test_cars_that_were_not_there_are_asked_again_when_they_are_back(router: Router, fleet: Fleet, mood: str) -> None:
    router.planned(cell())
    cars = fleet.joined("a", "b")
    for car in cars:
        car.app.mood = mood
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.double, values())
        for car in cars:
            assert car.app.entered.wait(5)
            car.app.mood = "honest"
        np.testing.assert_array_equal(answer.result(4), values() * 2)
    assert sum(car.app.requests for car in cars) >= 2


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_a_car_does_not_do_goes_elsewhere_and_the_car_stays(
    router: Router, fleet: Fleet, datacenter: Datacenter, protocol: str
) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    offer, car.app.mood = car.offer, "does not do that"
    with http_caller(router) as http, grpc_caller(router) as grpc:
        caller = http if protocol == "http" else grpc
        np.testing.assert_array_equal(caller.double(values()), values() * 2)
        assert (car.app.requests, datacenter.app.requests) == (1, 1)
        assert router.metric("retries_total", cause="unsupported") == 1
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        car.app.mood = "honest"
        caller.double(values())
    assert (car.app.requests, datacenter.app.requests) == (2, 1)
    assert car.offer is offer, "the car dialled once"


@pytest.mark.parametrize("cars", [("a",), ("a", "b", "c")])
def test_what_no_place_does_is_said_in_the_cars_own_words(router: Router, fleet: Fleet, cars: tuple[str, ...]) -> None:
    router.planned(cell(), timeout="20s")
    joined = fleet.joined(*cars)
    classes = [over_http.InferRequestedOutput("y", class_count=1)]
    begun = time.monotonic()
    with http_caller(router) as http, pytest.raises(InferenceServerException, match="classification") as refused:
        http.client.infer(MODEL, [http.tensor(values())], outputs=classes)
    assert refused.value.status() == "501"
    classes = [over_grpc.InferRequestedOutput("y", class_count=1)]
    with grpc_caller(router) as grpc, pytest.raises(InferenceServerException, match="classification") as refused:
        grpc.client.infer(MODEL, [grpc.tensor(values())], outputs=classes)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    assert time.monotonic() - begun < 10, "nothing is waited for"
    assert sum(car.app.requests for car in joined) == 2 * min(len(cars), 2)
    assert router.metric("credits", tier="Vehicle") == len(cars)
    assert router.metric("requests_total", outcome="rejected") == 2


def test_two_cars_then_triton(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    cars = fleet.joined("a", "b", "c", "d")
    for car in cars:
        car.app.mood = "broken"
    with http_caller(router) as http:
        np.testing.assert_array_equal(http.double(values()), values() * 2)
    assert sum(car.app.requests for car in cars) == 2
    assert router.lines(1)[0]["tier"] == "Datacenter"


def test_without_any_place_the_refusal_comes_in_time(router: Router) -> None:
    router.planned(cell(), timeout="1500ms")
    begun = time.monotonic()
    answer = plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY)
    assert 1.4 < time.monotonic() - begun < 6.0
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "no place was free" in answer.json()["error"]
    begun = time.monotonic()
    limit = {"parkade-timeout-ms": "100"}
    answer = plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY, headers=limit)
    assert answer.status_code == 503
    assert time.monotonic() - begun < 1.4
    assert router.metric("requests_total", tier="none", outcome="unplaced") == 2


def test_without_any_place_grpc_gets_a_status_in_time(router: Router) -> None:
    router.planned(cell(), timeout="300ms")
    with grpc_caller(router) as grpc:
        with pytest.raises(InferenceServerException) as refused:
            grpc.double(values())
        assert refused.value.status() == "StatusCode.UNAVAILABLE"
        with pytest.raises(InferenceServerException) as refused:
            grpc.double(values(), client_timeout=0.1)
        assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_a_waiting_request_gets_the_car_that_comes(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.double, values())
        until(lambda: router.metric("waiting", workload=WORKLOAD) == 1)
        fleet.joined("late")
        np.testing.assert_array_equal(answer.result(5), values() * 2)
    assert router.lines(1)[0]["attempts"] == 1


def test_a_caller_that_leaves_frees_the_car(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.app.mood = "hang"
    with pytest.raises(httpx.ReadTimeout):
        plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY, timeout=0.3)
    until(lambda: car.app.requests == 1 and router.metric("credits", tier="Vehicle") == 1)
    car.app.mood = "honest"
    with http_caller(router) as http:
        http.double(values())


def test_a_server_that_comes_back_serves_what_waited(router: Router, datacenter: Datacenter) -> None:
    router.planned(datacenter.placement())
    datacenter.stop()
    with http_caller(router) as http, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.double, values())
        until(lambda: router.metric("retries_total", cause="connect") == 1)
        assert plain.get(f"http://{router.http}/v2/models/{MODEL}/ready").status_code == 400
        datacenter.start()
        np.testing.assert_array_equal(answer.result(5), values() * 2)
    assert router.metric("retries_total") == 1, "a server that rests is probed, not tried with requests"


def test_a_server_that_fails_on_a_request_is_quoted(router: Router, datacenter: Datacenter) -> None:
    router.planned(datacenter.placement())
    datacenter.app.mood = "broken"
    with http_caller(router) as http, pytest.raises(InferenceServerException, match="broken") as refused:
        http.double(values())
    assert refused.value.status() == "500"
    assert router.metric("requests_total", outcome="failed") == 1


def test_slow_callers_block_nobody(router: Router, fleet: Fleet) -> None:
    router.flags = ("--body-seconds", "3")
    router.planned(cell())
    fleet.joined("a")
    host, port = router.http.split(":")
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    slow = [socket.create_connection((host, int(port))) for _ in range(20)]
    for number, connection in enumerate(slow):
        connection.sendall(head + b"{" if number % 2 else head[:20])
    with http_caller(router) as http:
        begun = time.monotonic()
        for _ in range(20):
            http.double(values())
        assert time.monotonic() - begun < 2.5
    slow[1].settimeout(5)
    assert b" 408 " in slow[1].recv(4096)
    for connection in slow:
        connection.close()


def test_a_thousand_requests_while_cars_come_and_go(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(75), datacenter.placement(share=25, replicas=2))
    cars = fleet.joined(*[f"v-{number}" for number in range(6)])
    over = threading.Event()

    def churn() -> None:
        turn = 0
        while not over.is_set():
            car: Car = cars[turn % len(cars)]
            car.vanish() if turn % 2 else car.leave()
            car.task.result(10)
            car.stays = True
            over.wait(0.02)
            car.join()
            turn += 1

    churning = threading.Thread(target=churn)
    churning.start()
    failures = []

    def calls(worker: int) -> None:
        with http_caller(router) as http, grpc_caller(router) as grpc:
            for number in range(1000 // 16 + 1):
                array = values(1 + (worker * 64 + number) % 50)
                caller = grpc if worker % 4 == 0 else http
                try:
                    np.testing.assert_array_equal(caller.double(array), array * 2)
                except (InferenceServerException, AssertionError, OSError) as error:
                    failures.append(error)

    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(calls, range(16)))
    finally:
        over.set()
        churning.join(20)
    assert failures == []
    assert router.metric("requests_total", outcome="answered") == 16 * 63
    by_car = router.metric("requests_total", tier="Vehicle", outcome="answered")
    assert 100 < by_car < 16 * 63


def test_a_workload_that_is_deleted_closes_its_cars(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.stays = False
    router.plan()
    until(car.offer.closed.done)
    answer = plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY)
    assert answer.status_code == 404
    router.plan(workload(cell()))
    (again,) = fleet.joined("b")
    with http_caller(router) as http:
        http.double(values())
    assert again.app.requests == 1
