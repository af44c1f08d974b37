"""Files fetched ahead of need: only over links where they cost nothing, and behind everything else."""

import asyncio
import os

import pytest

from parkade.vehicle.contract import Contract
from parkade.vehicle.signals import Link, Signals
from vehicle.peers import affine, assignment, desired, digest_of, until
from vehicle.test_agent import answer, life, phases

pytestmark = pytest.mark.anyio

EVERYWHERE = Contract(links=frozenset(Link))


def staged(shelf, content: bytes, **changes) -> dict:
    digest = shelf.put(content)
    return {"digest": digest, "bytes": len(content), "format": "onnx", "url": shelf.url(digest)} | changes


def held(agent) -> list[str]:
    return agent.hello()["models"]


async def test_a_file_is_fetched_ahead_and_loaded_at_once_when_it_is_needed(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        news = []
        agent.on_news = lambda: news.append(held(agent))
        agent.receive(desired(stage=[staged(shelf, affine())]))
        await until(lambda: news and news[-1] == [digest_of(affine())])
        assert agent.state(0)["assignments"] == []
        shelf.contents.clear()
        agent.receive(desired(assignment(shelf, affine(), router.address, url=""), revision="r2"))
        assert await answer(await router.next()) == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("link", list(Link))
async def test_only_wifi_and_ethernet_carry_what_nobody_asked_for_yet(tmp_path, pki, shelf, link):
    async with life(tmp_path, pki, signals=Signals(link=link), installed=EVERYWHERE) as (agent, _):
        assert agent.state(0)["eligible"], "the contract of this car allows every link"
        agent.receive(desired(stage=[staged(shelf, affine())]))
        if link in (Link.WiFi, Link.Ethernet):
            await until(lambda: held(agent))
            return
        for _ in range(20):
            agent.apply()
            await asyncio.sleep(0.01)
        assert shelf.ranges == []
        agent.change_signals({"link": "WiFi"})
        await until(lambda: held(agent))


@pytest.mark.parametrize(
    "stop",
    [lambda agent: agent.pause(True), lambda agent: agent.unplug(),
     lambda agent: agent.change_signals({"link": "Cellular"}), lambda agent: agent.receive(desired(revision="r2"))],
    ids=["pause", "unplug", "Cellular", "no longer wanted"],
)  # fmt: skip
async def test_it_ends_in_the_instant_in_which_it_may_not(tmp_path, pki, shelf, stop):
    content = os.urandom(400_000)

    async with life(tmp_path, pki, download_rate=100_000.0) as (agent, _):
        agent.receive(desired(stage=[staged(shelf, content)]))
        await until(lambda: agent.books.usage.downloaded > 0)
        stop(agent)
        await asyncio.sleep(0)  # for the cancellation
        got = agent.books.usage.downloaded
        await asyncio.sleep(0.6)
        assert agent.books.usage.downloaded <= got + 32 * 1024, "what was on its way, and no piece more"
        assert held(agent) == []


async def test_what_is_assigned_comes_first_and_the_rest_of_the_file_after_it(tmp_path, pki, shelf):
    ahead = os.urandom(150_000)

    async with life(tmp_path, pki, download_rate=100_000.0) as (agent, router):
        order = []
        agent.on_news = lambda: order.extend(digest for digest in held(agent) if digest not in order)
        wanted = staged(shelf, ahead)
        agent.receive(desired(stage=[wanted]))
        await until(lambda: agent.books.usage.downloaded > 0)
        shelf.put(affine())
        agent.receive(desired(assignment(shelf, affine(), router.address), stage=[wanted], revision="r2"))
        await until(lambda: len(order) == 2, 30.0)
        assert order == [digest_of(affine()), digest_of(ahead)]
        assert agent.books.usage.downloaded <= len(ahead) + len(affine()) + 64 * 1024, "it went on where it was"
        assert phases(agent) == [("Ready", "")]


async def test_what_is_staged_gives_way_to_what_is_assigned_and_to_nothing_else_staged(tmp_path, pki, shelf):
    one, two, ordered = (os.urandom(1000) for _ in range(3))

    async with life(tmp_path, pki, disk=2500) as (agent, _):
        files = [staged(shelf, one), staged(shelf, two), staged(shelf, os.urandom(1000))]
        agent.receive(desired(stage=files))
        await until(lambda: len(held(agent)) == 2)
        await asyncio.sleep(0.2)
        assert set(held(agent)) == {digest_of(one), digest_of(two)}
        shelf.put(ordered)
        agent.receive(desired(assignment(shelf, ordered, ""), stage=files, revision="r2"))
        await until(lambda: digest_of(ordered) in held(agent))


@pytest.mark.parametrize(
    "stage", [5, [5], [{}], [{"digest": "x", "bytes": 1, "format": "onnx"}], [{"digest": "a" * 64, "bytes": -1}],
              [{"digest": "a" * 64, "bytes": 1, "format": "onnx", "url": "http://plain/"}], [{}] * 17],
)  # fmt: skip
async def test_a_stage_that_cannot_be_meant_makes_the_set_garbage(tmp_path, pki, stage):
    async with life(tmp_path, pki) as (agent, _):
        agent.receive(desired(stage=stage))
        assert agent.garbage == 1
        agent.receive(desired(stage=[{"digest": "a" * 64, "bytes": 1, "format": "tensorrt", "more": 1}]))
        assert agent.garbage == 1, "a format of a newer fleet is left alone"
