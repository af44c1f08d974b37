"""Connections that the car dialled, against a scripted router over mutual TLS."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest

from parkade.local.pki import Authority
from parkade.vehicle.kserve import KServe, Served
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.serving import Credit
from vehicle.peers import SWITCH, Router, affine, request_bytes, slow, until

pytestmark = pytest.mark.anyio

ASK = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
PATH = "/v2/models/reader/infer"
OFFER = {"Parkade-Workload": "vision/reader", "Parkade-Digest": "d" * 64}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(affine())
    return OnnxRuntime().load(path, "reader", 2**20)


@asynccontextmanager
async def meeting(pki, model, script=()):
    """A router and a credit that dials it."""
    router = Router()
    router.script = list(script)
    await router.start(pki.mutual_context())
    executor = ThreadPoolExecutor(1)
    said: list[Refusal | None] = []
    app = KServe(Served("reader", "7", model, executor, lambda: True, lambda *_: None))
    credit = Credit(lambda: OFFER, app, pki.vehicle, lambda: router.address, said.append)
    task = asyncio.create_task(credit.run())
    try:
        yield router, credit, said, task
    finally:
        credit.abort()
        await asyncio.wait_for(task, 5)
        await router.stop()
        executor.shutdown()


async def test_a_car_offers_itself_with_its_own_name_and_answers_on_that_connection(pki, model):
    async with meeting(pki, model) as (router, credit, said, _):
        offered = await router.next()
        assert router.requests == ["POST /v1/serve HTTP/1.1"]
        assert offered.subject_names == ["parkade://vehicle/owners-ca/v-1"]
        assert offered.head["upgrade"] == "parkade-serve/1"
        assert offered.head["host"] == router.address
        assert offered.head["parkade-workload"] == "vision/reader"
        assert (await offered.ask("GET", "/v2/health/live"))[0] == 200
        for _ in range(3):
            status, _, body = await offered.ask("POST", PATH, ASK)
            assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])
        assert (await offered.ask("POST", "/v2/models/other/infer", ASK))[0] == 404
        assert credit.open
        assert said == [None]


async def test_a_request_that_comes_in_the_same_bytes_as_the_switch_is_answered(pki, model):
    early = SWITCH + request_bytes("POST", PATH, ASK, None)
    async with meeting(pki, model, [early]) as (router, _, _, _):
        offered = await router.next()
        status, _, body = await asyncio.wait_for(offered.answer(), 5)
        assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])


async def test_withdrawing_closes_an_idle_connection_at_once_and_dials_no_more(pki, model):
    async with meeting(pki, model) as (router, credit, _, task):
        offered = await router.next()
        await until(lambda: credit.open)
        credit.withdraw()
        assert not credit.open
        assert await asyncio.wait_for(offered.ended(), 2)
        await asyncio.wait_for(task, 2)
        assert router.offers.empty()


async def test_withdrawing_finishes_the_request_in_flight_first(pki, tmp_path):
    path = tmp_path / "slow.onnx"
    path.write_bytes(slow(60))
    model = OnnxRuntime().load(path, "slow", 2**20)
    body = np.ones((256, 256), np.float32).tobytes()
    row = {"name": "x", "shape": [256, 256], "datatype": "FP32", "parameters": {"binary_data_size": len(body)}}
    head = json.dumps({"inputs": [row], "parameters": {"binary_data_output": True}}).encode()

    async with meeting(pki, model) as (router, credit, _, task):
        offered = await router.next()
        await until(lambda: credit.open)
        offered.send("POST", PATH, head + body, {"Inference-Header-Content-Length": str(len(head))})
        await until(lambda: credit.busy)
        credit.withdraw()
        status, headers, answer = await asyncio.wait_for(offered.answer(), 20)
        assert status == 200
        assert answer[int(headers["inference-header-content-length"]) :] == body
        assert await asyncio.wait_for(offered.ended(), 2)
        await asyncio.wait_for(task, 2)


async def test_a_connection_that_the_router_closed_is_dialled_again(pki, model):
    async with meeting(pki, model) as (router, _, _, _):
        for _ in range(3):
            offered = await router.next()
            assert (await offered.ask("POST", PATH, ASK))[0] == 200
            offered.writer.transport.abort()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b'HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 25\r\n\r\n{"error": "not my car yet"}'[:-2], "503"),
        (b'HTTP/1.1 404 X\r\nContent-Length: 27\r\n\r\n{"error": "who are you two"}'[:-1] + b"}", "404"),
        (b"\x00\x01garbage\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: other/1\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"),
        (b"HTTP/1.1 503 X\r\n" + b"a: b\r\n" * 5000 + b"\r\n", "16384"),
        (b"", "hung up"),
    ],
    ids=["busy", "unknown", "garbage", "other protocol", "no switch", "endless", "nothing"],
)
async def test_a_router_that_refuses_or_misbehaves_is_reported_and_dialled_again(pki, model, answer, word):
    async with meeting(pki, model, [answer]) as (router, _, said, _):
        offered = await router.next()
        assert (await offered.ask("POST", PATH, ASK))[0] == 200
        assert len(router.requests) == 2
        assert said[0].reason is Reason.RouterUnavailable
        assert word in said[0].message
        assert said[-1] is None


@pytest.mark.parametrize(("ours", "uri", "word"), [
    (False, "parkade://router/r", "does not answer"),
    (True, "parkade://vehicle/owners-ca/v-2", "is no router"),
])  # fmt: skip
async def test_a_stranger_is_not_served_as_a_router(pki, model, tmp_path, ours, uri, word):
    authority = pki.authority if ours else Authority(tmp_path)
    stranger = authority.issue("stranger", common_name="127.0.0.1", uris=(uri,), listens=True)
    router = Router()
    context = pki.mutual_context()
    context.load_cert_chain(stranger.certificate, stranger.key)
    await router.start(context)
    said: list[Refusal | None] = []
    app = KServe(Served("reader", "7", model, ThreadPoolExecutor(1), lambda: True, lambda *_: None))
    credit = Credit(lambda: OFFER, app, pki.vehicle, lambda: router.address, said.append)
    task = asyncio.create_task(credit.run())
    await until(lambda: said)
    assert word in said[0].message
    assert router.requests == []
    credit.withdraw()
    await asyncio.wait_for(task, 2)
    await router.stop()


async def test_a_router_is_known_by_its_name_wherever_it_listens(pki, model):
    elsewhere = pki.authority.issue("elsewhere", common_name="x", uris=("parkade://router/elsewhere",))
    context = pki.mutual_context()
    context.load_cert_chain(elsewhere.certificate, elsewhere.key)
    router = Router()
    await router.start(context)
    app = KServe(Served("reader", "7", model, ThreadPoolExecutor(1), lambda: True, lambda *_: None))
    credit = Credit(lambda: OFFER, app, pki.vehicle, lambda: router.address, lambda _said: None)
    task = asyncio.create_task(credit.run())
    assert (await (await router.next()).ask("POST", PATH, ASK))[0] == 200
    credit.withdraw()
    await asyncio.wait_for(task, 2)
    await router.stop()


async def test_a_workload_that_moves_to_another_router_is_offered_there(pki, model):
    second = Router()
    await second.start(pki.mutual_context())
    async with meeting(pki, model) as (router, credit, _, _):
        offered = await router.next()
        await until(lambda: credit.open)
        router.address = second.address
        credit.move()
        assert await asyncio.wait_for(offered.ended(), 2)
        assert (await (await second.next()).ask("POST", PATH, ASK))[0] == 200
    await second.stop()
