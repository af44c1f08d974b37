"""What callers see: the public clients over HTTP and gRPC, against cars and a datacenter."""

import queue
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
from tritonclient.utils import InferenceServerException

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import CELL, MODEL, POOL, WORKLOAD, Datacenter, Fleet, until

JSON_BODY = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}


@pytest.mark.parametrize("binary", [True, False])
def test_http_from_a_car(router: Router, fleet: Fleet, *, binary: bool) -> None:
    router.planned(cell())
    fleet.joined("a")
    with http_caller(router) as http:
        for count in (1, 4, 100_000):
            np.testing.assert_array_equal(http.double(values(count), binary=binary), values(count) * 2)
    assert router.metric("requests_total", workload=WORKLOAD, tier="Vehicle", outcome="answered") == 3


def test_grpc_from_a_car(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("a")
    with grpc_caller(router) as grpc:
        for count in (1, 4, 100_000):
            np.testing.assert_array_equal(grpc.double(values(count), client_timeout=5), values(count) * 2)
    assert router.metric("requests_total", workload=WORKLOAD, tier="Vehicle", outcome="answered") == 3


def test_both_protocols_from_the_datacenter(router: Router, datacenter: Datacenter) -> None:
    router.planned(datacenter.placement())
    with http_caller(router) as http, grpc_caller(router) as grpc:
        np.testing.assert_array_equal(http.double(values()), values() * 2)
        np.testing.assert_array_equal(grpc.double(values(), headers={"x-trace": "7"}), values() * 2)
    assert datacenter.metadata[0]["x-trace"] == "7"
    assert router.metric("requests_total", tier="Datacenter", outcome="answered") == 2


def test_answers_say_where_they_come_from(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("secret-name")
    answer = plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY)
    assert (answer.headers["parkade-tier"], answer.headers["parkade-place"]) == ("Vehicle", CELL)
    assert answer.json()["outputs"][0]["data"] == [2, 4]
    assert "secret-name" not in str(answer.headers)
    (line,) = router.lines(1)
    assert (line["workload"], line["tier"], line["place"]) == (WORKLOAD, "Vehicle", CELL)
    assert (line["attempts"], line["status"], line["protocol"]) == (1, 200, "http")
    assert line["requestBytes"] > 0 < line["responseBytes"]
    assert "secret-name" not in router.access_log.read_text()


def test_a_car_learns_nothing_of_the_caller(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    secrets = {"authorization": "Bearer secret", "cookie": "a=b", "x-forwarded-for": "198.51.100.1"}
    plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY, headers=secrets)
    (seen,) = car.app.headers
    assert not secrets.keys() & seen.keys()
    assert seen["content-type"] == "application/json"
    assert 0 < int(seen["parkade-timeout-ms"]) <= 5000


def test_compressed_bodies_pass_untouched(router: Router, datacenter: Datacenter, fleet: Fleet) -> None:
    router.planned(cell(), datacenter.placement())
    fleet.joined("a")
    with http_caller(router) as http:
        options = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
        np.testing.assert_array_equal(http.double(values(), **options), values() * 2)


def test_health_and_metadata(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("a")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for client in (http.client, grpc.client):
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready(MODEL)
            assert not client.is_model_ready("nope")
        assert http.client.get_server_metadata()["name"] == "parkade-router"
        assert grpc.client.get_server_metadata().name == "parkade-router"
        metadata = http.client.get_model_metadata(MODEL)
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
        message = grpc.client.get_model_metadata(MODEL)
        assert (message.name, message.inputs[0].datatype, list(message.inputs[0].shape)) == (MODEL, "FP32", [-1])


def test_a_model_without_a_replica_is_not_ready(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    with http_caller(router) as http:
        assert not http.client.is_model_ready(MODEL)
        (car,) = fleet.joined("a")
        until(lambda: http.client.is_model_ready(MODEL))
        car.leave()
        until(lambda: not http.client.is_model_ready(MODEL))


def test_an_unknown_model_reads_as_from_triton(router: Router) -> None:
    router.planned(cell())
    answer = plain.post(f"http://{router.http}/v2/models/x/infer", json=JSON_BODY)
    assert (answer.status_code, answer.json()) == (404, {"error": "Request for unknown model: 'x' is not found"})
    with grpc_caller(router) as grpc, pytest.raises(InferenceServerException) as refused:
        grpc.client.infer("x", [grpc.tensor(values())])
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert refused.value.message() == "Request for unknown model: 'x' is not found"


def test_the_callers_own_fault_passes_and_costs_no_credit(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        matrix = values(4).reshape(2, 2)
        with pytest.raises(InferenceServerException, match="shape"):
            http.double(matrix)
        with pytest.raises(InferenceServerException, match="shape") as refused:
            grpc.double(matrix)
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert car.app.requests == 2
    assert router.metric("requests_total", outcome="rejected") == 2
    assert router.metric("retries_total") == 0
    until(lambda: router.metric("credits", tier="Vehicle") == 1)


def test_streamed_requests_are_answered_in_order(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("a", "b")
    answers: queue.Queue = queue.Queue()
    with grpc_caller(router) as grpc:
        grpc.client.start_stream(lambda result, error: answers.put((result, error)))
        for count in (1, 2, 3):
            grpc.client.async_stream_infer(MODEL, [grpc.tensor(values(count))])
        grpc.client.async_stream_infer("x", [grpc.tensor(values())])
        got = [answers.get(timeout=5) for _ in range(4)]
        grpc.client.stop_stream()
    assert [len(result.as_numpy("y")) for result, _ in got[:3]] == [1, 2, 3]
    assert "unknown model: 'x'" in str(got[3][1])


def test_bodies_over_8_mib_go_to_the_datacenter_only(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        large = values(9 * 2**18)
        np.testing.assert_array_equal(http.double(large[:4]), large[:4] * 2)
        assert (car.app.requests, datacenter.app.requests) == (1, 0)
        np.testing.assert_array_equal(http.double(large), large * 2)
        assert (car.app.requests, datacenter.app.requests) == (1, 1)


def test_bodies_over_the_limit_are_refused(router: Router, fleet: Fleet) -> None:
    router.flags = ("--max-body", str(2**20))
    router.planned(cell())
    fleet.joined("a")
    with http_caller(router) as http, pytest.raises(InferenceServerException, match="over 1048576 bytes") as refused:
        http.double(values(2**18 + 1))
    assert refused.value.status() == "413"
    with grpc_caller(router) as grpc, pytest.raises(InferenceServerException, match="over 1048576 bytes"):
        grpc.double(values(2**18 + 1))


def test_a_version_is_for_triton(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(), datacenter.placement())
    (car,) = fleet.joined("a")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        http.double(values(), model_version="1")
        grpc.double(values(), model_version="1")
        with pytest.raises(InferenceServerException) as refused:
            http.double(values(), model_version="7")
        assert refused.value.status() == "404"
    assert (car.app.requests, datacenter.app.requests) == (0, 3)


def test_wrong_paths_and_methods_get_a_sentence(router: Router) -> None:
    router.planned(cell())
    address = f"http://{router.http}"
    for answer, status in [
        (plain.get(f"{address}/v1/models"), 404),
        (plain.post(f"{address}/v2/repository/models/x/load"), 404),
        (plain.get(f"{address}/v2/models/{MODEL}/infer"), 405),
    ]:
        assert (answer.status_code, set(answer.json())) == (status, {"error"})
    with grpc_caller(router) as grpc, pytest.raises(InferenceServerException, match="not offered") as refused:
        grpc.client.load_model("x")
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_garbage_instead_of_a_message_is_refused(router: Router) -> None:
    router.planned(cell())
    with over_grpc.grpc.insecure_channel(router.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(over_grpc.grpc.RpcError) as refused:
            call(b"\xff" * 40)
    assert "not protobuf" in refused.value.details()


def test_a_suspended_workload_says_so(router: Router) -> None:
    router.planned(cell(), suspend=True)
    answer = plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=JSON_BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "suspended" in answer.json()["error"]


def test_shares_are_followed(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(75), datacenter.placement(share=25))
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        for _ in range(20):
            http.double(values())
            until(lambda: router.metric("credits", tier="Vehicle") == 1)
    assert (car.app.requests, datacenter.app.requests) == (15, 5)


def test_a_new_plan_is_followed(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    router.plan(workload(datacenter.placement()))
    until(car.offer.closed.done)
    with http_caller(router) as http:
        http.double(values())
    assert (car.app.requests, datacenter.app.requests) == (0, 1)
    router.placements.write_text("[")
    with http_caller(router) as http:
        http.double(values())
    assert router.lines(2)[-1]["place"] == POOL


def test_overflow_goes_to_any_free_place(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    router.planned(cell(100), datacenter.placement(share=0))
    (car,) = fleet.joined("a")
    car.app.mood = "held"
    with http_caller(router) as first, http_caller(router) as second, ThreadPoolExecutor(1) as pool:
        held = pool.submit(first.double, values())
        until(car.app.entered.is_set)
        second.double(values())
        assert datacenter.app.requests == 1
        car.app.mood = "honest"
        np.testing.assert_array_equal(held.result(10), values() * 2)
    assert router.metric("retries_total") == 0


def test_a_caller_that_leaves_is_recorded_with_the_place_it_waited_for(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    (car,) = fleet.joined("a")
    car.app.mood = "hang"
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    with pytest.raises(httpx.ReadTimeout):
        plain.post(f"http://{router.http}/v2/models/{MODEL}/infer", json=body, timeout=0.3)
    (line,) = router.lines(1)
    assert (line["place"], line["attempts"], line["status"]) == (CELL, 1, 499)
    assert router.metric("requests_total", workload=WORKLOAD, outcome="cancelled") == 1
