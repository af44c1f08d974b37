"""`parkade vehicle status` as its owner reads it: a whole one, from a real agent with clocks that the test moves."""

import asyncio
import re
from textwrap import dedent

from parkade.vehicle import localapi, statement
from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.link import Endpoint, Link
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.wire import Identity
from vehicle.peers import Hand, affine, assignment, desired, digest_of, until

POOL = {
    "requirePluggedIn": False, "minStateOfCharge": 50, "maxRangeLossPerDay": 5, "dataCapPerDay": "2Gi",
    "links": ["WiFi", "Ethernet"], "quietHours": "22:00-06:00", "readyBefore": "30m", "netPositive": True, "soon": 1,
}  # fmt: skip
IDENTITY = Identity("v-7f3a", "owners-ca", "hw4", 64 * 2**20, 1, 60.0)


def spoken(directory, pki, life) -> str:
    """The status of a car after `life`, which is told the agent and the hand on its clocks."""

    async def scenario() -> str:
        models = directory / "models"
        models.mkdir()
        (models / digest_of(affine())).write_bytes(affine())
        hand = Hand()
        outfit = Outfit(IDENTITY, directory, pki.vehicle, OnnxRuntime(), None, Signals(), 2**30)
        agent = Agent(outfit, hand.sources())
        link = Link(IDENTITY, Endpoint("nats://127.0.0.1:1", None, None), agent.receive)
        try:
            await life(agent, hand)
            return statement.text(localapi.status(agent, link))
        finally:
            await agent.close()

    return asyncio.run(scenario())


def test_an_owner_reads_what_ran_what_it_used_against_each_term_and_why_nothing_runs(tmp_path, pki):
    async def life(agent, hand):
        orders = {"contract": POOL, "payout": {"perComputeHour": "0.04"}, "energyPrice": {"perKWh": "0.31"}}
        agent.receive(desired(assignment(None, affine(), ""), **orders))
        await until(lambda: any(replica.accepting for replica in agent.replicas.values()))
        agent.change_signals({"pluggedIn": False, "soc": 71, "celsius": 31, "departureIn": 30_000})
        count = agent.books.usage.recorder("vision/reader")
        for _ in range(60):
            with agent.books.usage.busy():
                hand.pass_(60)
            count(60.0, 180_000, 4000)
            agent.carried(3_184_000)
            agent.apply()
        assert agent.tighten({"maxRangeLossPerDay": 2, "energyPrice": 0.3}) is None
        await until(lambda: not agent.replicas)
        hand.pass_(3 * 3600)
        agent.apply()
        agent.change_signals({"link": "Cellular"})

    shown = spoken(tmp_path, pki, life)
    digest = digest_of(affine())[:12]
    assert shown == dedent(f"""\
        v-7f3a (owners-ca, cell ca-home-hw4-0)
        rests: LinkNotAllowed. the link is Cellular and the contract allows Ethernet, WiFi; change the network
          also: RangeSpent. work may cost 2 km of range in 24 hours, and that is spent; plug the car in, or wait until Tue 12:15
        unplugged, 71 %, on Cellular; without us the car would be Asleep
        fleet link down; what runs goes on
        terms of a newer pool, not enforced: soon

        MODELS         DIGEST        PHASE    CONNECTIONS
        vision/reader  {digest}  Refused  0

        TERM              NOW                   LIMIT                   SET BY
        state of charge   71 %                  at least 50 %           pool
        range lost, 24 h  2.46 km               2 km off the plug       owner   <- rests the car
        link              Cellular              Ethernet, WiFi          pool    <- rests the car
        data, 24 h        182.2 MiB             2.0 GiB                 pool
        quiet hours       car Asleep            asleep in 22:00-06:00   pool
        ready to leave    leaves in 4 h 20 min  30 min before           pool
        payout            0.04 $/h              beside the electricity  pool
        electricity       0.31 $/kWh            at least 0.3 $/kWh      owner
        coldest           31 C                  -20 C                   pool
        hottest           31 C                  70 C                    pool

        WORK SO FAR    REQUESTS  BUSY       ENERGY    BODIES
        vision/reader  60        1 h 0 min  100.0 Wh  10.5 MiB
        all            60        1 h 0 min  100.0 Wh  10.5 MiB
        models downloaded: 0 B; energy is modelled, not measured

        LAST 24 HOURS  345.0 Wh, of it 345.0 Wh out of the battery (2.46 km); 182.2 MiB (WiFi 182.2 MiB)
          offered 1 h 0 min, RangeSpent 3 h 0 min

        SINCE
        Mon 04 May 16:00:00  LinkNotAllowed  the link is Cellular and the contract allows Ethernet, WiFi; change the network
        Mon 04 May 13:00:00  RangeSpent      work may cost 2 km of range in 24 hours, and that is spent; plug the car in, or wait until Tue 12:15
        Mon 04 May 12:00:00  offers itself""")  # noqa: E501 -- as it is shown


def test_a_new_car_says_that_nothing_is_assigned(tmp_path, pki):
    async def life(agent, hand):
        agent.apply()
        hand.pass_(1)

    shown = spoken(tmp_path, pki, life)
    assert "v-7f3a (owners-ca, cell none yet)\noffers itself\nplugged in, 80 %, on WiFi" in shown
    assert re.search(
        r"\nleaves within 5, 15, 60 min by a chance of \d+ %, \d+ %, \d+ % \(forecast from 0 stays\)\n", shown
    )
    assert "MODELS  none is assigned" in shown
    assert "rests" not in shown


def test_only_the_last_changes_are_shown_and_remembered(tmp_path, pki):
    async def life(agent, hand):
        for _ in range(100):
            hand.pass_(60)
            agent.pause(True)
            agent.pause(False)
        assert len(agent.books.history.shown()) == 64

    shown = spoken(tmp_path, pki, life)
    assert len(shown.split("SINCE\n")[1].splitlines()) == statement.SHOWN_CHANGES
