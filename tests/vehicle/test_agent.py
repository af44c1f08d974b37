"""The whole agent in one process against real peers: model store, router, disk; the link is called directly."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parkade.vehicle import replica as replicas_of
from parkade.vehicle.agent import OUTDATED_FOR, Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Link, Signals
from parkade.vehicle.wire import Identity
from vehicle.peers import ASK, Hand, Router, affine, ask_app, assignment, desired, digest_of, slow, until

IDENTITY = Identity("v-1", "owners-ca", "hw4", 64 * 2**20, 1, 60.0)


@asynccontextmanager
async def life(directory, pki, hand: Hand | None = None, **changes):
    """An agent and a router; the agent's tasks end with the block."""
    outfit = Outfit(IDENTITY, directory, pki.vehicle, OnnxRuntime(), Contract(), Signals(), 2**30)
    agent = Agent(replace(outfit, **changes), hand.sources() if hand else None)
    router = Router()
    await router.start(pki.mutual_context())
    running = asyncio.create_task(agent.run())
    try:
        yield agent, router
    finally:
        running.cancel()
        await asyncio.wait([running])
        await agent.close()
        await router.stop()


async def first_offer(agent, router, shelf):
    """The connection that offers the model, once the agent was told to hold it."""
    shelf.put(affine())
    agent.receive(desired(assignment(shelf, affine(), router.address)))
    return await router.next()


def phases(agent) -> list[tuple[str, str]]:
    return [(row["phase"], row["reason"]) for row in agent.assignments()]


async def answer(offered, model: str = "reader") -> list[float]:
    status, _, body = await offered.ask("POST", f"/v2/models/{model}/infer", ASK)
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"]


def test_a_desired_set_is_fetched_loaded_offered_and_reported(tmp_path, pki, shelf):
    async def scenario():
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

    asyncio.run(scenario())


def test_a_restarted_agent_serves_again_without_the_network(tmp_path, pki, shelf):
    async def scenario():
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

    asyncio.run(scenario())


def test_a_new_digest_replaces_the_last_good_only_when_it_is_ready(tmp_path, pki, shelf):
    async def scenario():
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

    asyncio.run(scenario())


def test_where_both_do_not_fit_the_last_good_goes_first(tmp_path, pki, shelf):
    async def scenario():
        async with life(tmp_path, pki) as (agent, router):
            shelf.put(affine())
            shelf.put(affine(3.0))
            big = 40 * 2**20
            agent.receive(desired(assignment(shelf, affine(), router.address, memory=big)))
            old = await router.next()
            agent.receive(desired(assignment(shelf, affine(3.0), router.address, memory=big), revision="r2"))
            assert await old.ended()
            assert await answer(await router.next()) == [3.0, 6.0, 9.0]

    asyncio.run(scenario())


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
def test_one_bad_assignment_is_reported_and_the_others_go_on(tmp_path, pki, shelf, spoil, expected):
    async def scenario():
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

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["AnswersRejected", "AnswersDisagree"])
def test_a_router_that_rejects_the_answers_makes_the_replica_fail_until_it_takes_the_offer(
    tmp_path, pki, shelf, reason
):
    body = json.dumps({"error": "its answers are no good", "reason": reason}).encode()
    head = f"HTTP/1.1 403 Forbidden\r\nRetry-After: 0\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def scenario():
        async with life(tmp_path, pki) as (agent, router):
            seen = []
            agent.on_news = lambda: seen.append(phases(agent)[0] if agent.desired.assignments else None)
            shelf.put(affine())
            router.script = [head + body]
            agent.receive(desired(assignment(shelf, affine(), router.address)))
            await until(lambda: ("Failed", reason) in seen)
            assert await answer(await router.next()) == [2.0, 4.0, 6.0]
            await until(lambda: phases(agent) == [("Ready", "")])

    asyncio.run(scenario())


