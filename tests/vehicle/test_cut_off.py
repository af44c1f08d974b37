"""The owner's contract with the network cut: a real agent process whose NATS, store and router are gone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from parkade.vehicle.command import vehicle
from vehicle.peers import ASK, Router, affine, assignment, desired, free_port

MAIN = "import sys; from parkade.cli import main; sys.exit(main())"
POOL = {"requirePluggedIn": True, "minStateOfCharge": 50, "links": ["WiFi", "Starlink"], "dataCapPerDay": "1Gi"}


class Car:
    """An agent process and the words of its owner."""

    def __init__(self, directory, pki, nats: str) -> None:
        self.state = directory / "state"
        self._log = directory / "agent.log"
        files = pki.vehicle
        self._words = [
            sys.executable, "-c", MAIN, "vehicle", "run", "--id", "v-1", "--fleet", "owners-ca", "--hardware", "hw4",
            "--nats", nats, "--ca", str(files.ca), "--cert", str(files.cert), "--key", str(files.key),
            "--state-dir", str(self.state), "--api", f"unix:{directory}/api", "--awake-watts", "300",
        ]  # fmt: skip

    def start(self) -> None:
        (self.state / "api.json").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._words, env=os.environ, stderr=log)
        deadline = time.monotonic() + 60
        while not (self.state / "api.json").exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(30)

    def ask(self, *words: str) -> dict:
        done = CliRunner().invoke(vehicle, [*words, "--state-dir", str(self.state), "-o", "json"])
        assert done.exit_code == 0, done.exception
        return json.loads(done.stdout)

    def shown(self) -> str:
        done = CliRunner().invoke(vehicle, ["status", "--state-dir", str(self.state)])
        assert done.exit_code == 0, done.exception
        return done.stdout

    async def until(self, condition) -> dict:
        async with asyncio.timeout(30):
            while True:
                found = await asyncio.to_thread(self.ask, "status")
                if condition(found):
                    return found
                await asyncio.sleep(0.05)


@pytest.fixture
def car(tmp_path, pki, nats_server):
    car = Car(tmp_path, pki, nats_server.url)
    car.start()
    yield car
    car.stop()


async def order(pki, url: str, payload: bytes) -> None:
    client = Client()
    await client.connect([url.replace("nats://", "tls://")], tls=pki.vehicle.context())
    await client.publish("parkade.v1.owners-ca.v-1.desired", payload)
    await client.flush()
    await client.close()


@pytest.mark.slow
def test_with_the_network_cut_the_contract_still_refuses_and_permits(car, pki, nats_server, shelf):
    async def scenario():
        port, router = free_port(), Router()
        await router.start(pki.mutual_context(), port)
        shelf.put(affine())
        await car.until(lambda found: found["fleetLink"]["connected"])
        entry = assignment(shelf, affine(), router.address)
        await order(pki, nats_server.url, desired(entry, contract=POOL, energyPrice={"perKWh": "0.31"}))
        offered = await router.next()
        assert (await offered.ask("POST", "/v2/models/reader/infer", ASK))[0] == 200

        nats_server.kill()
        await router.stop()
        shelf.contents.clear()
        found = await car.until(lambda found: not found["fleetLink"]["connected"])
        assert found["eligible"], "the loss of the network is no reason of the owner's"
        assert found["used"]["byWorkload"][0]["requests"] == 1

        refused = await asyncio.to_thread(car.ask, "tighten", "--min-soc", "90")
        assert refused["reason"] == "ChargeTooLow"
        await car.until(lambda found: all(row["phase"] == "Refused" for row in found["assignments"]))
        car.stop()
        car.start()
        found = await asyncio.to_thread(car.ask, "status")
        assert (found["reason"], found["contract"]["minStateOfCharge"]) == ("ChargeTooLow", 90), (
            "nor does a kill loosen"
        )
        assert found["contract"]["dataCapPerDay"] == str(2**30), "and the pool's terms are remembered"
        carried = found["day"]["bytes"]
        assert carried > len(affine()) + len(ASK)

        router = Router()
        await router.start(pki.mutual_context(), port)
        assert (await asyncio.to_thread(car.ask, "tighten", "--min-soc", "50", "--energy-price", "0.31"))["eligible"]
        offered = await router.next()
        assert (await offered.ask("POST", "/v2/models/reader/infer", ASK))[0] == 200, "no NATS, no store: from the disk"
        assert (await asyncio.to_thread(car.ask, "unplug"))["reason"] == "Leaving"
        assert await asyncio.wait_for(offered.ended(), 5)
        car.stop()
        car.start()
        shown = await asyncio.to_thread(car.shown)
        assert "rests: Leaving" in shown
        assert "also: NotPluggedIn" in shown
        assert (await asyncio.to_thread(car.ask, "plug"))["eligible"]
        offered = await router.next()
        over = await asyncio.to_thread(car.ask, "tighten", "--data-cap", "1k")
        assert over["reason"] == "DataCapReached"
        assert await asyncio.wait_for(offered.ended(), 5)
        car.stop()
        car.start()
        found = await asyncio.to_thread(car.ask, "status")
        assert found["reason"] == "DataCapReached", "a kill is no new day"
        assert found["day"]["bytes"] >= carried
        assert {row["reason"] for row in found["history"]} >= {"", "DataCapReached"}
        await router.stop()

    asyncio.run(scenario())
