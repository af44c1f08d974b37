"""Several routers: one keeps the queue of a workload, others pass requests on, and none that ends takes one along."""

import contextlib
import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

import plain
from parkade.local.pki import Authority, KeyPair
from router.peers import Router, cell, grpc_caller, http_caller, values
from router.places import CELL, MODEL, POOL, WORKLOAD, Datacenter, Fleet, until
from router.several import Routers, owns, url

PROBLEM = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}


# passing on


def test_a_request_to_any_router_is_served_by_the_owners_cars(routers: Routers, joined) -> None:
    routers.start(cell())
    owner, other = routers.owner, routers.other
    car = joined(owner, "a")
    with http_caller(other) as http, grpc_caller(other) as over_grpc:
        for size in (4, 60_000):
            np.testing.assert_array_equal(http.double(values(size)), values(size) * 2)
            np.testing.assert_array_equal(http.double(values(size), binary=False), values(size) * 2)
            np.testing.assert_array_equal(over_grpc.double(values(size)), values(size) * 2)
    answer = plain.post(url(other), json=PROBLEM)
    assert (answer.status_code, answer.headers["parkade-tier"], answer.headers["parkade-place"]) == (
        200,
        "Vehicle",
        CELL,
    )
    assert answer.json()["outputs"][0]["data"] == [2, 4]
    assert not [name for name in answer.headers if name in ("parkade-attempts", "parkade-left-micros")]
    assert car.app.requests == 7
    assert other.metric("forwarded_total", workload=WORKLOAD, outcome="answered") == 7
    assert other.metric("requests_total", workload=WORKLOAD, tier="Vehicle", outcome="answered") == 7
    assert owner.metric("requests_total", workload=WORKLOAD) == 0, "a request counts once, where its caller asked"
    assert owner.metric("forwarded_total", workload=WORKLOAD) == 0
    assert [(line["place"], line["attempts"]) for line in other.lines(7)] == [(CELL, 1)] * 7
    assert owner.access_log.read_text() == ""


def test_triton_is_the_owners_and_sees_the_callers_headers(routers: Routers, datacenter: Datacenter) -> None:
    routers.start(datacenter.placement(share=100))
    sent = {"x-trace": "t-1", "parkade-workload": "vision/other", "parkade-timeout-ms": "4000"}
    answer = plain.post(url(routers.other), params={"q": "1"}, json=PROBLEM, headers=sent)
    assert (answer.status_code, answer.headers["parkade-place"]) == (200, POOL)
    with grpc_caller(routers.other) as over_grpc:
        np.testing.assert_array_equal(over_grpc.double(values(), headers={"x-trace": "t-2"}), values() * 2)
    seen = datacenter.app.headers[-1]
    assert (seen["x-trace"], seen["parkade-timeout-ms"]) == ("t-1", "4000")
    assert not {"parkade-left-micros", "parkade-form", "parkade-workload"} & seen.keys()
    assert datacenter.metadata[-1]["x-trace"] == "t-2"
    assert routers.other.metric("forwarded_total", outcome="answered") == 2


def test_refusals_pass_back_as_the_owner_says_them(routers: Routers, joined) -> None:
    routers.start(cell(), timeout="300ms")
    asked = [plain.post(url(router), json=PROBLEM) for router in (routers.owner, routers.other)]
    for answer in asked:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "no place was free for workload vision/doubler" in answer.json()["error"]
    with grpc_caller(routers.other) as over_grpc:
        with pytest.raises(InferenceServerException) as unavailable:
            over_grpc.double(values())
        with pytest.raises(InferenceServerException) as late:
            over_grpc.double(values(), timeout=400_000, client_timeout=0.4)
    assert unavailable.value.status() == str(grpc.StatusCode.UNAVAILABLE)
    assert late.value.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert routers.other.metric("requests_total", tier="none", outcome="unplaced") >= 2
    joined(routers.owner, "a")
    with http_caller(routers.other) as http, grpc_caller(routers.other) as over_grpc:
        wrong = values().reshape(2, 2)
        with pytest.raises(InferenceServerException, match="unexpected shape for input 'x'"):
            http.double(wrong)
        with pytest.raises(InferenceServerException, match="unexpected shape") as rejected:
            over_grpc.double(wrong)
    assert rejected.value.status() == str(grpc.StatusCode.INVALID_ARGUMENT)
    assert routers.other.metric("requests_total", outcome="rejected") == 2
    unknown = plain.post(f"http://{routers.other.http}/v2/models/unknown/infer", json=PROBLEM)
    assert unknown.status_code == 404