def test_a_file_that_is_no_model_is_rejected_and_not_tried_again(tmp_path, pki, shelf):
    async def scenario():
        async with life(tmp_path, pki) as (agent, router):
            shelf.put(b"this is no model")
            agent.receive(desired(assignment(shelf, b"this is no model", router.address)))
            await until(lambda: phases(agent) == [("Failed", "ModelRejected")])
            agent.receive(desired(assignment(shelf, b"this is no model", router.address)))
            assert phases(agent) == [("Failed", "ModelRejected")]
            assert "onnxruntime" in agent.assignments()[0]["message"]
            agent.receive(desired(revision="r2"))
            assert agent.replicas == {}

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [403, 410])
@pytest.mark.parametrize("times", [1, 2])
def test_a_refused_url_brings_a_fresh_one_that_is_tried_at_once(tmp_path, pki, shelf, status, times, monkeypatch):
    monkeypatch.setattr(replicas_of, "FIRST_WAIT", 60.0)  # so that no back-off explains what follows

    async def scenario():
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

    asyncio.run(scenario())


GARBAGE = [
    b"", b"{", b"[]", b"null", b'{"v": 2, "cell": "", "revision": "", "assignments": []}', b"\xff" * 100,
    b'{"v": 1, "cell": "c", "revision": "r"}', b" " * 300_000, b"[" * 100_000,
    desired(*[{"workload": f"a/{n}"} for n in range(65)]),
]  # fmt: skip
FIELDS = {
    "workload": "no-namespace", "model": "../up", "digest": "ABC", "bytes": -1, "memory": True, "format": 5,
    "url": "http://plain/", "router": "host:99999",
}  # fmt: skip


def test_garbage_is_counted_and_changes_nothing(tmp_path, pki, shelf):
    async def scenario():
        async with life(tmp_path, pki) as (agent, router):
            offered = await first_offer(agent, router, shelf)
            spoiled = [
                desired(assignment(shelf, affine(), router.address) | {name: bad}) for name, bad in FIELDS.items()
            ]
            twice = desired(*[assignment(shelf, affine(), router.address)] * 2)
            for payload in (*GARBAGE, *spoiled, twice):
                before = agent.garbage
                agent.receive(payload)
                assert agent.garbage == before + 1, payload[:200]
            assert await answer(offered) == [2.0, 4.0, 6.0]
            assert agent.desired.revision == "r1"

    asyncio.run(scenario())


def test_orders_of_a_carlet_that_gave_the_cell_away_are_ignored_for_a_while(tmp_path, pki):
    async def scenario():
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

    asyncio.run(scenario())


def test_unplugging_announces_departure_and_drains_at_once_and_plugging_takes_it_back(tmp_path, pki, shelf):
    async def scenario():
        async with life(tmp_path, pki) as (agent, router):
            offered = await first_offer(agent, router, shelf)
            agent.unplug()
            state = agent.state(0)
            assert (state["leaving"], state["eligible"], state["reason"]) == (True, False, "Leaving")
            assert [row["phase"] for row in state["assignments"]] == ["Draining"]
            assert phases(agent) == [("Refused", "Leaving")], "what the owner sees"
            assert await asyncio.wait_for(offered.ended(), 1)
            agent.receive(desired(assignment(shelf, affine(), router.address), revision="r2"))
            await until(lambda: not agent.replicas)
            assert agent.state(0)["assignments"] == [], "the workload was not refused, the car was"
            agent.plug()
            assert agent.state(0)["leaving"] is False
            assert await answer(await router.next()) == [2.0, 4.0, 6.0]
            assert len(shelf.ranges) == 1, "the model stayed on disk"

    asyncio.run(scenario())


def test_pause_and_own_terms_outlive_a_restart(tmp_path, pki):
    async def scenario():
        async with life(tmp_path, pki) as (agent, _):
            agent.pause(True)
            assert agent.tighten({"minStateOfCharge": 90}) is None
            assert agent.tighten({"minStateOfCharge": 10}) is not None
        async with life(tmp_path, pki) as (agent, _):
            assert agent.state(0)["reason"] == "Paused"
            agent.pause(False)
            assert agent.state(0)["reason"] == "ChargeTooLow"

    asyncio.run(scenario())


