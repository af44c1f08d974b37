"""Against a real Triton: what passes through, and what callers see when it is killed and comes back."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

import plain
from router.doubler import CONFIG, DOUBLER, DoublerServer
from router.peers import Router, cell, grpc_caller, http_caller, values
from router.places import MODEL, Fleet, until

pytestmark = pytest.mark.triton


def test_everything_that_a_client_asks_passes_through(router: Router, server: DoublerServer) -> None:
    router.planned(server.placement())
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for count in (1, 100_000, 3 * 2**20):
            np.testing.assert_array_equal(http.double(values(count)), values(count) * 2)
        np.testing.assert_array_equal(http.double(values(), binary=False), values() * 2)
        for count in (1, 100_000, 3 * 2**20):
            np.testing.assert_array_equal(grpc.double(values(count)), values(count) * 2)
        for client in (http.client, grpc.client):
            assert client.is_model_ready(MODEL)
        assert http.client.get_model_metadata(MODEL)["platform"] == "python"
        assert grpc.client.get_model_metadata(MODEL).platform == "python"
        assert http.client.get_model_config(MODEL)["instance_group"][0]["count"] == 2
        assert grpc.client.get_model_config(MODEL).config.instance_group[0].count == 2
        assert http.client.get_inference_statistics(MODEL)["model_stats"][0]["inference_count"] > 0
        assert grpc.client.get_inference_statistics(MODEL).model_stats[0].inference_count > 0


def test_refusals_are_tritons_own(router: Router, server: DoublerServer) -> None:
    router.planned(server.placement())
    direct = over_http.InferenceServerClient(server.http)
    with http_caller(router) as http, grpc_caller(router) as grpc:
        matrix = values().reshape(2, 2)
        with pytest.raises(InferenceServerException, match="unexpected shape") as over_router:
            http.double(matrix)
        tensor = over_http.InferInput("x", [2, 2], "FP32")
        tensor.set_data_from_numpy(matrix)
        with pytest.raises(InferenceServerException) as over_nothing:
            direct.infer(MODEL, [tensor])
        assert str(over_router.value) == str(over_nothing.value)
        with pytest.raises(InferenceServerException, match="unexpected shape") as refused:
            grpc.double(matrix)
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        for path in ("/v2/models/nope/infer", "/v2/models/nope/versions/3/infer"):
            answers = [plain.post(f"http://{address}{path}") for address in (router.http, server.http)]
            assert answers[0].status_code == answers[1].status_code
            assert set(answers[0].json()) == set(answers[1].json())
    direct.close()
    assert router.metric("retries_total") == 0


def test_a_killed_triton_costs_no_request(router: Router, server: DoublerServer, fleet: Fleet) -> None:
    router.planned(cell(20), server.placement(share=80), timeout="20s")
    fleet.joined("a", "b")
    over = threading.Event()

    def calls() -> int:
        count = 0
        with http_caller(router) as http, grpc_caller(router) as grpc:
            while not over.is_set():
                for caller in (http, grpc):
                    np.testing.assert_array_equal(caller.double(values()), values() * 2)
                    count += 1
        return count

    def from_triton() -> float:
        return router.metric("requests_total", tier="Datacenter", outcome="answered")

    with ThreadPoolExecutor(4) as pool:
        answered = [pool.submit(calls) for _ in range(4)]
        try:
            until(lambda: from_triton() > 50)
            server.kill()
            until(lambda: sum(router.metric("retries_total", cause=cause) for cause in ("connect", "broken")) > 0)
            before = from_triton()
            server.start()
            until(lambda: from_triton() > before)
        finally:
            over.set()
        assert sum(calls.result(30) for calls in answered) > 50
    assert router.metric("requests_total", outcome="unplaced") == 0
    assert router.metric("requests_total", outcome="failed") == 0


def test_honest_cars_agree_and_a_lying_one_is_kept_away(router: Router, server: DoublerServer, fleet: Fleet) -> None:
    router.planned(cell(), server.placement(share=0), trust={"verifyPercent": 100})
    (honest,) = fleet.joined("honest")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for size in (1, 100_000):
            for binary in (True, False):
                http.double(values(size), binary=binary)
            grpc.double(values(size))
        until(lambda: router.metric("verifications_total", outcome="agreed") == 6)
        honest.leave()
        until(lambda: router.metric("credits", tier="Vehicle") == 0)
        (liar,) = fleet.joined("liar")
        liar.app.mood = "lies"
        until(lambda: router.metric("credits", tier="Vehicle") == 1)
        grpc.double(values())
        until(lambda: router.metric("cars_refused_total", reason="disagree") >= 1)
        np.testing.assert_array_equal(http.double(values()), values() * 2)
        np.testing.assert_array_equal(grpc.double(values()), values() * 2)
    assert router.metric("verifications_total", outcome="disagreed") == 1
    assert liar.app.requests == 1
    assert router.metric("requests_total", outcome="answered") == 9


def test_an_unloaded_model_is_a_miss(router: Router, server: DoublerServer, fleet: Fleet) -> None:
    router.planned(server.placement(), cell(0))
    (car,) = fleet.joined("a")
    client = over_http.InferenceServerClient(server.http, network_timeout=60)
    client.unload_model(MODEL)
    until(lambda: not client.is_model_ready(MODEL))
    with http_caller(router) as http, grpc_caller(router) as grpc:
        np.testing.assert_array_equal(http.double(values()), values() * 2)
        np.testing.assert_array_equal(grpc.double(values()), values() * 2)
        assert car.app.requests == 2
        assert router.metric("retries_total", cause="not_ready") >= 1
        client.load_model(MODEL, config=json.dumps(CONFIG), files={"file:1/model.py": DOUBLER})
        client.close()
        until(lambda: router.metric("credits", tier="Datacenter") == 2)
        http.double(values())
    assert car.app.requests == 2
