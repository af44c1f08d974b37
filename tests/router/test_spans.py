"""Spans: what an OpenTelemetry collector is told of requests, and that requests never wait for it."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from router.collector import CLIENT, INTERNAL, SERVER, Collector, collecting
from router.peers import Router, cell, grpc_caller, http_caller, values
from router.places import CELL, MODEL, POOL, WORKLOAD, Datacenter, Fleet, until
from router.several import Routers, url

PROBLEM = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def collector(router: Router) -> Iterator[Collector]:
    """Where the router sends all its spans."""
    with collecting() as collector:
        router.flags = collector.flags
        yield collector


def ask(router: Router, **headers: str) -> httpx.Response:
    return httpx.post(url(router), json=PROBLEM, headers=headers)


def test_a_request_is_a_span_and_its_attempt_one_below(router: Router, fleet: Fleet, collector: Collector) -> None:
    router.planned(cell())
    (car,) = fleet.joined("secret-car")
    assert ask(router).is_success
    request, attempt = collector.first(2)
    assert (request.kind, request.parent, request.failed) == (SERVER, "", False)
    assert request.name == "POST /v2/models/{name}/infer"
    assert request.said == {
        "http.request.method": "POST", "url.path": f"/v2/models/{MODEL}/infer", "url.scheme": "http",
        "http.route": "/v2/models/{name}/infer", "network.protocol.version": "1.1", "http.response.status_code": 200,
        "parkade.workload": WORKLOAD, "parkade.tier": "Vehicle", "parkade.place": CELL, "parkade.attempts": 1,
        "parkade.outcome": "answered",
    }  # fmt: skip
    assert (attempt.kind, attempt.trace, attempt.parent) == (CLIENT, request.trace, request.id)
    assert attempt.said == {
        "http.request.method": "POST", "parkade.tier": "Vehicle", "parkade.place": CELL, "server.address": CELL,
        "parkade.outcome": "answered", "http.response.status_code": 200,
    }  # fmt: skip
    assert 0 < attempt.seconds <= request.seconds
    assert car.app.headers[-1]["traceparent"] == attempt.traceparent
    assert collector.paths == {"/v1/traces"}
    resource = request.resource
    assert (resource["service.name"], resource["service.instance.id"]) == ("parkade-router", "0")
    assert resource["service.version"]
    assert "secret-car" not in str(collector.spans)


def test_grpc_is_told_in_the_words_of_rpc(router: Router, datacenter: Datacenter, collector: Collector) -> None:
    router.planned(datacenter.placement(share=100))
    with grpc_caller(router) as grpc:
        sent = {"traceparent": SAMPLED, "tracestate": "vendor=1"}
        np.testing.assert_array_equal(grpc.double(values(), headers=sent), values() * 2)
        request, attempt = collector.first(2)
        with pytest.raises(InferenceServerException):
            grpc.client.infer("unknown", [grpc.tensor(values())])
        refused = collector.first(3)[2]
    assert (request.kind, request.trace, request.parent) == (SERVER, TRACE, PARENT)
    assert request.name == attempt.name == "inference.GRPCInferenceService/ModelInfer"
    rpc = {"rpc.system.name": "grpc", "rpc.method": request.name, "rpc.response.status_code": "OK"}
    assert rpc.items() <= request.said.items()
    host, port = datacenter.grpc.split(":")
    said = {**rpc, "server.address": host, "server.port": int(port), "parkade.tier": "Datacenter"}
    assert (attempt.kind, attempt.parent) == (CLIENT, request.id)
    assert said.items() <= attempt.said.items()
    seen = datacenter.metadata[-1]
    assert (seen["traceparent"], seen["tracestate"]) == (attempt.traceparent, "vendor=1")
    assert (refused.said["rpc.response.status_code"], refused.said["parkade.outcome"]) == ("NOT_FOUND", "rejected")
    assert not refused.failed, "the caller's own fault"


def test_a_retry_is_an_attempt_of_its_own(
    router: Router, fleet: Fleet, datacenter: Datacenter, collector: Collector
) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    car.app.mood = "broken"
    assert ask(router).headers["parkade-place"] == POOL
    request, first, second = collector.first(3)
    assert (request.said["parkade.attempts"], request.said["parkade.place"]) == (2, POOL)
    assert not request.failed
    assert [attempt.parent for attempt in (first, second)] == [request.id] * 2
    assert first.failed
    assert (first.said["parkade.outcome"], first.said["error.type"]) == ("missed", "failed")
    assert (second.said["parkade.tier"], second.said["parkade.outcome"]) == ("Datacenter", "answered")
    assert second.said["http.request.resend_count"] == 1
    assert second.said["url.full"] == f"http://{datacenter.http}/v2/models/{MODEL}/infer"
    assert car.app.headers[-1]["traceparent"] == first.traceparent
    assert datacenter.app.headers[-1]["traceparent"] == second.traceparent


def test_a_caller_decides_whether_its_requests_are_sampled(
    router: Router, datacenter: Datacenter, collector: Collector
) -> None:
    router.planned(datacenter.placement(share=100))
    assert ask(router, traceparent=UNSAMPLED).is_success
    assert datacenter.app.headers[-1]["traceparent"] == UNSAMPLED, "passed on as it came"
    assert ask(router, traceparent=SAMPLED).is_success
    assert {span.trace for span in collector.first(2)} == {TRACE}
    assert ask(router, traceparent="garbage", tracestate="vendor=1").is_success
    fresh = collector.first(4)[2]
    assert fresh.parent == ""
    assert "tracestate" not in datacenter.app.headers[-1], "it belongs to a trace that cannot be told"


def test_new_traces_are_sampled_by_chance(router: Router, datacenter: Datacenter, collector: Collector) -> None:
    router.flags = (*collector.flags[:-1], "0")
    router.planned(datacenter.placement(share=100))
    for _ in range(20):
        assert ask(router).is_success
    assert "traceparent" not in datacenter.app.headers[-1]
    assert ask(router, traceparent=SAMPLED).is_success
    assert {span.trace for span in collector.first(2)} == {TRACE}


def test_the_standard_variable_names_the_collector(
    router: Router, datacenter: Datacenter, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=edge")
    router.flags = ()
    router.planned(datacenter.placement(share=100))
    assert ask(router, traceparent=SAMPLED).is_success
    assert collector.first(2)[0].resource["k8s.namespace.name"] == "edge"


def test_waiting_for_a_credit_is_a_span(router: Router, fleet: Fleet, collector: Collector) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.app.mood = "held"
    with http_caller(router, 2) as http, ThreadPoolExecutor(2) as pool:
        first = pool.submit(http.double, values())
        until(car.app.entered.is_set)
        second = pool.submit(ask, router, traceparent=SAMPLED)
        until(lambda: router.metric("waiting", workload=WORKLOAD) == 1)
        car.app.mood = "slow"
        first.result(10)
        assert second.result(10).is_success
    waits = [span for span in collector.first(5) if span.kind == INTERNAL]
    assert [(span.name, span.trace) for span in waits] == [("queue", TRACE)]
    request = next(span for span in collector.spans if span.parent == PARENT)
    assert waits[0].parent == request.id
    assert 0 < waits[0].seconds < request.seconds


def test_a_caller_that_leaves_cancels_its_spans(router: Router, fleet: Fleet, collector: Collector) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.app.mood = "hang"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url(router), json=PROBLEM, timeout=0.3)
    spans = collector.first(2)
    assert [span.said["parkade.outcome"] for span in spans] == ["cancelled"] * 2


def test_a_request_without_a_place_is_the_servers_fault(router: Router, collector: Collector) -> None:
    router.planned(cell(), timeout="200ms")
    assert ask(router).status_code == 503
    request, wait = collector.first(2)
    assert (request.said["parkade.outcome"], request.said["error.type"], request.failed) == ("unplaced", "503", True)
    assert (wait.name, wait.parent) == ("queue", request.id)


def test_a_request_that_is_passed_on_stays_one_trace(routers: Routers, joined) -> None:
    with collecting() as collector:
        routers.flags = collector.flags
        routers.start(cell())
        car = joined(routers.owner, "a")
        assert ask(routers.other, traceparent=SAMPLED).is_success
        request, hop, there, attempt = collector.first(4)
        assert ask(routers.other, traceparent=UNSAMPLED).is_success
        with grpc_caller(routers.other) as grpc:
            grpc.double(values(), headers={"traceparent": SAMPLED})
        over_grpc = collector.first(8)[4:]
    assert {span.trace for span in collector.spans} == {TRACE}
    ids = [PARENT, *(span.id for span in (request, hop, there))]
    assert [span.parent for span in (request, hop, there, attempt)] == ids
    assert [span.kind for span in (request, hop, there, attempt)] == [SERVER, CLIENT, SERVER, CLIENT]
    assert hop.said["parkade.router"] == routers.owner.id == there.resource["service.instance.id"]
    assert request.resource["service.instance.id"] == routers.other.id
    assert (there.said["parkade.place"], there.said["parkade.attempts"]) == (CELL, 1)
    assert car.app.headers[0]["traceparent"] == attempt.traceparent
    assert [span.said.get("rpc.response.status_code") for span in over_grpc] == ["OK", None, "OK", None]


def test_a_collector_that_is_away_costs_spans_and_no_request(router: Router, datacenter: Datacenter) -> None:
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        router.flags = ("--otlp-endpoint", f"http://127.0.0.1:{away.getsockname()[1]}", "--trace-percent", "100")
        router.planned(datacenter.placement(share=100))
        with http_caller(router) as http:
            for _ in range(20):
                np.testing.assert_array_equal(http.double(values()), values() * 2)
        until(lambda: router.metric("spans_dropped_total", reason="collector") == 40, seconds=40)
        assert router.metric("requests_total", outcome="answered") == 20
    assert "spans are lost until the collector takes them again" in (router.folder / "router.log").read_text()


def test_what_ended_is_sent_before_the_router_ends(
    router: Router, datacenter: Datacenter, collector: Collector
) -> None:
    router.planned(datacenter.placement(share=100))
    assert ask(router).is_success
    router.stop()
    assert router.process.returncode == 0
    assert len(collector.spans) == 2


def test_a_silent_collector_does_not_hold_the_end_up(router: Router, datacenter: Datacenter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        router.flags = ("--otlp-endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}", "--trace-percent", "100")
        router.planned(datacenter.placement(share=100))
        assert ask(router).is_success
        router.terminate()
        assert router.process.wait(8) == 0
    assert "spans were still unsent" in (router.folder / "router.log").read_text()


def test_an_address_that_is_none_is_refused(router: Router) -> None:
    router.flags = ("--otlp-endpoint", "collector:4317")
    router.plan()
    with pytest.raises(ValueError, match="Expecting value"):
        router.start()
    assert router.process.wait(10) == 1
    said = (router.folder / "router.log").read_text()
    assert "--otlp-endpoint collector:4317/v1/traces" in said
    assert "for example http://collector:4318" in said