def test_the_pools_contract_holds_at_once_and_over_a_restart(tmp_path, pki, shelf):
    async def scenario():
        async with life(tmp_path, pki, installed=None, signals=Signals(state_of_charge=60)) as (agent, router):
            shelf.put(affine())
            entry = assignment(shelf, affine(), router.address)
            agent.receive(desired(entry, contract={"minStateOfCharge": 40, "ofTomorrow": 1}))
            offered = await router.next()
            assert agent.contract.min_state_of_charge == 40, "looser than the default, which nobody installed"
            assert agent.contract.not_enforced == ("ofTomorrow",)
            agent.receive(desired(entry, contract={"minStateOfCharge": 70}, revision="r2"))
            assert agent.state(0)["reason"] == "ChargeTooLow"
            assert await asyncio.wait_for(offered.ended(), 1)
            assert agent.tighten({"minStateOfCharge": 65}).reason == "LooserThanContract"
            assert agent.tighten({"minStateOfCharge": 80}) is None
            before = agent.garbage
            agent.receive(desired(entry, contract={"minStateOfCharge": 700}, revision="r3"))
            agent.receive(desired(entry, contract=["minStateOfCharge"], revision="r3"))
            assert (agent.garbage, agent.desired.revision) == (before + 2, "r2")
        async with life(tmp_path, pki, installed=None, signals=Signals(state_of_charge=75)) as (agent, _):
            assert agent.floor.min_state_of_charge == 70, "remembered"
            assert agent.state(0)["reason"] == "ChargeTooLow", "the owner's own 80 holds"
        async with life(tmp_path, pki, installed=Contract(min_state_of_charge=90)) as (agent, _):
            assert agent.floor.min_state_of_charge == 90, "what was installed is not loosened from afar"

    asyncio.run(scenario())


# no sequence of plans and signals makes an ineligible car serve


