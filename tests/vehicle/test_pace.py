"""How fast the car downloads: laws by a link that is arithmetic, then a real agent behind a narrow real one."""

import asyncio
import os
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.link import Endpoint, Link
from parkade.vehicle.pace import LEAST_SHARE, MOST_PIECE, OVERRUN, PIECE_SECONDS, SHARE, Pace
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.wire import Identity
from vehicle.narrow import narrow
from vehicle.peers import assignment, desired, digest_of, until
from vehicle.test_link import Carlet

MEGABIT = 125_000
CHUNK = 1400


class Road:
    """A link of so many bytes a second whose clock moves with what it carries."""

    def __init__(self, rate: float, trip: float = 0.02, most: float = inf) -> None:
        self.now = 100.0
        self.rate = rate
        self.trip = trip
        self.served = 0.0
        """Bytes a second that others take of it."""
        self.pace = Pace(most, lambda: self.now)
        self.busy = 0.0

    def rest(self) -> None:
        """As `turn`, by this clock."""
        wait = self.pace.rest()
        self.pace.carried(int(wait * self.served))
        self.now += wait

    def fetch(self) -> int:
        self.rest()
        size, piece = self.pace.size(), self.pace.piece()
        self.now += self.trip
        left = size
        while left and not piece.overran:
            chunk = min(max(CHUNK, int(self.rate / 2000)), left)
            seconds = chunk / (self.rate - self.served)
            self.pace.carried(round(seconds * self.served))
            self.now += seconds
            self.busy += chunk / self.rate
            piece.came(chunk)
            left -= chunk
        piece.end()
        return size - left

    def go(self, seconds: float) -> float:
        """Download for so long; the share of the link that it took."""
        began, self.busy = self.now, 0.0
        while self.now < began + seconds:
            self.fetch()
        self.rest()
        return self.busy / (self.now - began)


rates = st.floats(MEGABIT / 2, 1000 * MEGABIT)


@settings(max_examples=15, deadline=None)
@given(rate=rates, trip=st.floats(0, 0.3))
def test_a_download_never_takes_more_than_its_share_of_any_link(rate, trip):
    road = Road(rate, trip)
    road.go(3)
    assert road.pace.measured == pytest.approx(rate, rel=0.05)
    assert road.go(5) <= SHARE * 1.05
    assert road.pace.size() <= max(MOST_PIECE, rate * PIECE_SECONDS)


def test_it_takes_its_share_where_round_trips_let_it():
    road = Road(8 * MEGABIT, 0.03)
    road.go(3)
    assert road.go(5) > SHARE * 0.9


@pytest.mark.parametrize("served", [0.3, 0.6, 0.8])
def test_what_is_served_is_taken_off_the_share(served):
    road = Road(8 * MEGABIT)
    road.go(2)
    road.served = served * road.rate
    road.go(2)
    share = road.go(10)
    assert share + served <= max(SHARE, served + LEAST_SHARE) + 0.06
    assert share >= LEAST_SHARE * 0.8, "a model that never comes serves nobody"


@settings(max_examples=10, deadline=None)
@given(rate=rates, most=st.floats(20_000, 10 * MEGABIT))
def test_the_owners_cap_holds_on_any_link(rate, most):
    road = Road(rate, most=most)
    road.go(2)
    assert road.go(10) * rate <= most * 1.15


def test_a_link_that_becomes_slower_is_noticed_within_one_overrun():
    road = Road(800 * MEGABIT)
    road.go(2)
    road.rate = MEGABIT
    began = road.now
    road.fetch()
    assert road.now - began < OVERRUN + 1
    road.go(10)
    assert road.go(10) <= SHARE * 1.1
    assert road.pace.size() / MEGABIT <= PIECE_SECONDS * 1.2


IDENTITY = Identity("v-1", "owners-ca", "hw4", 64 * 2**20, 1, 0.2)
ROOM = 256 * 1024


def test_a_car_on_a_link_of_one_megabit_keeps_its_beats_while_it_downloads(nats_server, tmp_path, pki, shelf):
    """Its download never fills the queue in which beats and answers stand."""

    async def scenario():
        carlet, model = Carlet(), os.urandom(300_000)
        await carlet.connect(nats_server)
        async with narrow(MEGABIT, ROOM) as slow:
            shelf.put(model)
            shelf.port = await slow.to(shelf.port)
            endpoint = Endpoint(f"nats://127.0.0.1:{await slow.to(nats_server.port)}", None, pki.vehicle.context)
            agent = Agent(Outfit(IDENTITY, tmp_path / "car", pki.vehicle, OnnxRuntime(), Contract(), Signals(), 2**30))
            link = Link(IDENTITY, endpoint, agent.receive)
            link.hello, link.state, link.carried = agent.hello, agent.state, agent.carried
            agent.on_news = link.news
            tasks = [asyncio.create_task(agent.run()), asyncio.create_task(link.run())]
            await until(lambda: len(carlet.kinds("beat")) > 2)
            loop = asyncio.get_running_loop()
            slow.down.deepest = 0
            beats, began = len(carlet.kinds("beat")), loop.time()
            await carlet.client.publish(IDENTITY.subject("desired"), desired(assignment(shelf, model, "")))
            await until(lambda: digest_of(model) in agent.hello()["models"], 40.0)
            took = loop.time() - began
            beats = len(carlet.kinds("beat")) - beats
            assert slow.down.deepest < ROOM / 2, "no queue stands before a beat's answer"
            assert beats >= took / 1.0, f"{beats} beats of 0.2 s in {took:.1f} s"
            await until(lambda: carlet.kinds("state")[-1]["assignments"][0]["reason"] == "ModelRejected")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await agent.close()
        await carlet.client.close()

    asyncio.run(scenario())
