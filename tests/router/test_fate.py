"""The fate of a request under overload, and what callers may ask for it: who is answered, who is refused, and when."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values
from router.places import MODEL, WORKLOAD, Car, Datacenter, Fleet, until

JSON_BODY = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}


@dataclass(frozen=True)
class Fate:
    status: int
    retry_after: str
    sentence: str


def ask(router: Router, **headers: str) -> Fate:
    """One request on a connection of its own."""
    named = {f"parkade-{name.replace('_', '-')}": value for name, value in headers.items()}
    url = f"http://{router.http}/v2/models/{MODEL}/infer"
    answer = plain.post(url, json=JSON_BODY, headers=named, timeout=30)
    return Fate(answer.status_code, answer.headers.get("retry-after", ""), answer.text)


def overloaded(router: Router, datacenter: Datacenter) -> None:
    """Two slots of which the router knows that an answer takes 0.3 s: 6.7 answers a second."""
    router.planned(datacenter.placement(share=100, replicas=2))
    datacenter.app.mood = "slow"
    with ThreadPoolExecutor(2) as pool:
        assert [fate.status for fate in pool.map(lambda _: ask(router), range(8))] == [200] * 8


@pytest.mark.parametrize("value", ["256", "-1", "high", ""])
def test_a_priority_that_is_none_is_refused(router: Router, fleet: Fleet, value: str) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    fate = ask(router, priority=value)
    assert fate.status == 400
    assert "Parkade-Priority wants an integer from 0 to 255" in fate.sentence
    if value:
        with grpc_caller(router) as caller, pytest.raises(InferenceServerException, match="0 to 255") as refused:
            caller.double(values(), headers={"parkade-priority": value})
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert car.app.requests == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_higher_priority_is_served_first(router: Router, datacenter: Datacenter, protocol: str) -> None:
    router.planned(datacenter.placement(share=100, replicas=1))
    datacenter.app.mood = "held"

    def call(priority: int) -> None:
        if protocol == "http":
            assert ask(router, priority=str(priority)).status == 200
        else:
            with grpc_caller(router) as caller:
                answer = caller.double(values(), headers={"parkade-priority": str(priority)})
                np.testing.assert_array_equal(answer, values() * 2)

    with ThreadPoolExecutor(4) as pool:
        busy = pool.submit(ask, router)
        until(datacenter.app.entered.is_set)
        calls = []
        for waiting, priority in enumerate((7, 100, 200), 1):
            calls.append(pool.submit(call, priority))
            until(lambda count=waiting: router.metric("waiting", workload=WORKLOAD) == count)
        datacenter.app.mood = "honest"
        for answered in (busy, *calls):
            answered.result(10)
    seen = datacenter.app.headers[1:] if protocol == "http" else datacenter.metadata
    assert [headers["parkade-priority"] for headers in seen] == ["200", "100", "7"]


def test_under_overload_the_high_are_answered_and_the_low_refused_at_once(
    router: Router, datacenter: Datacenter
) -> None:
    overloaded(router, datacenter)
    with ThreadPoolExecutor(40) as pool:
        low = [pool.submit(ask, router, priority="10", timeout_ms="1200") for _ in range(30)]
        until(lambda: router.metric("requests_total", outcome="shed") >= 10)
        high = [pool.submit(ask, router, priority="200", timeout_ms="3000") for _ in range(8)]
        low = [fate.result(20) for fate in low]
        high = [fate.result(20) for fate in high]
    assert [fate.status for fate in high] == [200] * 8
    assert {fate.status for fate in low} == {200, 503}
    refused = [fate for fate in low if fate.status == 503]
    assert all(int(fate.retry_after) >= 1 for fate in refused)
    assert sum("overloaded" in fate.sentence for fate in refused) >= 10, "few were let in and could not be served"
    at_once = [line for line in router.lines(46) if line["status"] == 503 and line["milliseconds"] < 50]
    assert len(at_once) >= 10
    assert router.metric("requests_total", workload=WORKLOAD, outcome="shed") >= 10


def test_grpc_says_that_the_resources_are_exhausted(router: Router, datacenter: Datacenter) -> None:
    overloaded(router, datacenter)
    with ThreadPoolExecutor(8) as pool, grpc.insecure_channel(router.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        busy = [pool.submit(ask, router) for _ in range(6)]
        until(lambda: router.metric("waiting", workload=WORKLOAD) >= 4)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(service_pb2.ModelInferRequest(model_name=MODEL), timeout=0.4)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "overloaded" in refused.value.details()
        assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert [fate.result(10).status for fate in busy] == [200] * 6


def test_a_workload_without_a_replica_holds_its_requests(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        for _ in range(20):
            http.double(values())
    car.vanish()
    until(lambda: router.metric("credits", tier="Vehicle") == 0)
    with ThreadPoolExecutor(40) as pool:
        held = [pool.submit(ask, router, priority="0") for _ in range(40)]
        until(lambda: router.metric("waiting", workload=WORKLOAD) == 40)
        fleet.joined("b")
        assert [fate.result(10).status for fate in held] == [200] * 40


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("mood", ["dies", "cut off", "garbage", "broken", "not ready"])
def test_at_most_once_asks_no_second_place(router: Router, fleet: Fleet, mood: str, protocol: str) -> None:
    router.planned(cell())
    (bad,) = fleet.joined("bad")
    (good,) = fleet.joined("good")
    bad.app.mood = mood
    if protocol == "http":
        fate = ask(router, at_most_once="true")
        assert (fate.status, fate.retry_after) == (503, "")
        assert "may or may not have been carried out" in fate.sentence
    else:
        with grpc.insecure_channel(router.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError, match="may or may not") as refused:
                stub.ModelInfer(
                    service_pb2.ModelInferRequest(model_name=MODEL), metadata=[("parkade-at-most-once", "true")]
                )
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"
    assert (bad.app.requests, good.app.requests) == (1, 0)


def test_at_most_once_gives_the_only_attempt_all_the_time(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (silent,) = fleet.joined("silent")
    (good,) = fleet.joined("good")
    silent.app.mood = "hang"
    fate = ask(router, at_most_once="true", timeout_ms="600")
    assert (fate.status, good.app.requests) == (503, 0)
    assert "did not answer in time" in fate.sentence
    assert router.lines(1)[0]["milliseconds"] >= 590


def test_at_most_once_goes_on_where_nothing_was_sent(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(datacenter.placement(share=100), cell(0))
    (car,) = fleet.joined("a")
    datacenter.stop()
    assert ask(router, at_most_once="true").status == 200
    assert router.metric("retries_total", cause="connect") == 1
    assert car.app.requests == 1


def test_what_a_place_refuses_in_its_own_words_stays_the_answer(
    router: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    car.app.mood = "does not do that"
    fate = ask(router, at_most_once="true")
    assert (fate.status, datacenter.app.requests) == (501, 0)
    assert ask(router, at_most_once="maybe").status == 400


def test_at_most_once_is_not_spot_checked(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement(), trust={"verifyPercent": 100, "tolerance": "0"})
    fleet.joined("a")
    assert ask(router, at_most_once="true").status == 200
    assert ask(router).status == 200
    until(lambda: router.metric("verifications_total", workload=WORKLOAD) == 1)
    assert datacenter.app.requests == 1, "the second request only"


def hedging(router: Router, fleet: Fleet, percent: int) -> tuple[Car, Car]:
    """Two cars that have answered often enough, of which the first hangs from now on."""
    router.flags = ("--hedge-percent", str(percent))
    router.planned(cell(), timeout="20s")
    slow, quick = fleet.joined("a", "b")
    with http_caller(router) as http:
        for _ in range(40):
            http.double(values())
            until(lambda: router.metric("credits", tier="Vehicle") == 2)
    slow.app.mood = "hang"
    return slow, quick


def twice(router: Router) -> None:
    """One of the two goes to the car that hangs: the one that was idle longest is next."""
    with http_caller(router) as http:
        for _ in range(2):
            np.testing.assert_array_equal(http.double(values()), values() * 2)


def test_a_slow_car_is_overtaken(router: Router, fleet: Fleet) -> None:
    slow, _ = hedging(router, fleet, 100)
    dialled = slow.offer
    twice(router)
    assert router.metric("hedges_total", workload=WORKLOAD, outcome="won") >= 1
    assert router.metric("retries_total") == 0, "nothing missed"
    until(dialled.closed.done)
    lines = router.lines(42)
    assert any((line["attempts"], line["status"]) == (2, 200) for line in lines[40:])
    assert router.metric("requests_total", outcome="answered") == len(lines) == 42


def test_the_budget_bounds_hedges(router: Router, fleet: Fleet) -> None:
    hedging(router, fleet, 1)
    twice(router)
    assert router.metric("hedges_total", outcome="skipped") >= 1
    assert router.metric("hedges_total") == router.metric("hedges_total", outcome="skipped"), "42 requests earn none"
    assert router.metric("retries_total", cause="timeout") == 1


@pytest.mark.parametrize(("percent", "headers"), [(0, {}), (100, {"at_most_once": "true"})])
def test_no_hedge_where_it_is_off_or_forbidden(
    router: Router, fleet: Fleet, percent: int, headers: dict[str, str]
) -> None:
    hedging(router, fleet, percent)
    before = router.metric("hedges_total")
    fates = [ask(router, timeout_ms="1000", **headers).status for _ in range(2)]
    assert router.metric("hedges_total") == before
    assert sorted(fates) == ([200, 503] if headers else [200, 200])


def test_trace_context_passes_on_and_cars_see_only_its_parent(
    router: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    router.planned(cell(50), datacenter.placement(50, replicas=1))
    (car,) = fleet.joined("a")
    context = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "shop=7", "baggage": "user=7"}
    with http_caller(router) as http, grpc_caller(router) as caller:
        for client in (http, caller):
            for _ in range(2):
                client.double(values(), headers=dict(context))
                until(lambda: router.metric("credits") == 2)
    assert len(car.app.headers) == 2
    for seen in car.app.headers:
        assert {name: seen.get(name) for name in context} == {**dict.fromkeys(context), **dict([*context.items()][:1])}
    for seen in (datacenter.app.headers[-1], datacenter.metadata[-1]):
        assert {name: seen.get(name) for name in context} == context
