"""Stays at the plug as the agent notes them, over restarts, set clocks and damage; and what of them leaves the car."""

import json
from contextlib import asynccontextmanager

import pytest

from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.wire import Identity
from vehicle.peers import Hand

IDENTITY = Identity("v-1", "owners-ca", "hw4", 64 * 2**20, 1, 60.0)
HOUR = 3600.0


pytestmark = pytest.mark.anyio


@pytest.fixture
def hand() -> Hand:
    """On the clocks of the car; it is Monday, noon."""
    return Hand()


@pytest.fixture
def driven(tmp_path, pki, hand):
    """Starts the agent of the car; what it remembers is in `tmp_path`."""

    @asynccontextmanager
    async def started(*, recall: bool = False):
        outfit = Outfit(IDENTITY, tmp_path, pki.vehicle, OnnxRuntime(), Contract(), Signals(), 2**30, recall=recall)
        agent = Agent(outfit, hand.sources())
        agent.apply()
        try:
            yield agent
        finally:
            await agent.close()

    return started


def stays(agent) -> list[tuple[int, int, int | None]]:
    return [
        (int(it.start), round(it.minutes), it.declared and round(it.declared)) for it in agent.dwelling.history.stays
    ]


def leaving(agent) -> list[int] | None:
    return agent.state(0).get("leavingWithin")


def pass_(agent, hand, seconds: float) -> None:
    hand.pass_(seconds)
    agent.apply()


def come(agent) -> None:
    """Begin a stay of which the agent sees the beginning."""
    agent.unplug()
    agent.plug()


MONDAY_NOON = 12 * 60


async def test_stays_are_noted_with_their_first_declaration(driven, hand, tmp_path):
    async with driven() as agent:
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent) == [], "nobody saw it begin"
        pass_(agent, hand, HOUR)
        agent.plug()
        agent.change_signals({"departureIn": 5 * HOUR})
        pass_(agent, hand, 2 * HOUR)
        agent.change_signals({"departureIn": 60})
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent) == [(MONDAY_NOON + 120, 180, 300)]
        hand.pass_(60)
        agent.plug()
        hand.set_wall(5 * HOUR)
        pass_(agent, hand, HOUR)
        agent.change_signals({"leaving": True})
        assert len(stays(agent)) == 1, "an announcement may be taken back"
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent)[1] == (MONDAY_NOON + 301, 60, None), "a clock that is set makes no stay longer"
        assert json.loads((tmp_path / "departures.json").read_text())["stay"] is None


async def test_a_forecast_is_said_only_while_the_car_offers_itself(driven):
    async with driven() as agent:
        assert len(leaving(agent)) == 3
        agent.change_signals({"departureIn": 600})
        assert leaving(agent)[2] >= 25, "a declaration is news at once"
        agent.pause(True)
        assert leaving(agent) is None
        agent.pause(False)
        agent.unplug()
        assert leaving(agent) is None


async def test_looking_ahead_makes_few_messages(driven, hand):
    async with driven() as agent:
        come(agent)
        said = []
        for _ in range(12 * 60):
            pass_(agent, hand, 60)
            if not said or said[-1] != leaving(agent):
                said.append(leaving(agent))
        assert 1 <= len(said) <= 12


async def test_an_announcement_that_is_taken_back_ends_no_stay(driven, hand):
    async with driven() as agent:
        come(agent)
        pass_(agent, hand, HOUR)
        agent.change_signals({"door": True})
        assert agent.state(0)["leaving"] is True
        assert leaving(agent) is None
        pass_(agent, hand, 60)
        agent.change_signals({"door": False})
        assert agent.state(0)["leaving"] is False
        assert len(leaving(agent)) == 3
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent) == [(MONDAY_NOON, 121, None)]


@pytest.mark.parametrize("recall", [True, False])
async def test_a_stay_goes_on_over_a_restart(driven, hand, recall):
    async with driven() as agent:
        come(agent)
        pass_(agent, hand, HOUR)
    hand.pass_(HOUR)
    async with driven(recall=recall) as agent:
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent) == [(MONDAY_NOON, 180, None)]
    async with driven(recall=recall) as agent:
        assert stays(agent) == [(MONDAY_NOON, 180, None)]


async def test_a_stay_whose_end_nobody_saw_is_not_counted(driven, hand, tmp_path):
    async with driven() as agent:
        come(agent)
    hand.pass_(HOUR)
    (tmp_path / "signals.json").write_text('{"elapsed": 0, "signals": {"pluggedIn": false}}')
    async with driven(recall=True) as agent:
        agent.plug()
        pass_(agent, hand, HOUR)
        agent.unplug()
        assert stays(agent) == [(MONDAY_NOON + 60, 60, None)]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"stay": 3, "history": []}', b'{"stay": {"since": -1}}'])
async def test_a_damaged_file_is_a_new_beginning(driven, tmp_path, damage):
    (tmp_path / "departures.json").write_bytes(damage)
    async with driven() as agent:
        assert stays(agent) == []
        assert len(leaving(agent)) == 3


async def test_the_owner_can_have_it_forgotten(driven, hand, tmp_path):
    async with driven() as agent:
        for _ in range(3):
            agent.unplug()
            hand.pass_(HOUR)
            agent.plug()
            pass_(agent, hand, 9 * HOUR)
        assert len(stays(agent)) == 2
        agent.forget_history()
        assert stays(agent) == []
        agent.unplug()
        assert stays(agent) == [], "the stay that goes on is forgotten, too"
    assert json.loads((tmp_path / "departures.json").read_text()) == {
        "history": {"stays": [], "trust": [0.0, 0.0, 0.0]}, "stay": None,
    }  # fmt: skip
