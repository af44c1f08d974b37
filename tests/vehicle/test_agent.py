"""The whole agent in one process against real peers: model store, router, disk; the link is called directly."""

import asyncio
import json

import pytest

from parkade.vehicle import replica as replicas_of
from parkade.vehicle.agent import OUTDATED_FOR
from vehicle.lives import answer, first_offer, life, phases
from vehicle.peers import Hand, affine, assignment, desired, digest_of, until

pytestmark = pytest.mark.anyio


async def test_a_desired_set_is_fetched_loaded_offered_and_reported(tmp_path, pki, shelf):
    asked = []
    async with life(tmp_path, pki) as (agent, router):
        agent.on_ask = lambda: asked.append(1)
        offered, digest = await first_offer(agent, router, shelf), digest_of(affine())
        assert await answer(offered) == [2.0, 4.0, 6.0]
        assert {name: value for name, value in offered.head.items() if name.startswith("parkade")} == {
            "parkade-workload": "vision/reader",
            "parkade-model": "reader",
            "parkade-digest": digest,
            "parkade-cell": "ca-home-hw4-0",
            "parkade-hardware": "hw4",
        }
        state = agent.state(0.018)
        ahead = state.pop("leavingWithin")
        assert ahead == sorted(ahead)
        assert all(percent % 5 == 0 for percent in ahead)
        assert state == {
            "v": 1, "present": True, "leaving": False, "link": "WiFi", "state": "Asleep", "eligible": True,
            "reason": "", "message": "", "rttMillis": 18, "desired": "r1",
            "assignments": [
                {"workload": "vision/reader", "digest": digest, "phase": "Ready", "reason": "", "message": ""}
            ],
        }  # fmt: skip
        assert agent.hello() == {
            "v": 1, "vehicle": "v-1", "fleet": "owners-ca", "hardware": "hw4", "memory": 64 * 2**20, "slots": 1,
            "beatSeconds": 60, "cell": "ca-home-hw4-0", "models": [digest], "desired": "r1",
        }  # fmt: skip
        agent.receive(desired(assignment(shelf, affine(), router.address)))
        assert await answer(offered) == [2.0, 4.0, 6.0], "the same set again changes nothing"
        used = agent.books.usage.shown()
        assert (used["requests"], used["bytesDownloaded"]) == (2, len(affine()))
        assert used["joulesModelled"] > 0
        agent.receive(desired(revision="r2"))
        assert await offered.ended()
        await until(lambda: not agent.replicas)
        assert agent.state(0)["assignments"] == []
        assert asked == []


