"""When the whole agent rests: the owner's word, the contract, the allowances of a day, and after faults."""

import asyncio
import json
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parkade.vehicle import replica as replicas_of
from parkade.vehicle.contract import Contract
from parkade.vehicle.signals import Link, Signals
from vehicle.lives import answer, first_offer, life, phases
from vehicle.peers import ASK, Hand, affine, ask_app, assignment, desired, slow, until

pytestmark = pytest.mark.anyio


async def test_unplugging_announces_departure_and_drains_at_once_and_plugging_takes_it_back(tmp_path, pki, shelf):
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


async def test_pause_and_own_terms_outlive_a_restart(tmp_path, pki):
    async with life(tmp_path, pki) as (agent, _):
        agent.pause(True)
        assert agent.tighten({"minStateOfCharge": 90}) is None
        assert agent.tighten({"minStateOfCharge": 10}) is not None
    async with life(tmp_path, pki) as (agent, _):
        assert agent.state(0)["reason"] == "Paused"
        agent.pause(False)
        assert agent.state(0)["reason"] == "ChargeTooLow"


async def test_the_pools_contract_holds_at_once_and_over_a_restart(tmp_path, pki, shelf):
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
async def test_no_sequence_of_plans_and_signals_makes_an_ineligible_car_serve(tmp_path_factory, pki, shelf, actions):
    for factor in (2.0, 3.0):
        shelf.put(affine(factor))

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


async def test_bytes_of_requests_answers_and_downloads_are_carried_and_the_cap_ends_the_work(tmp_path, pki, shelf):
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


async def test_a_cap_smaller_than_the_model_stops_its_download(tmp_path, pki, shelf):
    big = affine() + bytes(2**22)
    async with life(tmp_path, pki, installed=None) as (agent, router):
        shelf.put(big)
        agent.receive(desired(assignment(shelf, big, router.address), contract={"dataCapPerDay": "1Mi"}))
        await until(lambda: agent.state(0)["reason"] == "DataCapReached" and not agent.replicas)
        assert 2**20 <= agent.spent().bytes < 2**20 + 2**18


async def test_range_is_lost_off_the_plug_and_never_beyond_the_allowance(tmp_path, pki, shelf):
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


async def later(usage) -> float:
    await asyncio.sleep(0.02)
    return usage.busy_seconds


@pytest.mark.parametrize("way", ["unplug", "spent", "pause"])
async def test_a_request_in_flight_is_cut_off_when_its_patience_is_over_and_its_work_stops(
    tmp_path, pki, shelf, monkeypatch, way
):
    assert replicas_of.DRAIN == 10, "seconds, as docs/vehicle.md promises"
    monkeypatch.setattr(replicas_of, "DRAIN", 0.1)
    model = slow(1500)
    rows = np.zeros((256, 256), np.float32)
    header = {"inputs": [{"name": "x", "shape": [256, 256], "datatype": "FP32"}]}
    header["inputs"][0]["parameters"] = {"binary_data_size": rows.nbytes}
    text = json.dumps(header).encode()

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


# faults


async def test_a_car_that_was_leaving_still_is_after_a_restart_and_a_departure_keeps_its_time(tmp_path, pki):
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


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"paused": 7, "terms": {}}', b'{"paused": false, "terms": 1}'])
async def test_damaged_terms_of_the_owner_rest_the_car_until_the_owner_says_so(tmp_path, pki, damage):
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


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"elapsed": -1, "signals": {}}', b'{"elapsed": 0, "signals": 5}'])
async def test_damaged_signals_count_as_a_car_that_is_leaving(tmp_path, pki, damage):
    async with life(tmp_path, pki) as (agent, _):
        agent.change_signals({"soc": 70})
    (tmp_path / "signals.json").write_bytes(damage)
    async with life(tmp_path, pki, recall=True) as (agent, _):
        assert agent.state(0)["reason"] == "Leaving"


async def test_what_the_pool_pays_is_known_to_the_contract(tmp_path, pki):
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