actions = st.lists(
    st.one_of(
        st.sampled_from([("plan", 0), ("plan", 1), ("plan", 2), ("wait", None), ("pause", True), ("pause", False)]),
        st.tuples(st.just("signal"), st.fixed_dictionaries({}, optional={
            "pluggedIn": st.booleans(), "soc": st.integers(40, 60), "link": st.sampled_from(list(Link)),
            "leaving": st.booleans(),
        })),
        st.tuples(st.just("tighten"), st.integers(50, 60)),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=actions)
def test_no_sequence_of_plans_and_signals_makes_an_ineligible_car_serve(tmp_path_factory, pki, shelf, actions):
    for factor in (2.0, 3.0):
        shelf.put(affine(factor))

    async def scenario():
        async with life(tmp_path_factory.mktemp("car"), pki) as (agent, router):
            plans = [
                desired(),
                desired(assignment(shelf, affine(2.0), router.address)),
                desired(assignment(shelf, affine(3.0), router.address)),
            ]
            agent.receive(plans[1])
            await until(lambda: phases(agent) == [("Ready", "")])
            for kind, value in actions:
                if kind == "plan":
                    agent.receive(plans[value])
                elif kind == "signal":
                    agent.change_signals(value)
                elif kind == "pause":
                    agent.pause(value)
                elif kind == "tighten":
                    agent.tighten({"minStateOfCharge": value})
                else:
                    await asyncio.sleep(0.01)
                await check(agent)

    asyncio.run(scenario())


async def check(agent) -> None:
    """In the same instant: no idle connection, and an application that answers nothing."""
    eligible = agent.refusal() is None
    for replica in list(agent.replicas.values()):
        if not eligible:
            assert not replica.accepting
            assert replica.connections == 0, "no request is in flight here"
        if replica.app is not None:
            status = await ask_app(replica.app, ASK)
            assert status == 200 or not replica.accepting
            assert eligible or status == 503


# a day's allowances


def test_bytes_of_requests_answers_and_downloads_are_carried_and_the_cap_ends_the_work(tmp_path, pki, shelf):
    async def scenario():
        terms = {"dataCapPerDay": str(len(affine()) + 4000)}
        async with life(tmp_path, pki, installed=None) as (agent, router):
            shelf.put(affine())
            agent.receive(desired(assignment(shelf, affine(), router.address), contract=terms))
            offered = await router.next()
            before = agent.spent().bytes
            assert len(affine()) < before < len(affine()) + 1000, "the model and the offer"
            reader, body = offered.reader, ASK + b" " * 1000
            status, headers, answered = await offered.ask("POST", "/v2/models/reader/infer", body)
            assert status == 200
            heads = 200
            carried = agent.spent().bytes - before
            assert 0 < carried - len(body) - len(answered) < heads, headers
            await offered.ask("POST", "/v2/models/reader/infer", b"x" * 3000)
            assert await asyncio.wait_for(reader.read(1), 2) == b"", "what is refused is carried too, and ends the day"
            await until(lambda: not agent.replicas)
            assert agent.state(0)["reason"] == "DataCapReached"
        async with life(tmp_path, pki, installed=None) as (agent, _):
            assert agent.state(0)["reason"] == "DataCapReached", "a restart is no new day"

    asyncio.run(scenario())


def test_a_cap_smaller_than_the_model_stops_its_download(tmp_path, pki, shelf):
    async def scenario():
        big = affine() + bytes(2**22)
        async with life(tmp_path, pki, installed=None) as (agent, router):
            shelf.put(big)
            agent.receive(desired(assignment(shelf, big, router.address), contract={"dataCapPerDay": "1Mi"}))
            await until(lambda: agent.state(0)["reason"] == "DataCapReached" and not agent.replicas)
            assert 2**20 <= agent.spent().bytes < 2**20 + 2**18

    asyncio.run(scenario())


def test_range_is_lost_off_the_plug_and_never_beyond_the_allowance(tmp_path, pki, shelf):
    async def scenario():
        hand = Hand()
        terms = {"requirePluggedIn": False, "maxRangeLossPerDay": 2}
        async with life(tmp_path, pki, hand, installed=None) as (agent, router):
            shelf.put(affine())
            agent.receive(desired(assignment(shelf, affine(), router.address), contract=terms))
            offered = await router.next()
            hand.pass_(20 * 3600)
            agent.apply()
            assert agent.spent().km == 0, "on the plug"
            agent.change_signals({"pluggedIn": False})
            hours = 0
            while agent.state(0)["eligible"]:
                hand.pass_(360)
                agent.apply()
                hours += 0.1
            assert hours == pytest.approx(2 * 140 / 245, abs=0.11), "held ready, a sleeping car is kept awake"
            assert agent.state(0)["reason"] == "RangeSpent"
            assert await asyncio.wait_for(offered.ended(), 1)
            agent.change_signals({"pluggedIn": True})
            assert agent.state(0)["eligible"]
            agent.change_signals({"pluggedIn": False})
        async with life(tmp_path, pki, hand, installed=None, recall=True) as (agent, _):
            assert agent.state(0)["reason"] == "RangeSpent"

    asyncio.run(scenario())


async def later(usage) -> float:
    await asyncio.sleep(0.02)
    return usage.busy_seconds


@pytest.mark.parametrize("way", ["unplug", "spent", "pause"])
def test_a_request_in_flight_is_cut_off_when_its_patience_is_over_and_its_work_stops(
    tmp_path, pki, shelf, monkeypatch, way
):
    assert replicas_of.DRAIN == 10, "seconds, as docs/vehicle.md promises"
    monkeypatch.setattr(replicas_of, "DRAIN", 0.1)
    model = slow(1500)
    rows = np.zeros((256, 256), np.float32)
    header = {"inputs": [{"name": "x", "shape": [256, 256], "datatype": "FP32"}]}
    header["inputs"][0]["parameters"] = {"binary_data_size": rows.nbytes}
    text = json.dumps(header).encode()

    async def scenario():
        async with life(tmp_path, pki, installed=None) as (agent, router):
            shelf.put(model)
            entry = assignment(shelf, model, router.address)
            agent.receive(desired(entry, contract={"dataCapPerDay": str(len(model) + rows.nbytes // 2)}))
            offered = await router.next()
            if way != "spent":
                agent.receive(desired(entry, revision="r2", contract={}))
            length = {"Inference-Header-Content-Length": str(len(text))}
            offered.send("POST", "/v2/models/reader/infer", text + rows.tobytes(), length)
            started = agent.books.usage.busy_seconds
            await until(lambda: agent.books.usage.busy_seconds > started or not agent.replicas)
            {"unplug": agent.unplug, "spent": agent.apply, "pause": lambda: agent.pause(True)}[way]()
            assert await asyncio.wait_for(offered.ended(), 5), "no answer came"
            await until(lambda: not agent.replicas)
            async with asyncio.timeout(2):  # for the operator that it is at
                while (before := agent.books.usage.busy_seconds) != await later(agent.books.usage):
                    assert before > started
            assert agent.books.usage.total.requests == 0

    asyncio.run(scenario())


# faults


def test_a_car_that_was_leaving_still_is_after_a_restart_and_a_departure_keeps_its_time(tmp_path, pki):
    async def scenario():
        hand = Hand()
        async with life(tmp_path, pki, hand) as (agent, _):
            agent.unplug()
        async with life(tmp_path, pki, hand, recall=True) as (agent, _):
            assert agent.state(0)["reason"] == "Leaving"
            agent.plug()
            assert agent.tighten({"readyBefore": "30m"}) is None
            agent.change_signals({"departureIn": 3600})
            hand.wall -= timedelta(hours=5)
            agent.apply()
            assert agent.state(0)["eligible"]
        hand.pass_(1700)
        async with life(tmp_path, pki, hand, recall=True) as (agent, _):
            assert agent.state(0)["eligible"]
            hand.pass_(101)
            assert agent.state(0)["reason"] == "DepartingSoon"
        async with life(tmp_path, pki, hand) as (agent, _):
            assert agent.state(0)["eligible"], "a replay file is the source of signals, from its beginning"

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"paused": 7, "terms": {}}', b'{"paused": false, "terms": 1}'])
def test_damaged_terms_of_the_owner_rest_the_car_until_the_owner_says_so(tmp_path, pki, damage):
    async def scenario():
        async with life(tmp_path, pki) as (agent, _):
            assert agent.tighten({"minStateOfCharge": 90}) is None
        (tmp_path / "owner.json").write_bytes(damage)
        async with life(tmp_path, pki) as (agent, _):
            assert agent.state(0)["reason"] == "OwnerTermsLost"
            assert agent.tighten({"minStateOfCharge": 60}) is None
            assert agent.state(0)["reason"] == "OwnerTermsLost"
        async with life(tmp_path, pki) as (agent, _):
            assert agent.state(0)["reason"] == "OwnerTermsLost", "a restart does not make up for it"
            agent.pause(False)
            assert agent.state(0)["eligible"]
            assert agent.tighten({"minStateOfCharge": 90}) is None
        async with life(tmp_path, pki) as (agent, _):
            assert agent.state(0)["reason"] == "ChargeTooLow"

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"elapsed": -1, "signals": {}}', b'{"elapsed": 0, "signals": 5}'])
def test_damaged_signals_count_as_a_car_that_is_leaving(tmp_path, pki, damage):
    async def scenario():
        async with life(tmp_path, pki) as (agent, _):
            agent.change_signals({"soc": 70})
        (tmp_path / "signals.json").write_bytes(damage)
        async with life(tmp_path, pki, recall=True) as (agent, _):
            assert agent.state(0)["reason"] == "Leaving"

    asyncio.run(scenario())


def test_what_the_pool_pays_is_known_to_the_contract(tmp_path, pki):
    async def scenario():
        async with life(tmp_path, pki) as (agent, _):
            assert agent.tighten({"energyPrice": 0.31}) is None
            assert agent.state(0)["reason"] == "PriceUnknown"
            agent.receive(desired(energyPrice={"perKWh": "0.31"}, payout={"perComputeHour": "0.04"}))
            assert agent.state(0)["eligible"]
            agent.receive(desired(revision="r2", energyPrice={"perKWh": "0.30"}))
            assert agent.state(0)["reason"] == "PriceTooLow"
            before = agent.garbage
            agent.receive(desired(revision="r3", energyPrice={"perKWh": "much"}))
            assert (agent.garbage, agent.desired.revision) == (before + 1, "r2")
            agent.receive(desired(revision="r4", energyPrice={"series": {"configMap": "prices"}}))
            assert agent.state(0)["reason"] == "PriceUnknown"

    asyncio.run(scenario())
