"""Who sees a car that does not answer, with every real process; the sessions are those of an OCPP library."""

import asyncio
import json
import os
import signal
import ssl
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from fleet.carplane import until
from fleet.ocpp_session import NOON, STEPS, VERSIONS, session
from fleet.town import REAL_IDS, Town, files_with, found_in

CARD = "CARD-1"
RECORDED = Path(__file__).parent / "recorded" / "ocpp_session.jsonl"
ARRIVES, LEAVES = (0, 1), (5,)


class Chargers:
    """A management system of charging stations, which passes on what they send."""

    def __init__(self, town: Town, secret: str) -> None:
        self.town, self.file = town, town.plane.data / "charger.creds"
        self.file.write_text(secret)

    def pass_on(self, version: str, steps: tuple[int, ...]) -> None:
        asyncio.run(self._pass_on(version, steps))

    async def _pass_on(self, version: str, steps: tuple[int, ...]) -> None:
        plane = self.town.plane
        trusted = ssl.create_default_context(cafile=str(plane.authority.certificate))
        link = await nats.connect(plane.nats_url, user_credentials=str(self.file), tls=trusted)
        for step in steps:
            for frame in await session(version, [step], datetime.now(UTC)):
                await link.publish("parkade.witness.v1.owners-ca.charger.street-7.TransactionEvent", frame.encode())
        await link.flush()
        await link.close()


def presence(town: Town) -> str:
    """What the cells say of their vehicles."""
    cells = json.loads(town.plane.kubectl("get", "vehiclecells", "-o", "json"))["items"]
    conditions = [each for cell in cells for each in cell.get("status", {}).get("conditions", [])]
    return "; ".join(each["message"] for each in conditions if each["type"] == "VehiclesPresent")


def test_the_recording_is_what_the_library_sends():
    def spoken(frame: str) -> list:
        call, _, action, payload = json.loads(frame)
        return [call, action, payload]

    sent = [frame for version in VERSIONS for frame in asyncio.run(session(version, range(len(STEPS)), NOON))]
    assert list(map(spoken, sent)) == list(map(spoken, RECORDED.read_text().splitlines()))


@pytest.mark.cluster
@pytest.mark.timeout(480)
def test_a_charger_tells_a_lost_link_from_a_departure(town):
    for car in REAL_IDS:
        town.enrol(car)
        town.drive(car)
    until("both cars are connected", lambda: all(town.connected(car) for car in REAL_IDS))
    until("a car holds the model", lambda: any(town.holds(car) for car in REAL_IDS))
    holder = next(car for car in REAL_IDS if town.holds(car))
    other = next(car for car in REAL_IDS if car != holder)
    town.fleet("name", "--id", "-", "--token", CARD, stdin=REAL_IDS[holder])
    chargers = Chargers(town, town.fleet("witness", "--source", "charger"))
    until("both are here", lambda: "2 of 2 vehicles here" in presence(town))

    os.kill(town.pids[holder], signal.SIGSTOP)
    try:
        until("nobody sees it", lambda: "1 of 2 vehicles here, 1 silent (1 seen by nobody), 0 gone" in presence(town))
        chargers.pass_on("v201", ARRIVES)
        until(
            "its charger sees it", lambda: "1 of 2 vehicles here, 1 silent (1 seen by their chargers)" in presence(town)
        )
        assert not town.holds(other)
        chargers.pass_on("v201", LEAVES)
        until("its charger saw it leave", lambda: "0 silent, 1 gone (1 unplugged at their chargers)" in presence(town))
        until("its replica went to the other car", lambda: town.holds(other))
        chargers.pass_on("v21", ARRIVES)  # whoever says so, it does not answer
        pod = json.loads(town.plane.kubectl("get", "pods", "-o", "json"))["items"][0]["metadata"]["name"]
        assert "Gone: its charger saw it leave" in town.plane.kubectl("logs", pod)
        assert "1 of 2 vehicles here" in presence(town)
    finally:
        os.kill(town.pids[holder], signal.SIGCONT)
    until("it speaks for itself", lambda: "2 of 2 vehicles here" in presence(town))

    personal = [*REAL_IDS.values(), *town.names.values(), CARD, "street-7"]
    assert found_in(town.seen(), personal) == []
    assert [name for word in (*REAL_IDS.values(), CARD) for name in files_with(town.plane.directory, word)] == []
    metrics = town.seen()["carlet-metrics"]
    assert 'parkade_witness_messages_total{outcome="accepted",source="charger"}' in metrics
    assert 'parkade_vehicle_changes_total{evidence="Charger"' in metrics