async def test_a_restarted_agent_serves_again_without_the_network(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        await answer(await first_offer(agent, router, shelf))
    shelf.contents.clear()
    wanted = json.loads((tmp_path / "desired.json").read_bytes())
    async with life(tmp_path, pki) as (agent, router):
        assert agent.hello()["cell"] == "ca-home-hw4-0"
        assert agent.hello()["desired"] == "r1"
        wanted["assignments"][0]["router"] = router.address
        await until(lambda: phases(agent)[0][0] == "Ready")
        agent.receive(json.dumps(wanted).encode())
        assert await answer(await router.next()) == [2.0, 4.0, 6.0]
        assert agent.books.usage.total.requests == 2, "totals go on"


async def test_a_new_digest_replaces_the_last_good_only_when_it_is_ready(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        old = await first_offer(agent, router, shelf)
        new = affine(3.0)
        agent.receive(desired(assignment(shelf, new, router.address, url=""), revision="r2"))
        assert await answer(old) == [2.0, 4.0, 6.0]
        await until(lambda: phases(agent) == [("Fetching", "WaitingForUrl"), ("Ready", "")])
        shelf.put(new)
        agent.receive(desired(assignment(shelf, new, router.address), revision="r2"))
        fresh = await router.next()
        assert await answer(fresh) == [3.0, 6.0, 9.0]
        assert await old.ended()
        await until(lambda: phases(agent) == [("Ready", "")])


async def test_where_both_do_not_fit_the_last_good_goes_first(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        shelf.put(affine())
        shelf.put(affine(3.0))
        big = 40 * 2**20
        agent.receive(desired(assignment(shelf, affine(), router.address, memory=big)))
        old = await router.next()
        agent.receive(desired(assignment(shelf, affine(3.0), router.address, memory=big), revision="r2"))
        assert await old.ended()
        assert await answer(await router.next()) == [3.0, 6.0, 9.0]


BAD = [
    (
        "wrong bytes",
        lambda shelf, entry: shelf.contents.update({entry["digest"]: affine(9.0)}),
        ("Failed", "DigestMismatch"),
    ),
    ("no such model", lambda shelf, _: shelf.contents.clear(), ("Fetching", "SourceUnavailable")),
    ("another format", lambda _, entry: entry.update(format="tensorrt"), ("Refused", "FormatNotSupported")),
    ("too large", lambda _, entry: entry.update(memory=2**30), ("Refused", "NotEnoughMemory")),
    ("no url yet", lambda _, entry: entry.update(url=""), ("Fetching", "WaitingForUrl")),
    ("no router yet", lambda _, entry: entry.update(router=""), ("Ready", "RouterUnavailable")),
]


@pytest.mark.parametrize(("spoil", "expected"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_one_bad_assignment_is_reported_and_the_others_go_on(tmp_path, pki, shelf, spoil, expected):
    async with life(tmp_path, pki) as (agent, router):
        shelf.put(affine())
        shelf.put(affine(5.0))
        bad = assignment(shelf, affine(5.0), router.address, workload="vision/bad", model="bad")
        spoil(shelf, bad)
        shelf.put(affine())
        agent.receive(desired(bad, assignment(shelf, affine(), router.address)))
        assert await answer(await router.next()) == [2.0, 4.0, 6.0]
        await until(lambda: phases(agent) == [expected, ("Ready", "")])
        row = agent.assignments()[0]
        assert len(row["message"]) > 20
        assert "signature" not in row["message"]


@pytest.mark.parametrize("reason", ["AnswersRejected", "AnswersDisagree"])
async def test_a_router_that_rejects_the_answers_makes_the_replica_fail_until_it_takes_the_offer(
    tmp_path, pki, shelf, reason
):
    body = json.dumps({"error": "its answers are no good", "reason": reason}).encode()
    head = f"HTTP/1.1 403 Forbidden\r\nRetry-After: 0\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async with life(tmp_path, pki) as (agent, router):
        seen = []
        agent.on_news = lambda: seen.append(phases(agent)[0] if agent.desired.assignments else None)
        shelf.put(affine())
        router.script = [head + body]
        agent.receive(desired(assignment(shelf, affine(), router.address)))
        await until(lambda: ("Failed", reason) in seen)
        assert await answer(await router.next()) == [2.0, 4.0, 6.0]
        await until(lambda: phases(agent) == [("Ready", "")])


async def test_a_file_that_is_no_model_is_rejected_and_not_tried_again(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        shelf.put(b"this is no model")
        agent.receive(desired(assignment(shelf, b"this is no model", router.address)))
        await until(lambda: phases(agent) == [("Failed", "ModelRejected")])
        agent.receive(desired(assignment(shelf, b"this is no model", router.address)))
        assert phases(agent) == [("Failed", "ModelRejected")]
        assert "onnxruntime" in agent.assignments()[0]["message"]
        agent.receive(desired(revision="r2"))
        assert agent.replicas == {}


@pytest.mark.parametrize("status", [403, 410])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_refused_url_brings_a_fresh_one_that_is_tried_at_once(tmp_path, pki, shelf, status, times, monkeypatch):
    monkeypatch.setattr(replicas_of, "FIRST_WAIT", 60.0)  # so that no back-off explains what follows

    asked = asyncio.Queue()
    async with life(tmp_path, pki) as (agent, router):
        agent.on_ask = lambda: asked.put_nowait(None)
        shelf.put(affine())
        shelf.statuses += [status] * times
        entry = assignment(shelf, affine(), router.address)
        for fresh in range(times):
            agent.receive(desired(entry | {"url": f"{entry['url']}{fresh}"}))
            await asyncio.wait_for(asked.get(), 5)
        assert phases(agent) == [("Fetching", "SourceUnavailable")]
        agent.receive(desired(entry | {"url": f"{entry['url']}{times}"}))
        if times == 1:
            assert await answer(await router.next()) == [2.0, 4.0, 6.0]
        else:
            await asyncio.sleep(0.2)
            assert len(shelf.ranges) == times, "a store that refuses fresh URLs too is not hammered"


GARBAGE = [
    b"", b"{", b"[]", b"null", b'{"v": 2, "cell": "", "revision": "", "assignments": []}', b"\xff" * 100,
    b'{"v": 1, "cell": "c", "revision": "r"}', b" " * 300_000, b"[" * 100_000,
    desired(*[{"workload": f"a/{n}"} for n in range(65)]),
]  # fmt: skip
FIELDS = {
    "workload": "no-namespace", "model": "../up", "digest": "ABC", "bytes": -1, "memory": True, "format": 5,
    "url": "http://plain/", "router": "host:99999",
}  # fmt: skip


async def test_garbage_is_counted_and_changes_nothing(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        offered = await first_offer(agent, router, shelf)
        spoiled = [desired(assignment(shelf, affine(), router.address) | {name: bad}) for name, bad in FIELDS.items()]
        twice = desired(*[assignment(shelf, affine(), router.address)] * 2)
        for payload in (*GARBAGE, *spoiled, twice):
            before = agent.garbage
            agent.receive(payload)
            assert agent.garbage == before + 1, payload[:200]
        assert await answer(offered) == [2.0, 4.0, 6.0]
        assert agent.desired.revision == "r1"


async def test_orders_of_a_carlet_that_gave_the_cell_away_are_ignored_for_a_while(tmp_path, pki):
    hand = Hand()
    async with life(tmp_path, pki, hand) as (agent, _):
        agent.receive(desired(revision="first", term=7))
        agent.receive(desired(revision="late", term=6))
        assert (agent.desired.revision, agent.outdated) == ("first", 1)
        agent.receive(desired(revision="again", term=7))
        agent.receive(desired(revision="newer", term=8))
        assert (agent.desired.revision, agent.desired.term, agent.garbage) == ("newer", 8, 0)
    async with life(tmp_path, pki, hand) as (agent, _):
        agent.receive(desired(revision="late", term=7))
        assert (agent.desired.revision, agent.outdated) == ("newer", 1), "a restart forgets no term"
        hand.pass_(OUTDATED_FOR)
        agent.receive(desired(revision="late", term=7))
        assert agent.desired.revision == "late", "clocks of carlets may go back"
        agent.receive(desired(revision="without"))
        assert agent.desired.revision == "without", "it comes from a carlet that knows no others"
        for term in (-1, 2**63, True, "7", 7.0, None):
            agent.receive(desired(revision="garbage", term=term))
        assert (agent.desired.revision, agent.garbage) == ("without", 6)
