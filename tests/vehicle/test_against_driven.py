"""Driven vehicles of `carlet drive` beside the agent: told the same, they say the same, word for word."""

import asyncio
import json
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import pytest

from parkade.local import binaries
from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.wire import Identity, write_beat
from vehicle.peers import until
from vehicle.test_agent import assignment, desired
from vehicle.test_link import Carlet

# carlet is built when cold
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

IDENTITY = Identity("v-000000", "owners-ca", "hw4", 64 * 2**20, 1, 1.0)
CHARGE = 80.0
CASES = {
    "nothing": desired(revision="nothing"),
    "too-large": desired(assignment(None, b"x", "", memory=2**30, url="https://127.0.0.1:1/x"), revision="too-large"),
    "another-format": desired(assignment(None, b"x", "", format="plan"), revision="another-format"),
    "no-URL-yet": desired(assignment(None, b"x", "", url="", bytes=0), revision="no-URL-yet"),
    "link-not-allowed": desired(
        assignment(None, b"x", "", url=""), revision="link-not-allowed", contract={"links": ["Ethernet"]}
    ),
    "charge-too-low": desired(revision="charge-too-low", contract={"minStateOfCharge": 90}),
    "allowed-again": desired(revision="allowed-again", contract={"minStateOfCharge": 20}),
}


@contextmanager
def driven(server, directory):
    """One vehicle; the server asks for no credentials, so only its words are compared."""
    program = binaries.carlet(print)
    init = [program, "fleet", "init", "--dir", directory / "fleet", "--jetstream-dir", directory / "jetstream"]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
    command = [
        program, "drive", "--dir", directory / "fleet", "--nats", server.url.replace("nats:", "tls:"),
        "--ca", server.pki.vehicle.ca, "--fleet", IDENTITY.fleet, "--vehicles", "1", "--beat", "1s",
        "--memory-mib", "64", "--charge", f"{CHARGE:g}", "--links", "WiFi=1", "--seconds", "120",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        report = json.loads(process.communicate(timeout=30)[0])
    assert report["garbage"] == report["hellos"], report  # the peer's answer to a hello is no JSON


def without_trip(state: dict) -> dict:
    return state | {"rttMillis": 0}


def without_forecast(state: dict) -> dict:
    """Driven vehicles that play no sessions have nothing to forecast from."""
    return {name: value for name, value in state.items() if name != "leavingWithin"}


def test_a_driven_vehicle_says_what_the_agent_says(nats_server, tmp_path, pki):
    async def scenario():
        carlet = Carlet()
        await carlet.connect(nats_server)
        signals = replace(Signals(), state_of_charge=CHARGE)
        agent = Agent(Outfit(IDENTITY, tmp_path / "agent", pki.vehicle, OnnxRuntime(), Contract(), signals, 2**30))
        with driven(nats_server, tmp_path):
            await until(lambda: carlet.kinds("state") and carlet.kinds("beat"), 30.0)
            assert [kind for kind, _ in carlet.heard[:2]] == ["hello", "state"]
            assert carlet.kinds("hello")[0] == agent.hello()
            assert without_trip(carlet.kinds("state")[0]) == without_forecast(agent.state(0.0))
            assert carlet.kinds("beat")[0] == write_beat(IDENTITY, 1)
            for name, told in CASES.items():
                agent.receive(told)
                await carlet.client.publish(IDENTITY.subject("desired"), told)
                await until(lambda name=name: carlet.kinds("state")[-1]["desired"] == name)
                await asyncio.sleep(
                    0.1
                )  # for the agent's replica to look for its URL, and for a second word of the driven
                assert without_trip(carlet.kinds("state")[-1]) == without_forecast(agent.state(0.0)), name
            assert carlet.kinds("hello")[-1] | {"desired": ""} == agent.hello() | {"desired": ""}
        await agent.close()
        await carlet.client.close()

    asyncio.run(scenario())
