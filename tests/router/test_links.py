"""Cars that are killed or stopped, and links that are slow, lossy or half-open: every answer comes, and is right."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parkade.local.pki import Authority
from router.links import Relay, car_process
from router.peers import HttpCaller, Router, cell, grpc_caller, http_caller, values
from router.places import Datacenter, Fleet, until

pytestmark = pytest.mark.slow

Relayed = Callable[..., Relay]
SLOW = 0.05


def cars_are_free(router: Router, count: int) -> None:
    until(lambda: router.metric("credits", tier="Vehicle") == count)


def double_quickly(caller: HttpCaller, times: int) -> None:
    """Far quicker than if each request had to find out anew that a place is away."""
    begun = time.monotonic()
    for _ in range(times):
        np.testing.assert_array_equal(caller.double(values()), values() * 2)
    assert time.monotonic() - begun < times * 0.5


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_car_whose_process_is_killed_in_the_middle_is_replaced(
    router: Router, fleet: Fleet, authority: Authority, protocol: str
) -> None:
    router.planned(cell(), timeout="10s")
    with (
        car_process(authority, router.cars, "dying", mood="hang") as dying,
        http_caller(router) as http,
        grpc_caller(router) as grpc,
        ThreadPoolExecutor(1) as pool,
    ):
        cars_are_free(router, 1)
        answer = pool.submit((http if protocol == "http" else grpc).double, values())
        cars_are_free(router, 0)
        (good,) = fleet.joined("good")
        dying.send_signal(signal.SIGKILL)
        np.testing.assert_array_equal(answer.result(10), values() * 2)
    assert good.app.requests == 1
    assert router.metric("retries_total", cause="broken") == 1


def test_a_car_whose_process_is_stopped_costs_one_request_its_time_and_comes_back(
    router: Router, fleet: Fleet, authority: Authority
) -> None:
    router.planned(cell(), timeout="3s")
    with car_process(authority, router.cars, "stopped") as stopped, http_caller(router) as http:
        cars_are_free(router, 1)
        (good,) = fleet.joined("good")
        stopped.send_signal(signal.SIGSTOP)
        np.testing.assert_array_equal(http.double(values()), values() * 2)
        assert router.metric("retries_total", cause="timeout") == 1
        double_quickly(http, 10)
        assert good.app.requests == 11
        stopped.send_signal(signal.SIGCONT)
        cars_are_free(router, 2)
        double_quickly(http, 10)
    assert router.metric("retries_total") == 1
    assert good.app.requests < 21, "the car that came back serves again"


@pytest.mark.parametrize("link", [{"delay": SLOW}, {"loss": 0.01}], ids=["delay", "loss"])
def test_bad_links_cost_time_and_no_answer(
    router: Router, authority: Authority, relayed: Relayed, link: dict[str, float]
) -> None:
    router.planned(cell(), timeout="30s")
    fleet = Fleet(authority, lambda: between.address)
    between = relayed(router.cars, **link)
    try:
        cars = fleet.joined("a", "b")
        with http_caller(router) as http, grpc_caller(router) as grpc:
            for caller in (http, grpc):
                for size in (4, 60_000) * 3:
                    begun = time.monotonic()
                    np.testing.assert_array_equal(caller.double(values(size)), values(size) * 2)
                    assert time.monotonic() - begun > 2 * link.get("delay", 0.0)
    finally:
        fleet.stop()
    assert sum(car.app.requests for car in cars) >= 12
    assert router.metric("requests_total", outcome="answered") == 12


def test_cars_behind_a_half_open_link_are_given_up_and_come_back(
    router: Router, fleet: Fleet, authority: Authority, relayed: Relayed
) -> None:
    router.planned(cell(), timeout="3s")
    between = relayed(router.cars)
    behind = Fleet(authority, lambda: between.address)
    try:
        behind.joined("a", "b")
        (good,) = fleet.joined("good")
        cars_are_free(router, 3)
        between.go_silent()
        with http_caller(router) as http:
            for _ in range(2):
                np.testing.assert_array_equal(http.double(values()), values() * 2)
            assert router.metric("retries_total", cause="timeout") == 2, "each car is found out once"
            before = good.app.requests
            double_quickly(http, 10)
            assert good.app.requests == before + 10
            between.recover()
            cars_are_free(router, 3)
            double_quickly(http, 10)
        assert good.app.requests < before + 20
    finally:
        between.recover()
        behind.stop()
    assert router.metric("requests_total", outcome="answered") == 22


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_behind_a_half_open_link_rests_until_it_answers(
    router: Router, fleet: Fleet, datacenter: Datacenter, relayed: Relayed, protocol: str
) -> None:
    (http_link, grpc_link) = (relayed(datacenter.http), relayed(datacenter.grpc))
    placement = datacenter.placement(share=100)
    placement["endpoints"] = [{"http": http_link.address, "grpc": grpc_link.address, "replicas": 2}]
    router.planned(placement, cell(0), timeout="3s")
    (car,) = fleet.joined("a")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        caller = http if protocol == "http" else grpc
        caller.double(values())
        assert (datacenter.app.requests, car.app.requests) == (1, 0)
        for link in (http_link, grpc_link):
            link.go_silent()
        np.testing.assert_array_equal(caller.double(values()), values() * 2)
        assert router.metric("retries_total", cause="timeout") == 1
        double_quickly(caller, 10)
        assert car.app.requests == 11
        for link in (http_link, grpc_link):
            link.recover()
        until(lambda: router.metric("credits", tier="Datacenter") == 2)
        served = datacenter.app.requests
        caller.double(values())
    assert datacenter.app.requests > served
