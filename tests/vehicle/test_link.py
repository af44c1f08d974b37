"""The fleet link against a real nats-server with TLS."""

import asyncio
import base64
import itertools
import json
import time
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client

from parkade.vehicle.enrolment import Enrolment, Record
from parkade.vehicle.link import Endpoint, Link
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.wire import Identity
from vehicle.peers import until

pytestmark = pytest.mark.anyio

IDENTITY = Identity("v-1", "owners-ca", "hw4", 2**30, 1, 0.2)


class Car:
    """What the link asks the agent for."""

    def __init__(self) -> None:
        self.cell = ""
        self.state_of_charge = 80
        self.received: list[bytes] = []

    def hello(self):
        return {"v": 1, "vehicle": "v-1", "cell": self.cell, "models": [], "desired": "r"}

    def state(self, rtt):
        return {"v": 1, "soc": self.state_of_charge, "rttMillis": round(rtt)}


class Carlet:
    """Hears everything that cars say and answers a hello as carlet does."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict]] = []
        self.client = Client()

    async def connect(self, server) -> None:
        self.client = Client()
        await self.client.connect(
            [server.url.replace("nats:", "tls:")], tls=server.pki.vehicle.context(), allow_reconnect=False
        )

        async def hear(message):
            kind = message.subject.rpartition(".")[2]
            if kind != "desired":
                self.heard.append((kind, json.loads(message.data)))
            if kind == "hello":
                await self.client.publish(message.subject.replace("hello", "desired"), b"the answer")

        await self.client.subscribe("parkade.v1.*.*.*", cb=hear)
        await self.client.flush()

    def kinds(self, kind: str) -> list[dict]:
        return [message for heard, message in self.heard if heard == kind]


@asynccontextmanager
async def talking(server):
    car, carlet = Car(), Carlet()
    await carlet.connect(server)
    link = Link(IDENTITY, Endpoint(server.url, None, server.pki.vehicle.context), car.received.append)
    link.hello, link.state = car.hello, car.state
    task = asyncio.create_task(link.run())
    try:
        yield car, carlet, link
    finally:
        task.cancel()
        await asyncio.wait([task])
        await carlet.client.close()


async def test_a_car_says_hello_then_state_then_beats_and_hears_its_desired_set(nats_server):
    async with talking(nats_server) as (car, carlet, link):
        await until(lambda: car.received and len(carlet.kinds("beat")) >= 2)
        assert [kind for kind, _ in carlet.heard[:2]] == ["hello", "state"]
        assert car.received == [b"the answer"]
        assert [beat["seq"] for beat in carlet.kinds("beat")[:2]] == [1, 2]
        assert carlet.kinds("beat")[0]["beatSeconds"] == 0.2
        assert link.connected


async def test_only_what_changed_is_said_again(nats_server):
    async with talking(nats_server) as (car, carlet, link):
        await until(lambda: carlet.kinds("state"))
        for _ in range(5):
            link.news()
        car.state_of_charge = 40
        link.news()
        await until(lambda: carlet.kinds("state")[-1]["soc"] == 40)
        assert len(carlet.kinds("state")) == 2
        car.cell = "ca-home-hw4-0"
        link.news()
        await until(lambda: len(carlet.kinds("hello")) == 2)
        assert carlet.kinds("hello")[1]["cell"] == "ca-home-hw4-0"
        link.ask()
        await until(lambda: len(carlet.kinds("hello")) == 3)
        await until(lambda: len(car.received) == 3)


async def test_a_server_that_was_killed_and_came_back_hears_everything_again(nats_server):
    async with talking(nats_server) as (car, carlet, link):
        await until(lambda: link.connected and carlet.kinds("state"))
        nats_server.kill()
        await until(lambda: not link.connected)
        car.state_of_charge = 55
        link.news()
        nats_server.start()
        again = Carlet()
        await again.connect(nats_server)
        await until(lambda: link.connected)
        await until(lambda: again.kinds("state"), 20)
        assert again.kinds("state")[-1]["soc"] == 55
        assert again.kinds("hello")
        await again.client.close()


async def test_a_server_that_is_not_there_at_the_start_is_dialled_until_it_is(nats_server):
    nats_server.kill()
    car = Car()
    link = Link(IDENTITY, Endpoint(nats_server.url, None, nats_server.pki.vehicle.context), car.received.append)
    link.hello, link.state = car.hello, car.state
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0)
    assert not link.connected
    nats_server.start()
    await until(lambda: link.connected)
    task.cancel()
    await asyncio.wait([task])


async def test_a_server_that_speaks_plain_text_is_told_nothing(pki):
    told: list[bytes] = []

    async def server(reader, writer):
        info = {"server_id": "x", "version": "2.15.0", "max_payload": 10**6, "proto": 1, "headers": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            told.append(line)
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    link = Link(IDENTITY, Endpoint(f"nats://127.0.0.1:{port}", None, pki.vehicle.context), told.append)
    task = asyncio.create_task(link.run())
    await until(lambda: any(line.startswith(b"PING") for line in told))
    await asyncio.wait([task], timeout=0.3)
    assert not link.connected
    task.cancel()
    await asyncio.wait([task])
    listening.close()
    assert not [line for line in told if line.startswith((b"SUB", b"PUB"))]


@pytest.mark.parametrize("creds", ["missing", "garbage"])
async def test_credentials_that_cannot_be_used_do_not_end_the_agent(nats_server, tmp_path, creds):
    path = tmp_path / "car.creds"
    if creds == "garbage":
        path.write_text("no credentials here")

    link = Link(IDENTITY, Endpoint(nats_server.url, path, nats_server.pki.vehicle.context), lambda _: None)
    link.hello = link.state = lambda *_: {}
    task = asyncio.create_task(link.run())
    await asyncio.wait([task], timeout=0.3)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_a_link_that_jitters_is_no_news_at_every_beat():
    class Jittery(Client):
        """Its round trips are 2 ms and 20 ms in turn."""

        def __init__(self) -> None:
            super().__init__()
            self.flushes = 0

        async def flush(self, timeout=10):  # noqa: ARG002, ASYNC109 -- the library's signature
            self.flushes += 1
            await asyncio.sleep((0.002, 0.02)[self.flushes % 2])

    link, client = Link(IDENTITY, Endpoint("nats://127.0.0.1:1", None, None), lambda _: None), Jittery()
    said = []
    for _ in range(40):
        await link._measure(client)  # noqa: SLF001 -- a server's round trips cannot be chosen
        said.append(link.rtt)
    assert sum(before != after for before, after in itertools.pairwise(said)) < 10
    assert said[-1] > 0.002


async def test_credentials_are_renewed_over_the_link_which_is_dialled_again(nats_server, tmp_path):
    car, carlet = Car(), Carlet()
    await carlet.connect(nats_server)
    asked = []

    async def sign(message):
        asked.append(json.loads(message.data))
        claims = base64.urlsafe_b64encode(b'{"iat": 0, "exp": 1000}').rstrip(b"=").decode()
        grant = {"v": 1, "fleet": "owners-ca", "vehicle": "v-1", "jwt": f"e30.{claims}.x", "certificate": "PEM"}
        await carlet.client.publish(message.subject.replace("renew", "credentials"), json.dumps(grant).encode())

    await carlet.client.subscribe("parkade.v1.*.*.renew", cb=sign)
    record = Record("https://127.0.0.1:1", "owners-ca", "v-1", time.time() + 0.3, time.time() + 60)
    enrolment = Enrolment(Notebook(tmp_path), nats_server.pki.vehicle.ca, record)
    endpoint = Endpoint(nats_server.url, None, nats_server.pki.vehicle.context, enrolment)
    link = Link(IDENTITY, endpoint, car.received.append)
    link.hello, link.state = car.hello, car.state
    task = asyncio.create_task(link.run())
    await until(lambda: len(carlet.kinds("hello")) == 2 and link.connected)
    assert [sorted(message) for message in asked] == [["csr", "v"]]
    assert enrolment.due() > 500
    assert enrolment.certificate.read_text() == "PEM"
    task.cancel()
    await asyncio.wait([task])
    await carlet.client.close()


async def test_what_carlet_does_not_understand_is_learnt(nats_server):
    async with talking(nats_server) as (car, carlet, link):
        await until(lambda: car.received)
        assert link.supported is None
        for payload in (b"garbage", b'{"v":1,"versions":[1],"unknown":["wings"]}'):
            await carlet.client.publish("parkade.v1.owners-ca.v-1.supported", payload)
        await until(lambda: link.supported is not None)
        assert "does not read wings" in link.supported.sentence()