def test_every_router_says_what_only_the_owners_cars_know(routers: Routers, joined) -> None:
    routers.start(cell())
    assert plain.get(url(routers.other, "/ready")).status_code == 400
    joined(routers.owner, "a")
    assert plain.get(url(routers.other, "/ready")).is_success
    assert plain.get(url(routers.other, "")).json()["inputs"][0]["name"] == "x"
    with grpc_caller(routers.other) as over_grpc:
        assert over_grpc.client.is_model_ready(MODEL)
        assert over_grpc.client.get_model_metadata(MODEL).outputs[0].name == "y"


def greeted(address: str, authority: Authority, pair: KeyPair | None) -> bool:
    """Whether a router speaks HTTP/2 with whoever shows this certificate."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.set_alpn_protocols(["h2"])
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    host, port = address.split(":")
    try:
        with (
            socket.create_connection((host, int(port)), 5) as tcp,
            context.wrap_socket(tcp, server_hostname=host) as tls,
        ):
            return tls.recv(1) != b""
    except (ssl.SSLError, ConnectionError):
        return False


def test_only_routers_speak_to_routers(routers: Routers, authority: Authority, tmp_path: Path) -> None:
    routers.start(cell())
    owner = routers.owner
    known = authority.issue("router-c", common_name="c", uris=("parkade://router/c",))
    vehicle = authority.issue("owners-ca-a", common_name="a", uris=("parkade://vehicle/owners-ca/a",))
    stranger = Authority(tmp_path / "others").issue("x", common_name="x", uris=("parkade://router/x",))
    assert [greeted(owner.addresses["peers"], authority, pair) for pair in (known, vehicle, stranger, None)] == [
        True, False, False, False,
    ]  # fmt: skip
    until(lambda: owner.metric("peers_refused_total", reason="identity") == 1)
    until(lambda: owner.metric("peers_refused_total", reason="handshake") == 2)


def test_a_router_without_its_name_does_not_start(router: Router, authority: Authority) -> None:
    router.id = "nameless"
    pair = authority.issue("router-nameless", common_name="127.0.0.1")
    router.plan().others = router.folder / "routers.json"
    with pytest.raises(json.JSONDecodeError):
        router.start()
    assert router.process.wait(10) == 1
    said = (router.folder / "router.log").read_text()
    assert f"{pair.certificate}: it has no URI name parkade://router/<name>" in said


# owners that fail


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_owner_that_fails_loses_no_request_that_it_was_passed(
    routers: Routers, joined, datacenter: Datacenter, how: signal.Signals
) -> None:
    routers.start(cell(), datacenter.placement())
    owner, other = routers.owner, routers.other
    car = joined(owner, "a")
    car.app.mood = "hang"
    with httpx.Client() as client, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(client.post, url(other), json=PROBLEM)
        until(car.app.entered.is_set)
        owner.process.send_signal(how)
        answer = under_way.result(5)
        assert (answer.status_code, answer.headers["parkade-tier"]) == (200, "Datacenter")
        begun = time.monotonic()
        for _ in range(20):
            assert client.post(url(other), json=PROBLEM).is_success
        assert time.monotonic() - begun < 4, "a router that is known to be away costs no time"
    assert datacenter.app.requests == 21
    assert other.metric("forwarded_total", outcome="unreachable") >= 1
    if how == signal.SIGKILL:
        owner.process.wait(10)
        owner.process.stdout.close()
        owner.start().ready()
        until(lambda: owns(owner))
        until(lambda: is_passed_on(other))


def is_passed_on(router: Router) -> bool:
    before = router.metric("forwarded_total", outcome="answered")
    assert plain.post(url(router), json=PROBLEM).is_success
    return router.metric("forwarded_total", outcome="answered") > before


# owners that change


def test_waiting_requests_go_to_the_new_owner(routers: Routers, joined) -> None:
    routers.start(cell())
    new, old = routers.owner, routers.other
    routers.name(old)
    until(lambda: owns(old) and not owns(new))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(plain.post, url(router), json=PROBLEM) for router in (old, new)]
        until(lambda: old.metric("waiting", workload=WORKLOAD) == 2)
        routers.name(old, new)
        # Each reads the file in its own time: until both have, requests go back and forth.
        until(lambda: [router.metric("waiting", workload=WORKLOAD) for router in (new, old)] == [2, 0])
        car = joined(new, "a")
        assert [answer.result(5).status_code for answer in waiting] == [200, 200]
    assert car.app.requests == 2
    assert old.metric("forwarded_total", outcome="answered") == 1
    assert new.metric("forwarded_total", outcome="moved") >= 1
    assert new.metric("requests_total", outcome="answered") == 1


def test_cars_that_have_not_moved_yet_are_used_where_they_are(routers: Routers, joined, datacenter: Datacenter) -> None:
    routers.start(cell(), datacenter.placement())
    new, old = routers.owner, routers.other
    car = joined(old, "a")
    with http_caller(old) as http, http_caller(new) as elsewhere:
        http.double(values())
        elsewhere.double(values())
    assert car.app.requests == 1
    assert datacenter.app.requests == 1
    assert old.metric("forwarded_total") == 0


# ends


class Callers:
    """Callers that ask one router after another, try another when a connection is refused, and note everything else."""

    def __init__(self, routers: list[Router]) -> None:
        self.routers = routers
        self.answered = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        kinds = (httpx_caller, http_caller, grpc_caller)
        self._threads = [threading.Thread(target=self._run, args=(kind, turn)) for turn in (0, 1) for kind in kinds]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, kind: Callable, turn: int) -> None:
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(kind(router)) for router in self.routers]
            while not self._over.is_set():
                try:
                    np.testing.assert_array_equal(callers[turn % 2].double(values()), values() * 2)
                    self.answered += 1
                except Exception as error:  # noqa: BLE001 -- whatever a caller sees is what is looked for
                    turn += 1
                    if not is_refusal(error):
                        self.failures.append(f"{kind.__name__}: {type(error).__name__}: {error}")
                time.sleep(0.002)


@dataclass
class HttpxCaller:
    client: httpx.Client
    url: str

    def double(self, array: np.ndarray) -> np.ndarray:
        tensor = {"name": "x", "shape": list(array.shape), "datatype": "FP32", "data": array.tolist()}
        answer = self.client.post(self.url, json={"inputs": [tensor]}).raise_for_status()
        return np.array(answer.json()["outputs"][0]["data"], dtype=np.float32)


@contextlib.contextmanager
def httpx_caller(router: Router) -> Iterator[HttpxCaller]:
    with httpx.Client(timeout=10) as client:
        yield HttpxCaller(client, url(router))


def is_refusal(error: Exception) -> bool:
    if isinstance(error, InferenceServerException):
        return "failed to connect to all addresses" in str(error).lower()
    return isinstance(error, httpx.ConnectError | ConnectionRefusedError)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_restarts_lose_nothing(routers: Routers, joined, datacenter: Datacenter) -> None:
    routers.delay = 1
    routers.start(cell(), datacenter.placement())
    owner, other = routers.owner, routers.other
    joined(owner, "a"), joined(owner, "b")
    with Callers(routers.all) as callers:
        until(lambda: callers.answered > 100)
        for router in (owner, owner, other):
            before = callers.answered
            router.restart()
            until(lambda before=before: callers.answered > before + 100)
        assert callers.failures == []
        owner.restart(signal.SIGKILL)
        before = callers.answered
        until(lambda: callers.answered > before + 100)
    # A caller of the very router that was killed sees its connection break; each has one request under way at most.
    assert len(callers.failures) <= 6, callers.failures


def test_a_router_that_leaves_says_so_and_goes_on_for_a_while(router: Router, fleet: Fleet) -> None:
    router.delay = 2
    router.planned(cell())
    (car,) = fleet.joined("a")
    readiness = f"http://{router.addresses['metrics']}/readyz"
    assert plain.get(readiness).is_success
    router.terminate()
    until(lambda: plain.get(readiness).status_code == 503)
    with http_caller(router) as http:
        np.testing.assert_array_equal(http.double(values()), values() * 2)
    assert router.process.poll() is None
    car.stays = False
    assert router.process.wait(10) == 0
    until(car.offer.closed.done)


def test_a_connection_that_is_kept_alive_is_ended_with_an_answer(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("a")
    with httpx.Client() as client:
        assert "connection" not in client.post(url(router), json=PROBLEM).headers
        router.terminate()
        until(lambda: router.is_closed)
        last = client.post(url(router), json=PROBLEM)
        assert (last.status_code, last.headers["connection"]) == (200, "close")
    assert router.process.wait(10) == 0
